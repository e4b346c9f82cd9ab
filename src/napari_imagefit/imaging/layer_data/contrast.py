"""Limits of contrast that a few odd values do not decide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values that limits are found from where there are more, and how many of them have to be finite.
MOST_LOOKED_AT, ENOUGH = 1 << 18, 1 << 13
CONTRAST_PERCENTILES = (1, 99)  # per cent of the values at the ends of the colours
SIGMAS, TO_SIGMA = (
    3,
    1.4826,
)  # standard deviations at the ends of a residual's colours; from the median of |residual| to one


def _some_finite(values: NDArray[Any]) -> NDArray[Any]:
    """Finite values: all, or of many some that are enough for percentiles."""
    # an odd step does not run down the columns of an image
    some = values.reshape(-1)[:: values.size // MOST_LOOKED_AT | 1]
    finite: NDArray[Any] = some[np.isfinite(some)]
    if finite.size <= ENOUGH and some.size < values.size:
        finite = values[np.isfinite(values)]
        finite = finite[:: finite.size // MOST_LOOKED_AT | 1]
    return finite


def robust_limits(values: NDArray[Any]) -> tuple[float, float]:
    """Limits from the 1st to the 99th percentile of the finite values, never equal.

    Examples
    --------
    >>> robust_limits(np.r_[np.arange(101.0), np.nan, np.inf])
    (1.0, 99.0)
    """
    finite = _some_finite(values)
    if not finite.size:
        return (0.0, 1.0)
    first, last = (float(limit) for limit in np.percentile(finite, CONTRAST_PERCENTILES))
    return (first, last) if first < last else (first - 0.5, last + 0.5)


def even_limits(values: NDArray[Any]) -> tuple[float, float]:
    """Limits as far below 0 as above, which hold 99 % of the finite values."""
    return _even(
        float(np.percentile(found, CONTRAST_PERCENTILES[1])) if (found := np.abs(_some_finite(values))).size else 0.0
    )


def residual_limits(values: NDArray[Any]) -> tuple[float, float]:
    """Limits of ±3 robust standard deviations: what is noise stays pale, and structure beyond it shows.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 2, (100, 100))
    >>> noise[0, :50] = 1e6
    >>> [round(limit) for limit in residual_limits(noise)]
    [-6, 6]
    """
    found = np.abs(_some_finite(values))
    # where more than half are exactly 0, the others decide
    spread = next((spread for some in (found, found[found > 0]) if some.size and (spread := np.median(some))), 0.0)
    return _even(SIGMAS * TO_SIGMA * float(spread))


def _even(most: float) -> tuple[float, float]:
    return (-most, most) if most > 0 else (-1.0, 1.0)
