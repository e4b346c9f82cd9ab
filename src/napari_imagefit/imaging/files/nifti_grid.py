"""Grid of a NIfTI file: the order of its axes, and its affine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ...engine.core.validation import float_array


@dataclass(frozen=True, eq=False)
class NiftiGrid:
    """Mapping from the axes of a grid to those of a NIfTI file.

    Attributes
    ----------
    affine : array, ``(4, 4)``
        From indices of the file's first three axes to the world.
    axes : tuple of three of int or None
        The axis of the grid that each of them is; None where the file has one sample.
    flipped : tuple of three bool
        Along which of them the file runs the other way.
    in_mm : bool
        Whether the world is in millimetres.
    """

    affine: Floats
    axes: tuple[int | None, ...]
    flipped: tuple[bool, ...] = (False, False, False)
    in_mm: bool = True

    def rest(self, ndim: int) -> list[int]:
        """Return the axes of the grid that are none of the three; they come after them."""
        return [axis for axis in range(ndim) if axis not in self.axes]

    def arrange(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the grid in the order of the file."""
        own = [axis for axis in self.axes if axis is not None]
        values = values.transpose(*own, *self.rest(values.ndim))
        values = np.expand_dims(values, tuple(at for at, axis in enumerate(self.axes) if axis is None))
        return np.flip(values, tuple(at for at, flipped in enumerate(self.flipped) if flipped))


def grid_of_affine(affine: ArrayLike, count: int) -> NiftiGrid:
    """Return a file whose first axes are those of the grid, in their order.

    Raises
    ------
    FitInputError
        If the affine is not 4×4 and invertible.
    """
    return NiftiGrid(check_affine(affine), tuple(axis if axis < count else None for axis in range(3)))


def check_affine(affine: ArrayLike) -> Floats:
    """Return an affine as an array.

    Raises
    ------
    FitInputError
        If it is not 4×4 and invertible.
    """
    matrix = float_array(affine, "the affine")
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
        raise FitInputError("the affine is not an invertible 4×4 matrix; give the one of the image that was fitted")
    return matrix
