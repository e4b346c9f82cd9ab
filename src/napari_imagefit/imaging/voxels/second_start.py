"""Another start for curves that a guess without bounds has led astray, and the better result of the two."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...catalogue.within_bounds import LINEAR, starts_within
from ...engine.core.fits import SAME_COST, Fits
from ...engine.core.progress import Progress, retold
from ...engine.core.status import Status
from ...engine.core.types import Bounds, Indices
from ...engine.drive.loading import samples_of
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ...engine.models.prediction import values_of
from ...engine.noise.noise_and_loss import terms

# A height that begins within this part of the data of its bound has been moved there.
MOVED = 0.01
# Samples that are looked at at a time.
VALUES = 1 << 20


def needs_second_start(model: Model, bounds: Bounds, init: Any) -> bool:
    """Whether bounds were given that a guess of the model should have known; starts that were given are kept."""
    return model in LINEAR and not init and any(name in bounds for name in LINEAR[model])


def iter_second_start(
    problem: Problem, fits: Fits, should_stop: Callable[[], bool] | None
) -> Generator[Progress, None, Fits]:
    """Fit those again that ended at a bound, began next to one or failed, where another start is better than that end.

    It yields that all are done once, and returns the better results.
    """
    doubtful = np.flatnonzero(_doubtful(problem, fits))
    width = max(1, VALUES // problem.n_samples)
    parts = [doubtful[first : first + width] for first in range(0, doubtful.size, width)]
    found = [_promising(problem, fits, part) for part in parts]
    places = np.concatenate([np.empty(0, np.intp), *(places for places, _ in found)])
    if not places.size:
        return fits
    starts = np.concatenate([starts for _, starts in found], axis=1)
    if places.size == 1:
        # a column by itself would be one that all fits share
        places, starts = np.repeat(places, 2), np.repeat(starts, 2, axis=1)
    from ...engine.drive.run import iter_fit

    steps = iter_fit(replace(problem.at(places), start=starts), should_stop)
    other = yield from retold(steps, lambda own: replace(own, done=problem.n_fits, total=problem.n_fits))
    other.n_iterations[:] += fits.n_iterations[places]
    converged, before = other.status > 0, fits.status[places] > 0
    smaller = other.cost < fits.cost[places] * (1 - SAME_COST)
    better = np.isfinite(other.cost) & (other.status != Status.STOPPED)
    better &= np.where(before, converged & smaller, converged | smaller | np.isnan(fits.cost[places]))
    fits.put(places[better], other.at(better))
    return fits


def _doubtful(problem: Problem, fits: Fits) -> NDArray[np.bool_]:
    free = list(problem.free)
    heights = [problem.model.index(name) for name in LINEAR[problem.model]]
    size = np.sqrt(np.divide(fits.spread, fits.n_used, out=np.zeros(fits.status.size), where=fits.n_used > 0))
    moved = np.zeros(fits.status.size, bool)
    for i in set(heights) & set(free):
        start, lower, upper = fits.start[i], problem.lower[i], problem.upper[i]
        moved |= (start - lower < MOVED * size) | (upper - start < MOVED * size)
    open_ = ~np.isin(fits.status, (Status.TOO_FEW_SAMPLES, Status.STOPPED))
    return np.asarray(open_ & ((fits.status <= 0) | fits.at_bound[heights].any(axis=0) | moved))


def _promising(problem: Problem, fits: Fits, places: Indices) -> tuple[Indices, NDArray[np.float64]]:
    """Return those of some fits whose other start costs less than their end, and these starts."""
    own = problem.at(places)
    samples = samples_of(own, slice(0, places.size))
    used = samples.usable()
    shape = len(own.model.names), places.size
    lower, upper = (np.broadcast_to(table, shape) for table in (own.lower, own.upper))
    data = np.where(used, samples.data, 0)
    weights = samples.weighted(used.astype(float)) if own.options.noise == "gaussian" else used.astype(float)
    starts = starts_within(samples.coords[0][:, 0], data, np.broadcast_to(weights, data.shape), lower, upper)
    with np.errstate(all="ignore"):
        value = values_of(own.model, samples.coords, starts, own.options).astype(np.float64)
        cost = np.where(used, terms(own.options.criterion, value, samples).cost, 0).sum(axis=0)
        better = ~(cost >= fits.cost[places]) & np.isfinite(cost)
    return places[better], starts[:, better]
