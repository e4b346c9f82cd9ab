"""What residuals say against a fit: that they are too large, or not independent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from ..core.status import Flag
from ..core.types import Noise
from ..sums.residual_sums import Residuals

# One fit in a thousand is flagged by chance: the level, and the standard deviations that it is on one side.
FALSE_ALARMS = 1e-3
DEVIATIONS = 3.09


def find_misfits(
    sums: Residuals, freedom: NDArray[np.int64], known: bool, noise: Noise
) -> Iterator[tuple[Flag, NDArray[np.bool_]]]:
    """Flags, each with where it holds.

    Parameters
    ----------
    sums : Residuals
        NumPy arrays ``(N,)``.
    freedom : int array, ``(N,)``
        Samples used minus free parameters.
    known : bool
        Whether the noise level is known: without it χ² cannot be too large.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if known:
            if noise == "gaussian":
                large = chdtrc(np.maximum(freedom, 1), sums.chi2) < FALSE_ALARMS
            else:
                # of counts it is more spread out: a gamma distribution of the same mean and variance
                shape = 2 * np.maximum(freedom, 1) / np.maximum(sums.chi2_variance, 1e-300)
                large = chdtrc(shape * np.maximum(freedom, 1), shape * sums.chi2) < FALSE_ALARMS
            yield Flag.LARGE_CHI2, large & (freedom > 0)
        structured = sums.neighbours > DEVIATIONS * np.sqrt(sums.neighbours_squared)
        if known:
            # far below the noise there is nothing to see, as where there are no counts at all
            structured &= sums.chi2 > 1e-6 * freedom
        yield Flag.STRUCTURED_RESIDUAL, structured & (freedom > 0)
