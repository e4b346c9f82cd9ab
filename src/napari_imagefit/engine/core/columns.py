"""Tables whose columns are computed on access: windows of an image, for example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How many are made at a time where all are looked at.
COLUMNS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class Columns:
    """A table ``(m, N)`` that supports only ``table[:, positions]``, from several threads at once.

    Attributes
    ----------
    shape : (int, int)
    make : callable
        From positions ``(n,)`` to columns ``(m, n)``.
    """

    shape: tuple[int, int]
    make: Callable[[NDArray[np.intp]], NDArray[Any]]

    ndim = 2

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, index: tuple[slice, Any]) -> NDArray[Any]:
        places = np.arange(self.shape[1])[index[1]]
        return self.make(places) if places.ndim else self.make(places[None])[:, 0]

    def min(self, axis: int) -> NDArray[Any]:
        """Return the least of each column; `axis` is 0."""
        return np.concatenate([part.min(axis=axis) for part in self.parts()])

    def max(self, axis: int) -> NDArray[Any]:
        """Return the largest of each column; `axis` is 0."""
        return np.concatenate([part.max(axis=axis) for part in self.parts()])

    def parts(self) -> Iterator[NDArray[Any]]:
        """All columns, some at a time."""
        for first in range(0, self.shape[1], COLUMNS_AT_A_TIME):
            yield self[:, first : first + COLUMNS_AT_A_TIME]


Table = NDArray[Any] | Columns
