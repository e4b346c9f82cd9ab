"""What a fit knows about its parameters: covariance, and which of them the data do not determine.

References
----------
P. J. Huber and E. M. Ronchetti, Robust Statistics, 2009, section 7.6: the covariance of a robust regression.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..linalg import batched_ldl as ldl
from ..linalg.jacobi_eigen import eigen
from ..linalg.normal_matrix import Dense, Gram
from ..linalg.trust_region_subproblem import divide, norm
from ..models.model import Array
from ..sums.noise_and_loss import Criterion
from ..sums.residual_sums import Residuals, RobustSums
from .trust_region import State, Task

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# A column of J that has shrunk by this much since its largest no longer says anything: rounding of √m sums.
VANISHED = 1e-14
# Pivots of a matrix of unit diagonal from which on it is far from singular, in either precision.
REGULAR = 1e-3


class Answer(NamedTuple):
    """What is known at the end, for the free parameters."""

    covariance: Array  # (n, n, B); of least squares (JᵀJ)⁻¹, to be multiplied by the reduced χ² where σ is unknown
    undetermined: Array  # (n, B)
    at_lower: Array  # (n, B)
    at_upper: Array  # (n, B)
    vagueness: Array  # (n, B): how many times the errors grow because other parameters are not known either
    residuals: Residuals


def answer(criterion: Criterion, task: Task, state: State, residuals: Residuals, used: Array) -> Answer:
    """Invert the Gauss–Newton matrix over the parameters that are free, not at a bound, and determined.

    `used` is how many samples each fit has, ``(B,)``.

    It is JᵀJ for least squares, Fisher's information for counts and magnitudes. A robust loss has Huber's covariance of
    an M-estimate, K²·[Σψ²/(n − p)]/(mean ψ')²·(JᵀJ)⁻¹ with K = 1 + (p/n)·var(ψ')/(mean ψ')², which measures the noise
    by itself.

    A parameter is *at a bound* if the cost still falls towards the bound and the bound is nearer than a hundredth of
    the parameter's own (conditional) standard deviation; it then counts as fixed there. A parameter is *undetermined*
    if the model does not depend on it at the solution, or only in a combination with others that JᵀJ, scaled to a unit
    diagonal, cannot tell from zero within rounding.
    """
    gram, gradient = _matrix(state.here.gram), state.here.gradient
    n = gram.shape[0]
    eye = jnp.eye(n, dtype=gram.dtype)[:, :, None]
    columns = jnp.sqrt(jnp.diagonal(gram).T)
    length = jnp.sqrt(2 * state.here.cost)
    held = task.lower == task.upper

    pull = divide(gradient, columns * length)
    used = jnp.maximum(used, 1)
    near = nearness(criterion, length, used)
    gone = columns <= VANISHED * state.column_norms
    # what the model no longer depends on is near to everything by that measure: then by what it was on the way
    reach = jnp.where(gone, state.column_norms, columns)
    at_lower = ~held & (pull > 1e-6) & (reach * (state.x - task.lower) < near)
    at_upper = ~held & (pull < -1e-6) & (reach * (task.upper - state.x) < near)
    factor = jnp.ones_like(length)
    if residuals.robust is not None:
        gram = _matrix(residuals.robust.gram)
        columns = jnp.sqrt(jnp.diagonal(gram).T)
        factor = robust_factor(residuals.robust, used, jnp.sum(~(held | at_lower | at_upper | gone), axis=0))
    out = held | at_lower | at_upper | gone
    outside = out[:, None] | out[None]
    scale = jnp.where(out, 1, divide(jnp.ones_like(columns), columns))
    scaled = jnp.where(outside, eye, scale[:, None] * gram * scale[None])
    finite = jnp.all(jnp.isfinite(scaled), axis=(0, 1))
    covariance, vague = _invert(jnp.where(finite, scaled, eye))
    vagueness = jnp.sqrt(jnp.diagonal(covariance).T)
    covariance = factor * covariance * scale[:, None] * scale[None]
    undetermined = ~held & ~at_lower & ~at_upper & (gone | vague)
    blank = undetermined | out
    covariance = jnp.where(blank[:, None] | blank[None], jnp.nan, covariance)
    return Answer(covariance, undetermined, at_lower, at_upper, vagueness, residuals)


def _invert(matrix: Array) -> tuple[Array, Array]:
    """The inverse of matrices ``(n, n, B)`` of unit diagonal, and which unknowns they do not determine, ``(n, B)``.

    Matrices that are far from singular are inverted straight away; each by itself, whatever the others are like.
    """
    n = matrix.shape[0]

    def by_eigenvalues() -> tuple[Array, Array]:
        values, vectors = eigen(matrix)
        floor = 10 * n * jnp.finfo(matrix.dtype).eps * jnp.max(values, axis=0)
        null = values <= floor
        inverse = jnp.where(null, 0, divide(jnp.ones_like(values), values))
        found = jnp.sum(vectors[:, None] * inverse[None, None] * vectors[None], axis=2)
        return found, norm(jnp.moveaxis(vectors * null[None], 1, 0)) > 1e-4

    if n > ldl.MOST:
        return by_eigenvalues()
    ones, zero = jnp.ones_like(matrix[0, 0]), jnp.zeros_like(matrix[0, 0])
    factors = ldl.factorise(matrix, zero, jnp.finfo(matrix.dtype).tiny * ones)
    regular = functools.reduce(jnp.logical_and, [pivot < 1 / REGULAR for pivot in factors.inverse])
    straight = jnp.stack([jnp.stack(factors.solve([ones if i == j else zero for i in range(n)])) for j in range(n)])

    def both() -> tuple[Array, Array]:
        found, vague = by_eigenvalues()
        return jnp.where(regular, straight, found), vague & ~regular

    nothing = jnp.zeros((n, matrix.shape[2]), bool)
    inverse, vague = jax.lax.cond(jnp.all(regular), lambda: (straight, nothing), both)
    return inverse, vague


def nearness(criterion: Criterion, length: Array, used: Array) -> Array:
    """A hundredth of the noise: of a likelihood it is 1 by definition, otherwise as the residuals have it."""
    return 0.01 * (length / jnp.sqrt(used) if criterion.noise == "gaussian" else jnp.ones_like(length))


def _matrix(gram: Gram) -> Array:
    assert isinstance(gram, Dense)
    return gram.matrix


def robust_factor(sums: RobustSums, used: Array, free: Array) -> Array:
    """What multiplies (JᵀJ)⁻¹ for a robust loss; NaN where the loss is flat on average."""
    mean = sums.slope / used
    variance = jnp.maximum(sums.slope_squared / used - mean**2, 0)
    correction = 1 + free / used * divide(variance, mean**2)
    freedom = used - free
    known = (mean > 0) & (freedom > 0)
    return jnp.where(known, correction**2 * divide(sums.psi, freedom * mean**2), jnp.nan)
