"""Expected agreement of neighbouring residuals by chance, after so many parameters were fitted.

The statistic is r = Σeᵢeᵢ₊₁/Σe², a ratio of two quadratic forms: with A, which has ½ beside its diagonal, and the
residuals Mε of Gaussian noise ε, M = 1 − H and H the projector on the columns of J, it is ε'MAMε/ε'Mε. Mean and
variance follow from traces, and a beta distribution of these two has the tail to a few parts in ten.

Without J, r lies between that of a J which takes the smoothest of all curves out of the noise, so that what is left
changes its sign most often, and one that takes out the roughest: the eigenvalues of A are cos(kπ/(n + 1)).

References
----------
J. Durbin and G. S. Watson, Testing for serial correlation in least squares regression I, 1950.
D. B. Peizer and J. W. Pratt, A normal approximation for binomial, F, beta, and other common, related tail
probabilities, 1968.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.types import Booleans, Floats
from .rare_values import normal_deviations

if TYPE_CHECKING:
    from scipy import special
else:
    special = LazyModule("scipy.special")  # a window that opens does not wait for it

# A column whose square is less than this part of the largest is none.
NEGLIGIBLE_SQUARE = 1e-24
# From which shapes on the approximation is one, and how many times as rare as asked leaves no doubt.
LEAST_SHAPE, SURE = 2.0, 1.5


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
        """Return where the probability that r is as large as it is, or larger, is below a level.

        Where a normal approximation leaves no doubt it decides: SciPy's function takes 0.2 s to import.
        """
        a, b, x = self._beta(r, n)
        z = beta_deviations(a, b, x)
        rare = z > normal_deviations(level / SURE)
        open_ = np.flatnonzero(~(rare | (z < normal_deviations(level * SURE))) | (np.minimum(a, b) < LEAST_SHAPE))
        if open_.size:
            rare[open_] = Expected(self.mean[open_], self.variance[open_]).chance(r[open_], n[open_]) < level
        return rare

    def chance(self, r: Floats, n: NDArray[Any]) -> Floats:
        """Return the probability that r is as large as it is, or larger."""
        a, b, x = self._beta(r, n)
        found: Floats = special.betainc(b, a, 1 - x)
        return found

    def _beta(self, r: Floats, n: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
        """Return both shapes of the beta distribution, and where r is between its ends, from 0 to 1."""
        most = np.cos(np.pi / (n + 1))
        mean, variance = (self.mean + most) / (2 * most), self.variance / (2 * most) ** 2
        size = np.maximum(mean * (1 - mean) / variance - 1, 1e-6)
        return mean * size, (1 - mean) * size, np.clip((r + most) / (2 * most), 0, 1)


def beta_deviations(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the z beyond which a normal distribution has about as much as Beta(a, b) has beyond x (Peizer, Pratt).

    For shapes from 2 on and probabilities from 2e-4 to 2e-3 it has as much to 20 %.
    """
    s, t, n = a - 0.5, b - 0.5, a + b - 1
    with np.errstate(all="ignore"):
        away = (n + 1 / 3) * x - s - 1 / 6 - 0.02 * ((1 - x) / a - x / b + (0.5 - x) / (a + b))
        spread = s * np.log(s / (n * x)) + t * np.log(t / (n * (1 - x)))
        found: Floats = away / np.abs(n * x - s) * np.sqrt(2 / (1 + 1 / (6 * n)) * spread)
    return found


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
