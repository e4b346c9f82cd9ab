"""Arrays that are not in memory: Dask arrays and files, cut into pieces of which one is loaded at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

# A piece: a slice for each axis of the data. Of spots there follow the numbers of those that lie in it.
Slices = tuple[Any, ...]

# A piece holds at most so many bytes of data and so many fits: their results take about twice the room of 32 samples.
MOST_BYTES = 1 << 26
MOST_FITS = 1 << 17


class Sliceable(Protocol):
    """Data that are fitted piece by piece: a Dask array, a file, or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, where: Any, /) -> Any: ...


def is_dask(values: object) -> TypeGuard[Any]:
    """Whether it is a Dask array; Dask is not imported for the test."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(values, module.Array)


@dataclass(frozen=True, eq=False)
class Argument:
    """An array beside the data, and the axis of the data that each of its own axes runs along.

    Labels, along which nothing is cut, count as the axis after the data's last one.
    """

    values: Any
    axes: tuple[int, ...]

    @classmethod
    def along(cls, values: Any, axes: Sequence[int]) -> Argument:
        """Its last axes run along the last of `axes`, as NumPy broadcasts."""
        return cls(values, tuple(axes[len(axes) - values.ndim :]))

    def cut(self, where: Slices) -> NDArray[Any]:
        """Return the part for a piece of the data, in memory."""
        return np.asarray(self.part(where))

    def part(self, where: Slices) -> Any:
        """Return the same as lazy as the whole."""
        own = [
            slice(None) if n == 1 or axis >= len(where) else where[axis]
            for n, axis in zip(self.values.shape, self.axes, strict=True)
        ]
        return self.values[tuple(own)]


def piece_shape(
    data: Sliceable, whole: Sequence[int], most_fits: int | None = None, samples_per_fit: float | None = None
) -> tuple[int, ...]:
    """Return the shape of pieces that are whole along these axes: stored chunks merged up to the target size.

    Chunks that are too large are cut, tiny ones are merged. A fit takes the samples along the axes that are
    whole by default.
    """
    samples = samples_per_fit or _size(data.shape, whole)
    room = max(1, int(min(MOST_BYTES // data.dtype.itemsize, (most_fits or MOST_FITS) * samples)))
    stored = _stored(data)
    piece = [
        n if axis in whole else min(chunk, n) for axis, (n, chunk) in enumerate(zip(data.shape, stored, strict=True))
    ]
    others = [axis for axis in range(len(piece)) if axis not in whole]
    for axis in others:  # cut the first axes first: the last ones lie together on disk
        if np.prod(piece) > room:
            piece[axis] = max(1, int(piece[axis] * room // np.prod(piece)))
    for axis in reversed(others):
        most = int(room // np.prod(piece)) * piece[axis]
        piece[axis] = data.shape[axis] if most >= data.shape[axis] else max(piece[axis], most)
    return tuple(piece)


def _size(shape: tuple[int, ...], axes: Sequence[int]) -> int:
    return int(np.prod([shape[axis] for axis in axes]))


def _stored(data: Sliceable) -> tuple[int, ...]:
    """Return the shape of the chunks in which the data are stored, single samples where that is not known."""
    chunks = getattr(data, "chunks", None)
    if chunks is None:
        return (1,) * len(data.shape)
    return tuple(int(c if np.ndim(c) == 0 else max(c)) for c in chunks)


def iter_pieces(shape: tuple[int, ...], piece: tuple[int, ...]) -> Iterator[Slices]:
    """Return the slices of all pieces, in C order."""
    steps = [range(0, n, size) for n, size in zip(shape, piece, strict=True)]
    for firsts in product(*steps):
        yield tuple(slice(i, min(i + size, n)) for i, size, n in zip(firsts, piece, shape, strict=True))
