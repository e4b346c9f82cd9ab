"""What does not count is drawn with the mouse, beside the region, in every job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest

from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.excluded_areas import left_out

from .pointer import LEFT, drag, is_shown, until
from .spot_help import click_fit

Y, X = np.mgrid[0:40, 0:50]
CLOUDS = 30 * np.exp(-((Y - 18) ** 2 / 50 + (X - 22) ** 2 / 60)) + np.random.default_rng(3).normal(4, 0.3, (3, 40, 50))


@pytest.fixture
def shown(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.window.resize(1280, 720)
    until(lambda: is_shown(viewer), "the window is on the screen")
    viewer.add_image(CLOUDS, name="clouds")
    return viewer, widget


def test_what_is_drawn_does_not_count(qtbot: Any, shown: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = shown
    region = widget.region
    assert region.leave_out.currentText() == "nothing"
    assert region.leave_out.layer() is None

    for n, (start, end) in enumerate([((0, 4, 5), (0, 9, 12)), ((0, 30, 35), (0, 36, 45))], start=1):
        qtbot.mouseClick(region.leave_out_button, LEFT)
        layer = region.leave_out.layer()
        assert layer.mode == "add_rectangle"
        assert viewer.layers.selection.active is layer
        drag(viewer, start, end)
        until(lambda layer=layer: layer.mode == "pan_zoom", "the tool is put back")  # type: ignore[misc]
        assert layer.nshapes == n
    assert layer.name == "Leave out"
    assert layer.ndim == 2, "it counts in every frame"
    assert region.layer is None, "where to fit is another matter"

    click_fit(qtbot, widget)
    outcome = widget.follow_ups.outcome
    left = left_out(layer, widget.data.image)
    assert left is not None
    assert left.sum() > 60
    assert outcome.result.n_used.ravel().tolist() == [2000 - left.sum()] * 3
    assert np.isnan(outcome.result.fitted()[:, 6, 8]).all()
    entry = widget.past.history.entries[0]
    assert "whole image without Leave out" in entry.facts.region

    # a setting like others: undone, done again, and restored with its fit
    log = widget.past.history.settings
    until(lambda: log.now.leave_out is not None, "it is remembered")
    region.leave_out.choose(None)
    until(lambda: log.now.leave_out is None, "that is remembered, too")
    widget.past.undo.undo()
    assert region.leave_out.layer() is layer
    widget.past.undo.redo()
    assert region.leave_out.layer() is None
    widget.past.undo.restore(entry.choices)
    assert region.leave_out.layer() is layer

    # all three jobs offer it
    for job in ("spots", "voxels", "region"):
        widget.data.set_job(job)
        QTest.qWait(20)
        assert region.leave_out.isVisible()
        assert region.leave_out_button.isVisible()
        assert region.layers.isVisible() == (job != "spots")

    # what leaves nothing is refused in one sentence, in the window
    layer.add([[-1, -1], [-1, 60], [60, 60], [60, -1]], shape_type="rectangle")
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert widget.message.text() == (
        "⚠ Region 'clouds' has 0 pixels outside of what 'Leave out' leaves out, fewer than the 5 free parameters of "
        "'gaussian_2d'; enlarge it, leave less out or fix some parameters."
    )
    viewer.layers.remove(layer)
    assert region.leave_out.layer() is None
