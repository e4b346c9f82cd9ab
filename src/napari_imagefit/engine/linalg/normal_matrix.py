"""The matrix JᵀJ of the quadratic model of independent fits."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ..core.types import Array
from .algebra import Algebra, Rows
from .batched_ldl import Triangle
from .trust_region_subproblem import Found, Search, begin_search, end_search, go_on


class Dense(NamedTuple):
    """All elements, of which the lower triangle is kept."""

    lower: Triangle

    @classmethod
    def of(cls, elements: Rows, n: int) -> Self:
        """Return the matrix of these elements of its lower triangle, row by row."""
        ends = [i * (i + 1) // 2 for i in range(n + 1)]
        return cls(tuple(tuple(elements[ends[i] : ends[i + 1]]) for i in range(n)))

    def element(self, i: int, j: int) -> Array:
        """Return the element ``(i, j)``."""
        return self.lower[max(i, j)][min(i, j)]

    def at(self, chosen: tuple[int, ...]) -> Self:
        """Return some of the rows and columns."""
        return self._replace(
            lower=tuple(tuple(self.element(i, j) for j in chosen[: k + 1]) for k, i in enumerate(chosen))
        )

    def full(self) -> np.ndarray:
        """All elements in NumPy, ``(n, n, B)``."""
        n = range(len(self.lower))
        return np.array([[self.element(i, j) for j in n] for i in n])

    def diagonal(self) -> Rows:
        """Return the diagonal."""
        return tuple(row[-1] for row in self.lower)

    def finite(self, algebra: Algebra) -> Array:
        """Whether all elements are finite, ``(B,)``."""
        return algebra.every([algebra.isfinite(element) for row in self.lower for element in row])

    def product(self, algebra: Algebra, vector: Rows) -> Rows:
        """Return M v."""
        return tuple(
            algebra.total([self.element(i, j) * v for j, v in enumerate(vector)]) for i in range(len(self.lower))
        )

    def scaled(self, scale: Rows, added: Rows) -> Self:
        """Return diag(scale) M diag(scale) + diag(added); nothing is added if there are no rows for it."""
        rows = []
        for i, row in enumerate(self.lower):
            elements = [scale[i] * element * scale[j] for j, element in enumerate(row)]
            if added:
                elements[i] = elements[i] + added[i]
            rows.append(tuple(elements))
        return self._replace(lower=tuple(rows))

    def without(self, algebra: Algebra, held: Rows) -> Self:
        """Return the matrix with rows and columns of 0 where parameters are fixed."""
        return self._replace(
            lower=tuple(
                tuple(algebra.where(held[i] | held[j], 0.0, element) for j, element in enumerate(row))
                for i, row in enumerate(self.lower)
            )
        )

    def select(self, algebra: Algebra, mask: Array, other: Self) -> Self:
        """Return this matrix where the mask is true, else the other."""
        return self._replace(
            lower=tuple(
                tuple(algebra.where(mask, a, b) for a, b in zip(one, two, strict=True))
                for one, two in zip(self.lower, other.lower, strict=True)
            )
        )

    def identity_unless(self, algebra: Algebra, sane: Array) -> Self:
        """Return this matrix where it is sane, else the identity."""
        return self._replace(
            lower=tuple(
                tuple(algebra.where(sane, element, 1.0 if i == j else 0.0) for j, element in enumerate(row))
                for i, row in enumerate(self.lower)
            )
        )

    def begin_search(self, algebra: Algebra, gradient: Rows, radius: Array, alpha: Array) -> Search | Found:
        """Bracket the damping α of the step that solves (M + αI)p = −g within the radius."""
        return begin_search(algebra, self.lower, gradient, radius, alpha)

    def go_on(self, algebra: Algebra, search: Search | Found, gradient: Rows, radius: Array) -> Search | Found:
        """Find the damping, by a loop."""
        return go_on(algebra, search, self.lower, gradient, radius)

    def end_search(self, algebra: Algebra, search: Search | Found, gradient: Rows, radius: Array) -> Found:
        """Return the step and its damping."""
        return end_search(algebra, search, self.lower, gradient, radius)
