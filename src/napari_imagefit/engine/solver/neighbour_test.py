"""Expected agreement of neighbouring residuals by chance, after so many parameters were fitted.

The statistic is r = Σeᵢeᵢ₊₁/Σe², a ratio of two quadratic forms: with A, which has ½ beside its diagonal, and the
residuals Mε of Gaussian noise ε, M = 1 − H and H the projector on the columns of J, it is ε'MAMε/ε'Mε. Mean and
variance follow from traces, and a beta distribution of these two has the tail to a few parts in ten.

Without J, r lies between that of a J which takes the smoothest of all curves out of the noise, so that what is left
changes its sign most often, and one that takes out the roughest: the eigenvalues of A are cos(kπ/(n + 1)).

References
----------
J. Durbin and G. S. Watson, Testing for serial correlation in least squares regression I, 1950.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.types import Booleans, Floats
from .rare_values import beta_beyond, share_beyond

# A column whose square is less than this part of the largest is none.
NEGLIGIBLE_SQUARE = 1e-24


class Expected(NamedTuple):
    """Mean and variance of r under noise alone, each ``(B,)``."""

    mean: Floats
    variance: Floats

    @classmethod
    def of_traces(cls, first: Floats, second: Floats, freedom: Floats) -> Expected:
        """Return mean and variance from tr(MA), tr(MAMA) and the degrees of freedom."""
        mean = first / freedom
        return cls(mean, 2 * (second / freedom - mean * mean) / (freedom + 2))

    def is_rare(self, r: Floats, n: NDArray[Any], level: float) -> Booleans:
        """Return where the probability that r is as large as it is, or larger, is below a level."""
        return beta_beyond(*self._beta(r, n), level)

    def chance(self, r: Floats, n: NDArray[Any]) -> Floats:
        """Return the probability that r is as large as it is, or larger."""
        return share_beyond(*self._beta(r, n))

    def _beta(self, r: Floats, n: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
        """Return where r is between the ends of the beta distribution, from 0 to 1, and both shapes."""
        most = np.cos(np.pi / (n + 1))
        mean, variance = (self.mean + most) / (2 * most), self.variance / (2 * most) ** 2
        size = np.maximum(mean * (1 - mean) / variance - 1, 1e-6)
        return np.clip((r + most) / (2 * most), 0, 1), mean * size, (1 - mean) * size


def expected_at_most(n: NDArray[Any], p: NDArray[Any], *, smooth: bool) -> Expected:
    """Return what a J of `p` columns leaves of `n` samples: the smoothest curves gone, or the roughest."""
    first, second = np.zeros(n.shape), (n - 1) / 2
    for k in range(1, int(p.max(initial=0)) + 1):
        value = np.where(k <= p, np.cos(k * np.pi / (n + 1)), 0)
        first, second = first - value if smooth else first + value, second - value * value
    return Expected.of_traces(first, second, np.maximum(n - p, 1).astype(float))


def expected_of(slopes: Floats, used: Booleans) -> Expected:
    """Return what a J ``(p, m, B)`` leaves of the samples that are `used`, ``(m, B)``; columns of zeros are none."""
    p = len(slopes)
    squares = np.einsum("imB,imB->iB", slopes, slopes)
    there = squares > NEGLIGIBLE_SQUARE * squares.max(axis=0)
    columns = slopes / np.sqrt(np.where(there, squares, 1))[:, None] * there[:, None]
    both = np.where(used[1:] & used[:-1], 0.5, 0)
    beside = np.zeros_like(columns)
    beside[:, 1:] += both * columns[:, :-1]
    beside[:, :-1] += both * columns[:, 1:]
    gram = np.einsum("imB,jmB->Bij", columns, columns)
    # what rounding makes singular; and columns that are none
    gram[:, np.arange(p), np.arange(p)] += 1e-12 + ~there.T
    inverse = np.linalg.inv(gram)
    along = inverse @ np.einsum("imB,jmB->Bij", columns, beside)
    twice = inverse @ np.einsum("imB,jmB->Bij", beside, beside)
    first = -np.einsum("Bii->B", along)
    second = 2 * np.sum(both * both, axis=0) - 2 * np.einsum("Bii->B", twice) + np.einsum("Bij,Bji->B", along, along)
    freedom = np.count_nonzero(used, axis=0) - np.count_nonzero(there, axis=0)
    return Expected.of_traces(first, second, np.maximum(freedom, 1).astype(float))
