"""Standard deviations of the data: as weights, and where they cannot be used."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import float_array

# σ below it has an inverse that is no number.
SMALLEST = 1 / sys.float_info.max
# Meaning of the marks of a sample: its σ cannot be used, or is not known, which leaves the sample out.
WRONG, UNKNOWN = 1, 2


def as_weights(sigma: ArrayLike | None, shape: tuple[int, ...], *, alone: bool = True) -> NDArray[np.float64] | None:
    """1/σ in the data's shape (a view where it can be); 0, which leaves a sample out, where σ is not finite.

    It is 0 as well where a σ is not positive, which costs a fit: see `refused_by_sigma`.

    Parameters
    ----------
    alone : bool
        Whether these are all, so that they are refused where none can be used.

    Raises
    ------
    FitInputError
        If σ does not broadcast, is a number that is not positive, or an array without any that is.
    """
    if sigma is None:
        return None
    values = float_array(sigma, "sigma")
    if alone and values.size == 1 and not np.isfinite(values).all():
        raise FitInputError(f"sigma is {values.item()}, which leaves no sample to fit; give a number, or leave it out")
    good = values >= SMALLEST
    if alone and not good.any():
        _refuse_sigma(values)
    with np.errstate(divide="ignore", over="ignore"):
        weights = np.where(good & np.isfinite(values), 1 / values, 0.0)
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise FitInputError(
            f"sigma has shape {values.shape}, which does not broadcast to the data's {shape}; "
            "give one number or one per sample"
        ) from None


def _refuse_sigma(values: NDArray[np.float64]) -> None:
    if (values <= 0).any():
        raise FitInputError(
            f"sigma has the value {values[values <= 0].flat[0]:g}; standard deviations must be positive"
        )
    if (values > 0).any():
        raise FitInputError(
            f"sigma has the value {values[values > 0].flat[0]:g}, and 1/σ is too large a number; "
            "give data and sigma in another unit"
        )
    raise FitInputError("sigma holds nothing but NaN, which leaves no sample to fit; give numbers, or leave it out")


def marks_of_sigma(sigma: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.int8] | None:
    """Return a mark for each sample of the data's shape, as a view: 0 where its σ can be used; None where all can."""
    if sigma is None or not np.ndim(sigma):
        return None
    values = float_array(sigma, "sigma")
    good = values >= SMALLEST
    if good.all():
        return None
    marks = np.where(good, 0, np.where(np.isnan(values), UNKNOWN, WRONG)).astype(np.int8)
    return np.broadcast_to(marks, shape)


def refused_by_sigma(marks: NDArray[np.int8], counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which fits have no σ to be fitted with, by marks ``(m, n_fits)`` and which samples count.

    One that cannot be used costs its fit; one that is not known its sample, and the fit if no other is known.
    """
    wrong = (counted & (marks == WRONG)).any(axis=0)
    unknown = counted.any(axis=0) & (~counted | (marks == UNKNOWN)).all(axis=0)
    return np.asarray(wrong | unknown)
