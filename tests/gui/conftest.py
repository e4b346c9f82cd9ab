"""Fixtures of the window's tests."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy  # noqa: F401 - what is imported before is not looked through
import napari.viewer  # noqa: F401
import pytest
from napari._qt import qt_main_window  # noqa: F401

from napari_imagefit.gui.widget import ImageFitWidget

from .pointer import is_shown, until


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
