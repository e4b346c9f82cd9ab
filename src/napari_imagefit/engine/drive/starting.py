"""Starts of fits: those given, and the model's guess for the others, where the fit can begin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.array_module import is_numpy, xp
from ..core.options import Options
from ..core.types import Array
from ..functions.evaluation import evaluate
from ..models.model import Model
from ..models.prediction import values_of
from ..models.starts import guess_starts, is_traceable, moved_inside
from ..models.turns import start_in_branch
from ..noise.samples import Samples
from .level import Level, nanmedian
from .loading import columns_of, lengths_of
from .problem import Problem

# Distances from the median of the neighbours, in usual ones, from which on a sample stands out.
STANDS_OUT = 10


def find_starts(
    model: Model,
    options: Options,
    samples: Samples,
    level: Level,
    start: Array,
    lower: Array,
    upper: Array,
    *,
    says: bool = True,
) -> Array:
    """Return starts ``(n_params, B)``: those given, and the model's guess where they are NaN, moved inside the bounds.

    Parameters
    ----------
    samples : Samples
        With the samples along the first axis.
    start, lower, upper : arrays, ``(n_params, B)``
    says : bool
        Whether the call gives any: a program compiled without is quicker.
    """
    if is_numpy(start) and not np.isnan(start).any():
        return start
    said = (start, lower, upper) if says else None
    found = guess_starts(model, samples.coords, *filled(samples, options.criterion.is_robust), said)
    return fitting(model, options, samples, level, found, start, lower, upper)


def fitting(
    model: Model,
    options: Options,
    samples: Samples,
    level: Level,
    found: Array,
    start: Array,
    lower: Array,
    upper: Array,
) -> Array:
    """Return what is guessed as a start ``(n_params, B)``.

    The given values at their positions, the rest where a fit can begin.
    """
    found = start_in_branch(model.turns, model.names, found, start, lower, upper)
    found = xp.where(xp.isnan(start), moved_inside(found, lower, upper), start)
    if options.noise == "poisson":
        found = _lifted(model, options, samples, level, found, xp.isnan(start) & (lower < upper))
    return found


def limits_of(problem: Problem, samples: Samples, positions: slice, width: int) -> tuple[NDArray[Any], ...]:
    """Return starts, lower and upper bounds of some fits, ``(n_params, width)``; what is added is like the last fit.

    Starts are NaN where a program is to guess them; guesses that are not written for JAX are made here.
    """
    found = []
    for array in (problem.start, problem.lower, problem.upper):
        own = columns_of(array, positions)
        full = np.empty((len(own), width), problem.options.dtype)
        with np.errstate(over="ignore"):
            full[:, : own.shape[1]] = own
            full[:, own.shape[1] :] = own[:, -1:]
        found.append(full)
    start = found[0]
    if np.isnan(start).any() and not is_traceable(problem.model):
        count = samples.data.shape[1]
        guessed = _guess_on_host(problem, samples, positions)
        start[:, :count] = np.where(np.isnan(start[:, :count]), guessed, start[:, :count])
    return tuple(found)


def _guess_on_host(problem: Problem, samples: Samples, positions: slice) -> NDArray[Any]:
    """Guesses that are not written for JAX, inside the bounds."""
    model, options = problem.model, problem.options
    lower, upper = (columns_of(a, positions) for a in (problem.lower, problem.upper))
    with np.errstate(all="ignore"):
        level = Level.of(options.criterion, samples, lengths_of(problem, positions))
        shape = len(model.names), samples.data.shape[1]
        bounds = (np.broadcast_to(a, shape) for a in (lower, upper))
        found: NDArray[Any] = find_starts(model, options, samples, level, np.full(shape, np.nan), *bounds)
    return found


def filled(samples: Samples, robust: bool) -> tuple[Array, Array]:
    """Return data and weights ``(m, B)`` as a guess takes them: both 0 where a sample is not usable.

    For a robust loss, samples that stand out from their neighbours do not count either: a guess has no other defence
    against them.
    """
    used = samples.usable()
    if robust:
        used = used & ~_stands_out(samples.data, used)
    return xp.where(used, samples.data, 0), samples.weighted(used.astype(samples.data.dtype))


def _stands_out(data: Array, used: Array) -> Array:
    """Return samples far from the median of the five around them, in units of how far samples usually are."""
    known = xp.where(used, data, xp.nan)
    edge = xp.full((2, *data.shape[1:]), xp.nan, data.dtype)
    padded = xp.concatenate([edge, known, edge])
    around = xp.stack([padded[i : i + len(known)] for i in range(5)])
    distance = xp.abs(known - nanmedian(around))
    return distance > STANDS_OUT * nanmedian(distance)


def _lifted(model: Model, options: Options, samples: Samples, level: Level, start: Array, guessed: Array) -> Array:
    """Raise the constant of the model by what lacks at worst: starts of Poisson fits need rates above 0."""
    constant = next((i for i, name in enumerate(model.names) if name in ("offset", "intercept")), None)
    if constant is None:
        return start
    if is_numpy(start):
        value = values_of(model, samples.coords, start, options)
    else:
        value = evaluate(model.function, samples.coords, start)
    rate, _ = samples.counts(value)
    lowest = xp.min(xp.where(samples.usable(), rate, xp.inf), axis=0)
    floor = 0.1 * level.counts / xp.maximum(level.n_used, 1)
    weight = 1.0 if samples.weights is None else xp.max(samples.weights, axis=0)
    lack = xp.where((lowest <= 0) & xp.isfinite(lowest) & guessed[constant], (floor - lowest) / weight, 0)
    return xp.stack([row + lack if i == constant else row for i, row in enumerate(start)])
