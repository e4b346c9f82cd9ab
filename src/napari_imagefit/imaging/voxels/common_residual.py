"""Whether the residuals of short curves have a pattern in common, which none of them can show by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Samples from which on one curve can tell most of the time.
TELLING = 32
# Curves that are looked at: no fewer, and no more.
LEAST, MOST = 30, 4096
# Standard errors that the mean residual of a sample is off 0, and the part of all squares that the means explain.
SURE, NOTABLE = 5.0, 0.1


def find_common_residual(residual: NDArray[np.float64]) -> str:
    """Look at the mean residual of each sample over many curves.

    Residuals of independent noise around the right model have none, whatever its distribution: their sum over the
    curves is a few times the root of the sum of their squares at most. Each curve weighs the same.

    Parameters
    ----------
    residual : array, ``(n, n_curves)``
        Of curves that have an answer; NaN where a sample did not count.

    Returns
    -------
    str
        A sentence; empty where nothing is to be said: no pattern, fewer than 30 curves, or curves that can tell by
        themselves, of 32 samples on average and more.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(8, 100))
    >>> find_common_residual(noise)
    ''
    >>> find_common_residual(noise + np.array([3, -3, -1, 2, 2, 1, -1, -3])[:, None])[:52]
    'the residuals of all curves have a pattern in common'
    """
    used = np.isfinite(residual)
    counts = used.sum(axis=0)
    chosen = np.flatnonzero(counts > 0)
    if chosen.size < LEAST or counts[chosen].mean() >= TELLING:
        return ""
    e = np.where(used, residual, 0)[:, chosen]
    size = np.sqrt(np.sum(e * e, axis=0) / counts[chosen])
    e = e / np.where(size > 0, size, 1)
    total, squares, of_each = e.sum(axis=1), np.sum(e * e, axis=1), used[:, chosen].sum(axis=1)
    off = np.abs(total) / np.sqrt(np.maximum(squares, np.finfo(float).tiny))
    share = np.sum(total**2 / np.maximum(of_each, 1)) / max(squares.sum(), np.finfo(float).tiny)
    if off.max() <= SURE or share <= NOTABLE:
        return ""
    return (
        f"the residuals of all curves have a pattern in common, {100 * share:.0f} % of their squares: the model lacks "
        "something that so few samples cannot show in one curve"
    )
