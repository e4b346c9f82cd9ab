"""Request for one curve per voxel, made from choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ...imaging.fitting.run import Settings
from ..geometry.drawn_regions import RegionError, labels_on_image, shapes_masks
from ..geometry.output_layers import map_transform
from ..geometry.transforms import grid_shape
from ..geometry.voxel_values import values_on_grid
from .choices import Choices
from .coordinates import resolve
from .exclusion import nothing_left, voxels_left
from .fit_request import Request
from .noise import noise_settings
from .paint import LEAVE_OUT, painted
from .parameters import parameter_settings, parameter_units

if TYPE_CHECKING:
    from napari.layers import Layer


def freeze_voxels(choices: Choices, model: Model, common: dict[str, Any]) -> Request:
    """Check the choices against their layers and turn them into arrays; `common` is what all requests have.

    Raises
    ------
    FitInputError
        One sentence that names what is wrong and what to do.
    """
    image = choices.image
    assert image is not None
    shape = grid_shape(image)
    if len(shape) < 2:
        raise FitInputError(f"Layer {image.name!r} has one axis only; choose a stack of curves.")
    axis = choices.axis % len(shape)
    mask = _voxel_mask(choices, shape, axis)

    def lookup(layer: Layer) -> NDArray[np.float64]:
        return values_on_grid(layer, image, axis)

    x, unit = resolve(choices.coordinates, image, axis)
    said = parameter_settings(model, choices.rows, lookup, mask)
    free = len(model.names) - len(said["fixed"]) - len(said["tied"])
    if shape[axis] < free:
        raise FitInputError(
            f"Layer {image.name!r} has {shape[axis]} samples along axis {axis}, fewer than the {free} free parameters "
            f"of {model.name!r}; choose another axis or fix some parameters."
        )
    return Request(
        **common,
        settings=Settings(**said, **noise_settings(choices)),
        job="voxels",
        coords=(x,),
        map_transform=map_transform(image, axis),
        units=parameter_units(model, [unit]),
        x_unit=unit,
        axis=axis,
        mask=mask,
        select=choices.select,
        mean=choices.mean,
        factor=choices.factor,
        derived=choices.derived,
    )


def _voxel_mask(choices: Choices, shape: tuple[int, ...], axis: int) -> NDArray[np.bool_] | None:
    """Return the voxels to fit, in the shape of the stack without the axis; None for all."""
    mask = _in_region(choices, shape, axis)
    kept = voxels_left(choices, axis)
    if kept is not None and choices.leave_out is not None:
        mask = kept if mask is None else mask & kept
        if not mask.any():
            where = choices.image if choices.region is None else choices.region
            raise FitInputError(nothing_left(choices.leave_out, where))
    if choices.paint is None:
        return mask
    left: NDArray[np.bool_] = painted(choices.paint, tuple(n for a, n in enumerate(shape) if a != axis)) == LEAVE_OUT
    if not left.any():
        return mask
    mask = ~left if mask is None else mask & ~left
    if not mask.any():
        raise FitInputError(
            f"All voxels are painted to be left out in layer {choices.paint.name!r}; erase some of it there."
        )
    return mask


def _in_region(choices: Choices, shape: tuple[int, ...], axis: int) -> NDArray[np.bool_] | None:
    """Return the voxels inside any shape or label."""
    image, layer = choices.image, choices.region
    assert image is not None
    if layer is None:
        return None
    grid = tuple(n for a, n in enumerate(shape) if a != axis)
    if len(grid) < 2:
        raise RegionError(
            f"Layer {image.name!r} has one axis beside the fitted one, so that no region can be drawn; "
            "choose 'Whole image'."
        )
    plane = tuple(a for a in range(len(shape)) if a != axis)[-2:]
    if layer._type_string == "labels":
        labels = labels_on_image(layer, image, plane)
        chosen = np.asarray(labels > 0)
        if chosen.shape == shape:
            # painted in some sample along the fitted axis: the voxel counts
            chosen = np.asarray(chosen.any(axis=axis))
        return np.broadcast_to(chosen, grid)
    mask = np.zeros(grid, dtype=bool)
    for drawn in shapes_masks(layer, image, plane):
        mask |= drawn.mask
    return mask
