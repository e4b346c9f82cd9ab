"""Results from the final states of fits: what the data determine, which bounds are active, and flags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.fits import Fits
from ..core.status import Flag, Status
from ..core.types import Booleans, Floats, Positions
from ..functions.parameter import CONSTANT_NAMES
from ..solver.covariance import Answer
from ..solver.residual_flags import find_misfits
from ..solver.trust_region import RUNNING, UNEVALUATED, State
from ..sums.residual_sums import Residuals
from .level import Level
from .neighbours import expectation
from .problem import Problem
from .saturation import find_saturated

# Error inflation (over the error if the other parameters were known) above which parameters are not separable.
INSEPARABLE_RATIO = 1000.0
# The cosine between residuals and a column of J from which on a fit of counts whose steps have become short is stuck.
STUCK = 1e-4
# Half a deviance of counts that cannot matter.
NEGLIGIBLE_DEVIANCE = 1e-3
# How many times a cost that is nothing but the data's rounding a cost must be to mean something, and the part of the
# data's squares that their variation must be for that rounding not to be due to a level.
MEANS, VARIATION = 4.0, 1e-6
# The same cosine for least squares, and which part of the data's squares has to be left for it to mean something.
LOST, RESIDUAL = 0.1, 1e-8


def store(
    problem: Problem,
    part: Positions,
    fits: Fits,
    params: NDArray[Any],
    state: State,
    level: Level,
    ends: Answer,
    residuals: Residuals,
    worthless: NDArray[np.bool_] | None = None,
) -> None:
    """Copy the results of some fits to their positions; parameters without one stay NaN.

    Parameters
    ----------
    params : array, ``(n_params, B)``
        The starts.
    state : State
        Of NumPy arrays ``(B,)``.
    worthless : array, ``(B,)``, optional
        Which ended above a constant that the model contains.
    """
    n_free = fits.n_free[part]
    count = n_free.size
    options = problem.options
    free = np.array(problem.free)
    status = state.status.astype(np.int8)
    status[status >= RUNNING] = Status.STOPPED
    if options.noise == "poisson":
        # at the edge of what can be, steps shrink to nothing while the cost still falls along it
        loose = 10 * max(STUCK, options.tolerances.cost**0.5)
        # single precision cannot bring the gradient further down
        tight = STUCK if options.dtype == "float64" else loose
        enough = np.where(status == Status.STEP, tight, loose)
        stuck = (state.optimality > enough) & (state.here.cost > NEGLIGIBLE_DEVIANCE)
        status[(status > 0) & stuck] = Status.NON_FINITE_MODEL
    undetermined, lacks_a_part = _without_absent_parts(problem, ends.undetermined)
    # a fit that was stopped before its start was evaluated is nowhere yet
    solved = (status >= 0) | ((status == Status.STOPPED) & (state.status != UNEVALUATED))
    at_lower, at_upper = ends.at_lower & solved, ends.at_upper & solved
    # with a component gone at a bound (no condensate) its other parameters have no values, but the rest is a result
    nested = (at_lower | at_upper).any(axis=0)
    # data that do not vary determine a level and nothing else, whatever rounding makes of the rest
    rounding = 64 * np.finfo(options.dtype).eps
    constant = (np.asarray(level.spread) <= rounding**2 * np.asarray(level.norm)) & (not problem.alone)
    vague = (undetermined.any(axis=0) & ~nested & ~lacks_a_part) | (constant & (n_free > 1))
    # steps that shrink to nothing while the cost still falls: along parameters on which the model hardly depends
    rest = 2 * state.here.cost > RESIDUAL * np.asarray(level.norm)
    lost = (status == Status.STEP) & (state.optimality > LOST) & rest
    vague |= lost & (not problem.alone)
    ended = status.copy()
    status[(status > 0) & vague] = Status.SINGULAR
    if worthless is not None:
        status[(status >= 0) & worthless] = Status.NO_IMPROVEMENT
        solved &= status != Status.NO_IMPROVEMENT
    answered = solved & (status != Status.SINGULAR)

    start = params.astype(np.float64)
    solution = np.where(solved, start, np.nan)
    solution[free] = np.where(solved, np.stack(state.x), np.nan)
    params = np.where(answered, solution, np.nan)
    params[free] = np.where(undetermined, np.nan, params[free])
    covariance = np.full((count, len(start), len(start)), np.nan)
    known = answered & ~undetermined[:, None] & ~undetermined[None]
    covariance[:, free[:, None], free] = np.moveaxis(np.where(known, ends.covariance, np.nan), -1, 0)
    at_bound = np.zeros(start.shape, np.int8)
    at_bound[free] = np.where(solved, at_upper.astype(np.int8) - at_lower, 0)
    n_used = np.asarray(level.n_used).astype(np.int64)
    n_left_out = np.asarray(level.n_left_out).astype(np.int64)
    # in single precision: residuals next to the rounding of a level about which the data hardly vary
    coarse = np.asarray(level.spread) < VARIATION * np.asarray(level.norm)
    coarse &= state.here.cost < MEANS * np.asarray(level.rounding(options.criterion, options.eps))
    coarse &= (options.dtype == "float32") & (options.noise == "gaussian")
    flags = np.where(n_left_out > 0, np.uint16(Flag.MASKED_SAMPLES), np.uint16(0))
    for flag, where in (
        (Flag.AT_LOWER, at_lower.any(axis=0)),
        (Flag.AT_UPPER, at_upper.any(axis=0)),
        (
            Flag.POORLY_DETERMINED,
            undetermined.any(axis=0) | vague | lost | coarse | (ends.vagueness > INSEPARABLE_RATIO).any(axis=0),
        ),
        *_doubts(problem, part, solution, ends, residuals, n_used, n_free),
    ):
        flags[where & solved] |= np.uint16(flag)
    own = Fits(
        params=params,
        solution=solution,
        covariance=covariance,
        start=start,
        status=status,
        ended=ended,
        flags=flags,
        at_bound=at_bound,
        cost=np.where(solved, state.here.cost, np.nan),
        n_free=n_free,
        n_shared=fits.n_shared[part],
        n_used=n_used,
        n_left_out=n_left_out,
        n_iterations=np.asarray(state.iterations).astype(np.int32),
        spread=np.asarray(level.spread).astype(np.float64),
        chi2=np.where(solved, residuals.chi2, np.nan),
        squares=np.where(solved, residuals.squares, np.nan),
        attempt=fits.attempt[part],
        refused=fits.refused[part],
    )
    fits.put(part, own)


def constant_of(problem: Problem) -> int | None:
    """Return which of the free parameters is the background, None if none is."""
    names = [problem.model.names[i] for i in problem.free]
    return next((i for i, name in enumerate(names) if name in CONSTANT_NAMES), None)


def _without_absent_parts(problem: Problem, undetermined: Booleans) -> tuple[Booleans, Booleans]:
    """Return what is not determined, ``(n_free, B)``, with all of an absent part, and where nothing else is lacking.

    A cloud without a condensate does not determine its radii, and where these are found to be wide its height cannot be
    told from the background; but the thermal cloud is determined.
    """
    names = [problem.model.names[i] for i in problem.free]
    found, lacking = undetermined.copy(), np.zeros(undetermined.shape[1], bool)
    for part in problem.model.optional:
        own = np.isin(names, part)
        absent = undetermined[own].any(axis=0) & ~undetermined[~own & ~np.isin(names, CONSTANT_NAMES)].any(axis=0)
        found[own] |= absent
        lacking |= absent
    return found, lacking


def _doubts(
    problem: Problem,
    part: Positions,
    solution: Floats,
    ends: Answer,
    residuals: Residuals,
    used: NDArray[np.int64],
    free: NDArray[np.int64],
) -> Iterator[tuple[Flag, Booleans]]:
    """Return the flags that samples and residuals set, each with a mask of the fits that have it."""
    if problem.alone:
        # progress is not reported
        return
    yield Flag.SATURATED, find_saturated(problem, part)
    expect = expectation(problem, part, solution, ends, residuals.chi2 / np.maximum(used, 1))
    yield from find_misfits(residuals, used, free, problem.noise_is_known, problem.options.criterion, expect)
