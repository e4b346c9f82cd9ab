"""Fixtures of the window's tests."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy  # noqa: F401 - what is imported before is not looked through
import napari.viewer  # noqa: F401
import pytest
from napari._qt import qt_main_window  # noqa: F401

from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.inspector.inspector_dock import Inspection
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.request.fit_request import Outcome

from .inspector_help import fit, lines
from .pointer import is_shown, pixel_of, until


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_sought_among_new_objects() -> Iterator[None]:
    """Napari collects garbage with every layer that is removed: a second, were all modules looked through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    """A viewer that is not shown, and the widget in it."""
    viewer = make_napari_viewer(strict_qt=True)
    return viewer, viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]


@pytest.fixture
def shown(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    """A viewer on the screen, and the widget in it."""
    viewer = make_napari_viewer(strict_qt=True, show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    until(lambda: is_shown(viewer), "the window is there")
    return viewer, widget


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    """A viewer on the screen, as large as an inspector needs it."""
    # not strict: docks that are removed leave menus of napari's own behind
    shown = make_napari_viewer(strict_qt=False, show=True)
    until(lambda: is_shown(shown), "the viewer's window is on the screen")
    shown.window.resize(1000, 900)
    return shown


@pytest.fixture
def inspected(viewer: Any) -> Iterator[tuple[Any, Inspector, Outcome]]:
    """A viewer with lines, their fit, and the inspector that shows it."""
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    until(inspector.isVisible, "the inspector is on the screen")
    pixel_of(viewer, (0, 0, 0))  # when the new dock has its place, the canvas has its size
    viewer.reset_view()
    yield viewer, inspector, outcome
    inspection.close()
