"""From what a caller gives to arrays of real numbers, or one sentence about why not."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import FitInputError


def real_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """An array of real numbers in the type that they have; masked values become NaN.

    Raises
    ------
    FitInputError
        If it is empty, ragged, complex, or holds no numbers.
    """
    try:
        array = np.asanyarray(values)
    except ValueError:
        raise FitInputError(f"{what} has rows of different lengths; give a regular array") from None
    except (RuntimeError, TypeError) as error:
        # tensors say so themselves
        raise FitInputError(f"{what} cannot be read as an array: {error} Give one in the computer's memory") from None
    if array.dtype.kind not in "biuf":
        raise FitInputError(f"{what} has type {array.dtype}, which is not one of real numbers; convert it to them")
    if array.size == 0:
        raise FitInputError(f"{what} is empty (shape {array.shape}); give at least one number")
    if isinstance(array, np.ma.MaskedArray):
        return np.ma.filled(array.astype(np.result_type(array.dtype, np.float32)), np.nan)
    return np.asarray(array)


def float_array(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """The same as float64."""
    return real_array(values, what).astype(np.float64, copy=False)


def check_callable(value: object, name: str, how: str, count: int) -> None:
    """Refuse what cannot be called with so many arguments.

    Raises
    ------
    FitInputError
    """
    if not callable(value):
        raise FitInputError(f"{name} must be a function that is called as {how}, got {value!r}; give one, or none")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        # some that are written in C have none
        return
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        raise FitInputError(
            f"{name} must be a function that is called as {how}, got one with the arguments {signature}; change them"
        ) from None
