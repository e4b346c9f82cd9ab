"""One fit of many samples: its parts are looked at by all cores, and small sums meet on the host.

The Jacobian is never held, programs are compiled for one part whatever the number of samples, and a fit of fewer,
binned samples finds the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from . import large_stages
from .coarse import coarsen
from .fits import Fits, store
from .large_stages import PartStatistics
from .loading import padded_length, tolerances_of
from .many import iter_many
from .objective import TILE, Samples
from .pool import pool
from .problem import Problem
from .programs import Runner, computing, find_device
from .progress import Progress
from .stages import Statistics
from .status import Status
from .trust_region import RUNNING, State, Task

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Seconds between two yields.
PATIENCE = 0.05
EXACT_IN_SINGLE = (np.float32, np.float16, np.uint8, np.int8, np.uint16, np.int16)


def is_large(problem: Problem) -> bool:
    """Whether each fit has more samples than one part."""
    return problem.padded and padded_length(problem) > TILE and not problem.whole and problem.root is None


def iter_large(
    problem: Problem, runner: Runner, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    """Fit everything, one fit after the other, and fill in `fits`; yields and ends as `batch.iter_fit` does."""
    for index in range(problem.n_fits):
        one = _single(problem, index)
        yield from _LargeFit(one, runner, fits, index).run(should_stop, problem.n_fits)
        yield Progress(index + 1, problem.n_fits)
        if should_stop():
            break


def _single(problem: Problem, index: int) -> Problem:
    """One fit of a problem."""

    def own(array: NDArray[Any] | None) -> Any:
        return None if array is None else array if array.shape[1] == 1 else array[:, index : index + 1]

    return replace(
        problem,
        coords=tuple(c if c.ndim == 1 else c[:, index] for c in problem.coords),
        data=problem.data[:, index : index + 1],
        weights=own(problem.weights),
        shift=own(problem.shift),
        start=own(problem.start),
        lower=own(problem.lower),
        upper=own(problem.upper),
        lengths=None if problem.lengths is None else problem.lengths[index : index + 1],
    )


class _LargeFit:
    def __init__(self, problem: Problem, runner: Runner, fits: Fits, index: int) -> None:
        self.problem, self.runner, self.fits, self.index = problem, runner, fits, index
        self.dtype = np.dtype(problem.options.dtype)
        self.begun = time.perf_counter()

    def run(self, should_stop: Callable[[], bool], total: int) -> Generator[Progress, None, None]:
        problem, here = self.problem, Progress(self.index, total)
        with computing(problem.options):
            self.parts = self._load()
            params = np.ones((len(problem.model.names), 1), self.dtype)
            ready = self.runner.is_ready(large_stages.part_expansion, self.parts[0], params)
        if not ready:
            yield replace(here, compiling=True)
            self._compile(params)
        start, steps_before = yield from self._find_start(should_stop, here)
        with computing(problem.options):
            seen = self._statistics(start)
            task = self._task(start, seen)
            state, trial = self.runner(large_stages.first, task, np.asarray(seen.n_used))
            tolerances, limit = tolerances_of(problem.options), np.int32(problem.options.max_iterations)
        told = time.perf_counter()
        while not should_stop() and int(np.asarray(state.status)[0]) >= RUNNING:
            with computing(problem.options):
                there = self._sum(large_stages.part_expansion, self._params(start, trial.x))
                state, trial = self.runner(large_stages.following, task, state, trial, there, tolerances, limit)
            if time.perf_counter() - told > PATIENCE:
                told = time.perf_counter()
                yield here
        with computing(problem.options):
            self._store(task, state, seen, steps_before)

    def _store(self, task: Task, state: State, seen: Statistics, steps_before: int) -> None:
        sums = self._sum(large_stages.part_residuals, self._params(task.params, state.x))
        ends = self.runner(large_stages.ending, task, state, sums, np.asarray(seen.n_used))
        place = slice(self.index, self.index + 1)
        store(self.problem, place, self.fits, task, state, seen, ends)
        self.fits.n_iterations[place] += steps_before

    def _find_start(
        self, should_stop: Callable[[], bool], here: Progress
    ) -> Generator[Progress, None, tuple[NDArray[Any], int]]:
        """Where fewer samples lead to, unless the start that was given is better; and the steps it took."""
        problem = self.problem
        small = coarsen(problem)
        found = Fits.blank(len(problem.model.names), 1, Status.STOPPED)
        found.n_free[:] = self.fits.n_free[self.index]
        for progress in iter_many(small, Runner(self.runner.kernel, small.options), found, should_stop):
            yield replace(here, compiling=progress.compiling)
        answered = found.ended[0] >= 0 and np.isfinite(found.solution).all()
        start = found.solution if answered else found.start
        if not np.isfinite(start).all():
            start = np.where(np.isfinite(problem.start), problem.start, 1.0)
        start = start.astype(self.dtype)
        given = problem.start.astype(self.dtype)
        if np.isfinite(given).all() and answered:
            with computing(problem.options):
                costs = [float(self._sum(large_stages.part_expansion, p).cost[0]) for p in (given, start)]
            if not costs[1] <= costs[0]:
                start = given
        return start, int(found.n_iterations[0])

    def _load(self) -> list[Samples]:
        """The samples in parts, on the device, in the narrowest precision that holds them exactly."""
        problem = self.problem
        m = problem.n_samples if problem.lengths is None else int(problem.lengths[0])
        device = find_device(problem.options.device)
        narrow = self.dtype == np.float32

        def parts_of(array: NDArray[Any] | None, pad: float) -> list[Any]:
            if array is None:
                return [None] * -(-m // TILE)
            single = narrow or array.dtype.type in EXACT_IN_SINGLE or _is_exact(array)
            dtype = np.float32 if single else np.float64
            found = []
            for first in range(0, m, TILE):
                last = min(first + TILE, m)
                part = np.full((TILE, 1), pad, dtype)
                with np.errstate(over="ignore"):
                    part[: last - first, 0] = array[first:last]
                found.append(jax.device_put(part, device))
            return found

        def column(array: NDArray[Any] | None) -> NDArray[Any] | None:
            if array is None:
                return None
            return array[:, 0] if array.shape[0] == problem.n_samples else np.broadcast_to(array[:, 0], m)

        robust = problem.options.criterion.is_robust
        columns = zip(
            zip(*(parts_of(c, 1.0) for c in problem.coords), strict=True),
            parts_of(problem.data[:, 0], np.nan),
            parts_of(column(problem.weights), 0.0),
            parts_of(column(problem.shift), 1.0),
            strict=True,
        )
        return [
            Samples(
                coords=coords,
                data=data,
                weights=weights,
                length=np.array([min(TILE, m - number * TILE)], np.int32),
                shift=shift,
                f_scale=np.asarray(problem.options.f_scale, self.dtype) if robust else None,
            )
            for number, (coords, data, weights, shift) in enumerate(columns)
        ]

    def _sum(self, stage: Any, params: Any) -> Any:
        """What a stage returns for each part, added up in their order."""
        options = self.problem.options
        params = np.asarray(params, self.dtype)
        program = self.runner.program(stage, self.parts[0], params)

        def one(part: Samples) -> Any:
            with computing(options):
                return jax.tree.map(np.asarray, program(part, params))

        results = list(pool().map(one, self.parts))
        return jax.tree.map(lambda *values: np.sum(values, axis=0, dtype=values[0].dtype), *results)

    def _statistics(self, params: NDArray[Any]) -> Statistics:
        program = self.runner.program(large_stages.statistics, self.parts[0], params)
        options = self.problem.options

        def one(part: Samples) -> Any:
            with computing(options):
                return jax.tree.map(np.asarray, program(part, params))

        each = PartStatistics(*(np.stack(a) for a in zip(*pool().map(one, self.parts), strict=True)))
        total = each.weight.sum(axis=0)
        mean = (each.weight * each.mean).sum(axis=0) / np.where(total > 0, total, 1)
        self.counts, self.usual = each.counts.sum(axis=0), each.usual.mean(axis=0)
        spread = (each.spread + each.weight * (each.mean - mean) ** 2).sum(axis=0)
        n_used = each.n_used.sum(axis=0)
        return Statistics(n_used, each.n_wanted.sum(axis=0) - n_used, spread, each.norm.sum(axis=0))

    def _task(self, start: NDArray[Any], seen: Statistics) -> Task:
        problem, free = self.problem, list(self.problem.free)
        least = 8 * np.finfo(self.dtype).eps ** 2
        rounding = least * np.asarray(seen.norm)
        if problem.options.noise == "poisson":
            rounding = np.maximum(least * self.counts, 1e-12)
        elif problem.options.criterion.is_robust:
            rounding = least * np.asarray(seen.n_used) * self.usual
        return Task(
            None,
            start,
            problem.lower[free].astype(self.dtype),
            problem.upper[free].astype(self.dtype),
            rounding.astype(self.dtype),
            None if problem.norms is None else problem.norms[free].astype(self.dtype),
        )

    def _params(self, start: Any, x: Any) -> NDArray[Any]:
        params = np.array(start, self.dtype)
        params[list(self.problem.free)] = np.asarray(x)
        return params

    def _compile(self, params: NDArray[Any]) -> None:
        """Compile the programs for a part, at the same time."""
        options = self.problem.options

        def one(stage: Any) -> None:
            with computing(options):
                self.runner.program(stage, self.parts[0], params)

        for done in [
            pool().submit(one, stage)
            for stage in (large_stages.part_expansion, large_stages.part_residuals, large_stages.statistics)
        ]:
            done.result()


def _is_exact(array: NDArray[Any]) -> bool:
    """Whether single precision holds all values, as it does pixel indices."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array.astype(np.float32), array, equal_nan=True))
