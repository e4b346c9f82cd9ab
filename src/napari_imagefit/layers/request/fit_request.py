"""A requested fit: plain arrays, so that a worker thread need not look at a layer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitEngineError, FitInputError
from ...engine.core.options import Options
from ...engine.core.progress import Progress
from ...engine.core.types import Stop as Stop
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult, LayerTuple
from ...imaging.fitting.run import Settings
from ...imaging.fitting.selection import Selection
from ...imaging.inspection.curves import Curve, voxel_curve
from ...imaging.recipes.steps import DetectionStep
from ...imaging.regions.region import Region
from ...imaging.spots.filters import SpotFilter
from ..geometry.output_layers import Output
from .choices import Choices, Job, MeanUse, group_of

if TYPE_CHECKING:
    import pandas as pd

    from ...imaging.voxels.mean_curve import MeanCurve

MANY_VALUES = 1 << 20  # samples from which on a map is shown while it is fitted


@dataclass(frozen=True, eq=False)
class Request:
    """Data and settings of a fit, and where its results go.

    Attributes
    ----------
    data : array-like
        The layer's data; read in the worker, so that a lazy array is loaded there.
    source : str
        The unique id of the layer.
    settings : Settings
        Settings of parameters, noise and computing.
    regions, region_names, grid
        For surfaces: the regions, a name for each place along the grid's last axis, and the grid of fits.
    axis, mask, select
        For curves, as in `fit_voxels`.
    x_unit : str
        For curves: the unit of their coordinate.
    mean, factor
        For curves: whether the region's mean curve is fitted first, and what is made of it; see `Choices`.
    derived : tuple of str
        For curves: expressions of parameters to make maps of.
    points, window, spot_arguments
        For spots: pixel indices ``(N, data.ndim)``, and the arguments of `SpotRequest` that only spots have.
    filters : tuple of SpotFilter
        For spots: which of them count.
    detection : DetectionStep or None
        For spots: by which the points were found, where they are still those.
    pixel_size, pixel_unit
        For spots: the size of a pixel along each axis of the model, in the unit of the layer.
    transform : dict
        The layer's scale, translate, … for outputs of its own shape.
    map_transform : dict
        The same for maps without the fitted axis.
    chosen : Choices
        The settings that this was asked by, see `remember`.
    metadata : dict
        What the reader of its file left in the layer, see `nifti_grid`.
    units : dict
        The unit of every parameter, by name.
    shown : frozenset of str
        The roles of the group's layers that are in the viewer, and will be updated.
    chosen_roles : dict
        Roles that a person wants to see (True) or not (False), whatever is shown at first.
    """

    job: Job
    data: Any
    layer_name: str
    source: str
    model: Model
    coords: tuple[NDArray[np.float64], ...]
    transform: Mapping[str, Any]
    map_transform: Mapping[str, Any]
    units: Mapping[str, str]
    settings: Settings
    chosen: Choices
    regions: list[Region] = field(default_factory=list)
    region_names: tuple[str, ...] = ()
    grid: tuple[int, ...] = ()
    axis: int = 0
    x_unit: str = ""
    mask: NDArray[np.bool_] | None = None
    select: Selection | None = None
    mean: MeanUse = "no"
    factor: float = 3.0
    derived: tuple[str, ...] = ()
    points: NDArray[np.float64] | None = None
    window: tuple[int, ...] = ()
    spot_arguments: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[SpotFilter, ...] = ()
    detection: DetectionStep | None = None
    pixel_size: tuple[float, ...] = ()
    pixel_unit: str = "px"
    shown: frozenset[str] = frozenset()
    chosen_roles: Mapping[str, bool] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Key by which a later fit of the same layer, job and model finds the layers of this one."""
        return group_of(self.source, self.job, self.model.name)

    @property
    def coarse_to_fine(self) -> bool:
        """Whether the maps of curves are to appear from a sparse grid on: not where they are there at once anyway."""
        fits = np.count_nonzero(self.mask) if self.mask is not None else np.prod(self.data.shape) // self.coords[0].size
        return self.job == "voxels" and int(fits) * self.coords[0].size >= MANY_VALUES

    @property
    def options(self) -> Options:
        """Options of the computation."""
        return self.settings.options


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of a request: the result and its layers, or one sentence with the reason why there is none.

    Attributes
    ----------
    offers : tuple of LayerTuple
        Layers that can be shown beside those of the result and are made already, such as of a comparison.
    complete : bool
        Whether `outputs` are all layers of the group, so that any other is of an earlier fit.
    note : str
        A sentence on what was found beyond the result.
    mean : MeanFit or None
        For curves: the fit of the region's mean curve, where there was one.
    history : tuple
        For curves: what made this result of the first fit, see `layers.script`.
    facts : DataFrame or None
        For spots: the table of their layer.
    """

    request: Request
    result: FitResult | None = None
    outputs: tuple[Output, ...] = ()
    offers: tuple[LayerTuple, ...] = ()
    refusal: str = ""
    complete: bool = True
    note: str = ""
    mean: MeanFit | None = None
    history: tuple[Any, ...] = ()
    facts: pd.DataFrame | None = None

    @property
    def fit(self) -> FitResult | None:
        """The result; that of the mean curve where that alone was fitted."""
        return self.mean.result if self.result is None and self.mean is not None else self.result


@dataclass(frozen=True, eq=False)
class MeanFit:
    """The mean curve of a region, and its fit.

    Attributes
    ----------
    x, values, errors, n : array, ``(n,)``
        The samples' coordinates, their mean over the region, its standard error, and the voxels that made it.
    result : FitResult
        Of a single fit.
    every : MeanCurve or None
        The same with the samples that are left out by their place, to be shown.
    """

    x: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    n: NDArray[np.int64]
    result: FitResult
    every: MeanCurve | None = None


def mean_as_curve(mean: MeanFit) -> Curve:
    """Return the mean as the inspector draws it, with standard errors where they are known of every sample."""
    used, every = np.isfinite(mean.values), mean.every
    known = bool(np.isfinite(mean.errors[used]).all())
    errors = np.where(used, mean.errors, np.inf if every is None else every.sem)
    return voxel_curve(mean.result, (), None if every is None else every.mean, errors if known else None)


@dataclass(frozen=True)
class Showing(Progress):
    """Progress with layers of what is known so far."""

    outputs: tuple[Output, ...] = ()


Task = Generator[Progress, None, Outcome]


def answer(request: Request, steps: Task) -> Task:
    """Turn mistakes into refusals, and failures into errors that a Qt worker does not swallow.

    Raises
    ------
    FitEngineError
        If the program fails; never a ``RuntimeError``, which would vanish in a Qt worker.
    """
    try:
        return (yield from steps)
    except FitInputError as error:
        return Outcome(request, refusal=str(error))
    except RuntimeError as error:
        raise FitEngineError(f"{type(error).__name__}: {error}") from error
