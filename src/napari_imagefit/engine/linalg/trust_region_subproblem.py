"""The step within a trust region: minimise gᵀp + ½pᵀBp subject to ‖p‖ ≤ Δ.

The minimum is p(α) = −(B + αI)⁻¹g with the smallest damping α ≥ 0 for which ‖p‖ ≤ Δ. The secular equation
φ(α) = ‖p(α)‖ − Δ = 0 is solved by Newton's method on 1/φ, safeguarded by a bracket.

References
----------
J. J. Moré, The Levenberg–Marquardt algorithm: implementation and theory, 1978.
L. R. Hofer, M. Krstajić, R. P. Smith, JAXFit, 2022, algorithm 2 (its loop runs while |φ| exceeds σΔ, and its upper
bound starts at ‖g‖/Δ).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._lazy import LazyModule
from ..models.model import Array
from . import batched_ldl as ldl
from .jacobi_eigen import eigen

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

ACCURACY = 0.01  # σ: how close ‖p‖ must come to Δ, relative; as in SciPy
MAX_UPDATES = 10


def norm(vector: Array) -> Array:
    """Euclidean norm over the first axis."""
    return jnp.sqrt(jnp.sum(vector * vector, axis=0))


def diagonal(matrix: Array) -> Array:
    """``(n, B)`` of ``(n, n, B)``; by slices, since XLA gathers the elements of `jnp.diagonal` one by one."""
    return jnp.stack([matrix[i, i] for i in range(matrix.shape[0])])


def divide(numerator: Array, denominator: Array) -> Array:
    """Quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


def trust_region_step(matrix: Array, gradient: Array, radius: Array, alpha: Array) -> tuple[Array, Array]:
    """Solve the subproblem for a batch.

    Parameters
    ----------
    matrix : array, ``(n, n, B)``, positive semidefinite
    gradient : array, ``(n, B)``
    radius : array, ``(B,)``, positive
    alpha : array, ``(B,)``
        Where to start the search for the damping, such as the last one.

    Returns
    -------
    step : array, ``(n, B)``
    alpha : array, ``(B,)``
    """
    if matrix.shape[0] <= ldl.MOST:
        return _step_by_ldl(matrix, gradient, radius, alpha)
    values, vectors = eigen(matrix)
    # what is zero within rounding counts as the rounding: a singular matrix has a long step, not an infinite one
    values = jnp.maximum(values, values.shape[0] * jnp.finfo(values.dtype).eps * jnp.max(values, axis=0))
    rotated = jnp.sum(vectors * gradient[:, None], axis=0)

    def steps_back(a: Array) -> Array:
        return divide(rotated, values + a)

    def solve(a: Array) -> tuple[Array, Array]:
        p = steps_back(a)
        return norm(p), jnp.sum(divide(p * p, values + a), axis=0)

    regular = jnp.min(values, axis=0) > 0
    alpha, inside = find_damping(solve, regular, norm(gradient), radius, alpha)
    back = _to_edge(steps_back(alpha), inside, radius)
    return -jnp.sum(vectors * back, axis=1), alpha


def _step_by_ldl(matrix: Array, gradient: Array, radius: Array, alpha: Array) -> tuple[Array, Array]:
    n = matrix.shape[0]
    largest = jnp.max(diagonal(matrix), axis=0)
    tiny = jnp.finfo(matrix.dtype).tiny
    least = jnp.maximum(n * jnp.finfo(matrix.dtype).eps * largest, tiny)
    right = list(gradient)

    def solve(a: Array) -> tuple[Array, Array]:
        factors = ldl.factorise(matrix, a, least)
        p = factors.solve(right)
        return jnp.sqrt(ldl.sum_of([x * x for x in p])), factors.norm(p)

    alpha, inside = find_damping(solve, largest > 0, norm(gradient), radius, alpha)
    back = jnp.stack(ldl.factorise(matrix, alpha, least).solve(right))
    # nothing is to be gained where nothing depends on the unknowns
    return -jnp.where(largest > 0, _to_edge(back, inside, radius), 0), alpha


def _to_edge(back: Array, inside: Array, radius: Array) -> Array:
    """Outside the region only by the accuracy of α: put the step on its edge."""
    return jnp.where(inside, 1, divide(radius, norm(back))) * back


def find_damping(
    solve: Callable[[Array], tuple[Array, Array]], regular: Array, gradient: Array, radius: Array, alpha: Array
) -> tuple[Array, Array]:
    """Solve the secular equation.

    Parameters
    ----------
    solve : callable
        From dampings ``(B,)`` to ‖p‖ and pᵀ(B + αI)⁻¹p.
    regular : boolean array, ``(B,)``
        Whether the matrix is not singular.
    gradient : array, ``(B,)``
        ‖g‖.
    radius, alpha : arrays, ``(B,)``

    Returns
    -------
    alpha : array, ``(B,)``
    inside : boolean array, ``(B,)``
        Whether the step without damping stays within the radius.
    """

    def phi(a: Array) -> tuple[Array, Array]:
        length, curvature = solve(a)
        return length - radius, -divide(curvature, length)

    zero = jnp.zeros_like(radius)
    phi_0, slope_0 = phi(zero)
    inside = regular & (phi_0 <= 0)

    lower = jnp.where(regular, -divide(phi_0, slope_0), 0)
    upper = gradient / radius

    def unsettled(state: tuple[Array, ...]) -> Array:
        count, *_, settled = state
        return (count < MAX_UPDATES) & ~jnp.all(settled)

    def update(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, a, low, high, settled = state
        outside = (a < low) | (a > high)
        a = jnp.where(settled | ~outside, a, jnp.maximum(0.001 * high, jnp.sqrt(low * high)))
        f, slope = phi(a)
        ratio = divide(f, slope)
        high = jnp.where(f < 0, a, high)
        low = jnp.maximum(low, a - ratio)
        new = a - (f + radius) * ratio / radius
        done = settled | (jnp.abs(f) < ACCURACY * radius)
        return count + 1, jnp.where(done, a, new), low, high, done

    # a start of 0 is of no use where the matrix is zero
    start = jnp.where(regular | (alpha > 0), alpha, jnp.maximum(0.001 * upper, jnp.sqrt(lower * upper)))
    found = jax.lax.while_loop(unsettled, update, (0, start, lower, upper, inside))[1]
    return jnp.where(inside, 0, found), inside
