"""Link between the numbers of a region and the shapes of its layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ...engine.core.errors import FitInputError
from ...layers.geometry.numbered_regions import box_of, check_box, put_box
from ...layers.geometry.transforms import axis_coordinates, index_on_screen
from ..sections.region_numbers import RegionNumbers

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer

CHANGEABLE = ("rectangle", "ellipse")


class NumberedRegions:
    """Shows the numbers of the selected shape, and makes and changes shapes by numbers.

    Parameters
    ----------
    viewer : Viewer
    numbers : RegionNumbers
    make : callable
        Makes a Shapes layer over the image, and chooses it.
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem

    def __init__(self, viewer: Viewer, numbers: RegionNumbers, make: Callable[[], Shapes]) -> None:
        self._viewer, self._numbers, self._make = viewer, numbers, make
        self._layer: Shapes | None = None
        self._image: Image | None = None
        self._axes: tuple[int, int] = (-2, -1)
        numbers.add.connect(lambda: self._put(change=False))
        numbers.change.connect(lambda: self._put(change=True))

    def follow(self, layer: Any, image: Image | None, curve_axis: int | None) -> None:
        """Show the shapes of another layer, in the pixels of an image; `curve_axis` is the one of curves, if any."""
        shapes = layer if layer is not None and layer._type_string == "shapes" else None
        if shapes is not self._layer:
            self.stop()
            self._layer = shapes
            if shapes is not None:
                shapes.selected_data.events.items_changed.connect(self._show)
                shapes.events.data.connect(self._show)
        self._image = image
        if image is not None and image.ndim > 1:
            planes = [axis for axis in range(image.ndim) if axis != curve_axis]
            self._axes = (planes[-2], planes[-1]) if len(planes) > 1 else (image.ndim - 2, image.ndim - 1)
            self._numbers.set_axes(axis_coordinates(image, self._axes))
        self._show()

    def stop(self) -> None:
        """Disconnect from the layer."""
        if self._layer is not None:
            self._layer.selected_data.events.items_changed.disconnect(self._show)
            self._layer.events.data.disconnect(self._show)
            self._layer = None

    def _index(self) -> int | None:
        """Return the shape that can be changed: the selected one, or the only one."""
        layer = self._layer
        if layer is None:
            return None
        chosen = sorted(layer.selected_data) or list(range(layer.nshapes))
        if len(chosen) != 1 or chosen[0] >= layer.nshapes or str(layer.shape_type[chosen[0]]) not in CHANGEABLE:
            return None
        return int(chosen[0])

    def _show(self, *_: object) -> None:
        index, layer, image = self._index(), self._layer, self._image
        if index is None or layer is None or image is None:
            self._numbers.show_box(None, "rectangle", None)
            return
        kind = str(layer.shape_type[index])
        self._numbers.show_box(box_of(layer, index, image, self._axes), kind, str(index + 1))  # type: ignore[arg-type]

    def _put(self, *, change: bool) -> None:
        if self._image is None:
            self.said.emit("There is no image for a region; open one, or a sample from File → Open Sample.", True)
            return
        try:
            box = self._numbers.box()
            check_box(box, self._image, self._axes)
        except FitInputError as error:
            self.said.emit(str(error), True)
            return
        index = self._index() if change else None
        layer = self._layer or self._make()
        kind = self._numbers.kind
        put_box(layer, index, box, kind, self._image, self._axes, index_on_screen(self._viewer, self._image))
        self.said.emit("", False)
