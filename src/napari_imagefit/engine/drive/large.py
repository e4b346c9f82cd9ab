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

from ..._lazy import LazyModule
from ..core.fits import Fits, store
from ..core.grid_coordinates import LatticeCoordinate
from ..core.programs import Runner, computing, find_device
from ..core.progress import Progress
from ..core.threads import pool
from ..solver.trust_region import RUNNING, State, Task
from ..sums.normal_equations import TILE, Samples
from . import large_stages
from .coarse_problem import coarsen
from .large_stages import PartStatistics
from .loading import padded_length, tolerances_of
from .problem import Problem
from .stages import Statistics, size_of
from .start_finder import StartFinder

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Samples from which on fewer of them are fitted from a guess; below, a few more steps of all of them cost as much.
DESCEND_FROM = 1 << 19
# Seconds between two yields.
PATIENCE = 0.05
LARGEST_INDEX = np.iinfo(np.uint16).max
EXACT_IN_SINGLE = (np.float32, np.float16, np.uint8, np.int8, np.uint16, np.int16)


def is_large(problem: Problem) -> bool:
    """Whether each fit has more samples than one part."""
    return problem.padded and padded_length(problem) > TILE and not problem.whole and problem.root is None


def iter_large(
    problem: Problem, runner: Runner, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    """Fit everything, one fit after the other, and fill in `fits`; yields and ends as `batch.iter_fit` does."""
    for index in range(problem.n_fits):
        if should_stop():
            break
        one = _single(problem, index)
        yield from _LargeFit(one, runner, fits, index).run(should_stop, problem.n_fits)
        yield Progress(index + 1, problem.n_fits)


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

    def run(self, should_stop: Callable[[], bool], total: int) -> Generator[Progress, None, None]:
        problem, here = self.problem, Progress(self.index, total)
        with computing(problem.options):
            self.parts = self._load()
            finder = self._finder()
            params = np.ones((len(problem.model.names), 1), self.dtype)
            ready = self.runner.is_ready(large_stages.part_expansion, self.parts[0], params)
        if not ready or not finder.is_ready():
            yield replace(here, compiling=True)
            self._compile(params, finder)
        yield here
        with computing(problem.options):
            start, steps = self._find_start(finder, should_stop)
            seen = self._statistics(start)
        task, state, begun = yield from self._descend(start, seen, should_stop, here)
        given = problem.start.astype(self.dtype)
        if np.isfinite(given).all() and not np.array_equal(given, start) and self._was_far(begun, state, seen):
            # fewer samples have led away from where all of them lead
            other = yield from self._descend(given, seen, should_stop, here)
            steps += int(state.iterations[0])
            if not float(state.here.cost[0]) <= float(other[1].here.cost[0]):
                task, state, _ = other
        with computing(problem.options):
            self._store(task, state, seen, steps)

    def _descend(
        self, start: NDArray[Any], seen: Statistics, should_stop: Callable[[], bool], here: Progress
    ) -> Generator[Progress, None, tuple[Task, State, float]]:
        """Fit all samples from a start; also returns the cost there."""
        options = self.problem.options
        with computing(options):
            task = self._task(start, seen)
            state, trial = self.runner(large_stages.first, task, np.asarray(seen.n_used))
            tolerances, limit = tolerances_of(options), np.int32(options.max_iterations)
        told, begun = time.perf_counter(), np.nan
        while not should_stop() and int(np.asarray(state.status)[0]) >= RUNNING:
            with computing(options):
                there = self._sum(large_stages.part_expansion, self._params(start, trial.x))
                state, trial = self.runner(large_stages.following, task, state, trial, there, tolerances, limit)
            if np.isnan(begun):
                begun = float(there.cost[0])
            if time.perf_counter() - told > PATIENCE:
                told = time.perf_counter()
                yield here
        return task, state, begun

    def _was_far(self, begun: float, state: State, seen: Statistics) -> bool:
        """Whether the start explained less than 99 % of what the end explains."""
        end = float(state.here.cost[0])
        explained = 0.5 * float(np.asarray(seen.spread)[0]) - end
        return not begun - end <= 0.01 * max(explained, 0)

    def _store(self, task: Task, state: State, seen: Statistics, steps_before: int) -> None:
        sums = self._sum(large_stages.part_residuals, self._params(task.params, state.x))
        ends = self.runner(large_stages.ending, task, state, sums, np.asarray(seen.n_used))
        place = slice(self.index, self.index + 1)
        store(self.problem, place, self.fits, task, state, seen, ends)
        self.fits.n_iterations[place] += steps_before

    def _finder(self) -> StartFinder:
        """Fewer samples that know a start, and fit it where it may be bad or steps of all samples take long."""
        problem = self.problem
        descend = problem.n_samples >= DESCEND_FROM or bool(np.isfinite(problem.start).all())
        return StartFinder(coarsen(problem), self.runner.kernel, descend)

    def _find_start(self, finder: StartFinder, should_stop: Callable[[], bool]) -> tuple[NDArray[Any], int]:
        """Where fewer samples lead to, and the steps it took."""
        given = self.problem.start
        found, answered, steps = finder.find(should_stop)
        start = found if answered else np.where(np.isfinite(given), given, found)
        return np.where(np.isfinite(start), start, 1.0).astype(self.dtype), steps

    def _load(self) -> list[Samples]:
        """The samples in parts, on the device, in the narrowest precision that holds them exactly."""
        problem = self.problem
        m = problem.n_samples if problem.lengths is None else int(problem.lengths[0])
        device = find_device(problem.options.device)

        def column(array: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if array is None else np.broadcast_to(array[:, 0], problem.n_samples)

        data, weights, shift = problem.data[:, 0], column(problem.weights), column(problem.shift)
        coords = tuple(self._narrow(c) for c in problem.coords)
        precision = {id(c): self._precision(c) for c in (*coords, data, weights, shift) if c is not None}
        f_scale = np.asarray(problem.options.f_scale, self.dtype) if problem.options.criterion.is_robust else None

        def part_of(first: int) -> Samples:
            last = min(first + TILE, m)

            def fill(array: Any, pad: float) -> Any:
                if array is None:
                    return None
                source, wanted = array[first:last], precision[id(array)]
                if source.size == TILE and source.dtype == wanted:
                    # JAX copies it, once is enough
                    return jax.device_put(np.ascontiguousarray(source)[:, None], device)
                part = np.empty((TILE, 1), wanted)
                with np.errstate(over="ignore"):
                    part[: last - first, 0] = source
                part[last - first :] = pad
                return jax.device_put(part, device)

            return Samples(
                coords=tuple(fill(c, 1.0) for c in coords),
                data=fill(data, np.nan),
                weights=fill(weights, 0.0),
                length=np.array([last - first], np.int32),
                shift=fill(shift, 1.0),
                f_scale=f_scale,
            )

        def load(first: int) -> Samples:
            # precision is chosen thread by thread
            with computing(problem.options):
                return part_of(first)

        return list(pool().map(load, range(0, m, TILE)))

    def _narrow(self, coordinate: Any) -> Any:
        """A coordinate whose axis is converted once, instead of all that is made of it."""
        if not isinstance(coordinate, LatticeCoordinate):
            return coordinate
        return replace(coordinate, values=coordinate.values.astype(self._precision(coordinate)))

    def _precision(self, array: Any) -> Any:
        values = array.values if isinstance(array, LatticeCoordinate) else array
        lattice = isinstance(array, LatticeCoordinate) and array.min() >= 0 and array.max() <= LARGEST_INDEX
        if lattice and np.array_equal(values, np.rint(values)):
            # pixel indices take a quarter of the room that numbers do
            return np.uint16
        single = self.dtype == np.float32 or values.dtype.type in EXACT_IN_SINGLE
        return np.float32 if single or (_is_exact(values[:1024]) and _is_exact(values)) else np.float64

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
        least = 64 * np.finfo(self.dtype).eps ** 2
        spread, norm = np.asarray(seen.spread), np.asarray(seen.norm)
        rounding = least * norm
        if problem.options.noise == "poisson":
            spread = norm = self.counts
            rounding = np.maximum(least * self.counts, 1e-12)
        elif problem.options.criterion.is_robust:
            spread = norm = np.asarray(seen.n_used) * self.usual
            rounding = least * norm
        return Task(
            None,
            start,
            problem.lower[free].astype(self.dtype),
            problem.upper[free].astype(self.dtype),
            rounding.astype(self.dtype),
            np.asarray(size_of(spread, norm), self.dtype),
            None if problem.norms is None else problem.norms[free].astype(self.dtype),
        )

    def _params(self, start: Any, x: Any) -> NDArray[Any]:
        params = np.array(start, self.dtype)
        params[list(self.problem.free)] = np.asarray(x)
        return params

    def _compile(self, params: NDArray[Any], finder: StartFinder) -> None:
        """Compile all programs, at the same time."""
        options = self.problem.options

        def one(stage: Any, args: tuple[Any, ...]) -> None:
            with computing(options):
                self.runner.program(stage, *args)

        calls = [*finder.calls(), *self._calls(params)]
        for done in [pool().submit(one, *call) for call in calls]:
            done.result()

    def _calls(self, params: NDArray[Any]) -> list[tuple[Any, tuple[Any, ...]]]:
        """The stages with arguments of their shapes, those first that take long."""
        part, shapes = self.parts[0], self.runner.shapes
        # as `_statistics` has them
        number, count = np.ones(1, self.dtype), np.ones((1, 1), np.int32).sum(axis=0)
        self.counts = self.usual = number
        with computing(self.problem.options):
            task = self._task(params, Statistics(count, count, number, number))
            state, trial = shapes(large_stages.first, task, count)
            there = shapes(large_stages.part_expansion, part, params)
            sums = shapes(large_stages.part_residuals, part, params)
            tolerances, limit = tolerances_of(self.problem.options), np.int32(self.problem.options.max_iterations)
        return [
            (large_stages.following, (task, state, trial, there, tolerances, limit)),
            (large_stages.part_expansion, (part, params)),
            (large_stages.ending, (task, state, sums, count)),
            (large_stages.part_residuals, (part, params)),
            (large_stages.first, (task, count)),
            (large_stages.statistics, (part, params)),
        ]


def _is_exact(array: NDArray[Any]) -> bool:
    """Whether single precision holds all values, as it does pixel indices."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array.astype(np.float32), array, equal_nan=True))
