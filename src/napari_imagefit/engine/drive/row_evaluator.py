"""Evaluation in NumPy: for functions that only NumPy can call, or whose samples belong together."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.device import in_precision
from ..core.errors import FitInputError
from ..core.options import Criterion
from ..core.types import Floats
from ..models.numpy_model import NumpyModel
from ..models.prediction import linearise
from ..noise.noise_and_loss import terms
from ..noise.samples import Samples
from ..sums.normal_equations import sums_of
from ..sums.residual_sums import Residuals, residual_sums
from .level import Level
from .loading import columns_of, lengths_of, samples_of
from .problem import Problem

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = LazyModule("scipy.linalg")


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
            # a copy: derivatives call the function again, which may fill the same array
            value = np.array(self.model.values(params))
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
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and one.tobytes() == other.tobytes()
