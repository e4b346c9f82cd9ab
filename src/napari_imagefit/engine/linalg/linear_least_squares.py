"""Least squares in the few parameters in which a model is linear, within their bounds; in NumPy or under JAX."""

from __future__ import annotations

import numpy as np

from ..core.array_module import xp
from ..core.types import Array

# Rounds in which what a bound holds back is shared out among the others.
ROUNDS = 3


def solve_within(gram: Array, right: Array, lower: Array, upper: Array) -> Array:
    """Return the x ``(n, B)`` within bounds that minimise ½xᵀGx − bᵀx.

    Where no bound is in the way that is the solution of Gx = b; otherwise, from where it is clipped, each is minimised
    in turn: for two unknowns this is exact.

    Parameters
    ----------
    gram : array, ``(n, n, B)``
        Positive definite, with a diagonal of 1 if what is damped is to be little.
    right, lower, upper : arrays, ``(n, B)``
    """
    free, n = solve(gram, right), right.shape[0]
    inside = xp.clip(free, lower, upper)
    if n == 1:
        return inside
    # the others are left alone, to the last bit
    cut = xp.any(inside != free, axis=0)

    def unfinished(state: tuple[Array, Array]) -> Array:
        return (state[0] < ROUNDS) & xp.any(cut)

    def improve(state: tuple[Array, Array]) -> tuple[Array, Array]:
        rows = list(state[1])
        for i in range(n):
            rest = sum((gram[i, j] * rows[j] for j in range(n) if j != i), start=0.0 * rows[i])
            rows[i] = xp.where(cut, xp.clip((right[i] - rest) / gram[i, i], lower[i], upper[i]), rows[i])
        return state[0] + 1, xp.stack(rows)

    found: Array = xp.while_loop(unfinished, improve, (np.zeros((), np.int32), inside))[1]
    return found


def solve(matrix: Array, right: Array) -> Array:
    """Solutions ``(n, B)`` of positive definite systems ``(n, n, B)``, by Gauss–Jordan elimination.

    Not by LAPACK, whose calls from JAX can deadlock on threads; nor would that take systems side by side.
    """
    n = right.shape[0]
    system = xp.concatenate([matrix, right[:, None]], axis=1)
    for k, unit in enumerate(np.eye(n, dtype=right.dtype)[:, :, None]):
        row = system[k] / system[k, k]
        # less the unit vector: row k becomes the scaled one, the others are freed of it
        system = system - (system[:, k] - unit)[:, None] * row
    return system[:, n]
