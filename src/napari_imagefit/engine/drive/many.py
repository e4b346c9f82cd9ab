"""Many fits: chunks of blocks on all cores, in which a fit that has ended makes room.

A chunk is worked on until few of its fits still run. These wait, as columns, until there are enough of them for
another chunk, so that hardly any arithmetic is spent on fits that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.errors import FitEngineError
from ..core.fits import Fits, store
from ..core.programs import Runner, computing, find_device
from ..core.progress import Progress
from ..core.threads import cores, pool
from ..models.model import Array
from ..solver.trust_region import RUNNING
from ..sums.normal_equations import ALONE
from . import stages
from .blocks import Own, Tree, is_own, join, over_blocks, to_blocks, to_columns
from .loading import Places, load_blocks, padded_length, tolerances_of
from .problem import Problem

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Samples in one block; with fewer, calls of the program's parts cost more than the arithmetic, more leave the cache.
BLOCK_VALUES = 1 << 14
# Fits in one block, at most.
MOST_IN_BLOCK = 256
# Samples in one chunk: some hundredth of a second.
CHUNK_VALUES = 1 << 18
# Samples, and fits, in one block on a GPU, which works on all of them at once.
WIDE_VALUES = 1 << 22
MOST_WIDE = 1 << 16
# Blocks in one chunk on a GPU at most, and the part of its free memory that chunks may take.
MOST_BLOCKS = 8
SHARE = 0.25
# Trial steps before a chunk is looked at again.
STEPS = 12
# A chunk is left when fewer than this part of its fits still run.
FEW = 8
# Seconds between two looks at whether to stop.
PATIENCE = 0.05
# What XLA says of an allocation that fails.
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"

begin = over_blocks(stages.prepare)
advance = over_blocks(stages.advance)
answer = over_blocks(stages.finish)


class Shape(NamedTuple):
    """Of a chunk: blocks, and fits in each."""

    blocks: int
    width: int

    @property
    def fits(self) -> int:
        return self.blocks * self.width

    def halved(self) -> Shape | None:
        """With half the fits, None if there is but one; the width, and so the last bit, is kept while it can be."""
        if self.blocks > 1:
            return Shape(self.blocks // 2, self.width)
        return Shape(1, self.width // 2) if self.width > 1 else None


class Leftover(NamedTuple):
    """Fits that still run, as columns."""

    places: NDArray[np.intp]
    task: Tree
    state: Tree
    statistics: Tree


# How many fits of a chunk have ended, and the others.
Outcome = tuple[int, Leftover | None]


def shape_of(problem: Problem) -> Shape:
    """The same for all problems of a length, however many their fits are."""
    if problem.alone:
        return Shape(1, 1)
    rows = padded_length(problem)
    device = find_device(problem.options.device)
    if device.platform != "cpu":
        return _wide_shape(problem, rows, device.memory_stats())
    width = 1 if rows >= ALONE else min(MOST_IN_BLOCK, 1 << int(np.log2(BLOCK_VALUES // rows)))
    return Shape(max(1, CHUNK_VALUES // (rows * width)), width)


def _wide_shape(problem: Problem, rows: int, memory: Mapping[str, int] | None) -> Shape:
    """For a GPU: wide blocks, as many as a part of its free memory holds for all chunks that are under way."""
    width = 1 if rows >= ALONE else min(MOST_WIDE, 1 << int(np.log2(WIDE_VALUES // rows)))
    n = len(problem.model.names)
    # samples, weights, shifts and coordinates, and what a state and its answers hold, twice: once more for the results
    numbers = 2 * (rows * (4 + problem.model.ndim) + 4 * n * n + 16 * n)
    size = numbers * width * np.dtype(problem.options.dtype).itemsize
    if not memory or "bytes_limit" not in memory:
        return Shape(1, width)
    free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
    blocks = int(SHARE * free / (2 * cores() * size))
    shape = Shape(max(1, min(blocks, MOST_BLOCKS)), width)
    while SHARE * free < 2 * cores() * size * shape.fits / width and (less := shape.halved()):
        shape = less
    return shape


def iter_many(
    problem: Problem, runner: Runner, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    """Fit everything and fill in `fits`; yields and ends as `batch.iter_fit` does."""
    if should_stop():
        return
    work = _Work(problem, runner, fits)
    if not work.is_ready():
        yield Progress(0, problem.n_fits, compiling=True)
        work.compile()
    yield Progress(0, problem.n_fits)
    chunks = work.chunks()
    running: set[Future[Outcome]] = set()
    waiting: list[Leftover] = []
    ended = 0
    try:
        while not work.stopped:
            while len(running) < 2 * cores() and (job := work.next_job(chunks, waiting, bool(running))):
                running.add(pool().submit(job))
            if not running:
                break
            done, running = wait(running, PATIENCE, FIRST_COMPLETED)
            for future in done:
                count, left = future.result()
                ended += count
                waiting += [] if left is None else [left]
            work.stopped = should_stop()
            yield Progress(ended, problem.n_fits)
    finally:
        work.stopped = True
        wait(running)


def _gathered(left: list[Leftover]) -> Leftover | None:
    if len(left) < 2:
        return left[0] if left else None
    trees = jax.tree.map(lambda *a: np.concatenate(a, axis=-1), *[one[1:] for one in left])
    return Leftover(np.concatenate([one.places for one in left]), *trees)


class _Work:
    def __init__(self, problem: Problem, runner: Runner, fits: Fits) -> None:
        self.problem, self.runner, self.fits = problem, runner, fits
        self.shape = shape_of(problem)
        self.tolerances = tolerances_of(problem.options)
        self.limit = np.int32(problem.options.max_iterations)
        self.stopped = False
        # of the first chunk, loaded to learn their shapes
        self._loaded: tuple[Any, ...] | None = None

    def chunks(self) -> Iterator[slice]:
        for first in range(0, self.problem.n_fits, self.shape.fits):
            yield slice(first, min(first + self.shape.fits, self.problem.n_fits))

    def next_job(self, chunks: Iterator[slice], waiting: list[Leftover], others: bool) -> Callable[[], Outcome] | None:
        """What to do next: fits that wait if they fill a chunk, or if there is nothing else; None if that is all."""
        count = sum(left.places.size for left in waiting)
        if count < self.shape.fits and (part := next(chunks, None)) is not None:
            return lambda: self.first(part)
        if not count or (others and count < self.shape.fits):
            return None
        taken = waiting.copy()
        waiting.clear()
        return lambda: self.again(taken)

    def first(self, part: slice) -> Outcome:
        """A new chunk."""

        def fit(places: slice, shape: Shape) -> Outcome:
            count = places.stop - places.start
            with computing(self.problem.options):
                samples, limits, found = self._load(places, shape)
                used = np.int32(-(-count // shape.width))
                task, state, statistics = self.runner(begin, used, samples, limits, found)
                return self._go_on(places, shape.width, samples, task, state, statistics, count)

        return self._in_pieces(
            fit, part.stop - part.start, lambda low, high: slice(part.start + low, part.start + high)
        )

    def again(self, waiting: list[Leftover]) -> Outcome:
        """Fits that have waited."""
        every = np.concatenate([left.places for left in waiting])
        blank = Own(np.zeros(0))
        like = jax.tree.map(lambda _: blank, waiting[0][1:], is_leaf=is_own)
        columns = join([left[1:] for left in waiting], like)

        def fit(chosen: slice, shape: Shape) -> Outcome:
            places = every[chosen]
            with computing(self.problem.options):
                task, state, statistics = jax.tree.map(lambda c: to_blocks(c[..., chosen], *shape), columns)
                samples, _, _ = load_blocks(self.problem, places, *shape)
                return self._go_on(places, shape.width, samples, task, state, statistics, places.size)

        return self._in_pieces(fit, every.size, slice)

    def _in_pieces(
        self, fit: Callable[[slice, Shape], Outcome], count: int, piece: Callable[[int, int], slice]
    ) -> Outcome:
        """Fit at most a chunk at a time; where memory runs out chunks are halved, for all that follows too."""
        ended, left, low = 0, [], 0
        while low < count:
            shape = self.shape
            high = min(low + shape.fits, count)
            try:
                found = fit(piece(low, high), shape)
            except FitEngineError as error:
                less = shape.halved()
                if OUT_OF_MEMORY not in str(error) or less is None:
                    raise
                self.shape = less
                continue
            ended, low = ended + found[0], high
            left += [] if found[1] is None else [found[1]]
        return ended, _gathered(left)

    def _go_on(
        self, places: Places, width: int, samples: Tree, task: Tree, state: Tree, statistics: Tree, count: int
    ) -> Outcome:
        used = np.int32(-(-count // width))
        # the last ones are worked on to their end
        few = np.int32(0 if count <= width else width // FEW)
        while True:
            state = self.runner(advance, used, samples, task, state, self.tolerances, self.limit, np.int32(STEPS), few)
            status = to_columns(state.status, slice(0, count))
            unfinished = np.flatnonzero(status >= RUNNING)
            if self.stopped or unfinished.size <= used * few:
                break
        ends = self.runner(answer, used, samples, task, state)
        everything = slice(0, count)
        found = to_columns((task, state, statistics, ends), everything)
        store(self.problem, places, self.fits, *found)
        ended = count - unfinished.size
        if self.stopped or not unfinished.size:
            return ended, None
        every = np.arange(places.start, places.stop) if isinstance(places, slice) else places
        return ended, Leftover(every[unfinished], *to_columns((task, state, statistics), unfinished))

    def _load(self, places: slice, shape: Shape) -> tuple[Any, ...]:
        if self._loaded is not None and shape == self.shape and places == next(self.chunks()):
            loaded, self._loaded = self._loaded, None
            return loaded
        return load_blocks(self.problem, places, *shape)

    def _arguments(self) -> tuple[Any, ...]:
        """Those of the first chunk."""
        if self._loaded is None:
            self._loaded = load_blocks(self.problem, next(self.chunks()), *self.shape)
        return np.int32(1), *self._loaded

    def is_ready(self) -> bool:
        """Whether the programs are compiled; they are compiled together."""
        with computing(self.problem.options):
            return self.runner.is_ready(begin, *self._arguments())

    def compile(self) -> None:
        """Compile all programs, at the same time."""
        options = self.problem.options

        def one(stage: Any, args: tuple[Array, ...]) -> None:
            with computing(options):
                self.runner.program(stage, *args)

        for future in [pool().submit(one, stage, args) for stage, args in self._calls()]:
            future.result()

    def _calls(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """The stages with arguments of their shapes."""
        with computing(self.problem.options):
            first = self._arguments()
            task, state, _ = self.runner.shapes(begin, *first)
            count, samples = first[:2]
            return [
                (begin, first),
                (advance, (count, samples, task, state, self.tolerances, self.limit, np.int32(STEPS), np.int32(0))),
                (answer, (count, samples, task, state)),
            ]
