"""A combo box of layers that follows the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from .forms import Combo

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget


class LayerCombo(Combo):
    """Offers the layers that it accepts, and keeps its choice while layers come, go, move and change their names.

    magicgui's combo box goes by the text of an entry, so that renaming a layer would choose another.

    Parameters
    ----------
    layers : LayerList
    accepts : callable
        Whether a layer is offered.
    none : str, optional
        An entry that stands for no layer, first in the list.
    takes_new : bool
        Whether a layer that comes while none is chosen is chosen.
    """

    chosen = Signal(object)  # Layer | None, whenever another is chosen

    def __init__(
        self,
        layers: LayerList,
        accepts: Callable[[Layer], bool],
        none: str | None = None,
        parent: QWidget | None = None,
        *,
        takes_new: bool = False,
    ) -> None:
        super().__init__(parent)
        self._layers, self._accepts, self._none = layers, accepts, none
        self._takes_new = takes_new
        self._last: Any = None
        self._refill()

        for event in self._events():
            event.connect(self._refill)
        self.currentIndexChanged.connect(self._announce)

    def layer(self) -> Layer | None:
        """Return the chosen layer."""
        layer: Layer | None = self.currentData()
        return layer

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer that is offered; nothing happens if it is not."""
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self.setCurrentIndex(index)
                return

    def disconnect_layers(self) -> None:
        """Stop following the viewer."""
        for event in self._events():
            event.disconnect(self._refill)

    def _events(self) -> tuple[Any, ...]:
        events = self._layers.events
        return events.inserted, events.removed, events.reordered, events.renamed

    def _refill(self, event: Any = None) -> None:
        offered = [layer for layer in reversed(self._layers) if self._accepts(layer)]
        before = self.layer()
        blocked = self.blockSignals(True)
        self.clear()
        if self._none is not None:
            self.addItem(self._none, None)
        for layer in offered:
            self.addItem(layer.name, layer)
        if any(layer is before for layer in offered):
            self.choose(before)
        elif self._takes_new and event is not None and event.type == "inserted":
            self.choose(event.value)
        self.blockSignals(blocked)
        self._announce()

    def _announce(self) -> None:
        layer = self.layer()
        if layer is not self._last:
            self._last = layer
            self.chosen.emit(layer)
