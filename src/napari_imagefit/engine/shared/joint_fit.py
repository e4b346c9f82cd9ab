"""Fits that have parameters in common: all as one problem, then each by itself, then what is known of them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import FitInputError
from ..core.fits import Fits
from ..core.programs import wait_for
from ..core.progress import REPORT_INTERVAL_S, Progress
from ..core.status import Status
from ..core.types import Booleans, Floats
from ..drive.coarse_problem import coarsen
from ..drive.collect import store
from ..drive.evaluators import Evaluator, evaluator_of, is_large
from ..drive.few import Run, single
from ..drive.level import Level, nanmedian
from ..drive.problem import Problem
from ..drive.single_precision import eased
from ..linalg.algebra import Joint, Rows
from ..linalg.arrowhead_matrix import Solver, join
from ..linalg.normal_matrix import Dense
from ..solver.covariance import Answer, edges, quotient, robust_factor
from ..solver.trust_region import RUNNING, Expansion, State, Task, begin, judge, propose, stay
from ..sums.residual_sums import Residuals
from .improvement import cost_more_than_constants
from .layout import Layout, Sums
from .variable_projection import Profiled, iter_profile


def iter_fit_shared(
    problem: Problem, shared: Sequence[str], should_stop: Callable[[], bool] | None = None
) -> Generator[Progress, None, Fits]:
    """Fit everything as one problem; yields and returns as `run.iter_fit` does.

    Raises
    ------
    FitInputError
        If a shared parameter is unknown, fixed, or has bounds or starts that differ from fit to fit.
    """
    which = _shared_parameters(problem, shared)
    easier = eased(problem, which)
    fits = yield from _iter_fit(easier.problem, which, should_stop)
    easier.give_back(fits.params, fits.solution, fits.start)
    return fits


def _iter_fit(
    problem: Problem, which: tuple[int, ...], should_stop: Callable[[], bool] | None
) -> Generator[Progress, None, Fits]:
    stop = _for_good(should_stop)
    here = Progress(0, problem.n_fits)
    fit = _Fit(problem, which, stop)
    if not (yield from wait_for(fit.evaluators.prepare(), here, stop)):
        return Fits.blank(len(problem.model.names), problem.n_fits, Status.STOPPED)
    yield here
    found = yield from fit.solve()
    profiled = None
    if fit.layout.own and found.takes_part.any() and not stop():
        profiled = yield from iter_profile(problem, which, found.params, fit.expansions, stop)
    # a fit that was stopped on the way is at no minimum
    fits = fit.finish(found, None if stop() else profiled)
    problem.settle(fits, which)
    yield Progress(problem.n_fits, problem.n_fits)
    return fits


def _shared_parameters(problem: Problem, shared: Sequence[str]) -> tuple[int, ...]:
    for name in shared:
        i = problem.model.index(name)
        if i not in problem.free or (problem.lower[i] == problem.upper[i]).all():
            raise FitInputError(f"{name!r} is fixed and also shared; leave it out of one of them")
        for what, rows in (("bounds", problem.lower), ("bounds", problem.upper), ("starts", problem.start)):
            values = rows[i]
            if not (np.isnan(values).all() or (values == values[0]).all()):
                raise FitInputError(f"{name!r} is shared, but its {what} differ from fit to fit; give one for all")
    return tuple(sorted({problem.model.index(name) for name in shared}))


def _for_good(should_stop: Callable[[], bool] | None) -> Callable[[], bool]:
    """Return what was said once holds."""
    said = False

    def stop() -> bool:
        nonlocal said
        said = said or (should_stop is not None and should_stop())
        return said

    return stop


class _Evaluators:
    """One for all fits, or one for each large one."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        count = problem.n_fits
        parts = [slice(i, i + 1) for i in range(count)] if is_large(problem) else [slice(0, count)]
        self.each: list[Evaluator] = [evaluator_of(problem, part) for part in parts]
        levels = [one.level for one in self.each]
        self.level = Level(*(np.concatenate(values) for values in zip(*levels, strict=True)))

    def prepare(self) -> list[Any]:
        return self.each[0].prepare()

    def _joined(self, params: Floats, call: Callable[[Evaluator, Floats], Any]) -> list[Any]:
        if len(self.each) == 1:
            return [call(self.each[0], params)]
        return [call(one, params[:, i : i + 1]) for i, one in enumerate(self.each)]

    def sums(self, params: Floats, *, plain: bool = False) -> Sums:
        """Return the sums at parameters ``(n_params, N)``."""
        found = self._joined(params, lambda one, own: one.plain(own) if plain else one.sums(own))
        return Sums.of(np.concatenate(found, axis=1), len(self.problem.free))

    def residuals(self, params: Floats) -> Residuals:
        parts = self._joined(params, lambda one, own: one.residuals(own))
        return Residuals(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def find_starts(self) -> Floats:
        problem = self.problem
        if len(self.each) == 1:
            return Run(problem, slice(0, problem.n_fits), self.each[0]).find_starts()
        runs = (Run(coarsen(single(problem, i)), slice(0, 1)) for i in range(problem.n_fits))
        return np.concatenate([run.find_starts() for run in runs], axis=1)


@dataclass(frozen=True, eq=False)
class _Found:
    """Final state of the joint fit."""

    task: Task
    state: State
    start: Floats  # (n_params, N)
    rows: Floats  # (n_free, N): the free parameters
    takes_part: Booleans  # (N,)
    status: Any  # (N,): why a fit is left out, or how all have ended
    params: Floats  # (n_params, N): NaN for what is left out, but for the shared ones


class _Fit:
    def __init__(self, problem: Problem, shared: tuple[int, ...], stop: Callable[[], bool]) -> None:
        self.problem, self.shared, self.stop = problem, shared, stop
        self.options, self.free = problem.options, list(problem.free)
        self.layout = Layout.of(problem.free, shared)
        self.algebra = Joint(self.options.dtype)
        with np.errstate(all="ignore"):
            self.evaluators = _Evaluators(problem)
        shape = len(problem.model.names), problem.n_fits
        self.lower, self.upper = (np.broadcast_to(a, shape)[self.free] for a in (problem.lower, problem.upper))

    def solve(self) -> Generator[Progress, None, _Found]:
        """Run the joint fit until it ends."""
        algebra, options, told = self.algebra, self.options, time.perf_counter()
        with np.errstate(all="ignore"):
            task, state, reason, start = self._begin()
            trial, takes_part = stay(state), reason == RUNNING
        while state.status[0] >= RUNNING and not self.stop():
            with np.errstate(all="ignore"):
                there = self._expansion(start, trial.x, takes_part).without(algebra, task.held)
                state = judge(algebra, task, options.tolerances, options.max_iterations, state, trial, there)
                if state.status[0] < RUNNING:
                    break
                trial = propose(algebra, task, state)
            if time.perf_counter() - told > REPORT_INTERVAL_S:
                told = time.perf_counter()
                yield Progress(0, self.problem.n_fits)
        rows = self.layout.spread(state.x, self.problem.n_fits)
        status = np.where(takes_part, state.status[0], reason)
        params = np.array(start)
        params[self.free] = np.where(takes_part, rows, np.nan)
        params[list(self.shared)] = rows[list(self.layout.shared), int(np.argmax(takes_part))][:, None]
        return _Found(task, state, start, rows, takes_part, status, params)

    def _begin(self) -> tuple[Task, State, Any, Floats]:
        """Return the joint task.

        Fits that cannot take part are left out, with the reason, and where each one starts.
        """
        layout, level, criterion, eps = self.layout, self.evaluators.level, self.options.criterion, self.options.eps
        params = np.array(self.evaluators.find_starts())
        own, shared, lower, upper = list(layout.own), list(layout.shared), self.lower, self.upper
        enough = level.n_used >= np.maximum(np.sum(lower[own] < upper[own], axis=0), 1)
        # the middle of what the fits would start from, each by itself
        rows = params[self.free]
        known = np.where(enough & np.isfinite(rows[shared]), rows[shared], np.nan)
        rows[shared] = nanmedian(known.T)[:, None]
        params[self.free] = rows
        sums = self.evaluators.sums(params)
        reason = np.where(
            ~enough, int(Status.TOO_FEW_SAMPLES), np.where(sums.finite(), RUNNING, int(Status.NON_FINITE_MODEL))
        )
        takes_part = reason == RUNNING
        first = int(np.argmax(takes_part))
        # what a fit that is left out would have as its own does not move
        x = layout.gather(np.where(np.isfinite(rows), rows, 0), first)
        out = self._out(takes_part)
        limits = [
            tuple(np.where(o, v, bound) for o, v, bound in zip(out, x, layout.gather(bounds, first), strict=True))
            for bounds in (lower, upper)
        ]
        rounding = np.sum(np.where(takes_part, level.rounding(criterion, eps), 0))
        size = np.sqrt(np.sum(np.where(takes_part, level.size(criterion, eps) ** 2, 0)))
        task = Task(limits[0], limits[1], np.array([rounding]), np.array([size if size > 0 else 1.0]))
        start = np.where(np.isfinite(params), params, 0)
        blank = layout.arrow(sums.only(takes_part))
        state = begin(self.algebra, task, x, blank, np.array([takes_part.any()]))
        return task, state, reason, start

    def _out(self, takes_part: Booleans) -> Rows:
        return (*(~takes_part for _ in self.layout.own), *(np.array([False]) for _ in self.layout.shared))

    def _expansion(self, start: Floats, x: Rows, takes_part: Booleans) -> Expansion:
        params = np.array(start)
        params[self.free] = self.layout.spread(x, self.problem.n_fits)
        return self.layout.arrow(self.evaluators.sums(params).only(takes_part))

    def expansions(self, params: Floats) -> tuple[Floats, Floats]:
        """Each fit's gradient and matrix at parameters ``(n_params, N)``."""
        with np.errstate(all="ignore"):
            sums = self.evaluators.sums(params)
        return sums.gradient, sums.matrix

    def finish(self, found: _Found, profiled: Profiled | None) -> Fits:
        """Covariances, and everything else that is returned for each fit."""
        problem, count, state = self.problem, self.problem.n_fits, found.state
        fits = Fits.blank(len(problem.model.names), count, Status.STOPPED)
        fits.n_free[:] = np.count_nonzero(np.broadcast_to(problem.lower < problem.upper, fits.params.shape), axis=0)
        fits.n_free[:] -= len(self.shared)
        rows, status, active, sides = found.rows.copy(), found.status, found.takes_part, None
        iterations = np.where(found.takes_part, state.iterations[0], 0)
        optimality = np.full(count, float(state.optimality[0]))
        norms = self.layout.spread(state.column_norms, count)
        if profiled is not None and profiled.active.any():
            own = [self.free[i] for i in self.layout.own]
            active = profiled.active
            sides = np.where(active, profiled.fits.at_bound[own], 0)
            rows = profiled.fits.solution[self.free]
            # the status of the joint fit counts for those that have converged by themselves
            ended = np.where(status > 0, status, profiled.fits.status)
            status = ended if profiled.settled else np.full_like(ended, Status.ITERATION_LIMIT)
            iterations = iterations + profiled.rounds - 1
            # the largest columns that a joint fit has met may be those of a point far away
            norms = np.zeros_like(norms)
        elif self.stop():
            status = np.where(found.takes_part, int(Status.STOPPED), status)
        if profiled is not None:
            # each has been tested at its own end, which may differ from that of the joint fit
            optimality = np.zeros(count)
        with np.errstate(all="ignore"):
            answer, cost, residuals = self._answer(found, rows, norms, active, sides)
            # what all have come to, as if each had come to it by itself
            single = State(
                x=tuple(rows),
                here=Expansion(cost, tuple(rows), Dense(())),
                column_norms=tuple(norms),
                radius=cost,
                alpha=cost,
                status=status,
                iterations=iterations,
                gain=cost,
                optimality=optimality,
            )
            store(problem, slice(0, count), fits, found.start, single, self.evaluators.level, answer, residuals)
        if profiled is not None and not profiled.active.all():
            fits.put(np.flatnonzero(~profiled.active), profiled.fits.at(~profiled.active))
        fits.n_shared[:] = np.where(active & (fits.status != Status.NO_IMPROVEMENT), len(self.shared), 0)
        worthless = cost_more_than_constants(problem, self.shared, fits, self.evaluators.level, self._costs)
        fits.withdraw(worthless, Status.NO_IMPROVEMENT)
        return fits

    def _costs(self, params: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return self.evaluators.sums(params).cost

    def _answer(
        self, found: _Found, rows: Floats, norms: Floats, kept: Booleans, sides: Any
    ) -> tuple[Answer, Floats, Residuals]:
        """Covariances of each fit's free parameters, the shared ones included; see `covariance.answer`.

        `rows` are the free parameters ``(n_free, N)``, and `kept` the fits ``(N,)`` that take part; the others get
        no covariance. `sides` says where own parameters are at a bound ``(n_own, N)``, if that has been asked of each
        fit: the gradient of a dim one is little beside the residuals of all.
        """
        layout, count, algebra, criterion = self.layout, self.problem.n_fits, self.algebra, self.options.criterion
        first = int(np.argmax(kept))
        x = layout.gather(rows, first)
        out = self._out(kept)
        lower, upper = (
            tuple(np.where(o, v, bound) for o, v, bound in zip(out, x, bounds, strict=True))
            for bounds in (found.task.lower, found.task.upper)
        )
        params = np.array(found.start)
        params[self.free] = rows
        sums = self.evaluators.sums(params)
        residuals = self.evaluators.residuals(params)
        held = tuple(low == high for low, high in zip(lower, upper, strict=True))
        joint = layout.arrow(sums.only(kept)).without(algebra, held)
        n_used = np.array([max(int(np.sum(np.where(kept, self.evaluators.level.n_used, 0))), 1)])
        columns = tuple(np.sqrt(d) for d in joint.matrix.diagonal())
        length = np.sqrt(2 * joint.cost)
        rows_of_each = zip(x, lower, upper, joint.gradient, columns, layout.gather(norms, first), strict=True)
        found_edges = [
            edges(algebra, criterion, v, low, high, g, column, norm, length, n_used)
            for v, low, high, g, column, norm in rows_of_each
        ]
        at_lower, at_upper, gone = (tuple(which) for which in zip(*found_edges, strict=True))
        if sides is not None:
            n = len(layout.own)
            at_lower, at_upper = (*(sides < 0), *at_lower[n:]), (*(sides > 0), *at_upper[n:])
        out = tuple(h | lo | hi | g for h, lo, hi, g in zip(held, at_lower, at_upper, gone, strict=True))
        matrix, factor = joint.matrix, np.ones(1)
        if criterion.is_robust:
            matrix = layout.matrix(self.evaluators.sums(params, plain=True).only(kept).matrix)
            columns = tuple(np.sqrt(d) for d in matrix.diagonal())
            total = Residuals(*(np.array([np.sum(np.where(kept, values, 0))]) for values in residuals))
            factor = robust_factor(algebra, total, n_used, np.array([sum(int(np.sum(~o)) for o in out)]))
        scale = tuple(np.where(o, 1.0, quotient(1.0, c)) for o, c in zip(out, columns, strict=True))
        scaled = matrix.without(algebra, out).scaled(scale, tuple(np.where(o, 1.0, 0.0) for o in out))
        covariance, vague, vague_shared = Solver.of(scaled, algebra.eps).inverse()
        order = np.argsort(np.array(layout.own + layout.shared))
        covariance = covariance[order[:, None], order]
        scales = layout.spread(scale, count)
        vagueness = np.sqrt(np.abs(np.einsum("nnN->nN", covariance)))
        covariance = factor * covariance * scales[:, None] * scales[None]
        unknown = tuple(
            ~h & ~lo & ~hi & (g | v)
            for h, lo, hi, g, v in zip(held, at_lower, at_upper, gone, join(vague, vague_shared), strict=True)
        )
        spread = [layout.spread(which, count) for which in (unknown, at_lower, at_upper, out)]
        blank = spread[0] | spread[3]
        covariance = np.where(blank[:, None] | blank[None], np.nan, covariance)
        return Answer(covariance, spread[0], spread[1], spread[2], vagueness), sums.cost, residuals
