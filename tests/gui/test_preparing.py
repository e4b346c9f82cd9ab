"""Programs are compiled while the user still chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_imagefit.engine.core import programs
from napari_imagefit.gui.widget import ImageFitWidget

# Compiling on a busy machine with two cores has taken 15 s.
PATIENCE = 120_000
Y, X = np.mgrid[:90, :80]
IMAGE = 5 * np.exp(-((Y - 40) ** 2 + (X - 45) ** 2) / (2 * 9.0**2)) + np.random.default_rng(0).normal(0, 0.1, Y.shape)


@pytest.fixture
def widget(make_napari_viewer: Callable[[], Any]) -> ImageFitWidget:
    viewer = make_napari_viewer()
    viewer.add_image(IMAGE, name="cloud")
    widget = ImageFitWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


def test_a_model_that_is_picked_is_compiled(
    widget: ImageFitWidget, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    make = programs.Runner._make

    def counting(self: Any, stage: Any, *args: Any) -> Any:
        compiled.append(stage)
        return make(self, stage, *args)

    monkeypatch.setattr(programs.Runner, "_make", counting)
    widget.model.set_model("plane_2d")
    qtbot.waitUntil(lambda: widget.session._preparing is not None, timeout=PATIENCE)
    thread = widget.session._preparing
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=PATIENCE)
    assert len(compiled) >= 3
    before = len(compiled)

    done: list[Any] = []
    widget.session.finished.connect(done.append)
    widget.fit()
    qtbot.waitUntil(lambda: bool(done), timeout=PATIENCE)
    assert len(compiled) == before
    assert any("fitted" in layer.name.lower() for layer in widget._viewer.layers)
