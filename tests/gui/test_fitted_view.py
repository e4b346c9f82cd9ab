"""The view stays fitted to the data when docks open and close, unless somebody has moved it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_imagefit.gui.widget import ImageFitWidget

from .pointer import is_shown, pixel_of, until

HIGH, WIDE = 300, 800
MARGIN = 0.95  # napari's
STACK = np.random.default_rng(0).normal(size=(3, HIGH, WIDE)).astype(np.float32)


def fitting(viewer: Any) -> float:
    """The zoom of a view that is fitted to the image."""
    return MARGIN * float(min(np.array(viewer.canvas.size) / (HIGH, WIDE)))


def is_fitted(viewer: Any) -> bool:
    camera = viewer.scene.camera
    middle = np.allclose(camera.center[-2:], ((HIGH - 1) / 2, (WIDE - 1) / 2))
    return bool(middle and np.isclose(camera.zoom, fitting(viewer), rtol=1e-6))


def settle(viewer: Any) -> None:
    """Wait until docks and canvas have their place."""
    pixel_of(viewer, (0, 0, 0))


def whole(viewer: Any, what: str) -> None:
    settle(viewer)
    until(lambda: is_fitted(viewer), f"the view is fitted {what}")


@pytest.fixture
def empty(make_napari_viewer: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer(strict_qt=True, show=True)
    viewer.window.resize(1200, 700)
    until(lambda: is_shown(viewer), "the window is there")
    return viewer


def open_dock(viewer: Any) -> ImageFitWidget:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    assert isinstance(widget, ImageFitWidget)
    return widget


def room_after(viewer: Any, act: Callable[[], object], *, larger: bool = False) -> None:
    """Act, and wait until the canvas has another size for it."""
    settle(viewer)
    before, sign = np.prod(viewer.canvas.size), 1 if larger else -1
    act()
    until(
        lambda: sign * (np.prod(viewer.canvas.size) - before) > 0, f"the canvas is {'larger' if larger else 'smaller'}"
    )
    settle(viewer)


def test_the_dock_before_the_image(empty: Any) -> None:
    open_dock(empty)
    settle(empty)
    empty.add_image(STACK)  # napari makes room for its slider and controls after it has fitted the view
    whole(empty, "beside the dock")


def test_docks_that_open_and_close(empty: Any) -> None:
    empty.add_image(STACK)
    settle(empty)
    width = empty.canvas.size[1]
    widget = open_dock(empty)
    until(lambda: empty.canvas.size[1] < width, "the dock has taken its room")
    whole(empty, "beside the dock")
    inspector = widget.inspection.open()
    until(lambda: empty.canvas.size[0] < HIGH + 150, "the inspector has taken its room")
    whole(empty, "above the inspector")
    room_after(empty, lambda: empty.window.remove_dock_widget(inspector), larger=True)
    whole(empty, "without the inspector")
    room_after(empty, lambda: empty.window.remove_dock_widget(widget), larger=True)
    whole(empty, "without any dock")


@pytest.mark.parametrize("move", ["zoom", "pan", "both"])
def test_a_view_that_somebody_has_moved_stays(empty: Any, move: str) -> None:
    empty.add_image(STACK)
    settle(empty)
    camera = empty.scene.camera
    widget = open_dock(empty)
    whole(empty, "beside the dock")
    if move != "pan":
        camera.zoom *= 2.5
    if move != "zoom":
        camera.center = (0, 100.0, 300.0)
    zoom, centre = camera.zoom, camera.center
    room_after(empty, widget.inspection.open)
    assert (camera.zoom, camera.center) == (zoom, centre)
    room_after(empty, lambda: empty.window.remove_dock_widget(widget), larger=True)
    assert (camera.zoom, camera.center) == (zoom, centre)
    # until it is fitted again
    empty.reset_view()
    room_after(empty, lambda: open_dock(empty))
    whole(empty, "beside the dock, after Home")


def test_a_view_that_was_moved_before_the_dock_stays(empty: Any) -> None:
    empty.add_image(STACK)
    settle(empty)
    camera = empty.scene.camera
    camera.zoom *= 2
    zoom = camera.zoom
    room_after(empty, lambda: open_dock(empty))
    assert camera.zoom == zoom


def test_a_window_that_was_made_larger_before_the_dock(empty: Any) -> None:
    empty.window.resize(800, 500)
    settle(empty)
    empty.add_image(STACK)
    settle(empty)
    before = empty.canvas.size[1]
    empty.window.resize(1200, 700)
    until(lambda: empty.canvas.size[1] > before, "the canvas is larger")
    assert empty.scene.camera.zoom < fitting(empty), "napari leaves the view as it was"
    room_after(empty, lambda: open_dock(empty))
    whole(empty, "beside the dock")


def test_pictures_of_another_size_move_nothing(empty: Any) -> None:
    empty.add_image(STACK)
    widget = open_dock(empty)
    whole(empty, "beside the dock")
    camera = empty.scene.camera
    zoom = camera.zoom
    picture = empty.screenshot(size=(200, 300), canvas_only=True, flash=False)
    assert picture.shape[:2] == (200, 300)
    assert empty.export_figure(flash=False).shape[:2] == (HIGH, WIDE)
    settle(empty)
    assert camera.zoom == zoom
    room_after(empty, widget.inspection.open)
    whole(empty, "above the inspector, after pictures")


def test_it_is_fitted_to_what_it_was_fitted_to(empty: Any) -> None:
    empty.add_image(STACK)
    widget = open_dock(empty)
    whole(empty, "beside the dock")
    empty.add_points([[0, 5000, 5000]])  # napari does not fit the view to a second layer
    room_after(empty, widget.inspection.open)
    whole(empty, "to the image above the inspector")


def test_layers_of_fewer_axes_than_the_viewer_leave_it_as_it_is(empty: Any) -> None:
    """Napari cannot fit the view to them alone: it takes the viewer's axes for theirs."""
    empty.add_image(STACK[0])
    stack = empty.add_image(STACK)
    open_dock(empty)
    whole(empty, "beside the dock")
    zoom = empty.scene.camera.zoom
    empty.add_image(STACK)
    empty.layers.remove(stack)
    room_after(empty, lambda: empty.window.resize(1100, 700))
    settle(empty)
    assert empty.scene.camera.zoom == zoom
    empty.reset_view()
    whole(empty, "again")
