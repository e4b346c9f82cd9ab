"""The compiled way: wide batches, in blocks of thousands of fits on all cores, or on a GPU.

A block is worked on until few of its fits still run. These wait until there are enough of them for another block, so
that hardly any arithmetic is spent on fits that have ended. A fit's result does not depend on the others, nor on where
it stands: sums and steps of each are the same operations in any block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.device import computing, cores, find_device, pool
from ..core.errors import FitEngineError
from ..core.fits import Fits
from ..core.options import Options, Tolerances
from ..core.programs import find, obtain, request, wait_for
from ..core.progress import Progress
from ..core.types import Array, Positions
from ..linalg.algebra import JaxAlgebra, NumpyAlgebra
from ..linalg.normal_matrix import Dense
from ..models.evaluation import evaluate
from ..models.starts import is_traceable
from ..solver.covariance import answer
from ..solver.trust_region import RUNNING, Expansion, State, Task, Trial, begin, judge, propose, stay
from ..sums.normal_equations import NormalSums
from ..sums.residual_sums import Residuals, residual_sums
from ..sums.samples import Samples
from .collect import store
from .evaluators import free_sums
from .level import Level
from .loading import across, columns_of, lengths_of, rounded_to, samples_of
from .problem import Problem
from .starting import find_starts

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Samples in one block, and fits: with fewer, calls of the programs' parts cost more than the arithmetic.
BLOCK_VALUES, FEWEST, MOST = 1 << 18, 512, 8192
# The same on a GPU, which works on all of them at once.
GPU_VALUES, MOST_ON_GPU = 1 << 22, 1 << 16
# Numbers of single precision that the shortest vectors in use hold twice.
VECTOR = 8
# A block is left when fewer than this part of its fits still run.
FEW = 8
# Seconds between two looks at whether to stop.
PATIENCE_S = 0.05
# What XLA says of an allocation that fails.
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"

Tree = Any


class Leftover(NamedTuple):
    """Fits that still run, as columns ``(..., B)`` of NumPy."""

    positions: NDArray[np.intp]
    start: NDArray[Any]  # (n_params, B)
    level: Level
    task: Task
    state: State
    trial: Trial


# How many fits of a block have ended, and the others.
Outcome = tuple[int, Leftover | None]


def rows_of(problem: Problem) -> int:
    """The samples of a fit, padded to what a vector holds: more would cost every fit of a batch."""
    if problem.padded:
        return problem.padded_length
    return -(-problem.n_samples // VECTOR) * VECTOR


def width_of(problem: Problem) -> int:
    """How many fits there are in one block."""
    rows = rows_of(problem)
    device = find_device(problem.options.device)
    values, most = (BLOCK_VALUES, MOST) if device.platform == "cpu" else (GPU_VALUES, MOST_ON_GPU)
    wanted = max(problem.requested, problem.n_fits)
    usual = min(most, max(FEWEST, 1 << int(np.log2(values // rows))))
    return max(FEWEST, min(usual, 1 << (wanted - 1).bit_length()))


def fit_wide(problem: Problem, fits: Fits, should_stop: Callable[[], bool]) -> Generator[Progress, None, None]:
    """Fit everything and fill in `fits`; yields as `run.iter_fit` does."""
    work = _Work(problem, fits)
    here = Progress(0, problem.n_fits)
    if not (yield from wait_for(work.prepare(), here, should_stop)):
        return
    yield here
    blocks = work.blocks()
    running: set[Future[Outcome]] = set()
    waiting: list[Leftover] = []
    ended = 0
    try:
        while not work.stopped:
            while len(running) < 2 * cores() and (job := work.next_job(blocks, waiting, bool(running))):
                running.add(pool().submit(job))
            if not running:
                break
            done, running = wait(running, PATIENCE_S, FIRST_COMPLETED)
            for future in done:
                count, left = future.result()
                ended += count
                waiting += [] if left is None else [left]
            work.stopped = should_stop()
            yield Progress(ended, problem.n_fits)
    finally:
        work.stopped = True
        wait(running)


def tree_map(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Apply a function to the arrays of trees of tuples; None stays."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        parts = [tree_map(function, *some) for some in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return function(*trees)


def step(
    algebra: JaxAlgebra,
    task: Task,
    tolerances: Tolerances,
    limit: Array,
    state: State,
    trial: Trial,
    sums: tuple[Array, ...],
) -> tuple[State, Trial, tuple[Array, ...]]:
    """Judge a trial by its sums, and propose the next; also where that is, in the model's precision."""
    n = len(state.x)
    wide = [s.astype(jnp.float64) for s in sums]
    there = Expansion(wide[0], tuple(wide[1 : n + 1]), Dense.of(tuple(wide[n + 1 :]), n))
    if task.lower:
        there = there.without(algebra, task.held)
    state = judge(algebra, task, tolerances, limit, state, trial, there)
    trial = propose(algebra, task, state)
    return state, trial, tuple(v.astype(algebra.dtype) for v in trial.x)


class Programs:
    """What is compiled for a problem: its start, its sums, its ends, and a step that serves every model."""

    def __init__(self, problem: Problem, width: int) -> None:
        self.problem, self.options, self.width = problem, problem.options, width
        self.model = problem.model
        on_cpu = find_device(problem.options.device).platform == "cpu"
        self.start_width = min(width, FEWEST) if on_cpu else width
        self.sums = NormalSums(self.model, self.options, stacked=False)
        self.plain = NormalSums(self.model, replace(self.options, loss="linear"), stacked=False)
        self.n = len(problem.free)

    def start(self, samples: Samples, lengths: Array, limits: tuple[Array, ...]) -> Any:
        """From samples ``(B, m)`` to their level and starts ``(n_params, B)``."""
        model, options = self.model, self.options

        def function(samples: Samples, lengths: Array, limits: tuple[Array, ...]) -> tuple[Level, Array]:
            turned = tree_map(lambda a: a.T, samples._replace(f_scale=None))._replace(f_scale=samples.f_scale)
            level = Level.of(options.criterion, turned, lengths)
            shape = (len(model.names), samples.data.shape[0])
            start, lower, upper = (jnp.broadcast_to(a, shape) for a in limits)
            if not is_traceable(model):
                # found on the host
                return level, start
            return level, find_starts(model, options, turned, level, start, lower, upper)

        return self._wanted("start", function, (samples, lengths, limits))

    def ends(self, samples: Samples, params: tuple[Array, ...]) -> Any:
        """From samples and parameters to the sums over residuals."""
        model, criterion = self.model, self.options.criterion

        def function(samples: Samples, params: tuple[Array, ...]) -> Residuals:
            value = evaluate(model.function, samples.coords, params, across=True)
            return residual_sums(criterion, samples, value, axis=1)

        return self._wanted("ends", function, (samples, params))

    def step(self, *arguments: Any) -> Any:
        """See `step`; one for each number of free parameters and width."""
        algebra = JaxAlgebra(self.options.dtype)

        def function(*args: Any) -> Any:
            return step(algebra, *args)

        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype), arguments)
        bounded = self.problem.is_bounded
        key = ("step", self.n, bounded, self.problem.norms is None, self.options.dtype, self.options.device, self.width)
        return key, function, shapes, _in_double(self.options), "plain"

    def _wanted(self, what: str, function: Any, arguments: Any) -> Any:
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arguments)
        own = jax.tree.structure(shapes), tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes))
        # a guess adds up along either axis: in another order its bits might tell what is beside it
        arithmetic = "as written" if not self.model.reassociate else "reassociated" if what == "ends" else "plain"
        key = (what, self.model.key, self.options.criterion, arithmetic, self.options.dtype, self.options.device, own)
        return key, function, shapes, self.options, arithmetic


def _in_double(options: Options) -> Options:
    return Options(dtype="float64", device=options.device)


def _program(wanted: Any) -> Any:
    return find(wanted[0]) or obtain(*wanted)


def _requested(wanted: Any) -> Future[Any]:
    return request(*wanted)


class _Work:
    def __init__(self, problem: Problem, fits: Fits) -> None:
        self.problem, self.fits, self.options = problem, fits, problem.options
        self.dtype = np.dtype(problem.options.dtype)
        self.width = width_of(problem)
        self.free = list(problem.free)
        self.chosen = free_sums(len(problem.model.names), problem.free)
        self.algebra = NumpyAlgebra(problem.options.dtype)
        wanted: Any = (np.asarray(t) for t in problem.options.tolerances)
        self.tolerances = Tolerances(*wanted)
        self.limit = np.asarray(problem.options.max_iterations)
        self.stopped = False

    def blocks(self) -> Iterator[slice]:
        # as wide as they are at first: pieces are cut from them where memory runs out
        width = self.width
        for first in range(0, self.problem.n_fits, width):
            yield slice(first, min(first + width, self.problem.n_fits))

    def next_job(self, blocks: Iterator[slice], waiting: list[Leftover], others: bool) -> Callable[[], Outcome] | None:
        """What to do next: fits that wait if they fill a block, or if there is nothing else; None if that is all."""
        count = sum(left.positions.size for left in waiting)
        if count < self.width and (part := next(blocks, None)) is not None:
            return lambda: self.first(part)
        if not count or (others and count < self.width):
            return None
        taken = waiting.copy()
        waiting.clear()
        return lambda: self.again(taken)

    def prepare(self) -> list[Future[Any]]:
        """Have everything compiled at the same time, that first which takes longest."""
        width, n = self.width, len(self.free)
        programs = Programs(self.problem, width)
        some = slice(0, min(width, self.problem.n_fits))
        samples = self._load(some, width)
        row = np.zeros(width, self.dtype)
        params = (row,) * len(self.problem.model.names)
        with computing(_in_double(self.options)):
            found = [_requested(programs.step(*self._blank(n, width)))]
        with computing(self.options):
            some_of_them = slice(0, programs.start_width)
            limits = tuple(limit[:, some_of_them] for limit in self._limits(some, width))
            lengths = self._lengths(some, width)[some_of_them]
            found.append(_requested(programs.start(_rows(samples, some_of_them), lengths, limits)))
            found.append(programs.sums.prepare(samples, params))
            found.append(_requested(programs.ends(samples, params)))
            if self.options.criterion.is_robust:
                found.append(programs.plain.prepare(samples, params))
        return found

    def _blank(self, n: int, width: int) -> tuple[Any, ...]:
        """Arguments of `step`, of its shapes."""
        row, whole = np.zeros(width), np.zeros(width, np.int64)
        rows, elements = (row,) * n, (row,) * (n * (n + 1) // 2)
        norms = None if self.problem.norms is None else rows
        bounds = rows if self.problem.is_bounded else ()
        state = State(rows, Expansion(row, rows, Dense.of(elements, n)), rows, row, row, whole, whole, row, row)
        sums = (row.astype(self.dtype),) * (1 + n + len(elements))
        return (
            Task(bounds, bounds, row, row, norms),
            self.tolerances,
            self.limit,
            state,
            Trial(rows, rows, rows, row, row, row),
            sums,
        )

    def _load(self, positions: Positions, width: int) -> Samples:
        """Samples of a block ``(width, m)``."""
        return across(samples_of(self.problem, positions), rows_of(self.problem), width, self.dtype)

    def _lengths(self, positions: Positions, width: int) -> NDArray[Any]:
        lengths = lengths_of(self.problem, positions)
        return np.pad(lengths, (0, width - lengths.size)).astype(np.int32)

    def _limits(self, positions: Positions, width: int) -> tuple[NDArray[Any], ...]:
        """Starts, NaN where they are to be guessed, lower and upper bounds, ``(n_params, width)``."""
        found = []
        for array in (self.problem.start, self.problem.lower, self.problem.upper):
            own = columns_of(array, positions)
            full = np.empty((len(own), width), self.dtype)
            with np.errstate(over="ignore"):
                full[:, : own.shape[1]] = own
                full[:, own.shape[1] :] = own[:, -1:]
            found.append(full)
        start = found[0]
        if np.isnan(start).any() and not is_traceable(self.problem.model):
            guessed = self._guess_on_host(positions)
            start[:, : guessed.shape[1]] = np.where(
                np.isnan(start[:, : guessed.shape[1]]), guessed, start[:, : guessed.shape[1]]
            )
        return tuple(found)

    def _guess_on_host(self, positions: Positions) -> NDArray[Any]:
        """Guesses that are not written for JAX, inside the bounds."""
        samples = samples_of(self.problem, positions)
        model, criterion = self.problem.model, self.options.criterion
        shape = len(model.names), samples.data.shape[1]
        lower, upper = (
            np.broadcast_to(columns_of(a, positions), shape) for a in (self.problem.lower, self.problem.upper)
        )
        with np.errstate(all="ignore"):
            level = Level.of(criterion, samples, lengths_of(self.problem, positions))
            unknown = np.full(shape, np.nan)
            found: NDArray[Any] = find_starts(model, self.options, samples, level, unknown, lower, upper)
        return found

    def first(self, part: slice) -> Outcome:
        """A new block."""

        def fit(low: int, high: int, width: int) -> Outcome:
            positions = slice(part.start + low, part.start + high)
            programs = Programs(self.problem, width)
            samples, lengths = self._load(positions, width), self._lengths(positions, width)
            limits = self._limits(positions, width)
            with computing(self.options):
                level, start = self._start(programs, samples, lengths, limits)
                samples = jax.device_put(samples, find_device(self.options.device))
            with np.errstate(all="ignore"):
                start = rounded_to(start, self.dtype)
                task, state = self._begin(level, start, limits, width)
            every = np.arange(positions.start, positions.stop)
            return self._go_on(programs, high - low, samples, Leftover(every, start, level, task, state, stay(state)))

        return self._in_pieces(fit, part.stop - part.start)

    def _start(
        self, programs: Programs, samples: Samples, lengths: NDArray[Any], limits: tuple[NDArray[Any], ...]
    ) -> tuple[Level, NDArray[Any]]:
        """Level and starts of a block, always of as many fits at a time: products of matrices depend on how many."""
        parts = []
        for first in range(0, programs.width, programs.start_width):
            some = slice(first, first + programs.start_width)
            arguments = _rows(samples, some), lengths[some], tuple(limit[:, some] for limit in limits)
            found = _program(programs.start(*arguments))(*arguments)
            parts.append(tree_map(lambda a: np.asarray(a, np.float64), found))
        level, start = tree_map(lambda *a: np.concatenate(a, axis=-1), *parts)
        return level, start

    def _begin(
        self, level: Level, start: NDArray[Any], limits: tuple[NDArray[Any], ...], width: int
    ) -> tuple[Task, State]:
        criterion, eps, n = self.options.criterion, self.options.eps, len(self.free)
        bounded = self.problem.is_bounded
        lower, upper = (tuple(bound[self.free].astype(np.float64)) if bounded else () for bound in limits[1:])
        sizes = self.problem.norms
        norms = None if sizes is None else tuple(np.broadcast_to(sizes[self.free], (n, width)))
        task = Task(lower, upper, level.rounding(criterion, eps), level.size(criterion, eps), norms)
        row = np.zeros(width)
        blank = Expansion(row, (row,) * n, Dense.of((row,) * (n * (n + 1) // 2), n))
        wanted = n - sum(np.where(h, 1, 0) for h in task.held)
        state = begin(self.algebra, task, tuple(start[self.free]), blank, level.n_used >= wanted)
        return task, state

    def again(self, waiting: list[Leftover]) -> Outcome:
        """Fits that have waited."""
        every = _joined(waiting)

        def fit(low: int, high: int, width: int) -> Outcome:
            some = tree_map(lambda a: a[..., low:high], every)
            padded = tree_map(lambda a: _padded(a, width), some)
            samples = self._load(some.positions, width)
            with computing(self.options):
                samples = jax.device_put(samples, find_device(self.options.device))
            return self._go_on(
                Programs(self.problem, width), high - low, samples, padded._replace(positions=some.positions)
            )

        return self._in_pieces(fit, every.positions.size)

    def _in_pieces(self, fit: Callable[[int, int, int], Outcome], count: int) -> Outcome:
        """Fit at most a block at a time; where memory runs out blocks are halved, for all that follows too."""
        ended, left, low = 0, [], 0
        while low < count:
            width = self.width
            high = min(low + width, count)
            try:
                found = fit(low, high, width)
            except FitEngineError as error:
                if OUT_OF_MEMORY not in str(error) or width == 1:
                    raise
                # another thread may have met the same
                self.width = min(self.width, width // 2)
                continue
            ended, low = ended + found[0], high
            left += [] if found[1] is None else [found[1]]
        return ended, _joined(left) if left else None

    def _go_on(self, programs: Programs, count: int, samples: Samples, left: Leftover) -> Outcome:
        """Step until few fits still run; the last ones until they have ended."""
        width = programs.width
        task, state, trial = left.task, left.state, left.trial
        # ended fits of the padding do not run
        state = state._replace(status=np.where(np.arange(width) < count, state.status, 0))
        few = 0 if count <= width // 2 else width // FEW
        rows = list(left.start.astype(self.dtype))
        for k, i in enumerate(self.free):
            rows[i] = np.asarray(trial.x[k]).astype(self.dtype)
        with computing(self.options):
            sums_of = programs.sums.program(samples, tuple(rows))
        with computing(_in_double(self.options)):
            step_of = _program(programs.step(*self._blank(len(self.free), width)))
        while True:
            with computing(self.options):
                sums = sums_of(samples, tuple(rows))
            with computing(_in_double(self.options)):
                sums = tuple(sums[i] for i in self.chosen)
                state, trial, x = step_of(task, self.tolerances, self.limit, state, trial, sums)
                for k, i in enumerate(self.free):
                    rows[i] = x[k]
                unfinished = np.flatnonzero(np.asarray(state.status)[:count] >= RUNNING)
            if self.stopped or unfinished.size <= few:
                break
        ended = self._store(programs, count, samples, left, state)
        if self.stopped or not unfinished.size:
            return ended, None
        rest = left._replace(state=state, trial=trial)
        return ended, _chosen(rest, unfinished)

    def _store(self, programs: Programs, count: int, samples: Samples, left: Leftover, state: State) -> int:
        """Fill in the results of a block; of those that still run, what they have so far."""
        ends = left.start.copy()
        ends[self.free] = np.stack([np.asarray(v) for v in state.x])
        rows = tuple(ends.astype(self.dtype))
        n, plain = len(self.free), None
        with computing(self.options):
            found = _program(programs.ends(samples, rows))(samples, rows)
            residuals = Residuals(*(np.asarray(a, np.float64)[:count] for a in found))
            if self.options.criterion.is_robust:
                sums = programs.plain.program(samples, rows)(samples, rows)
                elements = tuple(np.asarray(sums[i], np.float64)[:count] for i in self.chosen[1 + n :])
                plain = Dense.of(elements, n)
        state, task, level = tree_map(lambda a: np.asarray(a)[..., :count], (state, left.task, left.level))
        with np.errstate(all="ignore"):
            answered = answer(self.algebra, self.options.criterion, task, state, residuals, level.n_used, plain)
            store(self.problem, left.positions, self.fits, left.start[:, :count], state, level, answered, residuals)
        return int(np.count_nonzero(state.status < RUNNING))


def _joined(left: Sequence[Leftover]) -> Leftover:
    """Columns side by side."""
    if len(left) == 1:
        return left[0]
    found: Leftover = tree_map(lambda *a: np.concatenate(a, axis=-1), *left)
    return found


def _rows(samples: Samples, which: slice) -> Samples:
    """The samples ``(B, m)`` of some fits."""

    def one(array: Array | None) -> Array | None:
        return array if array is None or array.ndim < 2 or len(array) == 1 else array[which]

    return Samples(
        tuple(one(c) for c in samples.coords),
        one(samples.data),
        one(samples.weights),
        one(samples.shift),
        samples.f_scale,
    )


def _chosen(left: Leftover, which: NDArray[np.intp]) -> Leftover:
    """Some of the fits; their positions are as many as they are, all else has the width of a block."""
    positions, *rest = left
    columns: Any = tree_map(lambda a: np.asarray(a)[..., which], tuple(rest))
    return Leftover(positions[which], *columns)


def _padded(array: NDArray[Any], width: int) -> NDArray[Any]:
    missing = width - array.shape[-1]
    return np.concatenate([array, np.repeat(array[..., -1:], missing, axis=-1)], axis=-1) if missing else array
