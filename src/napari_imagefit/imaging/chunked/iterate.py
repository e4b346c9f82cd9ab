"""Fits of data that are not in memory as a generator: a piece is loaded, fitted and let go before the next one."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...engine.core.device import device_name
from ...engine.core.error_state import unheeded
from ...engine.core.progress import Progress, retold
from ...engine.core.status import Status
from ...engine.core.types import Stop
from ...engine.results.fit_result import FitResult
from ..fitting.chunks import Slices, is_dask
from ..fitting.records import fill
from ..fitting.run import Run
from ..voxels.common_residual import CommonResidual
from ..voxels.voxel_fits import VoxelSource
from .dask_entry import lazy_source
from .plan import MASK, Plan


@unheeded
def iter_fit_lazily(data: Any, plan: Plan, should_stop: Stop | None = None) -> Run:
    """Fit piece by piece; yields the progress of all, and returns a result of NumPy arrays.

    Its `fitted` and `residual` are Dask arrays. Fits that were not reached have `Status.STOPPED`.
    """
    begun = time.perf_counter()
    piece = plan.piece_shape(data)
    source = lazy_source(data.rechunk(piece) if is_dask(data) else data, plan)
    result = plan.blank(plan.grid, source, Status.NOT_FITTED)
    places = [(plan.needed(where), n) for where in plan.pieces(piece) if (n := plan.n_fits(where))]
    for where, _ in places:
        result.status[plan.on_grid(where)] = Status.STOPPED
    if MASK in plan.arguments and plan.grid == plan.arguments[MASK].values.shape:
        result.status[~np.asarray(plan.arguments[MASK].values).astype(bool)] = Status.NOT_FITTED
    done, total, common = 0, sum(n for _, n in places), []
    for where, n in places:
        if should_stop is not None and should_stop():
            break
        yield Progress(done, total)
        steps = plan.steps(plan.load(data, where), plan.cut(where), should_stop)
        found = yield from retold(steps, partial(_of_all, done, total))
        fill(result, plan.on_grid(where), found)
        common += _common(plan, where, found, total)
        del steps, found  # and the data, before the next ones come
        done += n
    if common:
        result = replace(result, source=source.with_common(CommonResidual.joined(common)))
    return replace(result, seconds=time.perf_counter() - begun, device=device_name(plan.settings.options))


def _of_all(done: int, total: int, own: Progress) -> Progress:
    return Progress(done + own.done, total, own.compiling)


def _common(plan: Plan, where: Slices, piece: FitResult, count: int) -> list[CommonResidual]:
    """Return what the residuals of a piece of a map have in common, if anything."""
    if not isinstance(piece.source, VoxelSource):
        return []
    here = [np.arange(*part.indices(n)) for part, n in zip(plan.on_grid(where), plan.grid, strict=True)]
    places = np.ravel_multi_index(np.ix_(*here), plan.grid).ravel()
    found = piece.source.common_residual(piece, places, count)
    return [] if found is None else [found]
