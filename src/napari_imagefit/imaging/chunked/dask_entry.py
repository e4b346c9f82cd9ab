"""Dask arrays in, lazy Dask arrays out: each chunk is fitted by a task of its own, in the ordinary way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from ..fitting.chunks import Argument
from ..fitting.records import record_type, unpack
from ..voxels.common_residual import record_type as record_type_of_common
from .dask_result import LazyFitResult, LazyImage, LazyStack, lazy_source
from .dask_spots import LazySpotSource
from .dask_tasks import CommonBlock, FitBlock, blockwise
from .plan import Plan, VoxelPlan


def lazy_fit(data: Any, plan: Plan, progress: object = None, should_stop: object = None) -> FitResult:
    """Return the lazy result of a plan on a Dask array; its arrays are Dask arrays."""
    _refuse_calls(progress, should_stop)
    data = in_chunks(data, plan)
    source = lazy_source(data, plan)
    if isinstance(source, LazySpotSource):
        return _unpacked(source.records(), source)
    return _lazy(plan, data, source)


def _refuse_calls(progress: object, should_stop: object) -> None:
    if progress is not None or should_stop is not None:
        raise FitInputError(
            "progress and should_stop have nothing to do where a Dask array is given, for nothing is computed yet; "
            "leave them out, and watch Dask's own progress (dask.diagnostics.ProgressBar) when you compute the result"
        )


def _lazy(plan: Plan, data: Any, source: LazyStack | LazyImage) -> FitResult:
    axes = tuple(range(data.ndim))
    records = blockwise(
        FitBlock(plan.bare(), tuple(plan.arguments)),
        source.chunks,
        plan.grid_axes,
        [Argument(data, axes), *plan.arguments.values()],
        record_type(len(plan.model.names)),
        new={axis: plan.grid[-1] for axis in plan.grid_axes if axis == data.ndim},
    )
    if isinstance(source, LazyStack):
        source = replace(source, common=_common(source.plan, source, records))
    return _unpacked(records, source)


def _common(plan: VoxelPlan, source: LazyStack, records: Any) -> Any:
    """Return what the residuals of each chunk have in common, as records in a Dask array."""
    from dask import array

    da: Any = array
    places = da.arange(int(np.prod(plan.grid)), dtype=np.intp).reshape(plan.grid)
    block = CommonBlock(
        plan.bare(), tuple(plan.arguments), plan.n_requested(), plan.knows_noise, plan.settings.options.criterion
    )
    inputs = [
        Argument(source.data, tuple(range(source.data.ndim))),
        Argument(records, plan.grid_axes),
        Argument(places, plan.grid_axes),
        *plan.arguments.values(),
    ]
    return blockwise(block, source.chunks, plan.grid_axes, inputs, record_type_of_common(plan.x.size), one=True)


def _unpacked(records: Any, source: LazyStack | LazyImage | LazySpotSource) -> FitResult:
    plan = source.plan
    options = plan.settings.options
    return unpack(
        records,
        plan.model,
        source,
        known_sigma=plan.knows_noise,
        criterion=options.criterion,
        device=options.device or "dask",
        kind=LazyFitResult,
        records=records,
    )


def in_chunks(data: Any, plan: Plan) -> Any:
    """One chunk along the axes that are never cut; along the others the chunks that there are, or smaller ones."""
    most = plan.piece_shape(data)
    wanted = {
        axis: -1 if axis in plan.whole else own if max(own) <= most[axis] else most[axis]
        for axis, own in enumerate(data.chunks)
    }
    return data.rechunk(wanted)
