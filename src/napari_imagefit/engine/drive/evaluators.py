"""Evaluation of sums at parameters, for some of the fits of a problem: by a compiled program, or in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.device import computing, pool
from ..core.options import Options
from ..core.trees import tree_map
from ..core.types import Floats
from ..models.numpy_model import NumpyModel
from ..models.prediction import prepare_values, values_of
from ..noise.samples import ALONE, TILE, Samples
from ..sums.normal_equations import NormalSums
from ..sums.residual_sums import Residuals, residual_sums
from .level import Level
from .loading import across, lengths_of, rounded_to, samples_of, tiles_of
from .problem import Problem
from .row_evaluator import RowEvaluator

# Fits whose sums are computed by one call of a program, if they are more than one: of few, and of more than so many.
FITS_PER_CALL, MANY = 16, 512
# Samples that are worked on together in NumPy: the pages of larger arrays are taken from the system at each operation.
SAMPLES_PER_PIECE = 16384
# Tiles of an image from which on each is one piece: the pages of a thread's first tile serve its others, and threads
# wait four times less often for each other's Python.
WHOLE_TILES_FROM = 5


class Evaluator(Protocol):
    """Sums over the samples of B fits; all arrays are NumPy's, in double precision."""

    level: Level

    @property
    def samples(self) -> Samples | None:
        """The samples ``(m, B)``, in NumPy; None where they are kept in tiles."""

    def prepare(self) -> list[Future[Any]]:
        """Compile what the evaluation will need."""

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Cost, gradient and lower triangle of JᵀJ by the free parameters ``(K, B)`` at parameters ``(n_params, B)``.

        With `some` only for some of the fits, whose parameters are given.
        """

    def plain(self, params: Floats) -> Floats:
        """Return the same of the residuals themselves, without a robust loss."""

    def residuals(self, params: Floats) -> Residuals:
        """Return sums over residuals at the end."""


def evaluator_of(problem: Problem, positions: slice) -> Evaluator:
    """Return the evaluator for fits at these positions."""
    if isinstance(problem.model, NumpyModel) or problem.whole or problem.root is not None:
        return RowEvaluator(problem, positions)
    if is_large(problem):
        return TileEvaluator(problem, positions.start)
    return BlockEvaluator(problem, positions)


def is_large(problem: Problem) -> bool:
    """Whether each fit has more samples than one tile."""
    compiled = not (isinstance(problem.model, NumpyModel) or problem.whole or problem.root is not None)
    return compiled and problem.padded_length > TILE


def free_sums(n: int, free: Sequence[int]) -> NDArray[np.intp]:
    """Return the positions of the sums of the free parameters among those of all `n`."""

    def product(i: int, j: int) -> int:
        i, j = max(i, j), min(i, j)
        return 1 + n + i * (i + 1) // 2 + j

    gradient = [1 + i for i in free]
    products = [product(i, j) for k, i in enumerate(free) for j in free[: k + 1]]
    return np.array([0, *gradient, *products])


def _plain(options: Options) -> Options:
    return replace(options, loss="linear")


class BlockEvaluator:
    """Fits whose samples are one block ``(B, m)``: compiled sums, values for the last look as the model has them."""

    def __init__(self, problem: Problem, positions: slice) -> None:
        self.problem = problem
        self.options = problem.options
        self.dtype = np.dtype(problem.options.dtype)
        self.samples = samples_of(problem, positions)
        self.count = self.samples.data.shape[1]
        self.level = Level.of(self.options.criterion, self.samples, lengths_of(problem, positions))
        one = problem.padded_length >= ALONE or max(problem.requested, problem.n_fits) == 1
        self.width = 1 if one else FITS_PER_CALL if self.count <= MANY else MANY
        blocks = -(-self.count // self.width)
        self.block = across(self.samples, problem.padded_length, blocks * self.width, self.dtype)
        self.chosen = free_sums(len(problem.model.names), problem.free)
        self.programs = NormalSums(problem.model, self.options, stacked=True)
        self._known: dict[bytes, Floats] = {}  # of a single fit, the last two: it begins where a start was tried

    def prepare(self) -> list[Future[Any]]:
        """Compile the sums for this number of fits, and the values where NumPy cannot compute them."""
        with computing(self.options):
            found = [self.programs.prepare(*self._arguments(np.zeros(self.width, np.intp)))]
        m, fits = self.samples.data.shape
        return found + prepare_values(self.problem.model, m, fits, self.options)

    def _arguments(self, some: NDArray[np.intp], params: Floats | None = None) -> tuple[Samples, NDArray[Any]]:
        """Return the samples of `width` fits, and their parameters ``(n_params, width)``."""

        def rows(array: NDArray[Any] | None) -> NDArray[Any] | None:
            return array if array is None or array.ndim < 2 or len(array) == 1 else array[some]

        block = self.block
        samples = Samples(
            tuple(rows(c) for c in block.coords),
            rows(block.data),
            rows(block.weights),
            rows(block.shift),
            block.f_scale,
        )
        if params is None:
            params = np.ones((len(self.problem.model.names), self.width))
        return samples, params.astype(self.dtype)

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Return cost, gradient and lower triangle of JᵀJ, ``(K, B)``, by a compiled program."""
        if params.shape[1] != 1 or self.count != 1:
            return self._sums(self.programs, params, some)
        at = params.tobytes()
        if at not in self._known:
            self._known = dict([*self._known.items()][-1:]) | {at: self._sums(self.programs, params, some)}
        return self._known[at].copy()

    def _sums(self, programs: NormalSums, params: Floats, some: NDArray[np.intp] | None) -> Floats:
        if self.width == 1 == self.count:
            rows = params.astype(self.dtype)
            with computing(self.options):
                program = programs.program(self.block, rows)
                return np.asarray(program(self.block, rows))[self.chosen].astype(np.float64, copy=False)
        some = np.arange(self.count) if some is None else some
        found = np.empty((self.chosen.size, some.size))
        for first in range(0, some.size, self.width):
            part = np.minimum(np.arange(first, first + self.width), some.size - 1)
            arguments = self._arguments(some[part], params[:, part])
            with computing(self.options):
                program = programs.program(*arguments)
                sums = np.asarray(program(*arguments))
            count = min(self.width, some.size - first)
            found[:, first : first + count] = sums[self.chosen, :count]
        return found

    def plain(self, params: Floats) -> Floats:
        """Return the same of the residuals themselves, without a robust loss."""
        programs = NormalSums(self.problem.model, _plain(self.options), stacked=True)
        return self._sums(programs, params, None)

    def residuals(self, params: Floats) -> Residuals:
        """Return sums over residuals: of an image in pieces that stay in the cache, of others in one piece."""
        model, samples = self.problem.model, self.samples
        if self.count > 1 or len(samples.data) <= SAMPLES_PER_PIECE or not model.broadcasts or model.exact:
            return self._residuals(samples, params)
        pieces = [slice(first, first + SAMPLES_PER_PIECE) for first in range(0, len(samples.data), SAMPLES_PER_PIECE)]
        return _added([self._residuals(samples.rows(piece), params) for piece in pieces])

    def _residuals(self, samples: Samples, params: Floats) -> Residuals:
        value = values_of(self.problem.model, samples.coords, params, self.options).astype(np.float64, copy=False)
        with np.errstate(all="ignore"):
            return residual_sums(self.options.criterion, samples, value, self.level.mean)


class TileEvaluator:
    """One fit of many samples: its tiles are looked at by all cores, and small sums meet on the host."""

    samples: Samples | None = None

    def __init__(self, problem: Problem, position: int) -> None:
        self.problem, self.options = problem, problem.options
        self.dtype = np.dtype(self.options.dtype)
        with computing(self.options):
            self.tiles, self.lengths = tiles_of(problem, position)
        self.piece = TILE if len(self.tiles) >= WHOLE_TILES_FROM else SAMPLES_PER_PIECE
        self.chosen = free_sums(len(problem.model.names), problem.free)
        self.programs = NormalSums(problem.model, self.options, stacked=True)
        self.level = Level.joined(
            [level for levels in pool().map(self._levels, range(len(self.tiles))) for level in levels]
        )

    def _pieces(self, index: int, *, placed: bool = True) -> Iterator[Samples]:
        """Return a tile in NumPy, ``(m, 1)`` by ``(m, 1)``, in float64, without padding and perhaps coordinates."""
        tile, length = self.tiles[index], self.lengths[index]
        tile = tile._replace(coords=tile.coords if placed else (), f_scale=None)
        # to look at an array of JAX takes longer than to cut a piece of NumPy's
        columns = tree_map(lambda array: np.asarray(array)[0, :length, None], tile)
        f_scale = None if self.tiles[index].f_scale is None else np.asarray(self.tiles[index].f_scale, np.float64)

        def cut(column: NDArray[Any], part: slice) -> NDArray[Any]:
            piece = column[part]
            return piece if piece.dtype == self.dtype == np.float64 else rounded_to(piece, self.dtype)

        for first in range(0, length, self.piece):
            part = slice(first, first + self.piece)
            samples: Samples = tree_map(lambda column, part=part: cut(column, part), columns)
            yield samples._replace(f_scale=f_scale)

    def _levels(self, index: int) -> list[Level]:
        with np.errstate(all="ignore"):
            return [
                Level.of(self.options.criterion, samples, np.array([len(samples.data)]))
                for samples in self._pieces(index, placed=False)
            ]

    def prepare(self) -> list[Future[Any]]:
        """Compile the sums of one tile, and the values where NumPy cannot compute them."""
        params = np.ones((len(self.problem.model.names), 1), self.dtype)
        with computing(self.options):
            found = [self.programs.prepare(self.tiles[0], params)]
        return found + prepare_values(self.problem.model, self.piece, 1, self.options)

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Return cost, gradient and lower triangle of JᵀJ, ``(K, 1)``, added up over all tiles."""
        del some
        return self._sums(self.programs, params)

    def _sums(self, programs: NormalSums, params: Floats) -> Floats:
        rows = params.astype(self.dtype)
        with computing(self.options):
            program = programs.program(self.tiles[0], rows)

        def one(index: int) -> NDArray[Any]:
            with computing(self.options):
                return np.asarray(program(self.tiles[index], rows))

        # always in the order of the tiles
        total: Floats = np.sum(list(pool().map(one, range(len(self.tiles)))), axis=0, dtype=np.float64)
        return total[self.chosen]

    def plain(self, params: Floats) -> Floats:
        """Return the same of the residuals themselves, without a robust loss."""
        return self._sums(NormalSums(self.problem.model, _plain(self.options), stacked=True), params)

    def residuals(self, params: Floats) -> Residuals:
        """Return sums over residuals, added up over pieces of all tiles."""

        def some(index: int) -> list[Residuals]:
            found = []
            for samples in self._pieces(index):
                value = values_of(self.problem.model, samples.coords, params, self.options)
                value = value.astype(np.float64, copy=False)
                with np.errstate(all="ignore"):
                    found.append(residual_sums(self.options.criterion, samples, value, self.level.mean))
            return found

        return _added([part for parts in pool().map(some, range(len(self.tiles))) for part in parts])


def _added(parts: Sequence[Residuals]) -> Residuals:
    """Return the sums over all samples of a fit from those over its pieces."""
    return Residuals(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))
