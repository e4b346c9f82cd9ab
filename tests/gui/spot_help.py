"""What the tests of spots in the window share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_imagefit.gui.spots.dock import SpotsDock
from napari_imagefit.gui.spots.docks import find_dock
from napari_imagefit.gui.widget import ImageFitWidget

LEFT = Qt.MouseButton.LeftButton
# Compiling on a busy machine with two cores has taken 15 s.
PATIENCE = 120_000
CENTRES = [(12.3, 14.8), (12.6, 44.1), (40.2, 14.4), (40.7, 44.5), (26.1, 30.2)]


def frames(n: int = 3) -> np.ndarray:
    """Five spots of σ 1.5 in each frame, of widths that grow by 10 %, moving a little from frame to frame."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:54, 0:60]
    stack = rng.normal(10, 0.5, (n, 54, 60))
    for frame in range(n):
        for number, (cy, cx) in enumerate(CENTRES):
            sigma = 1.5 + 0.1 * number
            stack[frame] += 40 * np.exp(-((y - cy - 0.3 * frame) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return stack


def click_detect(qtbot: Any, widget: ImageFitWidget) -> None:
    """Click Detect, and wait until the points are in the viewer."""
    qtbot.mouseClick(widget.spots.section.detect_button, LEFT)
    qtbot.waitUntil(lambda: not widget.spots.detecting, timeout=PATIENCE)


def click_fit(qtbot: Any, widget: ImageFitWidget) -> None:
    """Click Fit, and wait until the spots are in the viewer."""
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)


def fit_beads(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    """Fifteen spots in three frames, and a point where there is none but NaN."""
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    stack = frames()
    stack[0, 40:, 50:] = np.nan
    viewer.add_image(stack, name="beads", contrast_limits=(0, 60))
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    click_detect(qtbot, widget)
    viewer.layers["beads · detected points"].add([[0, 47, 56]])
    click_fit(qtbot, widget)
    qtbot.mouseClick(widget.spots.section.table_button, LEFT)
    qtbot.waitUntil(lambda: dock_of(viewer).table.isVisible())
    return viewer, widget


def preview_done(qtbot: Any, widget: ImageFitWidget) -> None:
    """Wait until the preview shows what it was asked for last."""
    qtbot.waitUntil(lambda: not widget.spots.preview.busy, timeout=PATIENCE)


def dock_of(viewer: Any) -> SpotsDock:
    """The dock that holds the table."""
    dock = find_dock(viewer)
    assert dock is not None
    return dock


def choose(qtbot: Any, combo: QComboBox, text: str) -> None:
    """An entry of a box, with the keyboard."""
    combo.setFocus()
    qtbot.keyClick(combo, Qt.Key.Key_Home)
    for _ in range(combo.count()):
        if combo.currentText() == text:
            return
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert combo.currentText() == text


def write(qtbot: Any, edit: Any, text: str) -> None:
    """Type into a field, in place of what is there."""
    qtbot.mouseClick(edit, LEFT)
    edit.selectAll()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)
