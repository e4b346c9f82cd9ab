"""From choices to a request: everything is checked here, and every mistake is one sentence with its remedy."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import models
from ..engine.batch import MOST_FITS, predict
from ..engine.errors import FitEngineError, FitInputError
from ..engine.model import Model
from ..engine.objective import TILE
from ..engine.problem import check_parameters
from ..engine.progress import Progress
from ..imaging.lazy_arrays import is_dask
from ..imaging.ready import compile_curve, compile_surface
from ..imaging.regions import Region, find_regions
from ..imaging.run import Run, Settings
from .choices import Choices, Row
from .geometry import AxisCoordinates, axis_coordinates, grid_shape, layer_transform, unit_factors
from .outputs import Output, map_transform, place_maps, role
from .regions import RegionError, labels_on_image, shapes_masks
from .request import Outcome, Request, run_request

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
    wishes = parameter_wishes(model, choices.rows)
    common = {
        "data": data,
        "layer_name": image.name,
        "group": str(image.unique_id),
        "model": model,
        "transform": layer_transform(image),
        "wishes": wishes,
        "shown": shown,
    }
    free = len(model.names) - len(wishes["fixed"])
    if choices.job == "voxels":
        return _freeze_voxels(choices, model, common, free)
    return _freeze_region(choices, model, common, free)


def parameter_wishes(model: Model, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The parameter table as ``init``, ``bounds`` and ``fixed``.

    Raises
    ------
    FitInputError
        If a bound or a start makes no sense, or nothing is left free.
    """
    init: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    own = dict(zip(model.names, model.parameters, strict=True))
    for row in rows:
        if row.fixed:
            if row.start is None:
                raise FitInputError(f"{row.name!r} is to be fixed but has no value; type one under Start.")
            fixed[row.name] = row.start
            continue
        lower = own[row.name].lower if row.lower is None else row.lower
        upper = own[row.name].upper if row.upper is None else row.upper
        if not lower < upper:
            raise FitInputError(
                f"The lower bound {lower:g} of {row.name!r} is not below its upper bound {upper:g}; "
                "change one of them, or tick Fix to hold the parameter."
            )
        bounds[row.name] = (lower, upper)
        if row.start is not None:
            init[row.name] = row.start
    check_parameters(model, init, bounds, fixed)
    return {"init": init, "bounds": bounds, "fixed": fixed}


def _freeze_region(choices: Choices, model: Model, common: dict[str, Any], free: int) -> Request:
    image = choices.image
    assert image is not None
    shape = grid_shape(image)
    if len(shape) < model.ndim:
        raise FitInputError(
            f"Layer {image.name!r} has {len(shape)} axes, but {model.name!r} is a surface over {model.ndim}; "
            "choose an image with at least that many."
        )
    frames, plane = shape[:-2], shape[-2:]
    regions, grid, names = _find_regions(choices, frames, plane)
    for region in regions:
        if region.pixels.size < free:
            name = names[int(region.places[0]) % len(names)]
            raise FitInputError(
                f"Region {name!r} has {region.pixels.size} pixels, fewer than the {free} free parameters of "
                f"{model.name!r}; enlarge it or fix some parameters."
            )
    axes = _in_one_unit(axis_coordinates(image, (-2, -1)))
    return Request(
        **common,
        job="region",
        coords=tuple(axis.values for axis in axes),
        map_transform=common["transform"],
        units=parameter_units(model, [axis.unit for axis in axes]),
        regions=regions,
        region_names=names,
        grid=grid,
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


def _freeze_voxels(choices: Choices, model: Model, common: dict[str, Any], free: int) -> Request:
    image = choices.image
    assert image is not None
    shape = grid_shape(image)
    if len(shape) < 2:
        raise FitInputError(f"Layer {image.name!r} has one axis only; choose a stack of curves.")
    axis = choices.axis % len(shape)
    if shape[axis] < free:
        raise FitInputError(
            f"Layer {image.name!r} has {shape[axis]} samples along axis {axis}, fewer than the {free} free parameters "
            f"of {model.name!r}; choose another axis or fix some parameters."
        )
    (own,) = axis_coordinates(image, (axis,))
    x, unit = own.values, own.unit
    if choices.x is not None:
        if len(choices.x) != shape[axis]:
            raise FitInputError(
                f"{len(choices.x)} coordinates were typed, but the stack has {shape[axis]} samples along axis {axis}; "
                "type one for each, or clear the field to take the layer's."
            )
        x, unit = np.asarray(choices.x, dtype=float), ""
    return Request(
        **common,
        job="voxels",
        coords=(x,),
        map_transform=map_transform(image, axis),
        units=parameter_units(model, [unit]),
        axis=axis,
        mask=_voxel_mask(choices, shape, axis),
    )


def _voxel_mask(choices: Choices, shape: tuple[int, ...], axis: int) -> NDArray[np.bool_] | None:
    """The voxels inside any shape or label, in the shape of the stack without the axis; None for all."""
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
    """The unit of every parameter of a fit along these axes of a layer; empty where the layer lacks the axes."""
    if image.ndim < len(axes) or max(axes) >= image.ndim:
        return {}
    return parameter_units(model, [axis.unit for axis in _in_one_unit(axis_coordinates(image, axes))])


def parameter_units(model: Model, axes: Sequence[str]) -> dict[str, str]:
    """The unit of every parameter, ``""`` where it is not known or there is none.

    Parameters
    ----------
    axes : sequence of str
        The unit of each coordinate.
    """
    common = axes[0] if len(set(axes)) == 1 else ""
    meaning = {"coord": common, "rad": "rad", **{f"coord{i}": unit for i, unit in enumerate(axes)}}
    inverse = {f"1/{name}": f"1/{unit}" for name, unit in meaning.items() if unit}
    return {p.name: (meaning | inverse).get(p.unit, "") for p in model.parameters}


def run_any(request: Request) -> Generator[Progress, None, Outcome]:
    """`run_request`, which loads the data, or the same chunk by chunk where the layer's data are a Dask array.

    Raises
    ------
    FitEngineError
        If the program fails.
    """
    if not is_dask(request.data):
        return (yield from run_request(request))
    # only then: its modules are not needed otherwise
    from ..imaging.lazy_layers import lazy_layers
    from ..imaging.lazy_result import LazySource

    try:
        result = yield from _lazy_steps(request)
        source = result.source
        assert isinstance(source, LazySource)
        layers = lazy_layers(result, source, request.units, request.region_names)
        placed = place_maps(layers, request.group, request.transform, request.map_transform, request.axis)
        outputs = tuple(Output.of(new, make=is_dask(new[0]) or role(new) not in request.shown) for new in placed)
        return Outcome(request, result, outputs)
    except FitInputError as error:
        return Outcome(request, refusal=str(error))
    except RuntimeError as error:
        raise FitEngineError(f"{type(error).__name__}: {error}") from error


def compile_for(request: Request) -> None:
    """Compile all programs that `run_any` would meet, and fit nothing."""
    steps = run_any(request)
    for progress in steps:
        if not progress.compiling:
            break
    steps.close()
    # the fitted curves or surfaces, of the same shapes
    model = models.find(request.model)
    if request.job == "voxels":
        length = request.data.shape[request.axis]
        shapes = [(length, int(np.prod(request.data.shape)) // length)]
        compile_curve(model, length, request.options)
    else:
        shapes = [(region.pixels.size, region.frames.size) for region in request.regions[:1]]
        for region in request.regions[:1]:
            places = np.unravel_index(region.pixels, request.data.shape[-2:])
            compile_surface(model, tuple(int(np.ptp(along)) + 1 for along in places), request.options)
    for samples, fits in shapes:
        somewhere = (np.linspace(1, 2, min(samples, TILE)),) * model.ndim
        predict(model, somewhere, np.ones((len(model.names), min(fits, MOST_FITS))), request.options)


def _lazy_steps(request: Request) -> Run:
    from ..imaging.lazy_steps import iter_fit_regions_lazily, iter_fit_voxels_lazily

    settings = Settings(**request.wishes, options=request.options)
    if request.job == "voxels":
        return iter_fit_voxels_lazily(
            request.data,
            request.model,
            x=request.coords[0],
            axis=request.axis,
            mask=request.mask,
            settings=settings,
            should_stop=None,
        )
    return iter_fit_regions_lazily(
        request.data,
        request.model,
        request.regions,
        labels=np.arange(1, len(request.region_names) + 1),
        coords=request.coords,
        settings=settings,
    )
