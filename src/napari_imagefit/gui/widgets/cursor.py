"""Position of the pointer over the canvas, and its clicks: never more than the latest, so that nothing queues up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from ...layers.inspection.pick import Sight

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtCore import QObject

SOONEST = 0.015  # s from a move to what it shows
POINTER_SHARE = 0.4  # of the window's time that following the pointer may take
POINTING = ("pan_zoom", "transform", "select")  # modes of a layer in which a click changes nothing of its data
CLICK_RADIUS_PX = 4  # within which a press and its release are a click


class CursorFollower:
    """Signals of moves and clicks over the canvas, whatever layer is active.

    Parameters
    ----------
    viewer : Viewer
    parent : QObject
        Owner of the timer.
    """

    moved = Signal(object)  # Sight
    clicked = Signal(object)  # Sight

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        self._viewer = viewer
        self._latest: Sight | None = None
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tell)
        self._took = 0.0
        self.enabled: Callable[[], bool] = lambda: True
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.dims.events.order.connect(self._on_turned)
        viewer.dims.events.ndisplay.connect(self._on_turned)

    def forget(self) -> None:
        """Forget where the pointer was until it moves again."""
        self._timer.stop()
        self._latest = None

    def stop(self) -> None:
        """Disconnect from the viewer."""
        self.forget()
        for callbacks, own in (
            (self._viewer.mouse_move_callbacks, self._on_move),
            (self._viewer.mouse_drag_callbacks, self._on_press),
        ):
            if own in callbacks:
                callbacks.remove(own)
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._viewer.dims.events.order.disconnect(self._on_turned)
        self._viewer.dims.events.ndisplay.disconnect(self._on_turned)

    def _on_move(self, _viewer: object, event: Any) -> None:
        if self.enabled():
            self._latest = Sight.of(event, self._viewer.dims.units)
            self._soon()

    def _on_press(self, _viewer: object, event: Any) -> Iterator[None]:
        # one that is handled takes hold of something
        if event.handled or event.button != 1 or event.modifiers or not self._may_click():
            return
        first, sight, still = event.pos, Sight.of(event, self._viewer.dims.units), True
        yield
        while event.type == "mouse_move":
            still &= abs(event.pos[0] - first[0]) <= CLICK_RADIUS_PX and abs(event.pos[1] - first[1]) <= CLICK_RADIUS_PX
            yield
        if still:
            self.clicked.emit(sight)

    def _may_click(self) -> bool:
        """Return whether a click is free: not while it draws, paints or edits in a layer."""
        active = self._viewer.layers.selection.active
        return self.enabled() and (active is None or str(getattr(active, "mode", "pan_zoom")) in POINTING)

    def _on_step(self, _event: object = None) -> None:
        """Follow a slider: the pointer is over another slice."""
        if self._latest is None or not self.enabled():
            return
        point = self._viewer.dims.point
        if len(point) != len(self._latest.position):
            self._latest = None
            return
        position = [
            p if axis in self._latest.displayed else point[axis] for axis, p in enumerate(self._latest.position)
        ]
        self._latest = replace(self._latest, position=tuple(float(p) for p in position))
        self._soon()

    def _on_turned(self, _event: object = None) -> None:
        """Other axes are displayed: where the pointer is becomes known when it moves."""
        self._latest = None

    def _soon(self) -> None:
        if not self._timer.isActive():
            wait = max(SOONEST, self._took * (1 - POINTER_SHARE) / POINTER_SHARE)
            self._timer.start(int(1000 * wait))

    def _tell(self) -> None:
        if self._latest is not None and self.enabled():
            begun = time.perf_counter()
            self.moved.emit(self._latest)
            self._took = time.perf_counter() - begun
