"""Fits that have parameters in common: all as one problem, then each by itself, then what is known of them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FitInputError
from ..core.fits import Fits, store
from ..core.programs import Runner, computing
from ..core.status import Status
from ..drive.loading import load, tolerances_of
from ..drive.problem import Problem
from ..drive.run import Progress, kernel_of
from ..linalg.normal_matrix import Dense
from ..solver.trust_region import RUNNING
from ..sums.normal_equations import Expansion, Kernel
from . import joint_stages as stages
from .joint_stages import Ends, Layout
from .variable_projection import Profiled, iter_profile

Floats = NDArray[np.float64]
# A yield comes at least about so often, so that cancelling and closing need not wait.
SECONDS_PER_CALL = 0.15


def iter_fit_shared(
    problem: Problem, shared: Sequence[str], should_stop: Callable[[], bool] | None = None
) -> Generator[Progress, None, Fits]:
    """Fit everything as one problem; yields and returns as `batch.iter_fit` does.

    Raises
    ------
    FitInputError
        If a shared parameter is unknown, fixed, or has bounds or starts that differ from fit to fit.
    """
    fit = _Fit(problem, _kernel(problem, shared), _for_good(should_stop))
    yield Progress(0, problem.n_fits, compiling=True)
    found = yield from fit.solve()
    profiled = None
    if fit.layout.own and found.takes_part.any() and not fit.stop():
        profiled = yield from iter_profile(
            problem, fit.kernel.shared, found.params, lambda params: fit.expansions(found.samples, params), fit.stop
        )
    # what was stopped on the way is nobody's minimum
    fits = fit.finish(found, None if fit.stop() else profiled)
    yield Progress(problem.n_fits, problem.n_fits)
    return fits


def _kernel(problem: Problem, shared: Sequence[str]) -> Kernel:
    for name in shared:
        i = problem.model.index(name)
        if i not in problem.free or (problem.lower[i] == problem.upper[i]).all():
            raise FitInputError(f"{name!r} is fixed and also shared; leave it out of one of them")
        for what, rows in (("bounds", problem.lower), ("bounds", problem.upper), ("starts", problem.start)):
            values = rows[i]
            if not (np.isnan(values).all() or (values == values[0]).all()):
                raise FitInputError(f"{name!r} is shared, but its {what} differ from fit to fit; give one for all")
    return kernel_of(problem)._replace(shared=tuple(sorted({problem.model.index(name) for name in shared})))


def _for_good(should_stop: Callable[[], bool] | None) -> Callable[[], bool]:
    """What was said once holds."""
    said = False

    def stop() -> bool:
        nonlocal said
        said = said or (should_stop is not None and should_stop())
        return said

    return stop


@dataclass(frozen=True, eq=False)
class _Found:
    """Where the joint fit has ended; arrays of the device, but for those of NumPy."""

    samples: Any
    task: Any
    state: Any
    statistics: Any
    start: Any
    rows: NDArray[Any]  # (n_free, columns): the free parameters
    takes_part: NDArray[np.bool_]  # (columns,)
    status: NDArray[np.int32]  # (columns,): why a fit is left out, or how all have ended
    params: Floats  # (n_params, N): NaN for what is left out, but for the shared ones


@dataclass(frozen=True, eq=False)
class _Fit:
    problem: Problem
    kernel: Kernel
    stop: Callable[[], bool]

    @property
    def layout(self) -> Layout:
        return Layout.of(self.kernel)

    @property
    def columns(self) -> int:
        return max(16, 1 << (self.problem.n_fits - 1).bit_length())

    @property
    def runner(self) -> Runner:
        return Runner(self.kernel, self.problem.options)

    def solve(self) -> Generator[Progress, None, _Found]:
        """The joint fit, until it ends."""
        problem, options, runner = self.problem, self.problem.options, self.runner
        with computing(options):
            samples, limits, guess = load(problem, slice(0, problem.n_fits), self.columns)
            task, state, statistics, reason, start = runner(stages.begin, samples, limits, guess)
            tolerances, limit, steps = tolerances_of(options), np.int32(options.max_iterations), 2
        while not self.stop():
            begun = time.perf_counter()
            with computing(options):
                ready = runner.is_ready(stages.advance, task, state, tolerances, limit, np.int32(steps))
                state = runner(stages.advance, task, state, tolerances, limit, np.int32(steps))
                running = bool(np.asarray(state.status)[0] >= RUNNING)
            if not running:
                break
            if ready:
                seconds = (time.perf_counter() - begun) / steps
                steps = int(np.clip(SECONDS_PER_CALL / max(seconds, 1e-6), 1, options.max_iterations))
            yield Progress(0, problem.n_fits)
        with computing(options):
            rows = np.asarray(runner(stages.where_they_are, task, state))
            takes_part = np.asarray(reason) == RUNNING
            status = np.where(takes_part, np.asarray(state.status), np.asarray(reason))
            params = np.array(start, np.float64)
        params[np.array(self.kernel.free)] = np.where(takes_part, rows, np.nan)
        params[np.array(self.kernel.shared)] = rows[np.array(self.layout.shared), np.argmax(takes_part)][:, None]
        return _Found(samples, task, state, statistics, start, rows, takes_part, status, params[:, : problem.n_fits])

    def expansions(self, samples: Any, params: Floats) -> tuple[Floats, Floats]:
        """Each fit's gradient and matrix at parameters ``(n_params, N)``."""
        count, options = self.problem.n_fits, self.problem.options
        padded = np.pad(params, ((0, 0), (0, self.columns - count)), mode="edge").astype(options.dtype)
        with computing(options):
            gradient, matrix = self.runner(stages.expansions, samples, padded)
            return (
                np.asarray(gradient, np.float64)[..., :count],
                np.asarray(matrix, np.float64)[..., :count],
            )

    def finish(self, found: _Found, profiled: Profiled | None) -> Fits:
        """Covariances, and everything else that is told of each fit."""
        problem, count, options = self.problem, self.problem.n_fits, self.problem.options
        fits = Fits.blank(len(problem.model.names), count, Status.STOPPED)
        fits.n_free[:] = np.count_nonzero(np.broadcast_to(problem.lower < problem.upper, fits.params.shape), axis=0)
        fits.n_free[:] -= len(self.kernel.shared)
        rows, status, says, sides, state = found.rows.copy(), found.status, found.takes_part, None, found.state
        with computing(options):
            iterations = np.where(found.takes_part, np.asarray(state.iterations)[0], 0)
            optimality, column_norms = np.asarray(state.optimality), np.asarray(state.column_norms)
        if profiled is not None and profiled.says.any():
            own = [self.kernel.free[i] for i in self.layout.own]
            says, sides = np.zeros(self.columns, bool), np.zeros((len(own), self.columns), np.int8)
            says[:count] = profiled.says
            sides[:, :count] = np.where(profiled.says, profiled.fits.at_bound[own], 0)
            rows[:, :count] = profiled.fits.solution[np.array(self.kernel.free)]
            # what the joint fit says of its end counts for those that have come to their own
            ended = np.where(status[:count] > 0, status[:count], profiled.fits.status)
            status = np.concatenate(
                [ended if profiled.settled else np.full_like(ended, Status.ITERATION_LIMIT), status[count:]]
            )
            iterations = iterations + profiled.rounds - 1
            # the largest columns that a joint fit has met may be those of a place far away
            column_norms = np.zeros_like(column_norms)
        elif self.stop():
            status = np.where(found.takes_part, Status.STOPPED, status)
        if profiled is not None:
            # each has been asked at its own end, of which that of the joint fit may have known nothing
            optimality = np.zeros_like(optimality)
        with computing(options):
            task, there = found.task._replace(samples=found.samples), state._replace(column_norms=column_norms)
            ends: Ends = self.runner(stages.answer, task, there, rows.astype(options.dtype), says, sides)
            # what all have come to, as if each had come to it by itself
            single = state._replace(
                x=ends.x,
                here=Expansion(ends.cost, ends.x, Dense(ends.answer.covariance)),
                status=status,
                iterations=iterations,
                optimality=optimality,
            )
            every, task = slice(0, count), found.task._replace(params=found.start)
            store(problem, every, fits, task, single, found.statistics, ends.answer)
        if profiled is not None and not profiled.says.all():
            fits.put(np.flatnonzero(~profiled.says), profiled.fits.at(~profiled.says))
        fits.n_shared[:] = np.where(says[:count], len(self.kernel.shared), 0)
        return fits
