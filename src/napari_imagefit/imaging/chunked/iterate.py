"""Fits of data that are not in memory as a generator: a piece is loaded, fitted and let go before the next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...engine.core.device import device_name
from ...engine.core.error_state import unheeded
from ...engine.core.progress import Progress
from ...engine.core.status import Status
from ..fitting.chunks import is_dask
from ..fitting.records import fill
from ..fitting.run import Run
from .dask_result import LazySource
from .dask_spots import LazySpotSource
from .plan import MASK, Plan
from .spot_plan import SpotPlan

Stop = Callable[[], bool]


@unheeded
def iter_fit_lazily(data: Any, plan: Plan, should_stop: Stop | None = None) -> Run:
    """Fit piece by piece; yields the progress of all, and returns a result of NumPy arrays.

    Its `fitted` and `residual` are Dask arrays. Fits that were not reached have `Status.STOPPED`.
    """
    begun = time.perf_counter()
    piece = plan.piece_shape(data)
    kind = LazySpotSource if isinstance(plan, SpotPlan) else LazySource
    source = kind(data.rechunk(piece) if is_dask(data) else data, plan)  # type: ignore[arg-type]
    result = plan.blank(plan.grid, source, Status.NOT_FITTED)
    places = [(where, n) for where in plan.pieces(piece) if (n := plan.n_fits(where))]
    for where, _ in places:
        result.status[plan.on_grid(where)] = Status.STOPPED
    if MASK in plan.arguments and plan.grid == plan.arguments[MASK].values.shape:
        result.status[~np.asarray(plan.arguments[MASK].values).astype(bool)] = Status.NOT_FITTED
    done, total = 0, sum(n for _, n in places)
    for where, n in places:
        if should_stop is not None and should_stop():
            break
        yield Progress(done, total)
        steps = plan.steps(np.asarray(data[plan.on_data(where)]), plan.cut(where), should_stop)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                fill(result, plan.on_grid(where), end.value)
                break
            yield Progress(done + progress.done, total, progress.compiling)
        del steps
        done += n
    return replace(result, seconds=time.perf_counter() - begun, device=device_name(plan.settings.options))
