"""The axis of a stack along which its curves run, and their coordinates: checked alike for a map and for a mean."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import float_array


def check_axis(
    shape: tuple[int, ...], axis: int, x: ArrayLike | None
) -> tuple[int, NDArray[np.float64], tuple[int, ...]]:
    """Return the axis counted from the front, the coordinates along it, and the shape of the grid of fits.

    Raises
    ------
    FitInputError
        If there is no such axis, or not a coordinate for each sample.

    Examples
    --------
    >>> check_axis((2, 3), -1, None)
    (1, array([0., 1., 2.]), (2,))
    """
    count = len(shape)
    try:
        axis = operator.index(axis)
    except TypeError:
        raise FitInputError(f"axis must be a whole number, got {axis!r}; choose from 0 to {count - 1}") from None
    if not -count <= axis < count:
        raise FitInputError(f"axis {axis} does not exist in a stack of {count} axes; choose from 0 to {count - 1}")
    axis %= count
    length = shape[axis]
    coordinate = np.arange(length, dtype=float) if x is None else float_array(x, "x")
    if coordinate.shape != (length,):
        raise FitInputError(
            f"x has shape {coordinate.shape}, but the stack has {length} samples along axis {axis}; give one value each"
        )
    return axis, coordinate, tuple(n for a, n in enumerate(shape) if a != axis)
