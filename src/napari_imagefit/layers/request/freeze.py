"""Request made from choices: everything is checked here, and every mistake is one sentence with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ...imaging.fitting.run import Settings
from ...imaging.regions.region import Region, find_regions
from ..geometry.drawn_regions import RegionError, labels_on_image, shapes_masks
from ..geometry.nifti_orientation import READER_METADATA
from ..geometry.transforms import AxisCoordinates, axis_coordinates, grid_shape, layer_transform, unit_factors
from .choices import Choices
from .exclusion import regions_left
from .fit_request import Request
from .layer_names import remember
from .noise import noise_settings
from .parameters import parameter_settings, parameter_units
from .spot_inputs import freeze_spots
from .voxel_inputs import freeze_voxels

if TYPE_CHECKING:
    from napari.layers import Image


def freeze(choices: Choices, shown: frozenset[str] = frozenset()) -> Request:
    """Check the choices against their layers and turn them into arrays.

    `shown` are the roles of the outputs of earlier fits that are in the viewer, see `shown_roles`.

    Raises
    ------
    FitInputError
        One sentence that names what is wrong and what to do.
    """
    image = choices.image
    if image is None:
        raise FitInputError("There is no image to fit; open one, or a sample from File → Open Sample.")
    if image.rgb:
        raise FitInputError(
            f"Layer {image.name!r} is an RGB image; "
            "split it into channels (right click on the layer) and fit one of them."
        )
    data = image.data[0] if image.multiscale else image.data
    model = models.find(choices.model)
    common = {
        "data": data,
        "layer_name": image.name,
        "source": str(image.unique_id),
        "model": model,
        "transform": layer_transform(image),
        "shown": shown,
        "chosen": remember(choices),
        "metadata": {name: image.metadata[name] for name in READER_METADATA if name in image.metadata},
    }
    if choices.job == "voxels":
        return freeze_voxels(choices, model, common)
    if choices.job == "spots":
        return freeze_spots(choices, model, common)
    return _freeze_region(choices, model, common)


def _freeze_region(choices: Choices, model: Model, common: dict[str, Any]) -> Request:
    image = choices.image
    assert image is not None
    shape = grid_shape(image)
    if len(shape) < model.ndim:
        raise FitInputError(
            f"Layer {image.name!r} has {len(shape)} axes, but {model.name!r} is a surface over {model.ndim}; "
            "choose an image with at least that many."
        )
    said = parameter_settings(model, choices.rows)
    free = len(model.names) - len(said["fixed"]) - len(said["tied"])
    frames, plane = shape[:-2], shape[-2:]
    regions, grid, names = _find_regions(choices, frames, plane)
    _check_sizes(regions, names, free, model.name)
    if choices.leave_out is not None:
        regions = regions_left(choices, regions, frames)
        _check_sizes(regions, names, free, model.name, without=choices.leave_out.name)
    axes = _in_one_unit(axis_coordinates(image, (-2, -1)))
    return Request(
        **common,
        settings=Settings(**said, **noise_settings(choices)),
        job="region",
        coords=tuple(axis.values for axis in axes),
        map_transform=common["transform"],
        units=parameter_units(model, [axis.unit for axis in axes]),
        regions=regions,
        region_names=names,
        grid=grid,
    )


def _check_sizes(regions: Sequence[Region], names: Sequence[str], free: int, model: str, *, without: str = "") -> None:
    """Refuse regions with too few pixels, after those in the layer `without` were taken out."""
    for region in regions:
        if region.pixels.size < max(free, 1):
            name = names[int(region.places[0]) % len(names)]
            outside = f" outside of what {without!r} leaves out" if without else ""
            fewer = f", fewer than the {free} free parameters of {model!r}" if free else ""
            remedy = "enlarge it, leave less out" if without else "enlarge it"
            raise FitInputError(
                f"Region {name!r} has {region.pixels.size} pixels{outside}{fewer}; {remedy} or fix some parameters."
            )


def _find_regions(
    choices: Choices, frames: tuple[int, ...], plane: tuple[int, ...]
) -> tuple[list[Region], tuple[int, ...], tuple[str, ...]]:
    """Regions, grid of fits (frames × regions), and the regions' names."""
    image, layer = choices.image, choices.region
    assert image is not None
    every = np.arange(int(np.prod(frames)))
    chosen = every
    if choices.frames == "current" and frames:
        chosen = np.atleast_1d(np.ravel_multi_index(choices.current[: len(frames)], frames, mode="clip"))
    if layer is None:
        return [Region(1, np.arange(int(np.prod(plane))), chosen, chosen)], (*frames, 1), (image.name,)
    if layer._type_string == "labels":
        on_image = labels_on_image(layer, image)
        regions, _, labels = find_regions(on_image, frames, plane)
        if choices.frames == "current":
            regions = [_only(region, chosen) for region in regions]
            regions = [region for region in regions if region.frames.size]
            if not regions:
                raise RegionError(f"Labels layer {layer.name!r} has no label in the frame on screen; paint one there.")
        return regions, (*frames, len(labels)), tuple(f"{layer.name} {label}" for label in labels)
    masks = shapes_masks(layer, image)
    regions = []
    for column, drawn in enumerate(masks):
        where = chosen
        if choices.frames == "drawn" and drawn.frame is not None:
            index = tuple(slice(None) if i is None else i for i in drawn.frame)
            where = np.atleast_1d(every.reshape(frames)[index]).ravel()
        pixels = np.flatnonzero(drawn.mask)
        regions.append(Region(drawn.label, pixels, where, where * len(masks) + column))
    return regions, (*frames, len(masks)), tuple(drawn.name for drawn in masks)


def _only(region: Region, frames: NDArray[np.intp]) -> Region:
    kept = np.isin(region.frames, frames)
    return Region(region.label, region.pixels, region.frames[kept], region.places[kept])


def _in_one_unit(axes: Sequence[AxisCoordinates]) -> list[AxisCoordinates]:
    """Coordinates in the first axis's unit where they can be converted: a width along a rotated axis needs one unit."""
    first = axes[0]
    found = []
    for axis in axes:
        factor = (
            1.0 if axis.unit == first.unit else float(unit_factors([_spelled(axis.unit)], [_spelled(first.unit)])[0])
        )
        unit = first.unit if factor != 1.0 else axis.unit
        found.append(AxisCoordinates(axis.values * factor, unit, axis.step * factor, axis.origin * factor))
    return found


def _spelled(unit: str) -> str:
    return "pixel" if unit == "px" else unit or "dimensionless"


def layer_units(image: Image, model: Model, axes: Sequence[int]) -> dict[str, str]:
    """Return the unit of every parameter of a fit along these axes of a layer; empty where the layer lacks the axes."""
    if image.ndim < len(axes) or max(axes) >= image.ndim:
        return {}
    return parameter_units(model, [axis.unit for axis in _in_one_unit(axis_coordinates(image, axes))])
