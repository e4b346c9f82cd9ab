"""The compiled way: wide batches, in blocks of thousands of fits on all cores, or on a GPU.

A block is worked on until few of its fits still run. These wait until there are enough of them for another block, so
that hardly any arithmetic is spent on fits that have ended. A fit's result does not depend on the others, nor on where
it stands: sums and steps of each are the same operations in any block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.columns import Table
from ..core.device import computing, cores, find_device, pool
from ..core.errors import FitEngineError
from ..core.fits import Fits
from ..core.options import Tolerances
from ..core.programs import wait_for
from ..core.progress import REPORT_INTERVAL_S, Progress
from ..core.trees import tree_map
from ..core.types import Positions
from ..linalg.algebra import NumpyAlgebra
from ..linalg.normal_matrix import Dense
from ..noise.samples import Samples
from ..solver.covariance import answer, told
from ..solver.flat_cost import unless_flat
from ..solver.trust_region import RUNNING, State, Task, Trial
from ..sums.residual_sums import Residuals
from .collect import constant_of, store
from .edgeless_surface import costs_without_edge
from .improvement import costs_more_than_constant
from .level import Level
from .loading import across, lengths_of, samples_of
from .problem import Problem
from .starting import limits_of
from .wide_programs import Programs, pack, rows_of, tree_of

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Samples in one block, and fits: with fewer, calls of programs cost more than the arithmetic.
BLOCK_VALUES, FEWEST, MOST = 1 << 20, 512, 16384
# The same on a GPU, which works on all of them at once.
GPU_VALUES, MOST_ON_GPU = 1 << 22, 1 << 16
# A block is left when fewer than this part of its fits still run.
FEW_RUNNING = 8
# The beginning of XLA's message on a failed allocation.
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


class Leftover(NamedTuple):
    """Fits that still run, as columns ``(..., B)`` of NumPy; trees are packed."""

    positions: NDArray[np.intp]
    start: NDArray[Any]  # (n_params, B)
    level: NDArray[Any]
    task: NDArray[Any]
    state: NDArray[Any]
    trial: NDArray[Any]


class Block(NamedTuple):
    """The same of fits that are worked on, as trees of JAX's rows; what fills up the block comes after them."""

    positions: NDArray[np.intp]
    start: NDArray[Any]
    level: NDArray[Any]
    task: Task
    state: State
    trial: Trial

    def left(self, which: NDArray[np.intp]) -> Leftover:
        """Return some of the fits."""
        tables = (pack(tree_map(lambda row: np.asarray(row)[which], tree)) for tree in self[3:])
        return Leftover(self.positions[which], self.start[:, which], self.level[:, which], *tables)


# How many fits of a block have ended, and the others.
Outcome = tuple[int, Leftover | None]


def width_of(problem: Problem) -> int:
    """Return the number of fits in one block."""
    on_cpu = find_device(problem.options.device).platform == "cpu"
    values, most = (BLOCK_VALUES, MOST) if on_cpu else (GPU_VALUES, MOST_ON_GPU)
    wanted = max(problem.requested, problem.n_fits)
    usual = min(most, max(FEWEST, 1 << int(np.log2(values // rows_of(problem)))))
    # at least four blocks, so that all cores have something to do to the end; a GPU does all of them at once
    enough = 1 << (max(wanted // 4, 1).bit_length() - 1 if on_cpu else (wanted - 1).bit_length())
    return max(FEWEST, min(usual, enough))


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
            done, running = wait(running, REPORT_INTERVAL_S, FIRST_COMPLETED)
            for future in done:
                count, left = future.result()
                ended += count
                waiting += [] if left is None else [left]
            work.stopped = should_stop()
            yield Progress(ended, problem.n_fits)
    finally:
        work.stopped = True
        wait(running)


class _Work:
    def __init__(self, problem: Problem, fits: Fits) -> None:
        self.problem, self.fits, self.options = problem, fits, problem.options
        self.dtype = np.dtype(problem.options.dtype)
        self.width = width_of(problem)
        self.free = list(problem.free)
        self.algebra = NumpyAlgebra(problem.options.dtype)
        wanted: Any = (np.asarray(t) for t in problem.options.tolerances)
        self.tolerances = Tolerances(*wanted)
        self.limit = np.asarray(problem.options.max_iterations)
        self.stopped = False
        self._programs: dict[int, Programs] = {}

    def programs(self, width: int) -> Programs:
        if width not in self._programs:
            self._programs[width] = Programs(self.problem, width)
        return self._programs[width]

    def prepare(self) -> list[Future[Any]]:
        """Compile everything at the same time."""
        return [program.request() for program in self.programs(self.width).wanted.values()]

    def blocks(self) -> Iterator[slice]:
        # as wide as they are at first: pieces are cut from them where memory runs out
        width = self.width
        for first in range(0, self.problem.n_fits, width):
            yield slice(first, min(first + width, self.problem.n_fits))

    def next_job(self, blocks: Iterator[slice], waiting: list[Leftover], others: bool) -> Callable[[], Outcome] | None:
        """Return what to do next: fits that wait if they fill a block, or if there is nothing else.

        None if that is all.
        """
        count = sum(left.positions.size for left in waiting)
        if count < self.width and (part := next(blocks, None)) is not None:
            return lambda: self.first(part)
        if not count or (others and count < self.width):
            return None
        taken = waiting.copy()
        waiting.clear()
        return lambda: self.again(taken)

    def first(self, part: slice) -> Outcome:
        """Return a new block."""

        def fit(low: int, high: int, width: int) -> Outcome:
            return self._go_on(self.programs(width), *self.begin(slice(part.start + low, part.start + high), width))

        return self._in_pieces(fit, part.stop - part.start)

    def begin(self, positions: slice, width: int) -> tuple[Samples, Block]:
        """Return the samples of some fits on the device, and the fits where they start."""
        programs, samples = self.programs(width), samples_of(self.problem, positions)
        limits, turned = limits_of(self.problem, samples, positions, width), self._turned(samples, width)
        level, start = self._start(programs, samples, turned, positions, limits)
        with computing(programs.double):
            free = [np.ascontiguousarray(table[self.free], np.float64) for table in (start, *limits[1:])]
            trees = programs.call("begin", level, *free, self._norms(width))
        return turned, Block(np.arange(positions.start, positions.stop), start, level, *trees)

    def again(self, waiting: list[Leftover]) -> Outcome:
        """Fits that have waited."""
        every = _joined(waiting)

        def fit(low: int, high: int, width: int) -> Outcome:
            some = tree_map(lambda a: a[..., low:high], every)
            filled, programs = tree_map(lambda a: _filled(a, width), some), self.programs(width)
            trees = (tree_of(*pair) for pair in zip(programs.layout, filled[3:], strict=True))
            samples = self._turned(samples_of(self.problem, some.positions), width)
            return self._go_on(programs, samples, Block(some.positions, filled.start, filled.level, *trees))

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

    def _norms(self, width: int) -> NDArray[Any]:
        sizes = self.problem.norms
        return np.ones((len(self.free), width)) if sizes is None else np.tile(sizes[self.free], (1, width))

    def _start(
        self,
        programs: Programs,
        samples: Samples,
        turned: Samples,
        positions: slice,
        limits: tuple[NDArray[Any], ...],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Level and starts of a block, in double precision; `turned` are the samples on the device."""
        count, width = samples.data.shape[1], programs.width
        lengths = np.zeros(width, self.dtype)
        lengths[:count] = lengths_of(self.problem, positions)
        with computing(self.options):
            level, start = programs.call("level", turned, lengths), limits[0]
            if np.isnan(start[:, :count]).any() or self.options.noise == "poisson":
                pieces = np.int32(-(-count // programs.started))
                found = programs.call("start", turned, level, np.concatenate(limits), pieces)
                start = np.array(found)
                # what has been added is like the first
                start[:, count:] = start[:, :1]
            return np.asarray(level).astype(np.float64), start.astype(np.float64)

    def _turned(self, samples: Samples, width: int) -> Samples:
        """Return samples of a block, on the device.

        One row for each fit, ``(width, m)``, or one that all have in common.
        """
        problem, device = self.problem, find_device(self.options.device)

        def each(array: Table | None) -> Any:
            return None if array is None else array.shape[1] > 1

        # of a single fit left over it is the problem that tells what each has for itself
        coords = tuple(c.ndim == 2 for c in problem.coords)
        own: Any = Samples(coords, True, each(problem.weights), each(problem.shift))
        found = across(samples, rows_of(problem), width, self.dtype, own)
        if device.platform == "cpu":
            return found
        with computing(self.options):
            on_device: Samples = jax.device_put(found, device)
        return on_device

    def rows_of(self, block: Block) -> list[Any]:
        """Return the trial points of a block, in the model's precision."""
        rows: list[Any] = list(block.start.astype(self.dtype))
        for k, i in enumerate(self.free):
            rows[i] = np.asarray(block.trial.x[k]).astype(self.dtype)
        return rows

    def advance(self, programs: Programs, samples: Samples, block: Block, rows: list[Any]) -> tuple[Block, list[Any]]:
        """One step of all fits, and where the next trials are."""
        found = programs.call("sums", samples, tuple(rows))
        sums = tuple(found[i] for i in programs.chosen)
        state, trial, x = programs.call("step", block.task, self.tolerances, self.limit, block.state, block.trial, sums)
        following = rows.copy()
        for k, i in enumerate(self.free):
            following[i] = (x or trial.x)[k]
        return block._replace(state=state, trial=trial), following

    def _go_on(self, programs: Programs, samples: Samples, block: Block) -> Outcome:
        """Step until few fits still run; the last ones until they have ended."""
        width, count = programs.width, block.positions.size
        few = 0 if count <= width // 2 else width // FEW_RUNNING
        rows = self.rows_of(block)
        with computing(programs.double):
            while True:
                block, rows = self.advance(programs, samples, block, rows)
                unfinished = np.flatnonzero(np.asarray(block.state.status)[:count] >= RUNNING)
                if self.stopped or unfinished.size <= few:
                    break
            self._store(programs, samples, block)
        left = block.left(unfinished) if unfinished.size and not self.stopped else None
        return count - unfinished.size, left

    def _store(self, programs: Programs, samples: Samples, block: Block) -> None:
        """Fill in the results of a block; of those that still run, what they have so far."""
        ends, n, count = block.start.copy(), len(self.free), block.positions.size
        ends[self.free] = np.stack([np.asarray(row) for row in block.state.x])
        rows = tuple(ends.astype(self.dtype))
        middle = Level(*block.level).mean.astype(self.dtype)
        sums, plain = programs.call("ends", samples, rows, middle), None
        if "plain" in programs.wanted:
            every = programs.call("plain", samples, rows)
            plain = tuple(every[i] for i in programs.chosen[1 + n :])
        numbers, holds = programs.call("finish", block.task, block.state, sums, block.level[0], plain)
        residuals = Residuals(*np.asarray(sums, np.float64)[:, :count])
        known: State = tree_map(lambda row: np.asarray(row)[:count], block.state)
        level = Level(*block.level[:, :count])
        found = programs.inverse(np.asarray(numbers)[:, :count], np.asarray(holds)[:, :count])
        with np.errstate(all="ignore"):
            answered, some = told(found), np.flatnonzero(~found.regular & (known.status < RUNNING))
            if some.size:
                matrix = None if plain is None else Dense.of(tuple(np.asarray(e, np.float64)[some] for e in plain), n)
                task = tree_map(lambda row: np.asarray(row)[some], block.task)
                there, residual, used = tree_map(lambda a: a[some], (known, residuals, level.n_used))
                singular = answer(self.algebra, self.options.criterion, task, there, residual, used, matrix)
                for whole, part in zip(answered, singular, strict=True):
                    whole[..., some] = part
            if self.problem.model.has_edge:
                cost_at = partial(self._cost_at, programs, samples, ends)
                answered = unless_flat(
                    answered,
                    self.options.criterion,
                    known,
                    level.n_used,
                    cost_at,
                    lambda some: costs_without_edge(self.problem, block.positions[some]),
                    constant_of(self.problem),
                )
            positions = _run_of(block.positions)
            costs = partial(self._costs, programs, samples)
            cost = np.asarray(known.here.cost)
            worthless = costs_more_than_constant(self.problem, positions, ends[:, :count], cost, level, costs)
            start = block.start[:, :count]
            store(self.problem, positions, self.fits, start, known, level, answered, residuals, worthless)

    def _costs(self, programs: Programs, samples: Samples, params: NDArray[Any]) -> NDArray[Any]:
        """Return what the fits of a block cost elsewhere; what fills it up is like its last one."""
        found = programs.call("sums", samples, tuple(_filled(params, programs.width).astype(self.dtype)))
        return np.asarray(found[0], np.float64)[: params.shape[1]]

    def _cost_at(self, programs: Programs, samples: Samples, ends: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        """Return the cost ``(B,)`` with other free parameters."""
        there = ends.copy()
        there[self.free, : x.shape[1]] = x
        cost = programs.call("sums", samples, tuple(there.astype(self.dtype)))[0]
        return np.asarray(cost, np.float64)[: x.shape[1]]


def _run_of(positions: NDArray[np.intp]) -> Positions:
    """Return consecutive positions as a slice, which is quicker to copy to; others as they are."""
    first, last = int(positions[0]), int(positions[-1]) + 1
    return slice(first, last) if last - first == positions.size and (np.diff(positions) == 1).all() else positions


def _joined(left: Sequence[Leftover]) -> Leftover:
    """Columns side by side."""
    if len(left) == 1:
        return left[0]
    found: Leftover = tree_map(lambda *a: np.concatenate(a, axis=-1), *left)
    return found


def _filled(array: NDArray[Any], width: int) -> NDArray[Any]:
    """Fill up with the last column repeated: what is added ends with it."""
    missing = width - array.shape[-1]
    return np.concatenate([array, np.repeat(array[..., -1:], missing, axis=-1)], axis=-1) if missing else array
