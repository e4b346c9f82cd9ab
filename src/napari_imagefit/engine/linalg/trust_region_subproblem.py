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
from typing import Any, NamedTuple

import numpy as np

from ..core.types import Array
from . import batched_ldl
from .algebra import TINY, Algebra, Rows
from .batched_ldl import Triangle, factorise

ACCURACY = 0.01  # σ: how close ‖p‖ must come to Δ, relative; as in SciPy
MAX_UPDATES = 10


class Search(NamedTuple):
    """The damping that is looked for, ``(B,)``."""

    alpha: Array
    lower: Array
    upper: Array
    settled: Array
    inside: Array  # whether the step without damping stays within the radius


# Of a search that has been made in one go: the step and its damping.
Found = tuple[Rows, Array]


def trust_region_step(algebra: Algebra, matrix: Triangle, gradient: Rows, radius: Array, alpha: Array) -> Found:
    """Solve the subproblem for a batch.

    Parameters
    ----------
    matrix : lower triangle of arrays ``(B,)``, positive semidefinite
    gradient : rows
    radius : array, ``(B,)``, positive
    alpha : array, ``(B,)``
        Where to start the search for the damping, such as the last one.

    Returns
    -------
    step : rows
    alpha : array, ``(B,)``
    """
    search = begin_search(algebra, matrix, gradient, radius, alpha)
    return end_search(algebra, go_on(algebra, search, matrix, gradient, radius), matrix, gradient, radius)


def begin_search(algebra: Algebra, matrix: Triangle, gradient: Rows, radius: Array, alpha: Array) -> Search | Found:
    """Bracket the damping: the first part of `trust_region_step`, without a loop."""
    if len(matrix) > batched_ldl.MOST_UNKNOWNS:
        return _step_by_eigenvalues(algebra, matrix, gradient, radius, alpha)
    regular, _ = _pivots(algebra, matrix)
    return _begin(algebra, _solver(algebra), regular, algebra.norm(gradient), radius, alpha, matrix, gradient)


def go_on(algebra: Algebra, search: Search | Found, matrix: Triangle, gradient: Rows, radius: Array) -> Search | Found:
    """Find the damping: the second part."""
    if not isinstance(search, Search):
        return search
    return _close_in(algebra, _solver(algebra), search, radius, matrix, gradient)


def end_search(algebra: Algebra, search: Search | Found, matrix: Triangle, gradient: Rows, radius: Array) -> Found:
    """Compute the step: the third part, without a loop."""
    if not isinstance(search, Search):
        return search
    regular, least = _pivots(algebra, matrix)
    alpha = algebra.where(search.inside, 0.0, search.alpha)
    back = factorise(algebra, matrix, alpha, least).solve(gradient)
    stride = _to_edge(algebra, back, search.inside, radius)
    # nothing is to be gained where nothing depends on the unknowns
    return tuple(algebra.where(regular, -stride * p, 0.0) for p in back), alpha


def _pivots(algebra: Algebra, matrix: Triangle) -> tuple[Array, Array]:
    """Whether any pivot is positive, and what the least one may be."""
    largest = algebra.largest([row[-1] for row in matrix])
    return largest > 0, algebra.maximum(len(matrix) * algebra.eps * largest, TINY)


def _solver(algebra: Algebra) -> Callable[..., tuple[Array, Array]]:
    def solve(a: Array, matrix: Triangle, gradient: Rows) -> tuple[Array, Array]:
        factors = factorise(algebra, matrix, a, _pivots(algebra, matrix)[1])
        p = factors.solve(gradient)
        return algebra.norm(p), factors.norm(algebra, tuple(p))

    return solve


def _step_by_eigenvalues(
    algebra: Algebra, matrix: Triangle, gradient: Rows, radius: Array, alpha: Array
) -> tuple[Rows, Array]:
    """Solve in NumPy, on the host: LAPACK as JAX calls it can deadlock."""
    n = len(matrix)
    shape = np.broadcast_shapes(*(np.shape(row[-1]) for row in matrix))
    full = np.empty((*shape, n, n))
    for i, row in enumerate(matrix):
        for j, element in enumerate(row):
            full[..., i, j] = full[..., j, i] = element
    values, vectors = np.linalg.eigh(full)
    # what is zero within rounding counts as the rounding: a singular matrix has a long step, not an infinite one
    values = np.maximum(np.maximum(values, 0), n * algebra.eps * values[..., -1:])
    rotated = (np.stack(np.broadcast_arrays(*gradient), axis=-1)[..., None, :] @ vectors)[..., 0, :]

    def steps_back(a: Array) -> Array:
        damped = values + np.asarray(a)[..., None]
        return np.where(damped == 0, 0, rotated / np.where(damped == 0, 1, damped)), damped

    def solve(a: Array) -> tuple[Array, Array]:
        p, damped = steps_back(a)
        curvature = np.sum(np.where(damped == 0, 0, p * p / np.where(damped == 0, 1, damped)), axis=-1)
        return np.sqrt(np.sum(p * p, axis=-1)), curvature

    regular = values[..., 0] > 0
    alpha, inside = find_damping(algebra, solve, regular, algebra.norm(gradient), radius, alpha)
    back = (vectors @ steps_back(alpha)[0][..., None])[..., 0]
    rows = tuple(back[..., i] for i in range(n))
    stride = _to_edge(algebra, rows, inside, radius)
    return tuple(-stride * p for p in rows), alpha


def _to_edge(algebra: Algebra, back: Rows | list[Array], inside: Array, radius: Array) -> Array:
    """Return the factor that puts a step on the edge of the region, from which it is off by the accuracy of α."""
    return algebra.where(inside, 1.0, algebra.divide(radius, algebra.norm(back)))


def find_damping(
    algebra: Algebra,
    solve: Callable[[Array], tuple[Array, Array]],
    regular: Array,
    gradient: Array,
    radius: Array,
    alpha: Array,
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
    search = _close_in(algebra, solve, _begin(algebra, solve, regular, gradient, radius, alpha), radius)
    return algebra.where(search.inside, 0.0, search.alpha), search.inside


def _phi(
    algebra: Algebra, solve: Callable[..., tuple[Array, Array]], a: Array, radius: Array, given: tuple[Any, ...]
) -> tuple[Array, Array]:
    """φ and its derivative."""
    length, curvature = solve(a, *given)
    return length - radius, -algebra.divide(curvature, length)


def _begin(
    algebra: Algebra,
    solve: Callable[..., tuple[Array, Array]],
    regular: Array,
    gradient: Array,
    radius: Array,
    alpha: Array,
    *given: Any,
) -> Search:
    where = algebra.where
    phi, slope = _phi(algebra, solve, 0.0 * radius, radius, given)
    inside = regular & (phi <= 0)
    lower = where(regular, -algebra.divide(phi, slope), 0.0)
    upper = algebra.over(gradient, radius)
    # a start of 0 is of no use where the matrix is zero
    middle = algebra.maximum(0.001 * upper, algebra.sqrt(lower * upper))
    return Search(where(regular | (alpha > 0), alpha, middle), lower, upper, inside, inside)


def _close_in(
    algebra: Algebra, solve: Callable[..., tuple[Array, Array]], search: Search, radius: Array, *given: Any
) -> Search:
    where, maximum = algebra.where, algebra.maximum

    def update(search: Search, radius: Array, *given: Any) -> Search:
        a, low, high, settled, inside = search
        outside = (a < low) | (a > high)
        a = where(settled | ~outside, a, maximum(0.001 * high, algebra.sqrt(low * high)))
        f, slope = _phi(algebra, solve, a, radius, given)
        ratio = algebra.divide(f, slope)
        high = where(f < 0, a, high)
        low = maximum(low, a - ratio)
        new = a - algebra.over((f + radius) * ratio, radius)
        done = settled | (algebra.abs(f) < ACCURACY * radius)
        return Search(where(done, a, new), low, high, done, inside)

    found: Search = algebra.loop(lambda search: ~search.settled, update, search, MAX_UPDATES, radius, *given)
    return found
