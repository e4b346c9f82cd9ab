"""Fits that share parameters, each by itself with those held, and steps of those alone.

A joint fit ends when the cost of all changes no more, while one of thousands may still be on its way, and one that
wanders off stops all. Here every fit comes to its own minimum, those that come to none have no say, and the shared
parameters s take Gauss–Newton steps of the profiled cost ``F(s) = Σ min_o f(o, s)``. With a fit's gradient g and
Gauss–Newton matrix A, o its own parameters and ``K = A_oo⁻¹A_os``, its gradient is ``Σ(g_s − Kᵀg_o)`` and its matrix
``Σ(A_ss − A_so K)``: variable projection, G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .batch import Progress, iter_fit
from .fits import Fits
from .problem import Problem

Floats = NDArray[np.float64]
# gradient (n_free, N) and Gauss–Newton matrix (n_free, n_free, N) at parameters (n_params, N)
Expansions = Callable[[Floats], tuple[Floats, Floats]]

ROUNDS, HALVINGS = 30, 8
# What is left to gain, next to the variance of the data, where a step is a thousandth of a standard error.
LITTLE = 1e-6
# Of the way to a bound no more is taken in one step.
MOST_OF_THE_WAY = 0.995
# Eigenvalues of a matrix with a diagonal of 1 that are nothing but rounding.
NULL = 1e-10


class Profiled(NamedTuple):
    """Where the fits have come to."""

    fits: Fits  # each with what is shared held
    settled: bool  # whether the shared parameters have come to their minimum

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which of the fits have a say."""
        return np.asarray(self.fits.status > 0)


class _Step(NamedTuple):
    shared: Floats  # (k,)
    own: Floats  # (n_own, N): how the minima move with it
    gain: float  # by how much the cost is to fall


def iter_profile(
    problem: Problem, shared: tuple[int, ...], params: Floats, expansions: Expansions, should_stop: Callable[[], bool]
) -> Generator[Progress, None, Profiled | None]:
    """From parameters ``(n_params, N)`` to the minimum of the profiled cost; None if it was stopped."""
    now = yield from _come_to_rest(problem, shared, params, should_stop)
    for _ in range(ROUNDS):
        if should_stop() or not (now.status > 0).any():
            break
        step = _find_step(problem, shared, now, expansions(now.solution))
        if _is_over(problem, shared, now, step):
            return Profiled(now, settled=True)
        part = 1.0
        for _ in range(HALVINGS):
            moved = now.solution.copy()
            moved[list(shared)] += part * step.shared[:, None]
            moved[list(_own(problem, shared))] += part * step.own
            there = yield from _come_to_rest(
                problem, shared, np.where(now.status > 0, moved, np.nan), should_stop, moved
            )
            both = (now.status > 0) & (there.status > 0)
            if should_stop() or (both.any() and there.cost[both].sum() <= now.cost[both].sum()):
                break
            part /= 4
        else:
            # a cost that falls no further at the resolution that it has
            return Profiled(now, settled=step.gain < 1e-8 * now.cost[now.status > 0].sum())
        now = there
    return None if should_stop() else Profiled(now, settled=not (now.status > 0).any())


def _own(problem: Problem, shared: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in problem.free if i not in shared)


def _come_to_rest(
    problem: Problem,
    shared: tuple[int, ...],
    params: Floats,
    should_stop: Callable[[], bool],
    at: Floats | None = None,
) -> Generator[Progress, None, Fits]:
    """Every fit from here on with what is shared held; those that fail try again from where they would begin alone."""
    index = list(shared)
    values = (params if at is None else at)[index]
    values = np.broadcast_to(np.nanmedian(values, axis=1)[:, None], values.shape)
    found = yield from _fit_held(problem, index, values, params, should_stop)
    failed = found.status <= 0
    # all of them only if it would not be the same again
    if failed.any() and (not failed.all() or np.isfinite(params).any()):
        again = yield from _fit_held(problem, index, values, problem.start, should_stop)
        better = failed & (again.status > 0)
        if better.any():
            found.put(np.flatnonzero(better), again.at(better))
    return found


def _fit_held(
    problem: Problem, index: list[int], values: Floats, start: Floats, should_stop: Callable[[], bool]
) -> Generator[Progress, None, Fits]:
    shape = (len(problem.model.names), problem.n_fits)
    start, lower, upper = (np.array(np.broadcast_to(a, shape)) for a in (start, problem.lower, problem.upper))
    # who is nowhere yet begins where it was told to
    start = np.where(np.isnan(start), problem.start, start)
    start[index] = lower[index] = upper[index] = values
    held = problem.held | {problem.model.names[i] for i in index}
    steps = iter_fit(replace(problem, start=start, lower=lower, upper=upper, held=held, each=True), should_stop)
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            found: Fits = end.value
            return found
        # the shared ones may move once more
        yield replace(progress, done=min(progress.done, problem.n_fits - 1))


def _find_step(problem: Problem, shared: tuple[int, ...], now: Fits, expansions: tuple[Floats, Floats]) -> _Step:
    own, places = _own(problem, shared), {i: k for k, i in enumerate(problem.free)}
    kept = now.status > 0
    o, s = np.array([places[i] for i in own]), np.array([places[i] for i in shared])
    gradient, matrix = (np.where(kept, values, 0.0) for values in expansions)
    still = (now.at_bound != 0) | (problem.lower == problem.upper)
    still = still[list(own)]
    inverse = _inverse(np.moveaxis(matrix[o[:, None], o], 2, 0), still.T)
    cross = np.where(still.T[:, :, None], 0.0, np.moveaxis(matrix[o[:, None], s], 2, 0))  # (N, n, k)
    reach = inverse @ cross  # K
    downhill = gradient[s].sum(axis=1) - np.einsum("nok,on->k", reach, gradient[o])
    curvature = matrix[s[:, None], s].sum(axis=2) - np.einsum("nok,nol->kl", cross, reach)
    free = ~_is_against_a_bound(problem, shared, now, downhill)
    bend = _inverse(curvature[None], ~free[None])[0]
    wanted = -bend @ np.where(free, downhill, 0.0)
    step = _within(problem, shared, now, wanted)
    return _Step(step, -np.einsum("nok,k->on", reach, step), float(-0.5 * wanted @ downhill))


def _is_over(problem: Problem, shared: tuple[int, ...], now: Fits, step: _Step) -> bool:
    kept = now.status > 0
    cost = float(now.cost[kept].sum())
    freedom = max(1, int((now.n_used - now.n_free)[kept].sum()) - len(shared))
    options = problem.options
    enough = max(min(options.ftol * cost, LITTLE * cost / freedom), 10 * float(np.finfo(options.dtype).eps) * cost)
    value = np.abs(now.solution[list(shared)][:, kept][:, 0])
    return step.gain <= enough or bool((np.abs(step.shared) <= 1e-15 * value).all())


def _is_against_a_bound(problem: Problem, shared: tuple[int, ...], now: Fits, downhill: Floats) -> NDArray[np.bool_]:
    """Whether the cost falls towards a bound that is too near to gain anything."""
    below, above = _room(problem, shared, now)
    cost = float(now.cost[now.status > 0].sum())
    room = np.where(downhill > 0, below, above)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(downhill) * room <= 1e-8 * cost)


def _within(problem: Problem, shared: tuple[int, ...], now: Fits, step: Floats) -> Floats:
    below, above = _room(problem, shared, now)
    return np.clip(step, -MOST_OF_THE_WAY * below, MOST_OF_THE_WAY * above)


def _room(problem: Problem, shared: tuple[int, ...], now: Fits) -> tuple[Floats, Floats]:
    value = now.solution[list(shared)][:, now.status > 0][:, 0]
    return value - problem.lower[list(shared), 0], problem.upper[list(shared), 0] - value


def _inverse(matrix: Floats, still: NDArray[np.bool_]) -> Floats:
    """Of symmetric matrices ``(n, p, p)``, 0 for what is still and along what nothing depends on."""
    diagonal = np.einsum("npp->np", matrix)
    still = still | ~(diagonal > 0)
    scale = np.sqrt(np.where(still, 1.0, diagonal))
    both = ~still[:, :, None] & ~still[:, None, :]
    unit = np.where(both, matrix / (scale[:, :, None] * scale[:, None, :]), 0.0)
    values, vectors = np.linalg.eigh(unit)
    with np.errstate(divide="ignore"):
        inverse = np.where(values > NULL, 1 / values, 0.0)
    turned = (vectors * inverse[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return np.asarray(turned / (scale[:, :, None] * scale[:, None, :]))
