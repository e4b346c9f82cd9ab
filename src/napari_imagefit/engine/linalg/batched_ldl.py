"""Many small symmetric systems at once, by LDLᵀ, written out element by element."""

from __future__ import annotations

from typing import NamedTuple

from ..core.types import Array
from .algebra import Algebra, Rows

# Beyond this many unknowns a compiled program would grow too long: some n³/3 operations.
MOST_UNKNOWNS = 10

# Rows of the lower triangle, the diagonal included.
Triangle = tuple[Rows, ...]


class Factors(NamedTuple):
    """M = L·D·Lᵀ with ones on the diagonal of L."""

    lower: tuple[list[Array], ...]  # rows of L, those below the diagonal
    inverse: list[Array]  # 1/D

    def halfway(self, right: Rows) -> list[Array]:
        """L⁻¹b."""
        y: list[Array] = []
        for i, b in enumerate(right):
            for k in range(i):
                b = b - self.lower[i][k] * y[k]
            y.append(b)
        return y

    def solve(self, right: Rows) -> list[Array]:
        """M⁻¹b."""
        z = [y * inverse for y, inverse in zip(self.halfway(right), self.inverse, strict=True)]
        for i in reversed(range(len(z))):
            for k in range(i + 1, len(z)):
                z[i] = z[i] - self.lower[k][i] * z[k]
        return z

    def norm(self, algebra: Algebra, right: Rows) -> Array:
        """bᵀM⁻¹b."""
        return algebra.total([y * y * inverse for y, inverse in zip(self.halfway(right), self.inverse, strict=True)])


def factorise(algebra: Algebra, matrix: Triangle, added: Array, least: Array) -> Factors:
    """LDLᵀ of M + added·1.

    Parameters
    ----------
    matrix : lower triangle of arrays ``(B,)``, positive semidefinite
    added : array, ``(B,)``
    least : array, ``(B,)``, positive
        What a pivot is raised to if it is smaller: what is zero within rounding counts as the rounding, so that a
        singular matrix has a long solution, not an infinite one.
    """
    n = len(matrix)
    lower: tuple[list[Array], ...] = tuple([] for _ in range(n))
    pivots: list[Array] = []
    inverse: list[Array] = []
    for j in range(n):
        pivot = matrix[j][j] + added
        for k in range(j):
            pivot = pivot - lower[j][k] * lower[j][k] * pivots[k]
        pivots.append(algebra.maximum(pivot, least))
        inverse.append(algebra.over(1.0, pivots[j]))
        for i in range(j + 1, n):
            element = matrix[i][j]
            for k in range(j):
                element = element - lower[i][k] * lower[j][k] * pivots[k]
            lower[i].append(element * inverse[j])
    return Factors(lower, inverse)
