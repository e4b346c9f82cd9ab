"""A fit that has been asked for: plain arrays, so that a worker thread need not look at a layer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.batch import Progress
from ..engine.errors import FitEngineError, FitInputError
from ..engine.model import Model
from ..engine.problem import Options
from ..engine.result import FitResult
from ..imaging.image import ImageSource, iter_fit_regions
from ..imaging.maps import image_layers, voxel_layers
from ..imaging.ready import make_ready
from ..imaging.regions import Region
from ..imaging.run import Run, Settings
from ..imaging.voxels import VoxelSource, iter_fit_voxels
from .choices import Job
from .outputs import Output, place_maps, role


@dataclass(frozen=True, eq=False)
class Request:
    """What is fitted, and where its results go.

    Attributes
    ----------
    data : array-like
        The layer's data; read in the worker, so that a lazy array is loaded there.
    group : str
        By which a later fit of the same layer finds the layers of this one.
    regions, region_names, grid
        For surfaces: the regions, a name for each place along the grid's last axis, and the grid of fits.
    axis, x, mask
        For curves, as in `fit_voxels`.
    transform : dict
        The layer's scale, translate, … for outputs of its own shape.
    map_transform : dict
        The same for maps without the fitted axis.
    units : dict
        The unit of every parameter, by name.
    shown : frozenset of str
        The roles of the group's layers that are in the viewer, and will be updated.
    """

    job: Job
    data: Any
    layer_name: str
    group: str
    model: Model
    coords: tuple[NDArray[np.float64], ...]
    transform: Mapping[str, Any]
    map_transform: Mapping[str, Any]
    units: Mapping[str, str]
    wishes: Mapping[str, Any]
    regions: list[Region] = field(default_factory=list)
    region_names: tuple[str, ...] = ()
    grid: tuple[int, ...] = ()
    axis: int = 0
    mask: NDArray[np.bool_] | None = None
    shown: frozenset[str] = frozenset()
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a worker hands back: the result and its layers, or one sentence that says why there is none."""

    request: Request
    result: FitResult | None = None
    outputs: tuple[Output, ...] = ()
    refusal: str = ""


def run_request(request: Request) -> Generator[Progress, None, Outcome]:
    """Fit, and make the layers ready; a generator for a worker thread.

    Yields
    ------
    Progress

    Returns
    -------
    Outcome
        With a refusal where the input cannot be fitted.

    Raises
    ------
    FitEngineError
        If the program fails; never a ``RuntimeError``, which would vanish in a Qt worker.
    """
    try:
        result = yield from _steps(request)
        make_ready(result)
        source = result.source
        if isinstance(source, ImageSource):
            layers = image_layers(result, source, request.units, request.region_names)
        elif isinstance(source, VoxelSource):
            layers = voxel_layers(result, source, request.units)
        placed = place_maps(layers, request.group, request.transform, request.map_transform, request.axis)
        # making a layer takes longer than showing it, and needs no window
        outputs = tuple(Output.of(new, make=role(new) not in request.shown) for new in placed)
        return Outcome(request, result, outputs)
    except FitInputError as error:
        return Outcome(request, refusal=str(error))
    except RuntimeError as error:
        raise FitEngineError(f"{type(error).__name__}: {error}") from error


def _steps(request: Request) -> Run:
    data = np.asarray(request.data)
    if request.job == "voxels":
        _require_finite(data, request.layer_name)
        return (
            yield from iter_fit_voxels(
                data,
                request.model,
                x=request.coords[0],
                axis=request.axis,
                mask=request.mask,
                settings=Settings(**request.wishes, options=request.options),
            )
        )
    for region in request.regions:
        planes = data.reshape(-1, *data.shape[-2:])
        finite = any(np.isfinite(planes[frame].ravel()[region.pixels]).any() for frame in region.frames)
        if not finite:
            raise FitInputError(
                f"All pixels of {_name(request, region)} in {request.layer_name!r} are NaN or infinite; "
                "choose another region or layer."
            )
    return (
        yield from iter_fit_regions(
            data,
            request.model,
            request.regions,
            request.grid,
            labels=np.arange(1, len(request.region_names) + 1),
            coords=request.coords,
            settings=Settings(**request.wishes, options=request.options),
        )
    )


def _name(request: Request, region: Region) -> str:
    return f"region {request.region_names[int(region.places[0]) % len(request.region_names)]!r}"


def _require_finite(data: NDArray[Any], name: str) -> None:
    if not np.isfinite(data).any():
        raise FitInputError(f"All values of {name!r} are NaN or infinite; choose another layer.")
