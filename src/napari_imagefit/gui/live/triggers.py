"""Triggers of live fits: the layers that a fit reads, the slice on screen, the pointer, and every setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ..state.settings_undo import settings_signals

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from ..widget import ImageFitWidget

# Events of a layer after which it holds something else; a drag of a shape tells of itself by the second alone.
TRIGGER_EVENTS = ("data", "set_data", "paint", "labels_update", "scale", "translate", "rotate", "shear", "affine")


class Triggers:
    """Signal of changes, while it listens.

    Parameters
    ----------
    widget : ImageFitWidget
    viewer : Viewer
    """

    touched = Signal(bool)  # something has changed; whether it is what a layer holds, which no setting tells of

    def __init__(self, widget: ImageFitWidget, viewer: Viewer) -> None:
        self._widget, self._viewer = widget, viewer
        self._layers: list[tuple[Layer, Callable[[Any], None]]] = []
        self._step: tuple[int, ...] = ()
        self.ignoring = False  # while data of layers are changed at once
        self.puts = False  # while layers are put into the viewer by and by, which has others sliced again

    def listen(self) -> None:
        """Hear of every change from now on."""
        for signal in (*settings_signals(self._widget), self._widget.past.undo.applied):
            signal.connect(self._on_setting, check_nargs=False)
        self._viewer.dims.events.current_step.connect(self._on_step)
        self._step = tuple(self._viewer.dims.current_step)
        self._watch()

    def stop(self) -> None:
        """Hear nothing any more."""
        for signal in (*settings_signals(self._widget), self._widget.past.undo.applied):
            signal.disconnect(self._on_setting, missing_ok=True)
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._let_go()

    def _on_setting(self, *_: object) -> None:
        self._watch()
        self.touched.emit(False)

    def _on_step(self, _event: object = None) -> None:
        self._step = tuple(self._viewer.dims.current_step)
        self.touched.emit(False)

    def _watch(self) -> None:
        """Listen to the layers that are chosen now, and to no others."""
        widget = self._widget
        image, job = widget.data.image, widget.data.job
        drawn = widget.spots.section.layers.layer() if job == "spots" else widget.region.layer
        wanted = [layer for layer in (image, drawn, widget.region.leave_out.layer()) if layer is not None]
        if [layer for layer, _ in self._layers] == wanted:
            return
        self._let_go()
        for layer in wanted:
            heard = self._on_image if layer is image else self._on_drawn
            self._layers.append((layer, heard))
            for name in TRIGGER_EVENTS:
                emitter = getattr(layer.events, name, None)
                if emitter is not None:
                    emitter.connect(heard)

    def _let_go(self) -> None:
        for layer, heard in self._layers:
            for name in TRIGGER_EVENTS:
                emitter = getattr(layer.events, name, None)
                if emitter is not None:
                    emitter.disconnect(heard)
        self._layers = []

    def _on_image(self, event: Any) -> None:
        # a slice that comes on screen is no new data: the slider tells of it
        if not self._is_ours(event):
            self.touched.emit(event.type == "data" or tuple(self._viewer.dims.current_step) == self._step)

    def _on_drawn(self, event: Any) -> None:
        # of shapes and points the key of a fit knows where they are
        is_painted = event.source._type_string == "labels"
        if not self.ignoring and not (is_painted and self._is_ours(event)):
            self.touched.emit(is_painted)

    def _is_ours(self, event: Any) -> bool:
        """Whether only our own code can have done it."""
        return self.ignoring or (self.puts and event.type == "set_data")
