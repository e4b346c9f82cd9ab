"""Ingredients of the covariance of many fits where the variance of a sample grows with its value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats
from ..models.model import Model
from ..models.prediction import VALUES_PER_PIECE, linearise


class Sandwich(NamedTuple):
    """Sums over the samples of each fit, with V the variance of a sample."""

    curvature: Floats  # JᵀJ, (n_params, n_params, N)
    scatter: Floats  # JᵀVJ, (n_params, n_params, N)
    variance: Floats  # V, (N,)
    squares: Floats  # (data − fitted)², (N,)


def sandwich(
    model: Model,
    coords: tuple[NDArray[Any], ...],
    params: Floats,
    data: NDArray[Any],
    others: Floats,
    line: tuple[float, float],
) -> Sandwich:
    """Return the sums for samples whose variance is ``line[0] + line[1]·fitted``, and no less than 0.

    By all parameters, in double precision. Coordinates are ``(m,)`` or ``(m, N)`` each; data, NaN where they are not
    used, and `others`, what is there beside the model, are ``(m, N)``; parameters ``(n_params, N)``.
    """
    m, n_fits = data.shape
    width = max(1, VALUES_PER_PIECE // m)
    parts = []
    for first in range(0, n_fits, width):
        some = slice(first, first + width)
        own = tuple(c if c.ndim == 1 else c[:, some] for c in coords)
        value, slopes = linearise(model, own, params[:, some])
        used, fitted = np.isfinite(data[:, some]), value + others[:, some]
        variance = np.where(used, np.maximum(line[0] + line[1] * fitted, 0), 0)
        with np.errstate(invalid="ignore"):
            squares = np.where(used, (data[:, some] - fitted) ** 2, 0)
        columns = np.where(used, slopes, 0)
        parts.append(
            (
                np.einsum("imB,jmB->ijB", columns, columns),
                np.einsum("imB,mB,jmB->ijB", columns, variance, columns),
                variance.sum(axis=0),
                squares.sum(axis=0),
            )
        )
    return Sandwich(*(np.concatenate(found, axis=-1) for found in zip(*parts, strict=True)))
