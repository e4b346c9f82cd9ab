"""Regions, voxels and spots without the pixels that a person leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.types import Booleans
from ...engine.models.model import Model
from ...imaging.regions.region import Region
from ..geometry.excluded_areas import left_out
from ..geometry.transforms import grid_shape
from .choices import Choices


def regions_left(choices: Choices, regions: list[Region], frames: tuple[int, ...]) -> list[Region]:
    """Return regions without what is left out, apart for frames in which that is not the same."""
    assert choices.image is not None
    left = None if choices.leave_out is None else left_out(choices.leave_out, choices.image)
    if left is None:
        return regions
    own = left.reshape(-1, int(np.prod(left.shape[-2:])))
    of_frame = np.broadcast_to(np.arange(len(own)).reshape(left.shape[:-2]), frames).ravel()
    # frames in which nothing is left out stay together
    touched = np.asarray(own.any(axis=1))
    of_frame = np.where(touched[of_frame], of_frame, -1)
    return [part for region in regions for part in _parts(region, own, of_frame[region.frames])]


def _parts(region: Region, own: Booleans, of_frame: NDArray[np.intp]) -> Sequence[Region]:
    pixels, parts = np.asarray(region.pixels), []
    for row in np.unique(of_frame):
        here = of_frame == row
        kept = pixels if row < 0 else pixels[~own[row, pixels]]
        parts.append(Region(region.label, kept, region.frames[here], region.places[here]))
    return parts


def voxels_left(choices: Choices, axis: int) -> Booleans | None:
    """Return the voxels that are not left out, on the grid of fits; None for all."""
    image = choices.image
    assert image is not None
    if choices.leave_out is None:
        return None
    shape = grid_shape(image)
    others = [a for a in range(len(shape)) if a != axis]
    if len(others) < 2:
        raise FitInputError(
            f"Layer {image.name!r} has one axis beside the fitted one, so that nothing can be drawn to be left out; "
            "choose 'nothing' to leave out."
        )
    left = left_out(choices.leave_out, image, others[-2:])
    # what is drawn at one sample leaves the voxel out
    return None if left is None else ~np.broadcast_to(left.any(axis=axis), [shape[a] for a in others])


def pixels_left(choices: Choices, model: Model) -> Booleans | None:
    """Return the pixels that are not left out, of the shape of the model's plane or of the image; None for all.

    Raises
    ------
    FitInputError
        If there are none.
    """
    image = choices.image
    assert image is not None
    left = None if choices.leave_out is None else left_out(choices.leave_out, image)
    if left is None or choices.leave_out is None:
        return None
    if left.all():
        raise FitInputError(nothing_left(choices.leave_out, image))
    shape = grid_shape(image)
    n_frames = len(shape) - model.ndim
    alike = left.shape[:n_frames] == (1,) * n_frames
    used: Booleans = np.broadcast_to(~left, (1,) * n_frames + shape[n_frames:] if alike else shape)
    return used.reshape(shape[n_frames:]) if alike else used


def nothing_left(layer: Any, where: Any) -> str:
    """Return the sentence on a layer that leaves all of another one out."""
    return f"Layer {layer.name!r} leaves nothing of {where.name!r} to fit; erase or shrink some of what it holds."
