"""Values of χ², F and beta distributions that are too far out for chance.

A normal approximation decides all but what hangs on a hair. SciPy's special functions are called for the others: to
import them takes as long as a first fit.

References
----------
D. B. Peizer and J. W. Pratt, A normal approximation for binomial, F, beta, and other common, related tail
probabilities, 1968.
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
    special = LazyModule("scipy.special")  # a window that opens does not wait for it

# The approximation has 1 + DOUBT/shape² times as much as is beyond, at most, or as little: by the smaller shape, from
# 1 on, and down to one in ten thousand. Rounding may have CLOSEST, and leaves nothing of differences below MIDDLE.
DOUBT, LEAST_SHAPE, CLOSEST, MIDDLE = 1.6, 1.0, 1e-3, 1e-4


def chi2_beyond(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so large a χ² has a chance below the level, from 1e-4 to 1e-2; NaN has not."""
    z, shape = _gamma_deviations(freedom / 2, chi2 / 2), freedom / 2
    return _decided(z, shape, level, lambda *some: special.chdtrc(*some) < level, freedom, chi2)


def chi2_below(chi2: Floats, freedom: Floats, level: float) -> Booleans:
    """Whether so small a χ² has a chance below the level, from 1e-4 to 1e-2; NaN has not."""
    z, shape = -_gamma_deviations(freedom / 2, chi2 / 2), freedom / 2
    return _decided(z, shape, level, lambda *some: special.chdtr(*some) < level, freedom, chi2)


def f_beyond(ratio: Floats, above: Floats, below: Floats, level: float) -> Booleans:
    """Whether so large a ratio of mean squares has a chance below the level, from 1e-4 to 1e-2; NaN has not.

    Parameters
    ----------
    ratio, above, below : float arrays, ``(N,)``
        The ratio, and the degrees of freedom of its numerator and its denominator.
    level : float
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        share = 1 / (1 + below / (above * ratio))
    z, shape = beta_deviations(above / 2, below / 2, share), np.minimum(above, below) / 2
    return _decided(z, shape, level, lambda *some: special.fdtrc(*some) < level, above, below, ratio)


def beta_beyond(x: Floats, a: Floats, b: Floats, level: float) -> Booleans:
    """Whether Beta(a, b) has less than the level, from 1e-4 to 1e-2, beyond x; NaN has not."""
    z, shape = beta_deviations(a, b, x), np.minimum(a, b)
    return _decided(z, shape, level, lambda *some: share_beyond(*some) < level, x, a, b)


def share_beyond(x: Floats, a: Floats, b: Floats) -> Floats:
    """Return how much Beta(a, b) has beyond x."""
    found: Floats = special.betainc(b, a, 1 - x)
    return found


@functools.cache
def normal_deviations(probability: float) -> float:
    """Return the standard deviations beyond which a normal distribution has so much."""
    return -NormalDist().inv_cdf(probability)


def beta_deviations(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the z beyond which a normal distribution has about as much as Beta(a, b) has beyond x."""
    s, t, n = a - 0.5, b - 0.5, a + b - 1
    with np.errstate(all="ignore"):
        away = (n + 1 / 3) * x - s - 1 / 6 - 0.02 * ((1 - x) / a - x / b + (0.5 - x) / (a + b))
        squared = (_spread(s, n * x) + _spread(t, n * (1 - x))) / (1 + 1 / (6 * n))
        found: Floats = away * np.sqrt(squared)
    return found


def _gamma_deviations(shape: Floats, x: Floats) -> Floats:
    """Return the z beyond which a normal distribution has about as much as a gamma distribution has beyond x."""
    with np.errstate(all="ignore"):
        found: Floats = (x - shape + 1 / 3 - 0.02 / shape) * np.sqrt(_spread(shape - 0.5, x))
    return found


def _spread(s: Floats, x: Floats) -> Floats:
    """2(s·ln(s/x) + x − s)/(x − s)², which is 1/s where x is s."""
    away = x / s - 1
    return np.where(np.abs(away) < MIDDLE, 1 - 2 / 3 * away, 2 * (away - np.log1p(away)) / away / away) / s


def _decided(z: Floats, shape: Floats, level: float, is_rare: Callable[..., Booleans], *arguments: Floats) -> Booleans:
    """Whether each is rare; only those that the deviations of the normal approximation leave open are asked about."""
    wanted = normal_deviations(level)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        # the normal distribution falls by more than a factor of e in 1/z
        doubt = np.log1p(np.maximum(DOUBT / shape**2, CLOSEST)) / wanted
    rare = z > wanted + doubt
    clear = (rare | (z < wanted - doubt)) & (shape >= LEAST_SHAPE)
    which = np.flatnonzero(~clear & ~np.isnan(np.sum(np.broadcast_arrays(*arguments), axis=0)))
    rare &= clear
    if which.size:
        rare[which] = is_rare(*(np.broadcast_to(a, rare.shape)[which] for a in arguments))
    return rare
