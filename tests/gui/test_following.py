"""A statement on fits leads to them: by frame and place, and the view moves only where they are out of sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from napari_imagefit import Status

from .spot_help import LEFT, click_fit

Y, X = np.mgrid[0:40, 0:50]
FAILED = [0, 1, 3, 4, 6]


def stack() -> np.ndarray:
    clouds = [5 * np.exp(-((Y - 20) ** 2 + (X - 25) ** 2) / 50) + 1 for _ in range(7)]
    data = np.stack(clouds) + np.random.default_rng(0).normal(0, 0.01, (7, 40, 50))
    data[FAILED] = np.nan
    return data


def click_on(qtbot: Any, table: Any, words: str) -> None:
    (row,) = [row for row in range(table.rowCount()) if table.item(row, 0).text() == words]
    table.scrollToItem(table.item(row, 0))
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(table.item(row, 0)).center())


def test_fits_are_visited_in_order(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(stack(), name="shots")
    widget.model.set_model("gaussian_2d")
    click_fit(qtbot, widget)
    results, looked_at = widget.results, []
    widget.follow_ups.looked_at.connect(looked_at.append)
    assert results.reasons.isVisible(), "opened by the fit"
    widget.column.reveal(results.reasons)
    viewer.reset_view()
    centre, frames = viewer.scene.camera.center, []
    for _ in range(len(FAILED) + 1):
        click_on(qtbot, results.reasons, Status.TOO_FEW_SAMPLES.message)
        frames.append(viewer.dims.current_step[0])
    assert frames == [*FAILED, 0]
    assert looked_at == [(frame, 0) for frame in frames]
    assert viewer.scene.camera.center == centre
    # with the keyboard, too
    results.reasons.setFocus()
    qtbot.keyClick(results.reasons, Qt.Key.Key_Return)
    assert viewer.dims.current_step[0] == 1
    viewer.scene.camera.center = (0, 500, 500)
    click_on(qtbot, results.reasons, "converged")
    assert viewer.dims.current_step[0] == 2
    assert viewer.scene.camera.center[-1] < 60
    widget.follow_ups.visit("failed")
    assert viewer.dims.current_step[0] == 0
