"""Taking hold of grips over the canvas: with the left button, whatever layer is active and whatever it would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.cursor import CursorStyle
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..widgets.cursor import CLICK_RADIUS_PX

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

GRAB_PIXELS = 10  # pixels on screen within which a grip is under the pointer


class Grabbing:
    """Drag of one of some points in the scene; the camera stays, and nothing is drawn.

    Points are ``(x, y)`` in the scene.

    Parameters
    ----------
    viewer : Viewer
    """

    begun = Signal(int)  # which point
    moved = Signal(object)  # where the pointer is, and where it was when it took hold
    ended = Signal()
    clicked = Signal(object)  # where: on nothing that can be grabbed

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._places: NDArray[np.float64] = np.empty((0, 2))
        self._free: Sequence[bool] = ()
        self._pointing = False
        self.dragging = False
        viewer.mouse_move_callbacks.append(self._on_move)
        # before those who take a click for a pin
        viewer.mouse_drag_callbacks.insert(0, self._on_press)

    def offer(self, places: NDArray[np.float64], free: Sequence[bool]) -> None:
        """Offer these to be grabbed, those that are free."""
        self._places, self._free = places, free
        if not len(places):
            self._point(False)

    def stop(self) -> None:
        """Disconnect from the viewer."""
        self.offer(np.empty((0, 2)), ())
        for callbacks, own in (
            (self._viewer.mouse_move_callbacks, self._on_move),
            (self._viewer.mouse_drag_callbacks, self._on_press),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def _under(self, event: Any) -> int | None:
        """Return the free point that is nearest to the pointer, if it is near."""
        if not len(self._places):
            return None
        away = np.hypot(*(self._places - _place(event)).T) * event.camera_zoom
        away = np.where(self._free, away, np.inf)
        nearest = int(away.argmin())
        return nearest if away[nearest] <= GRAB_PIXELS else None

    def _on_move(self, _viewer: object, event: Any) -> None:
        self._point(self._under(event) is not None)

    def _point(self, wanted: bool) -> None:
        """Show by the pointer that something can be grabbed."""
        if wanted == self._pointing:
            return
        self._pointing = wanted
        active = self._viewer.layers.selection.active
        usual = CursorStyle.STANDARD if active is None else active.cursor
        self._viewer.cursor.style = CursorStyle.POINTING if wanted else usual

    def _on_press(self, _viewer: object, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers:
            return
        which, first, start = self._under(event), event.pos, _place(event)
        if which is None:
            yield from self._until_click(event, first, start)
            return
        event.handled = True  # the camera stays
        with self._held(which):
            yield
            while event.type == "mouse_move":
                event.handled = True
                if (now := _place(event)).tolist() != start.tolist():
                    self.moved.emit((now, start))
                yield
            event.handled = True

    def _until_click(self, event: Any, first: Any, start: NDArray[np.float64]) -> Iterator[None]:
        still = True
        yield
        while event.type == "mouse_move":
            still &= abs(event.pos[0] - first[0]) <= CLICK_RADIUS_PX and abs(event.pos[1] - first[1]) <= CLICK_RADIUS_PX
            yield
        if still:
            self.clicked.emit(start)

    @contextmanager
    def _held(self, which: int) -> Iterator[None]:
        self.dragging = True
        _silence(self._viewer.layers.selection.active)
        self.begun.emit(which)
        try:
            yield
        finally:
            self.dragging = False
            self.ended.emit()


def _place(event: Any) -> NDArray[np.float64]:
    return np.array([event.position[axis] for axis in event.dims_displayed], float)[::-1]


def _silence(layer: Layer | None) -> None:
    """Keep this press from a layer, whose turn comes next: it would draw, paint or select."""
    if layer is None or not layer.mouse_drag_callbacks:
        return
    callbacks = list(layer.mouse_drag_callbacks)
    layer.mouse_drag_callbacks.clear()
    QTimer.singleShot(0, lambda: layer.mouse_drag_callbacks.extend(callbacks))
