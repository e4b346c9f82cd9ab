"""Covariance of the parameters, and which of them the data do not determine.

References
----------
P. J. Huber and E. M. Ronchetti, Robust Statistics, 2009, section 7.6: the covariance of a robust regression.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..core.array_module import xp
from ..core.options import Criterion
from ..core.types import Array, Booleans, Floats
from ..linalg import batched_ldl
from ..linalg.algebra import TINY, Algebra, Rows, as_arrays
from ..linalg.normal_matrix import Dense
from ..sums.residual_sums import Residuals
from .trust_region import State, Task

# A column of J that has shrunk by this much since its largest carries no information: rounding of √m sums.
VANISHED = 1e-14
# A gradient that is less than this part of what it could be pulls nowhere.
PULL = 1e-6
# Pivots of a matrix of unit diagonal from which on it is far from singular, in either precision.
REGULAR = 1e-3
# The part of an unknown that lies in the null space from which on it is not determined.
UNDETERMINED_PART = 1e-4


class Answer(NamedTuple):
    """Covariance and determined parameters at the end of a fit, for the free ones; arrays of NumPy."""

    covariance: Floats  # (n, n, B); of least squares (JᵀJ)⁻¹, to be multiplied by the reduced χ² where σ is unknown
    undetermined: Booleans  # (n, B)
    at_lower: Booleans  # (n, B)
    at_upper: Booleans  # (n, B)
    vagueness: Floats  # (n, B): how many times the errors grow because other parameters are not known either


def answer(
    algebra: Algebra,
    criterion: Criterion,
    task: Task,
    state: State,
    sums: Residuals,
    used: Array,
    plain: Dense | None = None,
) -> Answer:
    """Invert the Gauss–Newton matrix over the parameters that are free, not at a bound, and determined.

    It is JᵀJ for least squares, Fisher's information for counts and magnitudes. A robust loss has Huber's covariance of
    an M-estimate, K²·[Σψ²/(n − p)]/(mean ψ')²·(JᵀJ)⁻¹ with K = 1 + (p/n)·var(ψ')/(mean ψ')², which measures the noise
    by itself.

    A parameter is *at a bound* if the cost still falls towards the bound and the bound is nearer than a hundredth of
    the parameter's own (conditional) standard deviation; it then counts as fixed there. A parameter is *undetermined*
    if the model does not depend on it at the solution, or only in a combination with others that JᵀJ, scaled to a unit
    diagonal, cannot be distinguished from zero within rounding.

    Parameters
    ----------
    task, state
        Of NumPy arrays ``(B,)``, or of numbers where `algebra` is for a single fit.
    used : array, ``(B,)``
        How many samples each fit has.
    plain : Dense, optional
        JᵀJ of the residuals themselves, for a robust loss.
    """
    found: Inverse
    matrices: Matrices
    found, matrices = algebra.run(invert, criterion, task, state, sums, used, plain)
    found = as_arrays(found)
    result, some = told(found), ~np.asarray(found.regular)
    if some.any():
        matrices = as_arrays(matrices)
        inverse, vague = _by_eigenvalues(matrices.scaled.full()[:, :, some], algebra.eps)
        scale, out = np.stack(matrices.scale)[:, some], np.stack(found.out)[:, some]
        result.vagueness[:, some] = np.sqrt(np.einsum("nnB->nB", inverse))
        result.undetermined[:, some] |= ~out & vague
        covariance = matrices.factor[some] * inverse * scale[:, None] * scale[None]
        result.covariance[:, :, some] = _blanked(covariance, result.undetermined[:, some] | out)
    return result


class Inverse(NamedTuple):
    """The inverse of Gauss–Newton matrices; rows by free parameter."""

    covariance: Rows  # lower triangle, row by row
    vagueness: Rows
    regular: Array  # (B,): whether the inverse is one
    at_lower: Rows
    at_upper: Rows
    undetermined: Rows  # what the model does not depend on
    out: Rows  # what counts as fixed

    @classmethod
    def of_kinds(cls, n: int, number: Any, holds: Any) -> Inverse:
        """Return an instance with the types of its rows in place of the rows."""
        rows = (holds,) * n
        return cls((number,) * (n * (n + 1) // 2), (number,) * n, holds, rows, rows, rows, rows)


class Matrices(NamedTuple):
    """Matrices to invert: covariance = factor·scale·scaled⁻¹·scale."""

    scaled: Dense
    scale: Rows
    factor: Array  # (B,)


def told(found: Inverse) -> Answer:
    """Return the results of regular fits, in NumPy."""
    n = len(found.out)
    undetermined = np.stack(found.undetermined)
    covariance = _blanked(Dense.of(found.covariance, n).full(), undetermined | np.stack(found.out))
    return Answer(
        covariance, undetermined, np.stack(found.at_lower), np.stack(found.at_upper), np.stack(found.vagueness)
    )


def _blanked(covariance: Floats, blank: Booleans) -> Floats:
    return np.where(blank[:, None] | blank[None], np.nan, covariance)


def invert(
    algebra: Algebra,
    criterion: Criterion,
    task: Task,
    state: State,
    sums: Residuals,
    used: Array,
    plain: Dense | None = None,
) -> tuple[Inverse, Matrices]:
    """Return the formulas of `answer`: matrices that are far from singular are inverted straight away."""
    where = algebra.where
    matrix, x = state.here.matrix, state.x
    assert isinstance(matrix, Dense)
    n, zero = len(x), 0.0 * state.here.cost
    lower, upper = task.lower or (zero - math.inf,) * n, task.upper or (zero + math.inf,) * n
    columns = tuple(algebra.sqrt(d) for d in matrix.diagonal())
    length = algebra.sqrt(2 * state.here.cost)
    held = tuple(low == high for low, high in zip(lower, upper, strict=True))
    rows = zip(x, lower, upper, state.here.gradient, columns, state.column_norms, strict=True)
    found = [
        edges(algebra, criterion, value, low, high, slope, column, norm, length, used)
        for value, low, high, slope, column, norm in rows
    ]
    at_lower, at_upper, gone = zip(*found, strict=True)
    out = tuple(h | lo | hi | g for h, lo, hi, g in zip(held, at_lower, at_upper, gone, strict=True))
    factor = 1.0 + zero
    if plain is not None:
        matrix, columns = plain, tuple(algebra.sqrt(d) for d in plain.diagonal())
        free = algebra.total([where(o, 0.0, 1.0) for o in out])
        factor = robust_factor(algebra, sums, algebra.maximum(used, 1.0), free)
    scale = tuple(where(o, 1.0, algebra.divide(1.0, c)) for o, c in zip(out, columns, strict=True))
    scaled = matrix.without(algebra, out).scaled(scale, tuple(where(o, 1.0, 0.0) for o in out))
    scaled = scaled.identity_unless(algebra, scaled.finite(algebra))
    regular, elements = out[0] & False, [zero] * (n * (n + 1) // 2)
    if n <= batched_ldl.MOST_UNKNOWNS:
        factors = batched_ldl.factorise(algebra, scaled.lower, zero, TINY + zero)
        regular = algebra.every([pivot < 1 / REGULAR for pivot in factors.inverse])
        elements = []
        for i in range(n):
            unit = tuple(zero + 1.0 if i == j else zero for j in range(n))
            elements += factors.solve(unit)[: i + 1]
    vagueness = tuple(algebra.sqrt(elements[i * (i + 3) // 2]) for i in range(n))
    places = [(i, j) for i in range(n) for j in range(i + 1)]
    covariance = tuple(factor * e * scale[i] * scale[j] for e, (i, j) in zip(elements, places, strict=True))
    undetermined = tuple(~h & ~lo & ~hi & g for h, lo, hi, g in zip(held, at_lower, at_upper, gone, strict=True))
    found_inverse = Inverse(covariance, vagueness, regular, at_lower, at_upper, undetermined, out)
    return found_inverse, Matrices(scaled, scale, factor)


def edges(
    algebra: Algebra,
    criterion: Criterion,
    x: Array,
    lower: Array,
    upper: Array,
    gradient: Array,
    column: Array,
    norm: Array,
    length: Array,
    used: Array,
) -> tuple[Array, Array, Array]:
    """Return where a parameter ``(B,)`` is at its lower bound, at its upper one, and no longer in the model."""
    held = lower == upper
    pull = algebra.divide(gradient, column * length)
    # a hundredth of the noise: of a likelihood it is 1 by definition, otherwise as the residuals have it
    near = 0.01 * (length / algebra.sqrt(algebra.maximum(used, 1)) if criterion.noise == "gaussian" else 1.0)
    gone = column <= VANISHED * norm
    # what the model no longer depends on is near to everything by that measure: then by what it was on the way
    reach = algebra.where(gone, norm, column)
    at_lower = ~held & (pull > PULL) & (reach * (x - lower) < near)
    at_upper = ~held & (pull < -PULL) & (reach * (upper - x) < near)
    return at_lower, at_upper, gone


def _by_eigenvalues(matrix: Floats, eps: float) -> tuple[Floats, Booleans]:
    values, vectors = np.linalg.eigh(np.moveaxis(matrix, -1, 0))
    null = values <= 10 * values.shape[-1] * eps * values[:, -1:]
    inverse = np.where(null, 0, quotient(1.0, values))
    found = np.moveaxis((vectors * inverse[:, None]) @ np.swapaxes(vectors, 1, 2), 0, -1)
    lost = np.sqrt(np.sum(np.where(null[:, None], vectors * vectors, 0), axis=2))
    return found, lost.T > UNDETERMINED_PART


def quotient(numerator: Array, denominator: Array) -> Array:
    """Quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return xp.where(zero, 0.0, numerator / xp.where(zero, 1.0, denominator))


def robust_factor(algebra: Algebra, sums: Residuals, used: Array, free: Array) -> Array:
    """Return what multiplies (JᵀJ)⁻¹ for a robust loss; NaN where the loss is flat on average."""
    mean = sums.slope / used
    square = mean * mean
    variance = algebra.maximum(sums.slope_squared / used - square, 0.0)
    correction = 1 + free / used * algebra.divide(variance, square)
    freedom = used - free
    known = (mean > 0) & (freedom > 0)
    return algebra.where(known, correction * correction * algebra.divide(sums.psi, freedom * square), math.nan)
