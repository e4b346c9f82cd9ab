"""Evaluation of sums at parameters, for some of the fits of a problem: by a compiled program, or in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.device import computing, in_precision, pool
from ..core.errors import FitInputError
from ..core.options import Criterion, Options
from ..core.types import Floats
from ..models.numpy_model import NumpyModel
from ..models.prediction import linearise, prepare_values, values_of
from ..noise.noise_and_loss import terms
from ..noise.samples import ALONE, TILE, Samples
from ..sums.normal_equations import NormalSums, sums_of
from ..sums.residual_sums import Residuals, residual_sums
from .level import Level
from .loading import across, columns_of, lengths_of, rounded_to, samples_of, tiles_of
from .problem import Problem

if TYPE_CHECKING:
    import jax
    from scipy import linalg
else:
    jax, linalg = LazyModule("jax"), LazyModule("scipy.linalg")

# Fits whose sums are computed by one call of a program, if they are more than one: of few, and of more than so many.
FITS_PER_CALL, MANY = 16, 512
# Samples that are worked on together in NumPy: the pages of larger arrays are taken from the system at each operation.
SAMPLES_PER_PIECE = 16384


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

    def _arguments(self, some: NDArray[np.intp], params: Floats | None = None) -> tuple[Samples, tuple[Any, ...]]:
        """Return the samples of `width` fits, and their parameters."""

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
        return samples, tuple(row for row in params.astype(self.dtype))

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Return cost, gradient and lower triangle of JᵀJ, ``(K, B)``, by a compiled program."""
        if params.shape[1] != 1 or self.count != 1:
            return self._sums(self.programs, params, some)
        at = params.tobytes()
        if at not in self._known:
            self._known = dict([*self._known.items()][-1:]) | {at: self._sums(self.programs, params, some)}
        return self._known[at].copy()

    def _sums(self, programs: NormalSums, params: Floats, some: NDArray[np.intp] | None) -> Floats:
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
        value = values_of(self.problem.model, samples.coords, params, self.options).astype(np.float64)
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
        columns = jax.tree.map(lambda array: np.asarray(array)[0, :length, None], tile)
        f_scale = None if self.tiles[index].f_scale is None else np.asarray(self.tiles[index].f_scale, np.float64)
        for first in range(0, length, SAMPLES_PER_PIECE):
            part = slice(first, first + SAMPLES_PER_PIECE)
            samples: Samples = jax.tree.map(lambda c, part=part: rounded_to(c[part], self.dtype), columns)
            yield samples._replace(f_scale=f_scale)

    def _levels(self, index: int) -> list[Level]:
        with np.errstate(all="ignore"):
            return [
                Level.of(self.options.criterion, samples, np.array([len(samples.data)]))
                for samples in self._pieces(index, placed=False)
            ]

    def prepare(self) -> list[Future[Any]]:
        """Compile the sums of one tile, and the values where NumPy cannot compute them."""
        params = tuple(np.ones((len(self.problem.model.names), 1), self.dtype))
        with computing(self.options):
            found = [self.programs.prepare(self.tiles[0], params)]
        return found + prepare_values(self.problem.model, SAMPLES_PER_PIECE, 1, self.options)

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Return cost, gradient and lower triangle of JᵀJ, ``(K, 1)``, added up over all tiles."""
        del some
        return self._sums(self.programs, params)

    def _sums(self, programs: NormalSums, params: Floats) -> Floats:
        rows = tuple(params.astype(self.dtype))
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
                value = values_of(self.problem.model, samples.coords, params, self.options).astype(np.float64)
                with np.errstate(all="ignore"):
                    found.append(residual_sums(self.options.criterion, samples, value, self.level.mean))
            return found

        return _added([part for parts in pool().map(some, range(len(self.tiles))) for part in parts])


def _added(parts: Sequence[Residuals]) -> Residuals:
    """Return the sums over all samples of a fit from those over its pieces."""
    return Residuals(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))


class RowEvaluator:
    """Values and rows of J in NumPy: for functions that only NumPy can call, or whose samples belong together."""

    def __init__(self, problem: Problem, positions: slice) -> None:
        self.problem, self.options, self.model = problem, problem.options, problem.model
        self.samples = samples_of(problem, positions)
        self.level = Level.of(self.options.criterion, self.samples, lengths_of(problem, positions))
        shape = len(self.model.names), self.samples.data.shape[1]
        free = list(problem.free)
        self.lower, self.upper = (
            np.broadcast_to(columns_of(a, positions), shape)[free] for a in (problem.lower, problem.upper)
        )
        self.used = self.samples.usable()
        self.triangle = np.tril_indices(len(free))
        self._seen: tuple[Floats, Any, Floats, Floats, Floats | None] | None = None

    def prepare(self) -> list[Future[Any]]:
        """Return nothing: nothing is compiled."""
        return []

    def sums(self, params: Floats, some: NDArray[np.intp] | None = None) -> Floats:
        """Return cost, gradient and lower triangle of JᵀJ, ``(K, B)``, from values and rows of J."""
        value, slopes, rho = self._look(params, some)
        return self._reduced(self.options.criterion, value, slopes, rho, some)

    def plain(self, params: Floats) -> Floats:
        """Return the same of the residuals themselves, without a robust loss."""
        value, slopes, _ = self._look(params, None)
        return self._reduced(Criterion(), value, slopes, None, None)

    def _reduced(
        self, criterion: Criterion, value: Floats, slopes: Floats, rho: Floats | None, some: NDArray[np.intp] | None
    ) -> Floats:
        samples = self._some(some)
        if self.problem.alone and criterion == Criterion():
            return self._squares(value, slopes)
        with np.errstate(all="ignore"):
            value = self._whitened(value, samples)
            found = terms(criterion, value, samples, rho)
            used = samples.usable()
            rows = [np.where(used, found.slope * self._whitened(slope, samples), 0) for slope in slopes]
            cost, residual = np.where(used, found.cost, 0), np.where(used, found.residual, 0)
            if not self.problem.alone:
                return np.stack(sums_of(cost, residual, rows, axis=0))
            # products of matrices, for a fit by itself
            columns = np.concatenate(rows, axis=1)
            product = columns.T @ columns
            return np.concatenate([cost.sum(axis=0), columns.T @ residual[:, 0], product[np.tril_indices(len(rows))]])[
                :, None
            ]

    def _squares(self, value: Floats, slopes: Floats) -> Floats:
        """Least squares of a fit by itself: products of matrices."""
        samples, used = self.samples, self.used
        residual = samples.weighted(self._whitened(value, samples) - samples.data)[:, 0]
        columns = slopes[:, :, 0].T
        if self.problem.root is not None:
            columns = self._whitened(columns, samples)
        columns = samples.weighted(columns)
        if not used.all():
            residual, columns = np.where(used[:, 0], residual, 0), np.where(used, columns, 0)
        product = columns.T @ columns
        cost = 0.5 * (residual @ residual)
        return np.concatenate([[cost], columns.T @ residual, product[self.triangle]])[:, None]

    def residuals(self, params: Floats) -> Residuals:
        """Return sums over residuals, divided by the root of the covariance if one was given."""
        value, _, rho = self._look(params, None)
        with np.errstate(all="ignore"):
            value = self._whitened(value, self.samples)
            return residual_sums(self.options.criterion, self.samples, value, self.level.mean, rho=rho)

    def _some(self, some: NDArray[np.intp] | None) -> Samples:
        samples = self.samples
        return samples if some is None or some.size == samples.data.shape[1] else samples.fits(some)

    def _look(self, params: Floats, some: NDArray[np.intp] | None) -> tuple[Floats, Floats, Floats | None]:
        """Return the values ``(m, B)``, their derivatives ``(n_free, m, B)``, and a loss that is written in NumPy."""
        if self._seen is not None and _same(self._seen[0], params) and _same(self._seen[1], some):
            # functions need not be called twice at one point
            return self._seen[2:]
        free = self.problem.free
        lower, upper = (bound if some is None else bound[:, some] for bound in (self.lower, self.upper))
        if isinstance(self.model, NumpyModel):
            value = self.model.values(params)
            slopes = self.model.derivatives(params, value, free, lower, upper)
        else:
            coords = self._some(some).coords
            value, slopes = linearise(self.model, coords, params, self.options)
            slopes = slopes[list(free)]
        rho = self._rho(np.asarray(value, np.float64), some)
        self._seen = np.array(params), some, np.asarray(value, np.float64), np.asarray(slopes, np.float64), rho
        return self._seen[2:]

    def _whitened(self, values: Floats, samples: Samples) -> Floats:
        """L⁻¹ times values ``(m, 1)``, where the data are correlated; what is not used is correlated with nothing."""
        if self.problem.root is None:
            return values
        solved: Floats = linalg.solve_triangular(
            self.problem.root, np.where(samples.usable(), values, 0), lower=True, check_finite=False
        )
        return solved

    def _rho(self, value: Floats, some: NDArray[np.intp] | None) -> Floats | None:
        """Return the terms of a loss that the user has written."""
        loss = getattr(self.model, "rho", None) or self.options.loss
        if not callable(loss):
            return None
        samples = self._some(some)
        with np.errstate(all="ignore"):
            residual = samples.weighted(self._whitened(value, samples) - samples.data)
        # the user's function is to see the samples of the fit alone, as a vector
        used = samples.usable()
        with in_precision("float64"), np.errstate(all="warn", under="ignore"):
            z = (residual[used] / float(self.options.f_scale)) ** 2
            found = np.asarray(loss(z), np.float64)
        if found.shape != (3, z.size):
            raise FitInputError(
                f"`loss` returns values of shape {found.shape}; give rho and its two derivatives, {(3, z.size)}"
            )
        rho = np.zeros((3, *value.shape))
        rho[1] = 1
        rho[:, used] = found
        return rho


def _same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other, equal_nan=True))
