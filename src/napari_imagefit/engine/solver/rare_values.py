"""Values of χ² and F that are too far out for chance.

Most fits are far from any doubt, by a normal approximation that takes a cube root. SciPy's special functions are called
for the others: to import them takes as long as a first fit.

References
----------
E. B. Wilson and M. M. Hilferty, The distribution of chi-square, 1931.
E. Paulson, An approximate normalization of the analysis of variance distribution, 1942.
"""

from __future__ import annotations

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
# From more on it is good enough that what it says to be so many times as likely as asked is not rare.
SURE, MANY = 6.0, 8.0


def chi2_beyond(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so large a χ² has a chance below the level, which is a hundredth at most; NaN has not."""
    open_ = ~(_deviations(chi2, freedom) < _no_doubt(level, freedom))
    return _decided(open_, lambda *some: special.chdtrc(*some) < level, freedom, chi2)


def chi2_below(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so small a χ² has a chance below the level, which is a hundredth at most; NaN has not."""
    open_ = ~(_deviations(chi2, freedom) > -_no_doubt(level, freedom))
    return _decided(open_, lambda *some: special.chdtr(*some) < level, freedom, chi2)


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
    open_ = ~(deviations < _no_doubt(level, np.minimum(above, below)))
    return _decided(open_, lambda *some: special.fdtrc(*some) < level, above, below, ratio)


def _no_doubt(level: float, freedom: Floats) -> Floats:
    """Return the deviations within which nothing is as rare as that; −∞ where there are none."""
    few = np.where(freedom >= FEWEST, NO_DOUBT, -np.inf)
    return np.where(freedom >= MANY, max(NO_DOUBT, -NormalDist().inv_cdf(SURE * level)), few)


def _deviations(chi2: Floats, freedom: Floats) -> Floats:
    variance = 2 / (9 * freedom)
    found: Floats = (np.cbrt(chi2 / freedom) - (1 - variance)) / np.sqrt(variance)
    return found


def _decided(open_: Booleans, is_rare: Callable[..., Booleans], *arguments: Floats) -> Booleans:
    """Whether each is rare; only those that are open are asked about."""
    found = np.zeros(open_.shape, bool)
    which = np.flatnonzero(open_)
    if which.size:
        found[which] = is_rare(*(a[which] for a in arguments))
    return found
