"""Regions of an image plane, and the problems that fitting them makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.grid_coordinates import lattice
from ...engine.core.options import Options
from ...engine.core.validation import float_array, in_memory
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ...engine.noise.samples import ALONE, TILE
from ..fitting.run import Job, ParameterSettings

# Pixels × frames that are gathered into one problem; more are gathered when their turn comes.
PIXELS_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class EveryPixel:
    """All flat positions of a plane, as an array that is computed on access."""

    size: int

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        del copy
        return np.arange(self.size, dtype=dtype)

    def __getitem__(self, index: Any) -> NDArray[np.intp]:
        if isinstance(index, slice):
            return np.arange(*index.indices(self.size))
        places = np.asarray(index)
        return np.asarray(np.where(places < 0, self.size + places, places))


Pixels = NDArray[np.intp] | EveryPixel


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels that are fitted together.

    Attributes
    ----------
    label : int
    pixels : int array, or `EveryPixel`
        Flat positions in the image plane.
    places : int array, ``(n_frames,)``
        The flat position on the grid of fits for each of `frames`.
    frames : int array, ``(n_frames,)``
        Flat frames in which the region is fitted.
    """

    label: int
    pixels: Pixels
    frames: NDArray[np.intp]
    places: NDArray[np.intp]

    def without(self, places: NDArray[np.bool_]) -> Region | None:
        """Return the same but for the fits at some flat positions of the grid; None if nothing is left."""
        kept = ~places[self.places]
        return replace(self, frames=self.frames[kept], places=self.places[kept]) if kept.any() else None


def find_regions(
    mask: ArrayLike | None, frames: tuple[int, ...], plane: tuple[int, ...]
) -> tuple[list[Region], tuple[int, ...], NDArray[np.intp]]:
    """Find the regions of a mask, the shape of the grid of fits, and the labels along its last axis.

    Parameters
    ----------
    mask : array or None
        None for the whole plane, boolean for the pixels to use, integer for one region per label > 0. Its shape is the
        plane's, or that of all frames.

    Raises
    ------
    FitInputError
        If the mask has another shape or type, or selects nothing.
    """
    n_frames = int(np.prod(frames))
    every = np.arange(n_frames)
    if mask is None:
        return [Region(1, EveryPixel(int(np.prod(plane))), every, every)], frames, np.array([1])
    chosen = np.asarray(in_memory(mask, "the mask"))
    if chosen.shape not in {plane, (*frames, *plane)}:
        raise FitInputError(
            f"the mask has shape {chosen.shape}, the image {(*frames, *plane)}; give a mask of the image's "
            f"plane {plane}, or one of its full shape"
        )
    if chosen.dtype != bool and not np.issubdtype(chosen.dtype, np.integer):
        raise FitInputError(f"the mask has type {chosen.dtype}; give a boolean mask or integer labels")
    labels = np.array([1]) if chosen.dtype == bool else np.unique(chosen)
    labels = labels[labels > 0]
    if not labels.size or not chosen.any():
        raise FitInputError("the mask selects no pixel; set at least one, or give a label above 0")
    grid = frames if chosen.dtype == bool else (*frames, len(labels))
    own = chosen.shape != plane or not frames
    stack = chosen.reshape(n_frames if own else 1, -1)
    regions = []
    for frame, flat in enumerate(stack):
        for column, (label, pixels) in enumerate(_split(flat, labels)):
            where = np.array([frame]) if own else every
            places = where if chosen.dtype == bool else where * len(labels) + column
            if pixels.size:
                regions.append(Region(int(label), pixels, where, places))
    return regions, grid, labels


def _split(flat: NDArray[Any], labels: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Return the pixels of each label, in one pass over the plane."""
    used = np.flatnonzero(flat > 0)
    order = np.argsort(flat[used], kind="stable")
    values = flat[used][order].astype(labels.dtype)
    edges = np.searchsorted(values, labels), np.searchsorted(values, labels, side="right")
    for label, first, last in zip(labels, *edges, strict=True):
        yield int(label), used[order[first:last]]


def flat_coordinates(coords: Sequence[ArrayLike] | None, plane: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """One array of the plane's shape per axis, as views where they can be; pixel indices if none are given.

    Raises
    ------
    FitInputError
        If there is not one per axis, or a shape does not fit.
    """
    if coords is None:
        coords = [np.arange(n, dtype=float) for n in plane]
    is_number = isinstance(coords, np.ndarray) and coords.ndim == 0
    if is_number or isinstance(coords, str) or not isinstance(coords, (Sequence, np.ndarray)):
        raise FitInputError(
            f"coords must be a list of one array for each axis, got {coords!r}; give {len(plane)} arrays"
        )
    if len(coords) != len(plane):
        raise FitInputError(f"{len(coords)} coordinate arrays were given for {len(plane)} axes; give one per axis")
    full = []
    for axis, values in enumerate(coords):
        array = float_array(values, f"the coordinates of axis {axis}")
        if array.shape == (plane[axis],):
            array = array.reshape([-1 if a == axis else 1 for a in range(len(plane))])
        elif array.shape != plane:
            raise FitInputError(
                f"the coordinates of axis {axis} have shape {array.shape}; give {plane[axis]} values along it, "
                f"or an array of the plane's shape {plane}"
            )
        full.append(np.broadcast_to(array, plane))
    return tuple(full)


def coordinates_along(coords: Sequence[ArrayLike]) -> list[NDArray[np.float64]] | None:
    """Return coordinates along the axes, or of the plane's shape where they differ; None where they are pixel indices.

    They may be given either way, see `flat_coordinates`.
    """
    plane = tuple(np.shape(c)[0 if np.ndim(c) == 1 else axis] for axis, c in enumerate(coords))
    full = flat_coordinates(coords, plane)
    axes = [c[tuple(slice(None) if a == axis else 0 for a in range(len(plane)))] for axis, c in enumerate(full)]
    if any((c != again).any() for c, again in zip(full, flat_coordinates(axes, plane), strict=True)):
        return list(full)
    return None if all(np.array_equal(along, np.arange(along.size)) for along in axes) else axes


def take(coords: tuple[NDArray[np.float64], ...], pixels: Pixels) -> tuple[NDArray[np.float64], ...]:
    """Coordinates ``(n_pixels,)`` of flat positions in the plane."""
    places = np.unravel_index(pixels, coords[0].shape)
    return tuple(c[places] for c in coords)


def iter_jobs(
    regions: Sequence[Region],
    images: NDArray[Any],
    weights: NDArray[np.float64] | None,
    shifts: NDArray[np.float64] | None,
    coords: tuple[NDArray[np.float64], ...],
    model: Model,
    parameter_settings: ParameterSettings,
    options: Options,
    *,
    together: bool = False,
) -> Iterator[Job]:
    """Problems for all regions: large ones by themselves, small ones of like size together.

    With `together` there is one problem for all.

    Parameters
    ----------
    images : array, ``(n_frames, n_pixels)``
    weights, shifts : arrays of the same shape, or None
    """

    def size(region: Region) -> int:
        return 1 << (region.pixels.size - 1).bit_length()

    everything = [(region, slice(0, region.frames.size)) for region in regions]
    for length, alike in [(0, regions)] if together else groupby(sorted(regions, key=size), key=size):
        for group in [everything] if together else _portions(list(alike), length):
            rows = max(region.pixels.size for region, _ in group)
            data = _columns(group, images, rows, np.nan)
            weight = None if weights is None else _columns(group, weights, rows, 0.0)
            shift = None if shifts is None else _columns(group, shifts, rows, 1.0)
            # a fit's last bit must not depend on how many were put together
            alike_pixels = group[0][0].pixels.size == coords[0].size or length >= ALONE
            rectangle = _lattice(group, coords[0].shape)
            own: Sequence[Any]
            if rectangle is not None and rows > TILE and (axes := _axes(coords, rectangle, int(group[0][0].pixels[0]))):
                own = lattice(axes)
            elif alike_pixels:
                pixels = group[0][0].pixels
                own = take(coords, pixels) if rectangle is None else _of_rectangle(coords, rectangle, int(pixels[0]))
            else:
                own = _own_coordinates(group, coords, rows)
            places = np.concatenate([region.places[part] for region, part in group])
            lengths = [np.full(region.frames[part].size, region.pixels.size, np.int32) for region, part in group]
            problem = Problem.build(
                model,
                own,
                data,
                weights=weight,
                shift=shift,
                options=options,
                padded=True,
                lengths=np.concatenate(lengths),
                plane=rectangle,
                search=True,
                **parameter_settings.at(places),
            )
            yield Job(problem, places)


Portion = tuple[Region, slice]


def _lattice(group: list[Portion], plane: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of the rectangle that a single region fills, row by row."""
    if len(group) != 1:
        return None
    pixels = group[0][0].pixels
    ends = np.array(np.unravel_index(pixels[[0, -1]], plane))
    shape = tuple(int(n) for n in ends[:, 1] - ends[:, 0] + 1)
    if min(shape) < 1 or int(np.prod(shape)) != pixels.size:
        return None
    if pixels.size == np.prod(plane):
        return shape
    steps = [np.prod(plane[axis + 1 :], dtype=np.intp) * np.arange(n) for axis, n in enumerate(shape)]
    filled = np.ravel_multi_index(ends[:, 0], plane) + reduce(np.add.outer, steps)
    return shape if np.array_equal(pixels, filled.ravel()) else None


def _of_rectangle(
    coords: tuple[NDArray[np.float64], ...], shape: tuple[int, ...], first: int
) -> tuple[NDArray[np.float64], ...]:
    """Coordinates ``(n_pixels,)`` of a rectangle, by its first pixel."""
    corner = np.unravel_index(first, coords[0].shape)
    inside = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
    return tuple(c[inside].reshape(-1) for c in coords)


def _axes(
    coords: tuple[NDArray[np.float64], ...], shape: tuple[int, ...], first: int
) -> list[NDArray[np.float64]] | None:
    """Return the coordinates along the axes of a rectangle; None where they bend."""
    corner = np.unravel_index(first, coords[0].shape)
    axes = []
    for axis, values in enumerate(coords):
        if any(step for other, step in enumerate(values.strides) if other != axis and values.shape[other] > 1):
            return None
        along = values[tuple(slice(None) if a == axis else 0 for a in range(values.ndim))]
        axes.append(along[corner[axis] : corner[axis] + shape[axis]])
    return axes


def _portions(regions: list[Region], length: int) -> Iterator[list[Portion]]:
    """Regions, or some of the frames of one region, that make one problem."""
    most = max(1, PIXELS_AT_A_TIME // length)
    if length >= ALONE:
        for region in regions:
            for first in range(0, region.frames.size, most):
                yield [(region, slice(first, first + most))]
        return
    group: list[Portion] = []
    room = most
    for region in regions:
        for first in range(0, region.frames.size, most):
            part = slice(first, first + most)
            count = region.frames[part].size
            if group and count > room:
                yield group
                group, room = [], most
            group.append((region, part))
            room -= count
    if group:
        yield group


def _columns(group: list[Portion], images: NDArray[Any], rows: int, pad: float) -> NDArray[Any]:
    """Return the samples ``(rows, n_fits)`` of a group."""
    if len(group) == 1:
        region, part = group[0]
        if region.pixels.size == images.shape[1]:
            return images[region.frames[part]].T if len(images) > 1 else images.T
        return images[region.frames[part][:, None], region.pixels].T
    columns = [images[region.frames[part][:, None], region.pixels] for region, part in group]
    filled = np.full((sum(len(c) for c in columns), rows), pad)
    first = 0
    for c in columns:
        filled[first : first + len(c), : c.shape[1]] = c
        first += len(c)
    return filled.T


def _own_coordinates(
    group: list[Portion], coords: tuple[NDArray[np.float64], ...], rows: int
) -> tuple[NDArray[np.float64], ...]:
    """Coordinates ``(rows, n_fits)``; where a region has fewer pixels its last one is repeated, as padding."""
    columns: list[list[NDArray[np.float64]]] = [[] for _ in coords]
    for region, part in group:
        last = region.pixels.size - 1
        own = take(coords, region.pixels[np.minimum(np.arange(rows), last)])
        count = region.frames[part].size
        for axis, values in enumerate(own):
            columns[axis].append(np.broadcast_to(values[:, None], (rows, count)))
    return tuple(np.concatenate(c, axis=1) for c in columns)
