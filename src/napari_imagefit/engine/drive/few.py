"""The NumPy way: few fits, and large images. Nothing is compiled but the sums."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Generator, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.columns import Table
from ..core.device import cores, pool
from ..core.fits import Fits
from ..core.programs import wait_for
from ..core.progress import REPORT_INTERVAL_S, Progress
from ..core.trees import Tree, tree_map
from ..core.types import Floats, Positions, Stop
from ..linalg.algebra import Algebra, NumberAlgebra, NumpyAlgebra, Rows, as_arrays
from ..linalg.batched_ldl import MOST_UNKNOWNS
from ..linalg.normal_matrix import Dense
from ..linalg.straight_line import CodeAlgebra, algebra_of_one, fit_has_ended
from ..models.starts import prepare_guess
from ..noise.samples import ALONE, Samples
from ..solver.covariance import answer
from ..solver.flat_cost import unless_flat
from ..solver.trust_region import RUNNING, Expansion, State, Task, Trial, begin, judge, propose, stay
from .candidates import Seen, best_start, other_start, own_guess
from .coarse_problem import coarsen
from .collect import constant_of, store
from .edgeless_surface import costs_without_edge
from .evaluators import Evaluator, evaluator_of, is_large
from .improvement import costs_more_than_constant
from .level import Level
from .loading import columns_of, rounded_to, samples_of
from .problem import Problem
from .starting import find_starts

# Samples from which on fewer of them are fitted from a guess; below, a few more steps of all of them cost as much.
DESCEND_FROM = 1 << 19
# Pixels of a single image from which on binned ones are guessed from first.
BIN_FROM = 1 << 14
# The part of what the end explains that a start must lack to have been far from it.
FAR_START = 0.01

Steps = Generator[Progress, None, None]


def fit_together(problem: Problem, positions: slice, fits: Fits, should_stop: Stop) -> Steps:
    """Fit those at these positions, and fill in `fits`; yields several times a second."""
    here = Progress(positions.start, problem.n_fits)
    run = Run(problem, positions)
    finder = Run(coarsen(single(problem, positions.start)), slice(0, 1)) if is_large(problem) else None
    futures = run.prepare() + ([] if finder is None else finder.prepare())
    (finder or run).guess_meanwhile()
    if not (yield from wait_for(futures, here, should_stop)):
        return
    yield here
    if finder is None:
        start, steps_before = run.find_starts(), 0
    else:
        start, steps_before = yield from _from_fewer(run, finder, here, should_stop)
    end = yield from run.descend(start, here, should_stop)
    given = run.given
    other_start = finder is not None and np.isfinite(given).all() and not np.array_equal(given, start)
    if other_start and run.was_far(end):
        # fewer samples have led away from where all of them lead
        other = yield from run.descend(given, here, should_stop)
        steps_before += int(end.known.iterations[0])
        if not float(end.known.here.cost[0]) <= float(other.known.here.cost[0]):
            end, start = other, given
    run.store(fits, start, end, steps_before)


def _from_fewer(
    run: Run, finder: Run, here: Progress, should_stop: Stop
) -> Generator[Progress, None, tuple[Floats, int]]:
    """Return a start from a fit of fewer samples, and its steps; their guess alone where more steps cost as much."""
    given = run.given
    start = finder.find_starts()
    if run.problem.n_samples < DESCEND_FROM and not np.isfinite(given).all():
        return start, 0
    found = yield from finder.descend(start, here, should_stop)
    state, end = found.known, start.copy()
    end[list(run.problem.free)] = np.stack(state.x)
    if 0 <= state.status[0] < RUNNING and np.isfinite(end).all():
        start = end
    else:
        start = np.where(np.isfinite(given), given, start)
    return np.where(np.isfinite(start), start, 1.0), int(state.iterations[0])


def single(problem: Problem, position: int) -> Problem:
    """One fit of a problem."""
    return some_of(problem, slice(position, position + 1))


def some_of(problem: Problem, positions: Positions) -> Problem:
    """Return some of the fits of a problem."""

    def columns(array: Table | None) -> Any:
        return None if array is None else columns_of(array, positions)

    return replace(
        problem,
        coords=tuple(c if c.ndim == 1 else c[:, positions] for c in problem.coords),
        data=problem.data[:, positions],
        weights=columns(problem.weights),
        shift=columns(problem.shift),
        start=columns(problem.start),
        lower=columns(problem.lower),
        upper=columns(problem.upper),
        lengths=None if problem.lengths is None else problem.lengths[positions],
    )


class End(NamedTuple):
    """States in which fits have ended."""

    state: State  # as the algebra has it: of a single fit in numbers
    known: State  # the same in arrays (B,), without derivatives
    begun: float  # the cost at the start of a single fit


class Run:
    """Fits that are worked on together."""

    def __init__(self, problem: Problem, positions: slice, evaluator: Evaluator | None = None) -> None:
        self.problem, self.positions, self.options = problem, positions, problem.options
        with np.errstate(all="ignore"):
            self.evaluator: Evaluator = evaluator or evaluator_of(problem, positions)
        self.count = positions.stop - positions.start
        shape = len(problem.model.names), self.count
        self.given, self.lower, self.upper = (
            np.array(np.broadcast_to(rounded_to(columns_of(a, positions), self.options.dtype), shape))
            for a in (problem.start, problem.lower, problem.upper)
        )

    @functools.cached_property
    def algebra(self) -> Algebra:
        """Algebra of so many fits; the bits of a number are those of an array, and of code as well."""
        dtype = self.options.dtype
        if self.count > 1:
            return NumpyAlgebra(dtype)
        return NumberAlgebra(dtype) if self._kind is None else algebra_of_one(dtype, self._kind)

    @property
    def _kind(self) -> Hashable:
        """Kind of a single fit on which its code depends; None where there is none."""
        problem, n = self.problem, len(self.problem.free)
        # what is kept with the code would keep the user's function
        if self.count > 1 or n > MOST_UNKNOWNS or callable(self.options.loss):
            return None
        return n, problem.is_bounded, problem.norms is None, self.options.criterion

    def prepare(self) -> list[Future[Any]]:
        """Compile what the fits will need."""
        found = self.evaluator.prepare()
        if np.isnan(self.given).any() and self.evaluator.samples is not None:
            found += prepare_guess(self.problem.model, *self._seen_by_guess()[0].arrays())
        return found

    def _seen_by_guess(self) -> tuple[Samples, Level, Floats, Floats, Floats]:
        evaluator = self.evaluator
        assert evaluator.samples is not None
        found = evaluator.samples, evaluator.level, self.given, self.lower, self.upper
        if self.count == 1 and self.problem.n_samples < ALONE:
            # sums of one column are added up in another order than those of several
            found = _doubled(found)
        return found

    def find_starts(self, other_than: Floats | None = None) -> Floats:
        """Return starts ``(n_params, B)``.

        With `other_than` the best that are not much the same, NaN where there is none.
        """
        if not np.isnan(self.given).any():
            return self.given
        with np.errstate(all="ignore"):
            seen = Seen(*self._seen_by_guess())
            if other_than is not None:
                used = np.broadcast_to(other_than, seen.given.shape)
                found = other_start(self.problem, seen, self._sums_of_seen, used)
            elif self.problem.search:
                found = best_start(self.problem, seen, self._sums_of_seen, self._guessed, self._fewer is not None)
            else:
                found = find_starts(self.problem.model, self.options, *seen)
        return rounded_to(np.array(found[:, : self.count], np.float64), self.options.dtype)

    def guess_meanwhile(self) -> None:
        """Guess what `find_starts` begins with, where nothing has to be compiled for it: a compiler leaves time."""
        if self.problem.search and self.problem.model.broadcasts and np.isnan(self.given).any():
            with np.errstate(all="ignore"):
                _ = self._guessed

    @functools.cached_property
    def _guessed(self) -> Floats:
        return own_guess(self.problem, Seen(*self._seen_by_guess()), self._sums_of_seen, self._fewer)

    @functools.cached_property
    def _fewer(self) -> Samples | None:
        """Return binned pixels of an image so large that a guess from all of them takes as long as the fit."""
        problem = self.problem
        # a guess that is compiled is compiled for each number of samples
        if self.count > 1 or problem.plane is None or problem.n_samples < BIN_FROM or not problem.model.broadcasts:
            return None
        return samples_of(coarsen(single(problem, self.positions.start)), slice(0, 1))

    def _sums_of_seen(self, params: Floats, some: NDArray[np.intp]) -> Floats:
        """Return the sums of some of the fits that the guess sees; one may be there twice."""
        _, first, place = np.unique(some % self.count, return_index=True, return_inverse=True)
        found = self.evaluator.sums(rounded_to(params[:, first], self.options.dtype), some[first] % self.count)
        return found[:, place]

    def task(self) -> Task:
        """Return what does not change from step to step."""
        free, criterion, eps = list(self.problem.free), self.options.criterion, self.options.eps
        level = self.evaluator.level
        norms = self.problem.norms
        bounded = self.problem.is_bounded
        return Task(
            self._rows(self.lower[free]) if bounded else (),
            self._rows(self.upper[free]) if bounded else (),
            self._rows(np.atleast_1d(level.rounding(criterion, eps))[None])[0],
            self._rows(np.atleast_1d(level.size(criterion, eps))[None])[0],
            None if norms is None else self._rows(np.broadcast_to(norms[free], (len(free), self.count))),
        )

    def _rows(self, array: NDArray[Any]) -> tuple[Any, ...]:
        """Rows of an array ``(k, B)``: numbers for a single fit."""
        array = np.asarray(array, np.float64)
        if self.count > 1:
            return tuple(array)
        return tuple(array[:, 0].tolist() if isinstance(self.algebra, CodeAlgebra) else array[:, 0])

    def _own(self, tree: Tree) -> Tree:
        """Return a tree of tuples with numbers in place of rows ``(1,)`` of a single fit."""
        if self.count > 1:
            return tree
        plain = isinstance(self.algebra, CodeAlgebra)

        def number(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                value = value[0]
            return value.item() if plain and isinstance(value, np.generic) else value

        return tree_map(number, tree)

    def _expansion(self, sums: Floats) -> Expansion:
        n = len(self.problem.free)
        rows = self._rows(sums)
        return Expansion(rows[0], rows[1 : n + 1], Dense.of(rows[n + 1 :], n))

    def descend(self, start: Floats, here: Progress, should_stop: Stop) -> Generator[Progress, None, End]:
        """Fit from a start."""
        problem, options, algebra = self.problem, self.options, self.algebra
        free = list(problem.free)
        n = len(free)
        with np.errstate(all="ignore"):
            task = self.task()
            held = task.held
            any_held = any(np.any(h) for h in held)
            wanted = n - sum(np.where(h, 1, 0) for h in held)
            n_used = self._rows(np.atleast_1d(self.evaluator.level.n_used)[None])[0]
            blank = self._expansion(np.zeros((1 + n + n * (n + 1) // 2, self.count)))
            state = algebra.run(begin, task, self._rows(start[free]), blank, n_used >= wanted)
        trial, told, begun = stay(state), time.perf_counter(), np.nan
        params = np.array(start)
        while algebra.any(state.status >= RUNNING) and not should_stop():
            with np.errstate(all="ignore"):
                there = self._evaluate(params, free, state, trial)
                if any_held:
                    there = algebra.run(_without, there, held)
                state = algebra.run(judge, task, options.tolerances, options.max_iterations, state, trial, there)
                if math.isnan(begun):
                    begun = float(there.cost if self.count == 1 else there.cost[0])
                if not algebra.any(state.status >= RUNNING):
                    break
                trial = algebra.run(propose, task, state)
            if time.perf_counter() - told > REPORT_INTERVAL_S:
                told = time.perf_counter()
                yield replace(here, done=here.done + int(np.count_nonzero(state.status < RUNNING)))
        outline = state._replace(here=state.here._replace(gradient=(), matrix=()), column_norms=())
        return End(state, as_arrays(outline), begun)

    def _evaluate(self, params: Floats, free: list[int], state: State, trial: Trial) -> Expansion:
        """Return the sums where the trials lead to; NaN for fits that have ended."""
        params[free] = np.reshape(trial.x, (len(free), self.count))
        if self.count == 1:
            return self._expansion(self.evaluator.sums(params))
        some = np.flatnonzero(state.status >= RUNNING)
        sums = self.evaluator.sums(params[:, some], some)
        every = np.full((len(sums), self.count), np.nan)
        every[:, some] = sums
        return self._expansion(every)

    def was_far(self, end: End) -> bool:
        """Whether the start explained less than 99 % of what the end explains."""
        cost = float(end.known.here.cost[0])
        explained = 0.5 * float(self.evaluator.level.spread[0]) - cost
        return not end.begun - cost <= FAR_START * max(explained, 0)

    def store(self, fits: Fits, start: Floats, end: End, steps_before: int = 0) -> None:
        """Fill in the results."""
        problem, evaluator, n, state = self.problem, self.evaluator, len(self.problem.free), end.known
        ends = np.array(start)
        ends[list(problem.free)] = np.stack(state.x)
        with np.errstate(all="ignore"):
            residuals = evaluator.residuals(ends)
            plain = Dense.of(tuple(evaluator.plain(ends)[1 + n :]), n) if self.options.criterion.is_robust else None
            task = Task(tuple(self.lower[list(problem.free)]), tuple(self.upper[list(problem.free)]), 0.0, 1.0)
            bounds, sums, used, plain = self._own((task, residuals, evaluator.level.n_used, plain))
            found = answer(self.algebra, self.options.criterion, bounds, end.state, sums, used, plain)
            if problem.model.has_edge:
                cost_at = partial(self._cost_at, ends)
                positions = np.arange(problem.n_fits)[self.positions]
                found = unless_flat(
                    found,
                    self.options.criterion,
                    state,
                    evaluator.level.n_used,
                    cost_at,
                    lambda some: costs_without_edge(problem, positions[some]),
                    constant_of(problem),
                )
            cost = np.asarray(state.here.cost)
            worthless = costs_more_than_constant(
                problem, self.positions, ends, cost, evaluator.level, lambda params: evaluator.sums(params)[0]
            )
            store(problem, self.positions, fits, start, state, evaluator.level, found, residuals, worthless)
        fits.n_iterations[self.positions] += steps_before
        if self._kind is not None:
            fit_has_ended(self.options.dtype, self._kind)

    def _cost_at(self, ends: Floats, x: Floats) -> Floats:
        """Return the cost ``(B,)`` with other free parameters."""
        there = ends.copy()
        there[list(self.problem.free)] = x
        return np.asarray(self.evaluator.sums(there)[0], np.float64)


def _without(algebra: Algebra, there: Expansion, held: Rows) -> Expansion:
    return there.without(algebra, held)


def _doubled(tree: Tree) -> Tree:
    """Arrays ``(..., 1)`` of a single fit as those of two alike."""
    return tree_map(lambda a: np.repeat(a, 2, axis=-1) if isinstance(a, np.ndarray) and a.ndim else a, tree)


def fit_in_threads(problem: Problem, parts: Sequence[slice], fits: Fits, should_stop: Stop) -> Steps:
    """Fit parts of a problem, as many at once as there are cores; none of them larger than one tile."""
    here = Progress(0, problem.n_fits)
    # report that it is compiling meanwhile
    if not (yield from wait_for(Run(problem, parts[0]).prepare(), here, should_stop)):
        return
    yield here
    stopped, done = False, 0
    waiting, todo = set[Future[int]](), iter(parts)

    def fit(part: slice) -> int:
        for _ in fit_together(problem, part, fits, lambda: stopped):
            pass
        count: int = part.stop - part.start
        return count

    try:
        while not stopped:
            for part in itertools.islice(todo, 2 * cores() - len(waiting)):
                waiting.add(pool().submit(fit, part))
            if not waiting:
                break
            ended, waiting = wait(waiting, REPORT_INTERVAL_S, FIRST_COMPLETED)
            done += sum(future.result() for future in ended)
            stopped = should_stop()
            yield Progress(done, problem.n_fits)
    finally:
        stopped = True
        wait(waiting)
