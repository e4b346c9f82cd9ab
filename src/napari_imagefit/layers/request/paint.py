"""Voxels that a person paints: to be fitted again, or to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import LayerTuple
from ..geometry.output_layers import METADATA_KEY, PAINT, role_of, shortened

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Labels

    from .fit_request import Request

REFIT, LEAVE_OUT = 1, 2
PAINT_NAMES = {REFIT: "refit", LEAVE_OUT: "leave out"}
# Okabe and Ito's: distinguishable for the colour blind too, and from the reasons of failure
PAINT_COLOURS = {None: "transparent", 0: "transparent", REFIT: "#F0E442", LEAVE_OUT: "#0072B2"}


def paint_layer(request: Request, grid: tuple[int, ...]) -> LayerTuple:
    """Return an empty Labels layer over the maps, whose labels have names and colours."""
    where = request.map_transform
    data = np.zeros(grid, np.uint8)
    if data.ndim < len(where["scale"]):
        data = np.expand_dims(data, request.axis)
    options: dict[str, Any] = {
        "name": f"{shortened(request.layer_name)} · paint: 1 = {PAINT_NAMES[REFIT]}, 2 = {PAINT_NAMES[LEAVE_OUT]}",
        "features": {"index": [0, *PAINT_NAMES], "painted to": ["", *PAINT_NAMES.values()]},
        "colormap": PAINT_COLOURS,
        "opacity": 0.6,
        "metadata": {METADATA_KEY: {"role": PAINT, "group": request.source}},
        **where,
    }
    return data, options, "labels"


def find_paint(layers: LayerList, source: str) -> Labels | None:
    """Return the paint layer over the maps of that layer, whatever the model; None if there is none."""
    return next((layer for layer in layers if role_of(layer, source) == PAINT), None)


def painted(layer: Labels, grid: tuple[int, ...]) -> NDArray[np.integer[Any]]:
    """Return what was painted, on the grid of fits.

    Raises
    ------
    FitInputError
        If the layer belongs to maps of another shape.
    """
    data = np.asarray(layer.data)
    if data.size != int(np.prod(grid)):
        raise FitInputError(
            f"Layer {layer.name!r} has shape {data.shape}, but {grid} voxels are fitted; remove it and paint anew."
        )
    return data.reshape(grid)
