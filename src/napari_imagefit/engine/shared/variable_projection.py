"""Joint fits by variable projection: each fit by itself with the shared parameters fixed, and steps of those alone.

A joint fit ends when the cost of all changes no more, while one of thousands may still be on its way, and one that
diverges stops all. Here every fit is fitted to its own minimum, fits that do not converge are left out of the shared
step, and the shared parameters s take steps of the profiled cost ``F(s) = Σ min_o f(o, s)``. With a fit's gradient g
and Gauss–Newton matrix A, o its own parameters and ``K = A_oo⁻¹A_os``, its gradient is ``Σ(g_s − Kᵀg_o)`` and its
matrix ``Σ(A_ss − A_so K)``: variable projection, G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973). What
the gradient has changed by from step to step mends the matrix (Broyden, Fletcher, Goldfarb and Shanno's update).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..core.fits import Fits
from ..core.progress import Progress, retold
from ..core.status import Flag, Status
from ..core.types import Booleans, Floats
from ..drive.problem import Problem
from ..drive.run import iter_fit

# gradient (n_free, N) and Gauss–Newton matrix (n_free, n_free, N) at parameters (n_params, N)
Expansions = Callable[[Floats], tuple[Floats, Floats]]

ROUNDS, HALVINGS = 30, 8
# Gain of the cost, relative to the variance of the data, of a step of a thousandth of a standard error.
NEGLIGIBLE_GAIN = 1e-6
# Of the way to a bound no more is taken in one step.
MOST_OF_THE_WAY = 0.995
# Largest share of active fits that one step may lose.
MOST_LOST = 0.1
# Eigenvalues of a matrix with a diagonal of 1 that are nothing but rounding.
NULL = 1e-10


class Profiled(NamedTuple):
    """State of the fits after the last shared step."""

    fits: Fits  # each with the shared parameters fixed
    active: Booleans  # (N,): which of them take part in the shared step
    settled: bool  # whether the shared parameters have converged
    rounds: int

    @property
    def sound(self) -> int:
        """Number of active fits whose own parameters are determined."""
        return int(np.count_nonzero(self.active & ((self.fits.flags & np.uint16(Flag.POORLY_DETERMINED)) == 0)))


class _Look(NamedTuple):
    """Gradient and matrix of the profiled cost."""

    gradient: Floats  # (k,)
    matrix: Floats  # (k, k)
    reach: Floats  # (N, n_own, k): −∂(own)/∂(shared)


class _Step(NamedTuple):
    shared: Floats  # (k,)
    gain: float  # predicted reduction of the cost


def iter_profile(
    problem: Problem, shared: tuple[int, ...], params: Floats, expansions: Expansions, should_stop: Callable[[], bool]
) -> Generator[Progress, None, Profiled]:
    """Minimise the profiled cost, from parameters ``(n_params, N)``, until it converges or is stopped."""
    search = _Search(problem, shared, expansions, should_stop)
    found = yield from search.run(params)
    usable = found.fits.status != Status.TOO_FEW_SAMPLES
    if should_stop() or (found.settled and 2 * found.sound >= np.count_nonzero(usable)):
        return found
    # a fit without a result may have misled the others: again, with those alone that converge by themselves
    alone = yield from _drain(problem, should_stop)
    answered = alone.status > 0
    if should_stop() or not answered.any():
        return found
    start = np.where(answered, alone.solution, np.nan)
    start[list(shared)] = np.nanmedian(start[list(shared)], axis=1)[:, None]
    again = yield from replace(search, outside=~answered).run(start)
    return again if again.settled and (again.sound > found.sound or not found.settled) else found


@dataclass(frozen=True, eq=False)
class _Search:
    problem: Problem
    shared: tuple[int, ...]
    expansions: Expansions
    should_stop: Callable[[], bool]
    outside: Booleans | None = field(default=None)  # (N,): fits that are never active

    @property
    def own(self) -> list[int]:
        return [i for i in self.problem.free if i not in self.shared]

    def run(self, params: Floats) -> Generator[Progress, None, Profiled]:
        common, now = list(self.shared), (yield from self._come_to_rest(params, params))
        before: tuple[Floats, Floats, Booleans] | None = None
        rounds = min(ROUNDS, self.problem.options.max_iterations)
        for round_ in range(1, rounds + 1):
            active = self._active(now)
            if self.should_stop() or not active.any():
                break
            look, values = self._look(now, active), now.solution[common][:, active][:, 0]
            matrix = look.matrix
            if before is not None and np.array_equal(before[2], active):
                matrix = _mended(matrix, values - before[0], look.gradient - before[1], self._little(now, active))
            before = values, look.gradient, active
            step = self._step(values, look.gradient, matrix)
            if self._is_over(now, active, values, step):
                return Profiled(now, active, settled=True, rounds=round_)
            there = yield from self._go(now, active, look, step)
            if there is None:
                # a cost that falls no further at the resolution that it has
                return Profiled(now, active, settled=step.gain < 1e-8 * now.cost[active].sum(), rounds=round_)
            now = there
        active = self._active(now)
        return Profiled(now, active, settled=not active.any(), rounds=rounds)

    def _active(self, fits: Fits) -> Booleans:
        return np.asarray(fits.status > 0) if self.outside is None else (fits.status > 0) & ~self.outside

    def _go(self, now: Fits, active: Booleans, look: _Look, step: _Step) -> Generator[Progress, None, Fits | None]:
        """Take the step, or a part of it; None if none makes the cost fall."""
        eps = float(np.finfo(self.problem.options.dtype).eps)
        rounding = 10 * eps * float(np.sqrt(np.sum(now.cost[active] ** 2)))
        part = 1.0
        for _ in range(HALVINGS):
            moved = now.solution.copy()
            moved[list(self.shared)] += part * step.shared[:, None]
            moved[self.own] -= part * np.einsum("nok,k->on", look.reach, step.shared)
            there = yield from self._come_to_rest(np.where(now.status > 0, moved, np.nan), moved)
            both = active & self._active(there)
            lost = np.count_nonzero(active & ~both)
            if self.should_stop():
                return there
            falls = both.any() and there.cost[both].sum() <= now.cost[both].sum() + rounding
            if falls and lost <= max(1, MOST_LOST * np.count_nonzero(active)):
                return there
            part /= 4
        return None

    def _come_to_rest(self, start: Floats, at: Floats) -> Generator[Progress, None, Fits]:
        """Fit each with the shared values of `at` fixed; those that fail again from their own starts."""
        values = np.nanmedian(at[list(self.shared)], axis=1)[:, None]
        found = yield from self._fit_held(values, start)
        failed = found.status <= 0
        # all of them only if it would not be the same again
        if failed.any() and (not failed.all() or np.isfinite(start).any()):
            again = yield from self._fit_held(values, self.problem.start)
            better = failed & (again.status > 0)
            if better.any():
                found.put(np.flatnonzero(better), again.at(better))
        return found

    def _fit_held(self, values: Floats, start: Floats) -> Generator[Progress, None, Fits]:
        problem, index = self.problem, list(self.shared)
        shape = (len(problem.model.names), problem.n_fits)
        start, lower, upper = (np.array(np.broadcast_to(a, shape)) for a in (start, problem.lower, problem.upper))
        # those without a step yet begin at their starts
        start = np.where(np.isnan(start), problem.start, start)
        start[index] = lower[index] = upper[index] = values
        held = problem.held | {problem.model.names[i] for i in index}
        return (yield from _drain(replace(problem, start=start, lower=lower, upper=upper, held=held), self.should_stop))

    def _look(self, now: Fits, active: Booleans) -> _Look:
        places = {i: k for k, i in enumerate(self.problem.free)}
        o, s = np.array([places[i] for i in self.own]), np.array([places[i] for i in self.shared])
        gradient, matrix = (np.where(active, values, 0.0) for values in self.expansions(now.solution))
        still = ((now.at_bound != 0) | (self.problem.lower == self.problem.upper))[self.own].T
        inverse = _inverse(np.moveaxis(matrix[o[:, None], o], 2, 0), still)
        cross = np.where(still[:, :, None], 0.0, np.moveaxis(matrix[o[:, None], s], 2, 0))  # (N, n, k)
        reach = inverse @ cross
        return _Look(
            gradient[s].sum(axis=1) - np.einsum("nok,on->k", reach, gradient[o]),
            matrix[s[:, None], s].sum(axis=2) - np.einsum("nok,nol->kl", cross, reach),
            reach,
        )

    def _step(self, values: Floats, gradient: Floats, matrix: Floats) -> _Step:
        """Step to the minimum of the quadratic model, limited by the bounds."""
        index = list(self.shared)
        below, above = values - self.problem.lower[index, 0], self.problem.upper[index, 0] - values
        step, stopped = np.zeros(len(index)), np.zeros(len(index), bool)
        for _ in index:
            left = np.where(stopped, step, 0.0)
            free = -_inverse(matrix[None], stopped[None])[0] @ np.where(stopped, 0.0, gradient + matrix @ left)
            step = np.where(stopped, left, free)
            clipped = np.clip(step, -MOST_OF_THE_WAY * below, MOST_OF_THE_WAY * above)
            if (clipped == step).all():
                break
            stopped |= clipped != step
            step = np.where(stopped, clipped, step)
        return _Step(step, float(-gradient @ step - 0.5 * step @ matrix @ step))

    def _little(self, now: Fits, active: Booleans) -> float:
        """Return the gain of a step of a thousandth of the standard errors."""
        freedom = max(1, int((now.n_used - now.n_free)[active].sum()) - len(self.shared))
        return NEGLIGIBLE_GAIN * float(now.cost[active].sum()) / freedom

    def _is_over(self, now: Fits, active: Booleans, values: Floats, step: _Step) -> bool:
        options, cost = self.problem.options, float(now.cost[active].sum())
        rounding = 10 * float(np.finfo(options.dtype).eps) * cost / np.count_nonzero(active)
        enough = max(min(options.ftol * cost, self._little(now, active)), rounding)
        return step.gain <= enough or bool((np.abs(step.shared) <= 1e-15 * np.abs(values)).all())


def _drain(problem: Problem, should_stop: Callable[[], bool]) -> Generator[Progress, None, Fits]:
    # the shared ones may move once more
    steps = iter_fit(problem, should_stop)
    return (yield from retold(steps, lambda own: replace(own, done=min(own.done, problem.n_fits - 1))))


def _mended(matrix: Floats, step: Floats, change: Floats, little: float) -> Floats:
    """Return the matrix, so that the step would have changed the gradient by as much as it did."""
    bent = matrix @ step
    along, seen = float(step @ bent), float(step @ change)
    # a step that is next to none shows rounding only
    if along <= little or seen <= 0.05 * along:
        return matrix
    return np.asarray(matrix - np.outer(bent, bent) / along + np.outer(change, change) / seen)


def _inverse(matrix: Floats, still: Booleans) -> Floats:
    """Invert symmetric matrices ``(n, p, p)``, 0 for what is fixed and along what nothing depends on."""
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
