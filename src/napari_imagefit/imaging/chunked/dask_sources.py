"""Layout of fits in Dask arrays: what each result knows of its data, lazily."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.chunks import Argument
from ..fitting.records import record_type
from ..fitting.run import Settings
from ..fitting.selection import Selection
from ..layer_data.sources import Units
from ..regions.region import Region
from ..requests.request import Request
from ..voxels.common_residual import CommonResidual
from ..voxels.common_residual import record_type as common_type
from .dask_tasks import CommonBlock, FitBlock, FittedBlock, PaintedBlock, ResidualBlock, blockwise
from .plan import FRAMES, MASK, Plan, VoxelPlan
from .region_plan import ImagePlan


@dataclass(frozen=True, eq=False)
class LazySource(ABC):
    """Layout of the fits in data that are not in memory; see `napari_imagefit.engine.results.fit_result.Source`."""

    job: ClassVar[str]
    in_memory: ClassVar[bool] = False

    data: Any  # Dask
    plan: Plan

    @abstractmethod
    def records(self) -> Any:
        """Return all that is known of each fit, a Dask array of `record_type`."""

    @abstractmethod
    def fitted(self, result: FitResult) -> Any:
        """Return the model's values, lazily; NaN where there is no result."""

    @abstractmethod
    def residual(self, result: FitResult) -> Any:
        """Return data − fitted, lazily; NaN where either has no value."""

    @abstractmethod
    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return napari layer data tuples."""

    @property
    def common(self) -> Any:
        """Common part of the residuals: of each chunk in a Dask array, or of all; None where it is not looked for."""
        return None

    def common_of(self, records: Any) -> Any:
        """Return what the residuals of each chunk have in common, lazily; None where it is not looked for."""
        del records

    def with_common(self, common: Any) -> LazySource:
        """Return the same that knows what residuals have in common."""
        raise NotImplementedError(f"residuals of {type(self).__name__} are not compared with each other")

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: ``n_fits`` values per axis of the grid."""
        return self.plan.index_columns()

    def remarks(self, result: FitResult) -> list[str]:
        """Return nothing: data that may be anywhere are not loaded for a remark."""
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
        """Return the request as JSON."""
        return self.request.to_json()


@dataclass(frozen=True, eq=False)
class LazyGrid(LazySource):
    """Fits on a grid of axes of the data: each chunk of the data has a chunk of the grid."""

    def records(self) -> Any:
        """Return all that is known of each fit, on the grid."""
        plan, axes = self.plan, tuple(range(self.data.ndim))
        return blockwise(
            FitBlock(plan.bare(), tuple(plan.arguments)),
            self.chunks,
            plan.grid_axes,
            [Argument(self.data, axes), *plan.arguments.values()],
            record_type(len(plan.model.names)),
            new={axis: plan.grid[-1] for axis in plan.grid_axes if axis == self.data.ndim},
        )

    def fitted(self, result: FitResult) -> Any:
        """Return the model's values in the data's shape, lazily; NaN where there is no result."""
        return self._of_data(FittedBlock, self._on_grid(result), np.float64)

    def residual(self, result: FitResult) -> Any:
        """Return data − fitted in the data's shape, lazily; NaN where either has no value."""
        data = Argument.along(self.data, range(self.data.ndim))
        return self._of_data(ResidualBlock, [data, *self._on_grid(result)], np.float64)

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


@dataclass(frozen=True, eq=False)
class LazyStack(LazyGrid):
    """The curves of a stack that is not in memory."""

    job: ClassVar[str] = "voxels"

    plan: VoxelPlan
    common: Any = None

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

    def common_of(self, records: Any) -> Any:
        """Return what the residuals of each chunk have in common, as records in a Dask array."""
        from dask import array

        da: Any = array
        plan = self.plan
        places = da.arange(int(np.prod(plan.grid)), dtype=np.intp).reshape(plan.grid)
        block = CommonBlock(
            plan.bare(), tuple(plan.arguments), plan.n_requested(), plan.knows_noise, plan.settings.options.criterion
        )
        inputs = [
            Argument(self.data, tuple(range(self.data.ndim))),
            Argument(records, plan.grid_axes),
            Argument(places, plan.grid_axes),
            *plan.arguments.values(),
        ]
        return blockwise(block, self.chunks, plan.grid_axes, inputs, common_type(plan.x.size), one=True)

    def with_common(self, common: Any) -> LazyStack:
        """Return the same that knows what residuals have in common."""
        return replace(self, common=common)

    def layers(
        self,
        result: FitResult,
        units: Units | None = None,
        names: Sequence[str] = (),
        roles: Collection[str] | None = None,
    ) -> list[LayerTuple]:
        """Return napari layer data tuples: maps as arrays, fitted and residual lazy."""
        from .layers import lazy_voxel_layers

        del names
        return lazy_voxel_layers(result, self, units, roles)

    def remarks(self, result: FitResult) -> list[str]:
        """Return what the residuals of curves have in common as a sentence, if it has been computed."""
        del result
        remark = self.common.sentence() if isinstance(self.common, CommonResidual) else ""
        return [remark] if remark else []


@dataclass(frozen=True, eq=False)
class LazyImage(LazyGrid):
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

    def painted(self, result: FitResult) -> Any:
        """Return the label of each region's status on its pixels."""
        return self._of_data(PaintedBlock, [Argument.along(result.status, self.plan.grid_axes)], np.uint8)

    def layers(
        self,
        result: FitResult,
        units: Units | None = None,
        names: Sequence[str] = (),
        roles: Collection[str] | None = None,
    ) -> list[LayerTuple]:
        """Return napari layer data tuples: maps and outlines as arrays, fitted and residual lazy."""
        from .layers import lazy_image_layers

        return lazy_image_layers(result, self, units, names, roles)
