"""Flags of residuals: too large or too small, not independent, or not everywhere as large."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..core.options import Criterion
from ..core.status import Flag
from ..core.types import Booleans
from ..sums.residual_sums import Residuals
from .neighbour_test import Expected, expected_at_most
from .rare_values import chi2_below, chi2_beyond, f_beyond

# One fit in a thousand is flagged by chance: the level, and the standard deviations that it is on one side.
FALSE_ALARMS = 1e-3
DEVIATIONS = 3.09
# The level of r, of which most alarms are alarms of the other statistic too.
OF_R = 5e-4
# How many pairs of neighbours, at least, have to be at one: outliers that happen to lie side by side are fewer. Counts
# are less even than Gaussian noise. Among many samples the noise next to such outliers is nothing, and a source as
# small as a pixel has two.
PAIRS, PAIRS_OF_COUNTS, PAIRS_OF_MANY, MANY = 1.5**2, 2.0**2, 1.25**2, 1024
# Samples up to which it matters what a model in particular leaves of the noise.
SHORT = 64
# One fit in ten thousand is flagged by chance.
RARE = 1e-4
# A reduced χ² from which on it is not far too small.
SMALL_REDUCED_CHI2 = 0.8
# By how much, at least, all bright samples take part in their squares: one outlier among n has 1/n, noise 2/π.
SHARED = 0.45

Expect = Callable[[NDArray[np.intp]], Expected]


def find_misfits(
    sums: Residuals,
    used: NDArray[np.int64],
    free: NDArray[np.int64],
    known: bool,
    criterion: Criterion,
    expect: Expect | None = None,
) -> Iterator[tuple[Flag, Booleans]]:
    """Return flags, each with where it holds.

    Parameters
    ----------
    sums : Residuals
        NumPy arrays ``(N,)``.
    used, free : int arrays, ``(N,)``
        Samples used, and free parameters.
    known : bool
        Whether the noise level is known: without it χ² can be neither too large nor too small.
    expect : callable, optional
        What some of the fits leave of the noise for neighbours to agree in.
    """
    freedom = used - free
    some = freedom > 0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if known:
            large, small = _of_chi2(sums, np.maximum(freedom, 1), criterion)
            yield Flag.LARGE_CHI2, large & some
            yield Flag.SMALL_CHI2, small & some
        structured = _structured(sums, used, free, criterion, expect)
        if known:
            # far below the noise there is nothing to see, as where there are no counts at all
            structured &= sums.chi2 > 1e-6 * freedom
        yield Flag.STRUCTURED_RESIDUAL, structured & some
        if criterion == Criterion():
            # structure is no noise, and makes residuals large at some samples as well
            yield Flag.UNEVEN_NOISE, _uneven(sums, used, free) & ~structured


def _of_chi2(sums: Residuals, freedom: NDArray[np.int64], criterion: Criterion) -> tuple[Booleans, Booleans]:
    """Return where χ² is too large, and far too small."""
    shape = np.ones(sums.chi2.shape)
    if criterion.noise != "gaussian":
        # of counts it is more spread out: a gamma distribution of the same mean and variance
        shape = 2 * freedom / np.maximum(sums.chi2_variance, 1e-300)
    large = chi2_beyond(shape * sums.chi2, shape * freedom, FALSE_ALARMS)
    small = chi2_below(shape * sums.chi2, shape * freedom, RARE) & (sums.chi2 < SMALL_REDUCED_CHI2 * freedom)
    return large, small


def _structured(
    sums: Residuals,
    used: NDArray[np.int64],
    free: NDArray[np.int64],
    criterion: Criterion,
    expect: Expect | None,
) -> Booleans:
    """Return where neighbours agree more than by chance."""
    pairs = np.where(sums.neighbours > 0, sums.neighbours, 0) ** 2 / sums.neighbours_squared
    found = np.asarray(pairs > DEVIATIONS**2)
    least = np.where(used < MANY, PAIRS, PAIRS_OF_MANY) if criterion.noise == "gaussian" else PAIRS_OF_COUNTS
    # most fits are far from any doubt
    open_ = np.flatnonzero((pairs > least) & ~found & (used > free + 1))
    if not open_.size:
        return found
    r, n, p = (sums.neighbours / sums.chi2)[open_], used[open_], free[open_]
    sure = expected_at_most(n, p, smooth=False).is_rare(r, n, OF_R)
    found[open_[sure]] = True
    doubtful = ~sure & (n <= SHORT) & expected_at_most(n, p, smooth=True).is_rare(r, n, OF_R)
    if expect is not None and doubtful.any():
        found[open_[doubtful]] = expect(open_[doubtful]).is_rare(r[doubtful], n[doubtful], OF_R)
    return found


def _uneven(sums: Residuals, used: NDArray[np.int64], free: NDArray[np.int64]) -> Booleans:
    """Return where residuals are larger above the mean of the data than below, by the ratio of their mean squares.

    All parameters are taken to have been fitted to the samples below: they have not, which is on the safe side. Where
    squares scatter more than those of Gaussian noise, by their kurtosis, they count for fewer degrees of freedom.
    """
    bright, rest = sums.bright, used - sums.bright
    squares = np.maximum(sums.chi2 - sums.bright_squares, 0)
    fourths = np.maximum(sums.fourths - sums.bright_fourths, 0)
    scatter = bright**2 * sums.bright_fourths / sums.bright_squares**2 + rest**2 * fourths / squares**2
    share = 2 / (np.maximum(scatter / used, 3) - 1)
    freedom = rest - free
    ratio = (sums.bright_squares / bright) / (squares / freedom)
    even = sums.bright_sizes**2 / (bright * sums.bright_squares) > SHARED
    found = even & (freedom > 0) & (bright > 0)
    found[found] = f_beyond(ratio[found], (share * bright)[found], (share * freedom)[found], RARE)
    return np.asarray(found)
