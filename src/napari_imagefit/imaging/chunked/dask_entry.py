"""Dask arrays in, lazy Dask arrays out: each chunk is fitted by a task of its own, in the ordinary way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from ..fitting.records import unpack
from .dask_result import LazyFitResult
from .dask_sources import LazyImage, LazySource, LazyStack
from .dask_spots import LazySpotSource
from .plan import Plan, VoxelPlan
from .region_plan import ImagePlan
from .spot_plan import SpotPlan

SOURCES: dict[type[Plan], Callable[[Any, Any], LazySource]] = {
    VoxelPlan: LazyStack,
    ImagePlan: LazyImage,
    SpotPlan: LazySpotSource,
}


def lazy_fit(data: Any, plan: Plan, progress: object = None, should_stop: object = None) -> FitResult:
    """Return the lazy result of a plan on a Dask array; its arrays are Dask arrays."""
    _refuse_calls(progress, should_stop)
    source = lazy_source(in_chunks(data, plan), plan)
    records = source.records()
    common = source.common_of(records)
    return _unpacked(records, source if common is None else source.with_common(common))


def lazy_source(data: Any, plan: Plan) -> LazySource:
    """Return how the fits of a plan lie in a Dask array."""
    return SOURCES[type(plan)](data, plan)


def _refuse_calls(progress: object, should_stop: object) -> None:
    if progress is not None or should_stop is not None:
        raise FitInputError(
            "progress and should_stop have nothing to do where a Dask array is given, for nothing is computed yet; "
            "leave them out, and watch Dask's own progress (dask.diagnostics.ProgressBar) when you compute the result"
        )


def _unpacked(records: Any, source: LazySource) -> FitResult:
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
