"""Small windows around points of an image: where they are, what is in them, and which of them meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import float_array

# How many values are gathered at a time.
VALUES_AT_A_TIME = 1 << 23
# Pixels that a window may have: more are no window.
LARGEST = 1 << 24


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one size around the pixels nearest to some points; `find_windows` checks and makes them.

    Attributes
    ----------
    shape : tuple of int
        The image's: frames first, then the plane's (or the volume's) axes.
    points : array, ``(N, len(shape))``
        As they were given.
    frames : int array, ``(N, n_frame_axes)``
    centres : int array, ``(N, ndim)``
        The pixel in the middle of each window.
    size : tuple of int
        Of a window, along each of the plane's axes; odd.
    begin : int array, ``(len(shape),)``, or None
        The pixel at which arrays begin that hold only a part of the image: one with all pixels of these windows.
    crowded : boolean array, ``(N,)``, or None
        Whether the pixel of another point lies within each window, where not all points are here to show it.
    allowed : boolean array, ``(N, n_samples)``, or None
        Which pixels of each window to use, where each has a mask of its own.
    """

    shape: tuple[int, ...]
    points: NDArray[np.float64]
    frames: NDArray[np.intp]
    centres: NDArray[np.intp]
    size: tuple[int, ...]
    begin: NDArray[np.intp] | None = None
    crowded: NDArray[np.bool_] | None = None
    allowed: NDArray[np.bool_] | None = None

    def some(self, rows: NDArray[np.intp] | slice) -> Windows:
        """Return the windows of some points."""
        crowded, allowed = (None if own is None else own[rows] for own in (self.crowded, self.allowed))
        return replace(
            self,
            points=self.points[rows],
            frames=self.frames[rows],
            centres=self.centres[rows],
            crowded=crowded,
            allowed=allowed,
        )

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.centres)

    @property
    def n_samples(self) -> int:
        """Pixels in a window."""
        return prod(self.size)

    @property
    def reach(self) -> NDArray[np.intp]:
        """Pixels from the middle of a window to its edge, along each axis."""
        return np.array([n // 2 for n in self.size])

    @property
    def plane(self) -> tuple[int, ...]:
        """Shape of one frame of the image."""
        return self.shape[len(self.shape) - len(self.size) :]

    @cached_property
    def limits(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first and the last pixel of each window that the image has, ``(N, ndim)`` each."""
        last = np.array(self.plane) - 1
        return np.maximum(self.centres - self.reach, 0), np.minimum(self.centres + self.reach, last)

    @cached_property
    def n_outside(self) -> NDArray[np.int64]:
        """Number of pixels of each window that the image does not have."""
        first, last = self.limits
        return np.asarray(self.n_samples - np.prod(last - first + 1, axis=1), np.int64)

    @property
    def is_cut(self) -> NDArray[np.bool_]:
        """Whether the edge of the image cuts a window."""
        return self.n_outside > 0

    def offsets(self) -> tuple[NDArray[np.float64], ...]:
        """Coordinates ``(m,)`` of a window's pixels along each axis, 0 in its middle."""
        places = np.indices(self.size).reshape(len(self.size), -1)
        return tuple((place - reach).astype(float) for place, reach in zip(places, self.reach, strict=True))

    def coordinates(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
        """Coordinates ``(m, n_rows)`` along each axis, in pixel indices of the image."""
        return tuple(
            offset[:, None] + centre for offset, centre in zip(self.offsets(), self.centres[rows].T, strict=True)
        )

    def portions(self, some: NDArray[np.intp] | None = None) -> Iterator[tuple[NDArray[np.intp], bool]]:
        """All windows, or some, in portions, whole ones first, each with whether they are cut."""
        most = max(1, VALUES_AT_A_TIME // self.n_samples)
        every = np.arange(self.count) if some is None else np.sort(some)
        cut = self.is_cut[every]
        for rows, is_cut in ((every[~cut], False), (every[cut], True)):
            for first in range(0, rows.size, most):
                yield rows[first : first + most], is_cut

    def gather(self, array: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return what an array of the image's shape (or its part, see `begin`) holds in some windows, ``(n_rows, m)``.

        In its own type. Where a window leaves the image, it repeats the edge.
        """
        begin = np.zeros(len(self.shape), np.intp) if self.begin is None else self.begin
        n_frame_axes = self.frames.shape[1]
        begin, frames = begin[n_frame_axes:], tuple((self.frames[rows] - begin[:n_frame_axes]).T)
        if not self.n_outside[rows].any():
            axes = tuple(range(len(frames), array.ndim))
            corners = tuple((self.centres[rows] - self.reach - begin).T)
            whole: NDArray[Any] = sliding_window_view(array, self.size, axes)[(*frames, *corners)]
            return whole.reshape(rows.size, -1)
        ndim = len(self.size)
        index = [frame.reshape(-1, *[1] * ndim) for frame in frames]
        for axis, (places, n, first) in enumerate(zip(self._places(rows), self.plane, begin, strict=True)):
            index.append(_along(np.clip(places, 0, n - 1) - first, axis, ndim))
        values: NDArray[Any] = array[tuple(index)]
        return values.reshape(rows.size, -1)

    def inside(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which pixels of some windows the image has, ``(n_rows, m)``."""
        ndim = len(self.size)
        inside = np.ones((rows.size, *self.size), bool)
        for axis, (places, n) in enumerate(zip(self._places(rows), self.plane, strict=True)):
            inside &= _along((places >= 0) & (places < n), axis, ndim)
        return inside.reshape(rows.size, -1)

    def used(self, mask: NDArray[np.bool_] | None, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which pixels of some windows the image has, and no mask forbids, ``(n_rows, m)``."""
        used = self.inside(rows)
        if mask is not None:
            used &= self.gather(mask, rows)
        if self.allowed is not None:
            used &= self.allowed[rows]
        return used

    def samples(
        self, image: NDArray[Any], mask: NDArray[np.bool_] | None, rows: NDArray[np.intp], *, padded: bool
    ) -> NDArray[Any]:
        """Return the image in some windows, ``(n_rows, m)``; NaN where a mask forbids or, if `padded`, the image ends.

        In the image's own type where nothing is to be NaN.
        """
        values = self.gather(image, rows)
        if mask is None and self.allowed is None and not padded:
            return values
        return np.where(self.used(mask, rows), values, np.asarray(np.nan, np.result_type(values.dtype, np.float32)))

    def have_neighbours(self) -> NDArray[np.bool_]:
        """Whether the pixel of another point lies within a window."""
        if self.crowded is not None:
            return self.crowded
        return find_neighbours(self.frames @ _strides(self.shape[: self.frames.shape[1]]), self.centres, self.reach)

    def _places(self, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Pixels ``(n_rows, size)`` along each axis, those outside of the image too."""
        reaches = zip(self.centres[rows].T, self.reach, strict=True)
        return [centre[:, None] + np.arange(-reach, reach + 1) for centre, reach in reaches]


def nearest_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pixels that points lie in: half a pixel beyond the middle of one is still in it."""
    return np.asarray(np.floor(points + 0.5))


def split_pixels(pixels: NDArray[Any], ndim: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns of frames, and of positions in the plane."""
    first = pixels.shape[1] - ndim
    return pixels[:, :first], pixels[:, first:]


def find_windows(points: ArrayLike, shape: tuple[int, ...], ndim: int, window: int | Sequence[int]) -> Windows:
    """Windows around points ``(N, len(shape))`` in pixel indices; the last `ndim` columns are positions in the plane.

    Raises
    ------
    FitInputError
        If a point is not in the image, or a window has no middle pixel.
    """
    size = _window_size(window, ndim)
    array = float_array(points, "the list of points")
    if array.ndim != 2 or array.shape[1] != len(shape):
        raise FitInputError(
            f"the points have shape {array.shape}; give one row per point with {len(shape)} columns, "
            "a pixel index for each axis of the image"
        )
    if (bad := np.flatnonzero(~np.isfinite(array).all(axis=1))).size:
        raise FitInputError(f"row {bad[0]} of the points is {_row(array[bad[0]])}; give finite numbers")
    nearest = nearest_pixels(array)
    outside = (nearest < 0) | (nearest >= shape)
    if (bad := np.flatnonzero(outside.any(axis=1))).size:
        row, n_frames = bad[0], len(shape) - ndim
        axis = int(np.flatnonzero(outside[row])[0])
        value, last = f"{array[row, axis]:g}", shape[axis] - 1
        raise FitInputError(
            f"row {row} of the points, {_row(array[row])}, is in frame {value} along axis {axis}, which does not "
            f"exist; give one from 0 to {last}"
            if axis < n_frames
            else f"row {row} of the points, {_row(array[row])}, lies outside of the image; along axis {axis} its "
            f"pixels go from 0 to {last}, not {value}"
        )
    pixels = nearest.astype(np.intp)
    return Windows(shape, array, *split_pixels(pixels, ndim), size)


def _window_size(window: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    given: Any = window.tolist() if isinstance(window, np.ndarray) else window  # an array may be a number
    sizes: list[Any] = list(given) if isinstance(given, Sequence) else [given] * ndim
    for size in sizes:
        if not isinstance(size, Integral) or int(size) < 1 or int(size) % 2 == 0:
            near = int(size) // 2 * 2 + 1 if isinstance(size, Integral) and int(size) > 0 else 11
            raise FitInputError(f"window={window!r} has no pixel in its middle; give odd whole numbers, such as {near}")
    if len(sizes) != ndim:
        raise FitInputError(
            f"window={window!r} has {len(sizes)} sizes, but the model {ndim} axes; give one number, or one per axis"
        )
    whole = tuple(int(size) for size in sizes)
    if prod(whole) > LARGEST:
        raise FitInputError(
            f"window={window!r} has {prod(whole)} pixels; give at most {LARGEST}, or use fit_image for a whole plane"
        )
    return whole


def find_neighbours(frames: NDArray[np.intp], centres: NDArray[np.intp], reach: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each of some pixels has another one of its frame within reach along every axis.

    Pixels are sorted by blocks of rows, and by columns within a block: what is within reach of one is next to it in
    that order, or in a short stretch of the block above or below (one of eight in a volume).

    Parameters
    ----------
    frames : int array, ``(N,)``
    centres : int array, ``(N, ndim)``
    reach : int array, ``(ndim,)``
    """
    centres = centres - centres.min(axis=0)
    blocks, within = np.divmod(centres[:, :-1], reach[:-1] + 1)
    columns = centres[:, -1] + reach[-1]
    # room for the stretches that begin before the first pixel or end behind the last
    sizes = (frames.max() + 1, *(blocks.max(axis=0) + 3), columns.max() + reach[-1] + 2, *(reach[:-1] + 1))
    strides = _strides(sizes)
    base = frames * strides[0] + (blocks + 1) @ strides[1 : 1 + blocks.shape[1]]
    column = strides[1 + blocks.shape[1]]
    keys, first, which, times = np.unique(
        base + columns * column + within @ strides[2 + blocks.shape[1] :],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    base, columns, centres = base[first], columns[first], centres[first]
    # in one block of rows all rows are within reach of each other
    alike = (base[1:] == base[:-1]) & (np.diff(columns) <= reach[-1])
    found = times > 1
    found[1:] |= alike
    found[:-1] |= alike
    for step in product((-1, 0, 1), repeat=blocks.shape[1]):
        if not any(step):
            continue
        todo = np.flatnonzero(~found)
        row = base[todo] + np.array(step, np.intp) @ strides[1 : 1 + blocks.shape[1]]
        place = np.searchsorted(keys, row + (columns[todo] - reach[-1]) * column)
        end = row + (columns[todo] + reach[-1] + 1) * column
        while todo.size:
            there = np.minimum(place, keys.size - 1)
            candidate = (place < keys.size) & (keys[there] < end)
            todo, place, end, there = (a[candidate] for a in (todo, place, end, there))
            near = (np.abs(centres[there] - centres[todo]) <= reach).all(axis=1)
            found[todo[near]] = True
            todo, place, end = todo[~near], place[~near] + 1, end[~near]
    return np.asarray(found[which])


def _along(values: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    """Values ``(n_rows, size)`` as an array of ``1 + ndim`` axes that varies along one of the last."""
    return values.reshape(len(values), *[-1 if a == axis else 1 for a in range(ndim)])


def _strides(shape: Sequence[int]) -> NDArray[np.intp]:
    """Return steps between neighbours along each axis of a flat array."""
    return np.array([prod(shape[axis + 1 :]) for axis in range(len(shape))], np.intp)


def _row(values: NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
