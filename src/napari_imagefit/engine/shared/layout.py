"""The own parameters of many fits, and those that they share, as the unknowns of one problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..core.types import Booleans, Floats
from ..linalg.algebra import Rows
from ..linalg.arrowhead_matrix import Arrow, join
from ..linalg.normal_matrix import Dense
from ..solver.trust_region import Expansion


class Layout(NamedTuple):
    """Positions of the own and the shared parameters among the free ones."""

    own: tuple[int, ...]
    shared: tuple[int, ...]

    @classmethod
    def of(cls, free: Sequence[int], shared: Sequence[int]) -> Self:
        """Return the layout of these indices of the free and of the shared parameters among all of them."""
        positions = range(len(free))
        return cls(
            tuple(i for i in positions if free[i] not in shared), tuple(i for i in positions if free[i] in shared)
        )

    def spread(self, rows: Rows, fits: int) -> Any:
        """Return an array ``(n_free, N)`` of unknowns: own rows ``(N,)``, then shared ones ``(1,)``."""
        order = np.argsort(np.array(self.own + self.shared))
        return np.stack([np.broadcast_to(row, fits) for row in rows])[order]

    def gather(self, values: Floats, first: int) -> Rows:
        """Unknowns of an array ``(n_free, N)``; the shared ones from the fit `first`."""
        return (*(values[i] for i in self.own), *(values[i, first : first + 1] for i in self.shared))

    def arrow(self, sums: Sums) -> Expansion:
        """All fits' expansions as one."""
        own, shared = np.array(self.own, int), np.array(self.shared)
        return Expansion(
            np.array([np.sum(sums.cost)]),
            join(sums.gradient[own], np.sum(sums.gradient[shared], axis=1)),
            self.matrix(sums.matrix),
        )

    def matrix(self, matrix: Floats) -> Arrow:
        """Return matrices JᵀJ ``(n, n, N)`` of single fits as one of all unknowns; shared blocks add up."""
        own, shared = np.array(self.own, int), np.array(self.shared)
        return Arrow(
            matrix[own[:, None], own], matrix[own[:, None], shared], np.sum(matrix[shared[:, None], shared], axis=2)
        )


class Sums(NamedTuple):
    """Sums of each fit, by its free parameters."""

    cost: Floats  # (N,)
    gradient: Floats  # (n_free, N)
    matrix: Floats  # (n_free, n_free, N)

    @classmethod
    def of(cls, sums: Floats, n: int) -> Self:
        """Return the sums in rows ``(K, N)``: cost, gradient, lower triangle of JᵀJ."""
        return cls(sums[0], sums[1 : n + 1], Dense.of(tuple(sums[n + 1 :]), n).full())

    def finite(self) -> Booleans:
        """Whether all sums of each fit are finite, ``(N,)``."""
        return np.isfinite(self.cost) & np.isfinite(self.gradient).all(axis=0) & np.isfinite(self.matrix).all((0, 1))

    def only(self, which: Booleans) -> Self:
        """Nothing of the others."""
        return self._replace(**{name: np.where(which, values, 0.0) for name, values in self._asdict().items()})
