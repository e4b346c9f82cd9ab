"""Many small symmetric systems at once, by LDLᵀ, written out element by element.

Each element of the matrices is a vector over the systems, so that the compiler makes a few vectorised loops of it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..models.model import Array

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

# Beyond this many unknowns the program would grow too long: some n³/3 operations.
MOST = 10

Column = list[Array]  # of n vectors (B,)


class Factors(NamedTuple):
    """M = L·D·Lᵀ with ones on the diagonal of L."""

    lower: list[Column]  # rows of L, those below the diagonal
    inverse: Column  # 1/D

    def halfway(self, right: Column) -> Column:
        """L⁻¹b."""
        y: Column = []
        for i, b in enumerate(right):
            for k in range(i):
                b = b - self.lower[i][k] * y[k]
            y.append(b)
        return y

    def solve(self, right: Column) -> Column:
        """M⁻¹b."""
        z = [y * inverse for y, inverse in zip(self.halfway(right), self.inverse, strict=True)]
        for i in reversed(range(len(z))):
            for k in range(i + 1, len(z)):
                z[i] = z[i] - self.lower[k][i] * z[k]
        return z

    def norm(self, right: Column) -> Array:
        """bᵀM⁻¹b."""
        return sum_of([y * y * inverse for y, inverse in zip(self.halfway(right), self.inverse, strict=True)])


def sum_of(terms: Column) -> Array:
    """Their sum."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def factorise(matrix: Array, added: Array, least: Array) -> Factors:
    """LDLᵀ of M + added·1.

    Parameters
    ----------
    matrix : array, ``(n, n, B)``, positive semidefinite
    added : array, ``(B,)``
    least : array, ``(B,)``, positive
        What a pivot is raised to if it is smaller: what is zero within rounding counts as the rounding, so that a
        singular matrix has a long solution, not an infinite one.
    """
    n = matrix.shape[0]
    lower: list[Column] = [[] for _ in range(n)]
    pivots: Column = []
    inverse: Column = []
    for j in range(n):
        pivot = matrix[j, j] + added
        for k in range(j):
            pivot = pivot - lower[j][k] * lower[j][k] * pivots[k]
        pivots.append(jnp.maximum(pivot, least))
        inverse.append(1 / pivots[j])
        for i in range(j + 1, n):
            element = matrix[i, j]
            for k in range(j):
                element = element - lower[i][k] * lower[j][k] * pivots[k]
            lower[i].append(element * inverse[j])
    return Factors(lower, inverse)
