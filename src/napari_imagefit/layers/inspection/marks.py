"""Marks of the inspector in the viewer: pinned fits as points, chosen fits as labels; one layer each, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...imaging.inspection.fit_grid import FitGrid
from ..geometry.output_layers import TRANSFORM, draw_nothing_when_empty
from ..request.fit_request import Request

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Labels, Layer, Points

# Not the key of a fit's own layers: these outlive the next fit, and chosen voxels may be a region to fit.
MARK_KEY = "napari_imagefit_mark"
PINS, CHOSEN = "pins", "chosen"
MARK_COLOUR = "#F0E442"
SIGN = 9  # pixels on screen of a pin's sign


@dataclass(frozen=True)
class Pin:
    """A pinned fit, with a letter, symbol and colour of its own.

    Attributes
    ----------
    sample : tuple of int
        An index into the data; by it the pin stays where it is when a new result comes.
    """

    letter: str
    colour: str
    symbol: str  # napari's name of it
    place: tuple[int, ...]
    sample: tuple[int, ...]


def find_mark(layers: LayerList, what: str) -> Any:
    """Return the layer of pins, or of chosen fits; None if there is none."""
    return next((layer for layer in layers if layer.metadata.get(MARK_KEY, {}).get("what") == what), None)


def show_pins(layers: LayerList, request: Request, grid: FitGrid, pins: Sequence[Pin]) -> Points | None:
    """Make or update the layer of pins; without pins there is none."""
    layer = find_mark(layers, PINS)
    if not pins:
        if layer is not None:
            layers.remove(layer)
        return None
    where = _transform(request, grid)
    points = np.array([_point(pin, grid, len(where["scale"])) for pin in pins], dtype=float)
    if layer is not None and layer.ndim != points.shape[1]:
        layers.remove(layer)
        layer = None
    if layer is None:
        from napari.layers import Points

        layer = Points(
            points,
            name=f"pins · {request.layer_name}",
            size=1,
            # as large on screen at every zoom, and hollow: what is pinned is to be seen
            canvas_size_limits=(SIGN, SIGN),
            face_color="transparent",
            border_width=0.15,
            features=_features(pins),
            text=_letters(pins),
            metadata={MARK_KEY: {"what": PINS, "source": request.source}},
            **where,
        )
        _add(layers, layer)
        draw_nothing_when_empty(layer)
    else:
        layer.data = points
        layer.features = _features(pins)
        layer.text = _letters(pins)
        layer.name = f"pins · {request.layer_name}"
        layer.metadata = {**layer.metadata, MARK_KEY: {"what": PINS, "source": request.source}}
        _place(layer, where)
        # maps that have come since lie over it
        layers.move(layers.index(layer), len(layers))
    layer.selected_data = set()
    layer.face_color = "transparent"
    layer.border_color = [pin.colour for pin in pins]
    layer.symbol = [pin.symbol for pin in pins]
    return layer


def _features(pins: Sequence[Pin]) -> dict[str, list[str]]:
    return {"pin": [pin.letter for pin in pins]}


def _letters(pins: Sequence[Pin]) -> dict[str, Any]:
    """Return the letters beside their signs, in the same colours."""
    return {"string": "  {pin}", "size": 11, "color": [pin.colour for pin in pins], "anchor": "upper_left"}


def show_chosen(
    layers: LayerList, request: Request, grid: FitGrid, chosen: NDArray[np.bool_] | None, name: str
) -> Labels | None:
    """Make or update the layer that highlights fits; None for `chosen` removes it."""
    layer = find_mark(layers, CHOSEN)
    if chosen is None:
        if layer is not None:
            layers.remove(layer)
        return None
    where = _transform(request, grid)
    painted = grid.paint(chosen)
    if painted.ndim < len(where["scale"]):
        painted = np.expand_dims(painted, request.axis)
    if layer is not None and layer.ndim != painted.ndim:
        layers.remove(layer)
        layer = None
    made = {MARK_KEY: {"what": CHOSEN, "source": request.source}}
    if layer is None:
        from napari.layers import Labels

        colours: dict[int | None, str] = {None: "transparent", 0: "transparent", 1: MARK_COLOUR}
        layer = Labels(painted, name=f"selected · {name}", colormap=colours, opacity=0.6, metadata=made, **where)
        _add(layers, layer)
    else:
        if layer.data.shape == painted.shape:
            # new data are looked through for their range, which takes as long as drawing a million of them
            layer.data[...] = painted
            layer.refresh(extent=False)
        else:
            layer.data = painted
        layer.name = f"selected · {name}"
        layer.metadata = {**layer.metadata, **made}
        _place(layer, where)
    return layer


def _transform(request: Request, grid: FitGrid) -> Any:
    return request.transform if grid.axis is None else request.map_transform


def _point(pin: Pin, grid: FitGrid, ndim: int) -> tuple[float, ...]:
    if grid.axis is None:
        return pin.sample
    if ndim == len(pin.place):
        return pin.place
    return (*pin.place[: grid.axis], 0, *pin.place[grid.axis :])


def _place(layer: Layer, where: Any) -> None:
    for name in TRANSFORM:
        now = layer.affine.affine_matrix if name == "affine" else getattr(layer, name)
        # each draws the layer anew
        if np.shape(now) != np.shape(where[name]) or not np.all(np.asarray(now) == np.asarray(where[name])):
            setattr(layer, name, where[name])


def _add(layers: LayerList, layer: Layer) -> None:
    """Add a layer on top, but for pins; what is selected stays so."""
    selected = layers.selection.active
    pins = find_mark(layers, PINS)
    layers.insert(len(layers) if pins is None else layers.index(pins), layer)
    if selected is not None:
        layers.selection.active = selected
