"""What a fit knows about its parameters: covariance, and which of them the data do not determine.

References
----------
P. J. Huber and E. M. Ronchetti, Robust Statistics, 2009, section 7.6: the covariance of a robust regression.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.options import Criterion
from ..core.types import Array, Booleans, Floats
from ..linalg import batched_ldl
from ..linalg.algebra import TINY, Algebra
from ..linalg.normal_matrix import Dense
from ..sums.residual_sums import Residuals
from .trust_region import State, Task

# A column of J that has shrunk by this much since its largest no longer says anything: rounding of √m sums.
VANISHED = 1e-14
# A gradient that is less than this part of what it could be pulls nowhere.
PULL = 1e-6
# Pivots of a matrix of unit diagonal from which on it is far from singular, in either precision.
REGULAR = 1e-3
# The part of an unknown that lies in the null space from which on it is not determined.
VAGUE = 1e-4


class Answer(NamedTuple):
    """What is known at the end, for the free parameters; arrays of NumPy."""

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
    diagonal, cannot tell from zero within rounding.

    Parameters
    ----------
    task, state
        Of NumPy arrays ``(B,)``.
    used : array, ``(B,)``
        How many samples each fit has.
    plain : Dense, optional
        JᵀJ of the residuals themselves, for a robust loss.
    """
    assert isinstance(state.here.matrix, Dense)
    matrix = state.here.matrix
    gradient, x, norms = (np.stack(rows) for rows in (state.here.gradient, state.x, state.column_norms))
    lower, upper = np.full_like(x, -np.inf), np.full_like(x, np.inf)
    if task.lower:
        lower, upper = np.stack(task.lower), np.stack(task.upper)
    columns = np.sqrt(np.stack(matrix.diagonal()))
    length = np.sqrt(2 * state.here.cost)
    held = lower == upper
    at_lower, at_upper, gone = edges(criterion, x, lower, upper, gradient, columns, norms, length, used)
    out = held | at_lower | at_upper | gone
    factor = np.ones_like(length)
    if plain is not None:
        matrix, columns = plain, np.sqrt(np.stack(plain.diagonal()))
        factor = robust_factor(sums, np.maximum(used, 1), np.sum(~out, axis=0))
    scale = np.where(out, 1.0, quotient(1.0, columns))
    scaled = matrix.without(algebra, tuple(out)).scaled(tuple(scale), tuple(np.where(out, 1.0, 0.0)))
    scaled = scaled.identity_unless(algebra, scaled.finite(algebra))
    covariance, vague = _invert(algebra, scaled)
    vagueness = np.sqrt(np.einsum("nnB->nB", covariance))
    covariance = factor * covariance * scale[:, None] * scale[None]
    undetermined = ~held & ~at_lower & ~at_upper & (gone | vague)
    blank = undetermined | out
    covariance = np.where(blank[:, None] | blank[None], np.nan, covariance)
    return Answer(covariance, undetermined, at_lower, at_upper, vagueness)


def edges(
    criterion: Criterion,
    x: Floats,
    lower: Floats,
    upper: Floats,
    gradient: Floats,
    columns: Floats,
    norms: Floats,
    length: Floats,
    used: Array,
) -> tuple[Booleans, Booleans, Booleans]:
    """Which parameters ``(n, B)`` are at their lower bound, at their upper one, and no longer in the model."""
    held = lower == upper
    pull = quotient(gradient, columns * length)
    near = nearness(criterion, length, np.maximum(used, 1))
    gone = columns <= VANISHED * norms
    # what the model no longer depends on is near to everything by that measure: then by what it was on the way
    reach = np.where(gone, norms, columns)
    with np.errstate(invalid="ignore", over="ignore"):
        at_lower = ~held & (pull > PULL) & (reach * (x - lower) < near)
        at_upper = ~held & (pull < -PULL) & (reach * (upper - x) < near)
    return at_lower, at_upper, gone


def _invert(algebra: Algebra, matrix: Dense) -> tuple[Floats, Booleans]:
    """The inverse of matrices of unit diagonal ``(n, n, B)``, and which unknowns they do not determine, ``(n, B)``.

    Matrices that are far from singular are inverted straight away; each by itself, whatever the others are like.
    """
    n = len(matrix.lower)
    ones = np.ones_like(matrix.lower[0][0])
    inverse, vague = np.empty((n, n, *ones.shape)), np.zeros((n, *ones.shape), bool)
    regular = np.zeros(ones.shape, bool)
    if n <= batched_ldl.MOST:
        factors = batched_ldl.factorise(algebra, matrix.lower, 0.0 * ones, TINY * ones)
        regular = np.logical_and.reduce([pivot < 1 / REGULAR for pivot in factors.inverse])
        for i in range(n):
            unit = tuple(ones if i == j else 0.0 * ones for j in range(n))
            inverse[i] = factors.solve(unit)
    if not regular.all():
        some = ~regular
        inverse[:, :, some], vague[:, some] = _by_eigenvalues(matrix.full()[:, :, some], algebra.eps)
    return inverse, vague


def _by_eigenvalues(matrix: Floats, eps: float) -> tuple[Floats, Booleans]:
    values, vectors = np.linalg.eigh(np.moveaxis(matrix, -1, 0))
    null = values <= 10 * values.shape[-1] * eps * values[:, -1:]
    inverse = np.where(null, 0, quotient(1.0, values))
    found = np.moveaxis((vectors * inverse[:, None]) @ np.swapaxes(vectors, 1, 2), 0, -1)
    lost = np.sqrt(np.sum(np.where(null[:, None], vectors * vectors, 0), axis=2))
    return found, lost.T > VAGUE


def quotient(numerator: Array, denominator: Array) -> Floats:
    """Quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return np.where(zero, 0.0, numerator / np.where(zero, 1.0, denominator))


def nearness(criterion: Criterion, length: Floats, used: Array) -> Floats:
    """A hundredth of the noise: of a likelihood it is 1 by definition, otherwise as the residuals have it."""
    return 0.01 * (length / np.sqrt(used) if criterion.noise == "gaussian" else np.ones_like(length))


def robust_factor(sums: Residuals, used: Array, free: Array) -> Floats:
    """What multiplies (JᵀJ)⁻¹ for a robust loss; NaN where the loss is flat on average."""
    mean = sums.slope / used
    variance = np.maximum(sums.slope_squared / used - mean**2, 0)
    correction = 1 + free / used * quotient(variance, mean**2)
    freedom = used - free
    known = (mean > 0) & (freedom > 0)
    return np.where(known, correction**2 * quotient(sums.psi, freedom * mean**2), np.nan)
