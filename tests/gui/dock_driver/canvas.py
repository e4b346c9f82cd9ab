"""Hands on the canvas, and dialogs that are answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QLineEdit,
)

from .acting import hands, press_key
from .screen import LEFT, settle
from .words import click_button


def pixel_of(viewer: Any, point: Any) -> QPoint:
    """Where a point of the first layer's last two axes is drawn."""
    canvas = viewer.window._qt_viewer.canvas
    layer = viewer.layers[0]
    world = np.asarray(layer.data_to_world((*[0] * (layer.ndim - 2), *point)))[-2:]
    mapped = np.asarray((canvas.view.transform * canvas.view.scene.transform).map(world[::-1]), float)

    return QPoint(round(mapped[0]), round(mapped[1]))


def drag(viewer: Any, start: QPoint, end: QPoint) -> None:
    """Press at one place of the canvas, move, and release at another."""
    native = viewer.window._qt_viewer.canvas.native
    hands.clicks += 1
    QTest.mouseMove(native, start)
    QTest.qWait(20)  # vispy drops a move that comes within 10 ms of another
    QTest.mousePress(native, LEFT, pos=start)
    for part in (0.3, 0.7, 1.0):
        QTest.qWait(20)
        QTest.mouseMove(native, start + (end - start) * part)
    QTest.qWait(30)
    QTest.mouseRelease(native, LEFT, pos=end)
    settle()


def draw_rectangle(viewer: Any, widget: Any, corner: Any, opposite: Any) -> str:
    """Click Draw, and draw between two points of the image."""
    click_button(widget, "Draw")
    settle()
    QTest.qWait(300)  # docks find their place
    drag(viewer, pixel_of(viewer, corner), pixel_of(viewer, opposite))
    shapes = [layer for layer in viewer.layers if layer._type_string == "shapes" and layer.nshapes]
    if not shapes:
        raise AssertionError("nothing was drawn")
    low, high = shapes[-1].data[-1].min(axis=0)[-2:], shapes[-1].data[-1].max(axis=0)[-2:]
    return f"from {np.round(low, 1).tolist()} to {np.round(high, 1).tolist()}"


def check_tool(viewer: Any) -> str:
    mode = str(getattr(viewer.layers.selection.active, "mode", "none"))
    if mode not in ("pan_zoom", "none"):
        raise AssertionError(f"the tool is {mode!r}")
    return mode


def click_canvas(viewer: Any, part: tuple[float, float]) -> None:
    """Click at a part of the height and width of the first image."""
    layer = viewer.layers[0]
    shown = [layer.data.shape[axis] for axis in viewer.dims.displayed[-2:]]
    hands.clicks += 1
    QTest.mouseClick(
        viewer.window._qt_viewer.canvas.native,
        LEFT,
        pos=pixel_of(viewer, [n * p for n, p in zip(shown, part, strict=True)]),
    )
    settle()


def step_to(viewer: Any, step: int) -> None:
    """Move the first slider with the arrow keys."""
    slider = viewer.window._qt_viewer.dims.slider_widgets[0].slider
    ahead, back = Qt.Key.Key_Right, Qt.Key.Key_Left
    while (before := viewer.dims.current_step[0]) != step:
        press_key(slider, ahead if before < step else back)
        settle()
        if abs(viewer.dims.current_step[0] - step) > abs(before - step):
            ahead, back = back, ahead  # the slider has them the other way round
        elif viewer.dims.current_step[0] == before:
            raise LookupError(f"the slider stays at {before}")


def answer_saves(name: Callable[[], Path | None]) -> None:
    """Answer the dialogs that ask where to save, by a name or by none; for scripts that end afterwards."""

    from napari_imagefit.gui.widgets.save_dialog import SaveDialog

    def answered(dialog: Any) -> int:
        path = name()
        if path is None:
            return 0
        dialog.findChild(QLineEdit).setText(str(path))
        dialog.accept()
        return int(dialog.result())

    SaveDialog.exec = answered  # type: ignore[method-assign]
    SaveDialog.replaces = lambda *_: True  # type: ignore[method-assign]


def is_whole_in_view(viewer: Any, layer: Any) -> bool:
    """Whether the corners of a layer's plane are within the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    rows, columns = layer.data.shape[-2:]
    corners = (pixel_of(viewer, point) for point in ((0, 0), (rows - 1, columns - 1)))
    return all(native.rect().contains(corner) for corner in corners)


def place_at(viewer: Any, part: tuple[float, float]) -> QPoint:
    """A part of the height and width of the first image, on the canvas."""
    layer = viewer.layers[0]
    shown = [layer.data.shape[axis] for axis in viewer.dims.displayed[-2:]]
    return pixel_of(viewer, [n * p for n, p in zip(shown, part, strict=True)])


def move_over(viewer: Any, part: tuple[float, float]) -> None:
    """Move the pointer, without a button, to a part of the first image."""
    native, place = viewer.window._qt_viewer.canvas.native, place_at(viewer, part)
    for shift in (6, 3, 0):
        QTest.mouseMove(native, place + QPoint(shift, 0))
        QTest.qWait(30)
    settle()


def drag_over(viewer: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one part of the first image to another."""
    drag(viewer, place_at(viewer, start), place_at(viewer, end))


def click_point(viewer: Any, point: Any) -> None:
    """Click at a point of the first layer's last two axes."""
    hands.clicks += 1
    QTest.mouseClick(viewer.window._qt_viewer.canvas.native, LEFT, pos=pixel_of(viewer, point))
    settle()
