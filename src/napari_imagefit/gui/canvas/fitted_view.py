"""The view of a viewer stays fitted to its data while docks and sliders take room from the canvas, or give it back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from qtpy.QtCore import QObject

from ..background.timers import single_shot

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

# By how much the view of a first image may be too large for the canvas as it is now: napari fits it to a canvas that
# has no sliders yet, and whose neighbours have not grown to show the controls of a layer.
GROWN = 1.2

PLACED = 1000  # ms in which the canvas takes the room of a dock that was closed

State = tuple[tuple[float, ...], float]  # centre and zoom of the camera


class Fitted(NamedTuple):
    """A view that was fitted to layers, and to a canvas of that size."""

    state: State
    size: tuple[int, ...]
    layers: WeakSet[Layer]


class FittedView(QObject):
    """Fits the view again to what it was fitted to, where the canvas has another size and nobody has moved the camera.

    Whoever zooms or pans finds the view as they left it, until it is fitted the next time (*Home*).

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        # docks are closed after the widgets in them: it goes with the window
        super().__init__(viewer.window._qt_window)
        self._viewer = viewer
        self._users = 0
        self._fitted: Fitted | None = None
        self._told: Fitted | None = None
        # a picture of another size resizes the canvas, and moves the camera, for a moment only
        self._later = single_shot(self, 0, self._follow)
        self._ending = single_shot(self, PLACED, self._end)

    def begin(self) -> None:
        """Follow the canvas for one more dock."""
        self._users += 1
        if self._users > 1:
            return
        self._viewer.events.reset_view.connect(self._on_fitted)
        if self._ending.isActive():
            self._ending.stop()
            return
        self._viewer.canvas.events.size.connect(self._on_size)
        if len(self._viewer.layers):
            self._begin()

    def end(self) -> None:
        """Follow it for one dock less; the last one leaves its room to the canvas."""
        self._users -= 1
        if self._users == 0:
            self._viewer.events.reset_view.disconnect(self._on_fitted)
            self._ending.start()

    def _end(self) -> None:
        self._viewer.canvas.events.size.disconnect(self._on_size)
        self._fitted = self._told = None

    def _begin(self) -> None:
        """Fit the view of what is there already, unless somebody has moved it."""
        centre, zoom = self._state()
        self._viewer.fit_to_view()
        now, fitting = self._state()
        # a window that was made larger leaves a view that is too small; hands that zoom hardly keep the very centre
        if now != centre or zoom > GROWN * fitting:
            camera = self._viewer.scene.camera
            camera.center, camera.zoom = centre, zoom

    def _on_fitted(self, _event: Any = None) -> None:
        self._told = Fitted(self._state(), self._size(), WeakSet(self._viewer.layers))
        self._later.start()

    def _on_size(self, _event: object = None) -> None:
        self._later.start()

    def _follow(self) -> None:
        now, size = self._state(), self._size()
        if self._told is not None and self._told.state == now:
            self._fitted = self._told
        self._told = None
        if self._fitted is None or self._fitted.state != now or self._fitted.size == size or min(size) < 1:
            return
        # what has come since then may lie anywhere
        layers = [layer for layer in self._viewer.layers if layer in self._fitted.layers]
        # napari takes the axes that the viewer shows for axes of theirs
        if any(layer.ndim == self._viewer.dims.ndim for layer in layers):
            self._viewer.fit_to_view(layers=layers)
            self._fitted = Fitted(self._state(), size, WeakSet(layers))
            self._told = None

    def _state(self) -> State:
        camera = self._viewer.scene.camera
        return tuple(float(one) for one in camera.center), float(camera.zoom)

    def _size(self) -> tuple[int, ...]:
        return tuple(int(one) for one in self._viewer.canvas.size)


def keep_fitted(viewer: Viewer) -> None:
    """Keep the view fitted from now on, for a dock that opens; `let_go` ends that when it closes."""
    if _window(viewer) is not None:
        (_find(viewer) or FittedView(viewer)).begin()


def let_go(viewer: Viewer) -> None:
    """End what `keep_fitted` began; where the window is gone, that is over."""
    with contextlib.suppress(RuntimeError):
        found = _find(viewer)
        if found is not None:
            found.end()


def _find(viewer: Viewer) -> FittedView | None:
    window = _window(viewer)
    found: FittedView | None = None if window is None else window.findChild(FittedView)
    return found


def _window(viewer: Viewer) -> Any:
    """Return napari's window, None where there is none, or none any more."""
    return getattr(getattr(viewer, "window", None), "_qt_window", None)
