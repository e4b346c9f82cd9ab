"""A viewer with three clouds and the widget, for tests of the history and of undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_imagefit.gui.widget import ImageFitWidget


def clouds() -> np.ndarray:
    y, x = np.mgrid[0:30, 0:40]
    noise = np.random.default_rng(5).normal(0, 0.03, (3, 30, 40))
    return np.exp(-((y - 14) ** 2 / 32 + (x - 19) ** 2 / 50)) + noise


def open_dock(viewer: Any) -> ImageFitWidget:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    QApplication.processEvents()
    assert isinstance(widget, ImageFitWidget)
    return widget


def open_clouds(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    viewer.add_image(clouds(), name="clouds")
    return viewer, open_dock(viewer)
