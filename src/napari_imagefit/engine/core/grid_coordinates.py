"""Coordinates of the pixels of a rectangle, of which only the axes are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LatticeCoordinate:
    """One coordinate of all pixels, row by row, as an array ``(m,)`` that is computed on access.

    Attributes
    ----------
    values : array
        Along the axis.
    shape_of_plane : tuple of int
    axis : int
    """

    values: NDArray[np.float64]
    shape_of_plane: tuple[int, ...]
    axis: int

    @property
    def shape(self) -> tuple[int]:
        """``(m,)``."""
        return (int(np.prod(self.shape_of_plane)),)

    ndim = 1

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """Type of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        del copy
        return np.asarray(self[:], dtype)

    def __getitem__(self, places: Any) -> NDArray[np.float64]:
        if places is Ellipsis or (isinstance(places, tuple) and len(places) == 2):
            # as a column, as arrays are
            return np.asarray(self)[places]
        inner = int(np.prod(self.shape_of_plane[self.axis + 1 :]))
        if not isinstance(places, slice) or places.step not in (None, 1):
            chosen = np.arange(len(self))[places] if isinstance(places, slice) else np.asarray(places)
            return self.values[chosen // inner % self.values.size]
        first, last, _ = places.indices(len(self))
        if last <= first:
            return self.values[:0]
        # whole runs of the same value, cut at both ends
        run = np.arange(first // inner, (last - 1) // inner + 1) % self.values.size
        found = self.values[run] if inner == 1 else np.repeat(self.values[run], inner)
        skipped = first - first // inner * inner
        return found[skipped : skipped + last - first]

    def min(self, axis: int | None = None) -> float:
        """Return the least."""
        del axis
        return float(self.values.min())

    def max(self, axis: int | None = None) -> float:
        """Return the largest."""
        del axis
        return float(self.values.max())


def lattice(axes: Sequence[NDArray[np.float64]]) -> tuple[LatticeCoordinate, ...]:
    """Return the coordinates of the rectangle with these axes."""
    shape = tuple(a.size for a in axes)
    return tuple(LatticeCoordinate(a, shape, number) for number, a in enumerate(axes))
