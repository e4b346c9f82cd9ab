"""Drawing a region: after one shape, or Esc, the tool is pan and zoom again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from ...layers.geometry.numbered_regions import MIN_SIZE_PX

if TYPE_CHECKING:
    from napari.layers import Shapes
    from napari.viewer import Viewer

TOO_SMALL = "A region is at least 2 pixels wide and high; what was drawn was removed. Click Draw, and drag."


class DrawOnce:
    """Watches a Shapes layer from Draw until one shape is there.

    Parameters
    ----------
    viewer : Viewer
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._before = 0  # shapes

    def begin(self, layer: Shapes) -> None:
        """Draw a rectangle in the layer, or whatever is chosen from its controls instead."""
        self.end()
        self._layer, self._before = layer, layer.nshapes
        layer.mode = "add_rectangle"
        layer.events.data.connect(self._on_data)
        self._viewer.layers.events.removed.connect(self._on_removed)
        # napari's own key of the layer ends a shape, and stays in the tool
        layer.bind_key("Escape", self._on_escape, overwrite=True)

    def end(self) -> None:
        """Stop drawing."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        layer.events.data.disconnect(self._on_data)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        layer.bind_key("Escape", None)
        layer.mode = "pan_zoom"

    def _on_escape(self, layer: Shapes) -> None:
        """Deselect the tool, and discard a shape that is not finished."""
        before = self._before
        self.end()
        if layer.nshapes > before:
            _remove_last(layer)
        self.said.emit("", False)

    def _on_data(self, event: Any) -> None:
        if str(getattr(event, "action", "")) == "added":
            # napari finishes the shape only after all callbacks have run
            QTimer.singleShot(0, self._on_drawn)

    def _on_drawn(self) -> None:
        layer = self._layer
        if layer is None:
            return
        self.end()
        shapes = layer.data
        if not shapes:  # a line of two points that was to be a polygon
            return
        if np.count_nonzero(np.ptp(shapes[-1], axis=0) >= MIN_SIZE_PX) < 2:
            _remove_last(layer)
            self.said.emit(TOO_SMALL, True)
        else:
            self.said.emit("", False)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self.end()


def _remove_last(layer: Shapes) -> None:
    layer.selected_data = {layer.nshapes - 1}
    layer.remove_selected()
