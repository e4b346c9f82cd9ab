"""A real pointer over a viewer's canvas. Conditions are waited for, never times: a busy machine only takes longer.

The pointer is moved through the screen's server, which tells of the move some time later, and vispy drops a move that
comes within 10 ms of another. Where it points at depends on the canvas' size, which changes as docks find their place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_imagefit.gui.inspector.inspector import Inspector

PATIENCE = 120  # s
STEADY = 4  # rounds of events
LEFT = Qt.MouseButton.LeftButton


def until(condition: Callable[[], bool], what: str) -> None:
    """Handle events until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        QTest.qWait(5)


def canvas_of(viewer: Any) -> Any:
    return viewer.window._qt_viewer.canvas


def is_shown(viewer: Any) -> bool:
    handle = viewer.window._qt_window.windowHandle()
    return handle is not None and bool(handle.isExposed())


def pixel_of(viewer: Any, world: Any) -> QPoint:
    """Where a point of the world is drawn on the canvas, as soon as that does not change any more."""
    canvas, seen = canvas_of(viewer), []

    def steady() -> bool:
        displayed = [world[axis] for axis in viewer.dims.displayed]
        mapped = (canvas.view.transform * canvas.view.scene.transform).map(displayed[::-1])
        seen.append((*np.asarray(mapped, float)[:2], canvas.native.width(), canvas.native.height()))
        return len(seen) >= STEADY and len(set(seen[-STEADY:])) == 1

    until(steady, f"{world} has its place on the canvas")
    return QPoint(round(seen[-1][0]), round(seen[-1][1]))


class Arrivals:
    """The moves that got through to the viewer."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.pixels: list[QPoint] = []
        self.positions: list[tuple[float, ...]] = []

    def __enter__(self) -> Self:
        # the first to be called, so that the latest is known to those who follow
        self._viewer.mouse_move_callbacks.insert(0, self._on_move)
        self._viewer.mouse_drag_callbacks.insert(0, self._on_press)
        return self

    def __exit__(self, *_: object) -> None:
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        self.pixels.append(QPoint(int(event.pos[0]), int(event.pos[1])))
        self.positions.append(tuple(float(p) for p in event.position))

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Moves with a button down are told of to those who were told of the press."""
        yield
        while event.type == "mouse_move":
            self._on_move(viewer, event)
            yield

    def wait_for(self, pixel: QPoint) -> None:
        """Move the pointer there, as often as it takes until that got through."""
        before = len(self.pixels)

        def arrived() -> bool:
            return len(self.pixels) > before and self.pixels[-1] == pixel

        def moved() -> bool:
            move_once(self._viewer, pixel + QPoint(2, 0))  # Qt tells of no move to where the pointer is
            move_once(self._viewer, pixel)
            for _ in range(20):
                if arrived():
                    return True
                QTest.qWait(5)
            return False

        until(moved, f"a move to {pixel} got through")


def move_once(viewer: Any, pixel: QPoint) -> None:
    """Move the pointer; whether that gets through is another question."""
    QTest.mouseMove(canvas_of(viewer).native, pixel)
    QTest.qWait(12)  # vispy drops what comes sooner


def move(viewer: Any, inspector: Inspector, world: Any) -> None:
    """Move the pointer to a point of the world; on return the inspector shows what is there."""
    follower = inspector.looking.follower
    told: list[Any] = []

    def remember(sight: Any) -> None:
        told.append(sight.position)

    # connected after the inspector: when it is told of, it is shown
    follower.moved.connect(remember)
    with Arrivals(viewer) as arrivals:
        arrivals.wait_for(pixel_of(viewer, world))
        until(lambda: bool(told) and told[-1] == arrivals.positions[-1], f"the move to {world} is followed")
    follower.moved.disconnect(remember)


def click(viewer: Any, world: Any) -> None:
    """Click on a point of the world; press and release are delivered before this returns."""
    QTest.mouseClick(canvas_of(viewer).native, LEFT, pos=pixel_of(viewer, world))


def drag(viewer: Any, start: Any, end: Any) -> None:
    """Press at one point of the world, and release at another after the pointer got there."""
    native, first, last = canvas_of(viewer).native, pixel_of(viewer, start), pixel_of(viewer, end)
    with Arrivals(viewer) as arrivals:
        QTest.mousePress(native, LEFT, pos=first)
        arrivals.wait_for(last)
        QTest.mouseRelease(native, LEFT, pos=last)
