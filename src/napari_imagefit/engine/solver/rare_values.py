"""Values of χ² and F that are too far out for chance.

Most fits are far from any doubt, by a normal approximation that takes a cube root. SciPy's special functions are called
for the others: to import them takes as long as a first fit.

References
----------
E. B. Wilson and M. M. Hilferty, The distribution of chi-square, 1931.
E. Paulson, An approximate normalization of the analysis of variance distribution, 1942.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ..._lazy import LazyModule
from ..core.types import Booleans, Floats

if TYPE_CHECKING:
    from scipy import special
else:
    special = LazyModule("scipy.special")

# Within so many deviations of the normal approximation nothing is as rare as one in a hundred, from so many degrees of
# freedom on.
NO_DOUBT, FEWEST = 2.0, 2.0
# From more on it has one to three times of what is beyond, as far out as one in ten thousand: what is so many times as
# likely as asked is not rare, and what is so many times as rare is.
LIKELY, UNLIKELY, MANY = 3.0, 1.5, 8.0


def chi2_beyond(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so large a χ² has a chance below the level, which is a hundredth at most; NaN has not."""
    deviations = _deviations(chi2, freedom)
    return _decided(deviations, freedom, level, lambda *some: special.chdtrc(*some) < level, freedom, chi2)


def chi2_below(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so small a χ² has a chance below the level, which is a hundredth at most; NaN has not."""
    deviations = -_deviations(chi2, freedom)
    return _decided(deviations, freedom, level, lambda *some: special.chdtr(*some) < level, freedom, chi2)


def f_beyond(ratio: Floats, above: Floats, below: Floats, level: float) -> Booleans:
    """Whether so large a ratio of mean squares has a chance below the level, a hundredth at most; NaN has not.

    Parameters
    ----------
    ratio, above, below : float arrays, ``(N,)``
        The ratio, and the degrees of freedom of its numerator and its denominator.
    level : float
    """
    root, of_above, of_below = np.cbrt(ratio), 2 / (9 * above), 2 / (9 * below)
    deviations = ((1 - of_below) * root - (1 - of_above)) / np.sqrt(of_below * root**2 + of_above)
    fewest = np.minimum(above, below)
    return _decided(deviations, fewest, level, lambda *some: special.fdtrc(*some) < level, above, below, ratio)


@functools.cache
def normal_deviations(probability: float) -> float:
    """Return the standard deviations beyond which a normal distribution has so much."""
    return -NormalDist().inv_cdf(probability)


def _deviations(chi2: Floats, freedom: Floats) -> Floats:
    variance = 2 / (9 * freedom)
    found: Floats = (np.cbrt(chi2 / freedom) - (1 - variance)) / np.sqrt(variance)
    return found


def _decided(
    deviations: Floats, freedom: Floats, level: float, is_rare: Callable[..., Booleans], *arguments: Floats
) -> Booleans:
    """Whether each is rare; only those that the deviations of the normal approximation leave open are asked about."""
    many = freedom >= MANY
    likely = deviations < np.where(many, max(NO_DOUBT, normal_deviations(LIKELY * level)), NO_DOUBT)
    found = many & (deviations > normal_deviations(level / UNLIKELY))
    which = np.flatnonzero(~found & ~(likely & (freedom >= FEWEST)))
    if which.size:
        found[which] = is_rare(*(a[which] for a in arguments))
    return found
