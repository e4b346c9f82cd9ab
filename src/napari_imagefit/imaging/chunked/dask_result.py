"""A result of which nothing has been computed, and what it knows of the data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.chunks import Argument
from ..fitting.records import unpack
from ..fitting.request import Request
from ..fitting.run import Settings
from ..fitting.selection import Selection
from ..regions.region import Region
from ..voxels.common_residual import CommonResidual
from .dask_spots import LazySpotSource
from .dask_tasks import DeriveBlock, FittedBlock, PaintedBlock, ResidualBlock, blockwise
from .plan import FRAMES, MASK, Plan, VoxelPlan
from .region_plan import ImagePlan
from .spot_plan import SpotPlan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class LazySource:
    """Layout of the fits in data that are not in memory; see `napari_imagefit.engine.results.fit_result.Source`."""

    in_memory: ClassVar[bool] = False

    data: Any  # Dask
    plan: Plan

    def fitted(self, result: FitResult) -> Any:
        """Return the model's values in the data's shape, lazily; NaN where there is no answer."""
        return self._of_data(FittedBlock, self._on_grid(result), np.float64)

    def residual(self, result: FitResult) -> Any:
        """Return data − fitted in the data's shape, lazily; NaN where either has no value."""
        data = Argument.along(self.data, range(self.data.ndim))
        return self._of_data(ResidualBlock, [data, *self._on_grid(result)], np.float64)

    def painted(self, result: FitResult) -> Any:
        """Return the label of each region's status on its pixels."""
        return self._of_data(PaintedBlock, [Argument.along(result.status, self.plan.grid_axes)], np.uint8)

    def _on_grid(self, result: FitResult) -> list[Argument]:
        return [Argument.along(values, self.plan.grid_axes) for values in result.answers.values()]

    def _of_data(self, kind: Callable[..., Any], inputs: list[Argument], dtype: Any) -> Any:
        plan = self.plan
        own = {key: a for key, a in plan.arguments.items() if key in (MASK, FRAMES) or key[0] == "camera"}
        axes = tuple(range(len(plan.shape)))
        have = {axis for argument in (*inputs, *own.values()) for axis in argument.axes}
        return blockwise(
            kind(plan.bare(), tuple(own)),
            self.chunks,
            axes,
            [*inputs, *own.values()],
            np.dtype(dtype),
            new={axis: plan.shape[axis] for axis in axes if axis not in have},
        )

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Chunks of the data, and of labels."""
        return (*self.data.chunks, self.plan.grid[-1:])

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: ``n_fits`` values per axis of the grid."""
        return self.plan.index_columns()

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return napari layer data tuples: maps as arrays, fitted and residual lazy."""
        from .layers import lazy_layers

        return lazy_layers(result, self)

    def remarks(self, result: FitResult) -> list[str]:
        """Return nothing: these fits say nothing together that none says by itself."""
        del result
        return []

    @property
    def settings(self) -> Settings:
        """Settings beside data and model."""
        return self.plan.said

    @property
    def request(self) -> Request:
        """The request, as far as JSON holds it."""
        return self.plan.request(self.settings)

    def recipe(self) -> dict[str, Any]:
        """Return what was asked for, as JSON."""
        return self.request.to_json()


@dataclass(frozen=True, eq=False)
class LazyStack(LazySource):
    """The curves of a stack that is not in memory."""

    job: ClassVar[str] = "voxels"

    plan: VoxelPlan
    common: Any = None  # what the residuals have in common: of each chunk in a Dask array, or of all

    @property
    def stack(self) -> Any:
        """The data, a Dask array, without the differences between a camera's pixels."""
        return self.settings.level(self.data)

    @property
    def axis(self) -> int:
        """The axis along which the curves run."""
        return self.plan.axis

    @property
    def x(self) -> NDArray[np.float64]:
        """The coordinates along it."""
        return self.plan.x

    @property
    def select(self) -> Selection | None:
        """Selection of samples."""
        return self.plan.select

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The voxels that were asked for, loaded; None for all."""
        mask = self.plan.arguments.get(MASK)
        return None if mask is None else np.asarray(mask.values).astype(bool)

    def remarks(self, result: FitResult) -> list[str]:
        """Return what the residuals of curves have in common as a sentence, if it has been computed."""
        del result
        remark = self.common.sentence() if isinstance(self.common, CommonResidual) else ""
        return [remark] if remark else []


@dataclass(frozen=True, eq=False)
class LazyImage(LazySource):
    """The regions of an image that is not in memory."""

    job: ClassVar[str] = "region"

    plan: ImagePlan

    @property
    def image(self) -> Any:
        """The data, a Dask array, without the differences between a camera's pixels."""
        return self.settings.level(self.data)

    @property
    def coords(self) -> tuple[NDArray[np.float64], ...]:
        """The coordinates of all pixels of a plane, one array per axis."""
        return self.plan.coords

    @property
    def regions(self) -> list[Region]:
        """The regions of all frames; a mask of all frames is loaded."""
        return self.plan.all_regions()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The label of each region; None where there is one region without a label."""
        return self.plan.labels

    @property
    def frames(self) -> tuple[int, ...]:
        """The shape of the frames."""
        return self.plan.frames


def lazy_source(data: Any, plan: Plan) -> LazyStack | LazyImage | LazySpotSource:
    """Return how the fits of a plan lie in a Dask array."""
    if isinstance(plan, VoxelPlan):
        return LazyStack(data, plan)
    if isinstance(plan, ImagePlan):
        return LazyImage(data, plan)
    assert isinstance(plan, SpotPlan)
    return LazySpotSource(data, plan)


@dataclass(frozen=True, eq=False)
class LazyFitResult(FitResult):
    """A `FitResult` of Dask arrays, of which nothing has been computed yet.

    All maps of a chunk come from one task, which fits it. Each call of Dask's ``compute`` runs the tasks anew: take
    several maps with one ``dask.compute(result.params, result.stderr)``, all of them with `compute`, or keep them in
    the cluster with `persist`.
    """

    records: Any = field(repr=False)  # one per fit, see `record_type`

    @property
    def reduced_chi2(self) -> Any:
        """`FitResult.reduced_chi2` as a Dask array."""
        return self._derived("reduced_chi2")

    @property
    def r2(self) -> Any:
        """`FitResult.r2` as a Dask array."""
        return self._derived("r2")

    @property
    def aicc(self) -> Any:
        """`FitResult.aicc` as a Dask array."""
        return self._derived("aicc")

    @property
    def bic(self) -> Any:
        """`FitResult.bic` as a Dask array."""
        return self._derived("bic")

    def _derived(self, name: str) -> Any:
        block = DeriveBlock(cast(LazySource, self.source).plan.bare(), name, self.known_sigma, self.criterion)
        axes = tuple(range(self.records.ndim))
        return blockwise(block, self.records.chunks, axes, [Argument(self.records, axes)], np.dtype(np.float64))

    def compute(self, **options: Any) -> FitResult:
        """Return the same with NumPy arrays; `options` go to Dask, such as ``scheduler``.

        `fitted` and `residual`, which are as large as the data, stay lazy.
        """
        import dask

        da: Any = dask
        begun = time.perf_counter()
        records, common = da.compute(self.records, self._common(), **options)
        loaded = self._with(records, FitResult, seconds=time.perf_counter() - begun)
        if common is not None:
            found = CommonResidual.joined(common.ravel())
            loaded = replace(loaded, source=replace(cast(LazyStack, self.source), common=found))

        def own(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: own(v) for name, v in value.items()}
            return np.ascontiguousarray(value).reshape(value.shape) if isinstance(value, np.ndarray) else value

        return replace(loaded, **{name: own(value) for name, value in vars(loaded).items()})

    def persist(self, **options: Any) -> LazyFitResult:
        """Return the same with everything being computed and kept where Dask keeps it."""
        import dask

        da: Any = dask
        records, common = da.persist(self.records, self._common(), **options)
        kept = self._with(records, LazyFitResult, seconds=self.seconds, records=records)
        if common is not None:
            kept = replace(kept, source=replace(cast(LazyStack, self.source), common=common))
        return cast(LazyFitResult, kept)

    def _common(self) -> Any:
        return self.source.common if isinstance(self.source, LazyStack) else None

    def _with(self, rows: Any, kind: type[FitResult], seconds: float, **more: Any) -> FitResult:
        return unpack(
            rows,
            self.model,
            self.source,
            known_sigma=self.known_sigma,
            criterion=self.criterion,
            seconds=seconds,
            device=self.device,
            kind=kind,
            **more,
        )

    def to_dataframe(self) -> pd.DataFrame:
        """`FitResult.to_dataframe` of everything, computed now."""
        return self.compute().to_dataframe()

    def to_layers(self) -> list[LayerTuple]:
        """`FitResult.to_layers` of everything: maps computed now, fitted and residual lazy."""
        return self.compute().to_layers()

    def counts(self) -> dict[Status, int]:
        """`FitResult.counts`, computed now."""
        return self.compute().counts()

    def summary(self) -> str:
        """`FitResult.summary`, computed now."""
        return self.compute().summary()
