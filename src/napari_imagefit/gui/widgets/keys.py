"""A key of the viewer that several widgets listen to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer

LISTENERS = "imagefit_listeners"


class Key:
    """Listens to a key over the canvas, unless someone else has bound it.

    Parameters
    ----------
    viewer : Viewer
    name : str
        As napari names it.
    pressed : callable
        Called when it is pressed, as are those of all others that listen.
    """

    def __init__(self, viewer: Viewer, name: str, pressed: Callable[[], None]) -> None:
        self._viewer, self._name, self._pressed = viewer, name, pressed
        if self._bound() is None:
            viewer.bind_key(name, _call_all([]))
        self._listeners = self._bound_listeners()
        if self._listeners is not None:
            self._listeners.append(pressed)

    def release(self) -> None:
        """Listen no more; the last one unbinds the key."""
        if self._listeners is None:
            return
        self._listeners.remove(self._pressed)
        if not self._listeners and self._bound_listeners() is self._listeners:
            self._viewer.bind_key(self._name, None)
        self._listeners = None

    def _bound(self) -> Any:
        # the keys of the map are no text, and equal none
        return next((call for key, call in self._viewer.keymap.items() if str(key) == self._name), None)

    def _bound_listeners(self) -> list[Callable[[], None]] | None:
        """Return the listeners that the viewer calls; None if the key is someone else's."""
        return getattr(self._bound(), LISTENERS, None)


def _call_all(listeners: list[Callable[[], None]]) -> Callable[[object], None]:
    """Return a function, which is all that napari calls for a key."""

    def call_all(_viewer: object) -> None:
        for pressed in tuple(listeners):
            pressed()

    setattr(call_all, LISTENERS, listeners)
    return call_all
