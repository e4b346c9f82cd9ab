"""Live requests: a fit that follows the hand computes what is on screen alone, in the way of the fit it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...imaging.regions.region import Region
from ..geometry.transforms import data_to_world, grid_shape
from .choices import Choices
from .fit_request import Request
from .layer_names import remember

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

Place = tuple[int, ...]


def choices_seen(choices: Choices) -> Choices:
    """Return the choices for the frame on screen alone; what all frames share needs all of them."""
    needs_all = any(row.shared for row in choices.rows)
    return replace(choices, frames="current") if choices.frames == "all" and not needs_all else choices


def regions_seen(request: Request, current: Place) -> Request:
    """Return the request for those regions that are in the frame on screen, where each has a frame of its own.

    Raises
    ------
    FitInputError
        If there is none.
    """
    frames = request.data.shape[: request.data.ndim - request.model.ndim]
    if request.job != "region" or not frames:
        return request
    here = int(np.ravel_multi_index(current[: len(frames)], frames, mode="clip"))
    regions = [own for region in request.regions if (own := _in_frame(region, here)) is not None]
    if not regions:
        raise FitInputError("No region was drawn in the frame on screen; draw one, or go to a frame that has one.")
    return replace(request, regions=regions)


def _in_frame(region: Region, frame: int) -> Region | None:
    kept = region.frames == frame
    return replace(region, frames=region.frames[kept], places=region.places[kept]) if kept.any() else None


def key_of(choices: Choices) -> object:
    """Return what a fit of the choices follows from, but for what the data hold: equal where nothing has changed."""
    points = choices.spots.points if choices.job == "spots" else None
    regions = (None if choices.job == "spots" else choices.region, choices.leave_out)
    drawn = tuple(() if layer is None else _drawn(layer) for layer in regions)
    return remember(choices), choices.current, drawn, None if points is None else np.asarray(points.data).tobytes()


def _drawn(layer: Shapes | Labels) -> tuple[object, ...]:
    """Return what is drawn in a layer of shapes, and where the layer lies; what is painted has signals of its own."""
    matrix, offset = data_to_world(layer)
    where = matrix.tobytes(), offset.tobytes()
    if layer._type_string == "labels":
        return where
    return *where, tuple(layer.shape_type), tuple(np.asarray(corners).tobytes() for corners in layer.data)


def voxel_at(image: Image, sample: NDArray[np.float64], axis: int) -> Place | None:
    """Return the voxel that holds a point, given as an index into the data; None outside."""
    number = np.floor(np.asarray(sample) + 0.5).astype(int)
    place = tuple(int(i) for a, i in enumerate(number) if a != axis)
    grid = tuple(n for a, n in enumerate(grid_shape(image)) if a != axis)
    return place if all(0 <= i < n for i, n in zip(place, grid, strict=True)) else None


def of_voxel(request: Request, place: Place) -> Request | None:
    """Return the request for one voxel, as a stack of one; None where it is not to be fitted, or not without others."""
    if request.settings.shared or (request.mask is not None and not request.mask[place]):
        return None
    axis = request.axis
    where = tuple(slice(i, i + 1) for i in place)
    along = (*where[:axis], slice(None), *where[axis:])
    grid = tuple(n for a, n in enumerate(request.data.shape) if a != axis)

    def here(value: Any) -> Any:
        return value if np.ndim(value) == 0 else np.broadcast_to(np.asarray(value), grid)[where]

    said = request.settings
    init, fixed = ({name: here(value) for name, value in (given or {}).items()} for given in (said.init, said.fixed))
    bounds = {name: (here(low), here(high)) for name, (low, high) in (said.bounds or {}).items()}
    sigma = said.sigma
    if sigma is not None and np.ndim(sigma) > 0:
        sigma = np.broadcast_to(np.asarray(sigma), request.data.shape)[along]
    settings = replace(said, init=init, fixed=fixed, bounds=bounds, sigma=sigma)
    return replace(request, data=np.asarray(request.data[along]), mask=None, settings=settings)
