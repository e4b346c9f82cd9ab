"""Lists of parameters as narrow as the dock, and hands that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_imagefit import models
from napari_imagefit.gui.parameter_table import parameters as section
from napari_imagefit.gui.parameter_table.parameter_tree import NAME, SET
from napari_imagefit.gui.parameter_table.parameters import ParameterList
from napari_imagefit.gui.widgets.badges import BADGES
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.request.presets import Presets

LEFT = Qt.MouseButton.LeftButton
Key = Qt.Key
WIDTH = 300


def open_lists(
    qtbot: Any, layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ParameterList]]:
    """Yield a function that opens a list as narrow as the dock, for a model; each is another session."""
    frames: list[QWidget] = []  # nobody else keeps them from being collected
    monkeypatch.setattr(section, "stored_presets", lambda: Presets(tmp_path / "kept.json"))

    def make(model: str = "gaussian_2d_elliptic") -> ParameterList:
        listed = ParameterList(layers)
        frame = QWidget()
        layout = QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(listed)
        layout.addStretch()
        qtbot.addWidget(frame)
        frame.setFixedWidth(WIDTH)
        frame.resize(WIDTH, 600)
        frames.append(frame)
        listed.set_model(models[model], {"sigma_y": "µm", "sigma_x": "µm"})
        frame.show()
        frame.activateWindow()
        qtbot.waitActive(frame)
        return listed

    yield make
    for frame in frames:
        frame.close()


def write(qtbot: Any, line: QLineEdit, text: str, end: Qt.Key = Key.Key_Return) -> None:
    """Type into a field, in place of what is there; what no test can type, or is long, is pasted."""
    line.setFocus()
    qtbot.waitUntil(line.hasFocus)
    line.selectAll()
    qtbot.keyClick(line, Key.Key_Delete)
    if text.isascii() and len(text) < 20:
        qtbot.keyClicks(line, text)
    else:
        QGuiApplication.clipboard().setText(text)
        line.paste()
    qtbot.keyClick(line, end)


def click(qtbot: Any, listed: ParameterList, name: str, column: int = NAME) -> None:
    tree = listed.tree
    place = tree.visualRect(tree.indexFromItem(tree.item_of(name), column)).center()
    qtbot.mouseClick(tree.viewport(), LEFT, pos=place)


def badges(listed: ParameterList, name: str) -> list[str]:
    return [" ".join(part for part in badge if part) for badge in listed.tree.item_of(name).data(SET, BADGES)]


def row(listed: ParameterList, name: str) -> Row:
    return next(row for row in listed.rows() if row.name == name)


def seen(listed: ParameterList) -> list[str]:
    return [listed.tree.item_of(row.name).text(NAME) for row in listed.rows()]


def _image(_layers: Any, name: str) -> Any:
    from napari.layers import Image

    return Image(np.zeros((4, 5)), name=name)
