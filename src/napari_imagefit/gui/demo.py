"""The main job by itself: napari on a sample, a region drawn, fitted with a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QCoreApplication, QEventLoop, QTimer

from ..imaging.fitting.writing import write_files
from .widget import ImageFitWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

WINDOW_SIZE = 1600, 960  # pixels of the window
FIRST_FIT_LIMIT_S = 300  # that a first fit on a slow machine may take, compiling included


def run_demo(screenshot: Path | None = None) -> str:
    """Open the clouds, fit them, and leave the window to the user or save a picture of it.

    Returns
    -------
    str
        The result in words, for a terminal; empty where the window was left open.

    Raises
    ------
    FitInputError
        If the picture cannot be written.
    """
    viewer = napari.Viewer(title="napari-imagefit")
    # a picture is not limited by a screen
    viewer.window.resize(*(1400, 900) if screenshot is None else WINDOW_SIZE)
    widget = open_sample(viewer, "clouds")
    if screenshot is None:
        widget.fit_bar.fit.click()
        napari.run()
        return ""
    try:
        fit_and_wait(widget)
        picture(viewer, screenshot)
        return widget.message.text()
    finally:
        viewer.close()


def open_sample(viewer: Viewer, name: str) -> ImageFitWidget:
    """Open one of the plugin's samples beside its widget, which sets itself up for it."""
    widget: ImageFitWidget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    viewer.open_sample("napari-imagefit", name)
    QCoreApplication.processEvents()  # the dock takes its place beside the canvas
    viewer.reset_view()
    return widget


def fit_and_wait(widget: ImageFitWidget) -> None:
    """Click Fit and run the event loop until the results are in the viewer.

    Raises
    ------
    TimeoutError
        If that takes longer than `FIRST_FIT_LIMIT_S`.
    """
    loop = QEventLoop()
    widget.session.finished.connect(lambda _: loop.quit())
    widget.session.failed.connect(lambda _: loop.quit())
    QTimer.singleShot(1000 * FIRST_FIT_LIMIT_S, loop.quit)
    widget.fit_bar.fit.click()
    if widget.session.running:
        loop.exec()
    if widget.session.running:
        raise TimeoutError(f"the fit was not finished after {FIRST_FIT_LIMIT_S} s")


def picture(viewer: Viewer, path: Path) -> None:
    """Save what the window shows.

    Raises
    ------
    FitInputError
        If the file cannot be written.
    """
    loop = QEventLoop()
    # drawing what was just added may take all of the first time, and what has another size then takes its place
    for _ in range(2):
        QTimer.singleShot(300, loop.quit)
        loop.exec()
    write_files([(path, lambda to: viewer.screenshot(str(to), canvas_only=False, flash=False))])
