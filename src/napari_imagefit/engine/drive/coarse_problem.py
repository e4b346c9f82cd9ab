"""A smaller problem whose minimum is close to that of a large one: binned pixels, or some of the samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.grid_coordinates import LatticeCoordinate
from ..noise.samples import TILE
from .problem import Problem

# Bins or samples of the smaller problem: a 64th of all, within these limits.
FEWEST, MOST = 4096, 16384


def coarsen(problem: Problem) -> Problem:
    """Return the smaller problem.

    Of a lattice the means of blocks of pixels, otherwise one sample out of every so many.
    """
    data = problem.data[:, 0]
    # of a single fit these are no columns
    coords: Any = problem.coords
    weights, shift = (
        None if a is None else np.broadcast_to(a[:, 0], data.shape) for a in (problem.weights, problem.shift)
    )
    if problem.plane is not None:
        coords, data, weights, shift = _bin(problem.plane, coords, data, weights, shift)
    else:
        chosen = _some(data.size)
        coords = tuple(c[chosen] for c in coords)
        data = data[chosen]
        weights, shift = (None if a is None else a[chosen] for a in (weights, shift))
    return replace(
        problem,
        coords=coords,
        data=data[:, None],
        weights=None if weights is None else weights[:, None],
        shift=None if shift is None else shift[:, None],
        lengths=None,
        plane=None,
        pad_to=0,
    )


def _enough(count: int) -> int:
    return min(max(FEWEST, count // 64), MOST)


def _some(count: int) -> NDArray[np.intp]:
    """One position out of every so many, at no fixed distance: samples may be those of an image, row by row."""
    step = -(-count // _enough(count))
    first = np.arange(0, count, step)
    inside = np.random.default_rng(0).integers(0, step, first.size)
    chosen: NDArray[np.intp] = np.minimum(first + inside, count - 1)
    return chosen


Column = NDArray[Any]


def _bin(
    plane: tuple[int, ...],
    coords: tuple[Column | LatticeCoordinate, ...],
    data: Column,
    weights: Column | None,
    shift: Column | None,
) -> tuple[tuple[Column, ...], Column, Column | None, Column | None]:
    """Means over blocks; what is left over at the end of an axis does not count."""
    most = _enough(data.size) if len(plane) > 1 else TILE
    size = int(np.ceil((data.size / most) ** (1 / len(plane))))
    sizes = [min(size, n) for n in plane]
    kept = tuple(slice(0, n // s * s) for n, s in zip(plane, sizes, strict=True))
    split = [part for n, s in zip(plane, sizes, strict=True) for part in (n // s, s)]

    def total(values: Column) -> Column:
        found = values.reshape(plane)[kept].reshape(split)
        # one axis after the other takes a third of the time of all at once
        for axis in range(1, len(plane) + 1):
            found = found.sum(axis=axis, dtype=np.float64)
        return found.reshape(-1)

    def mean(values: Column) -> Column:
        return total(values) / np.prod(split[1::2])

    def mean_of_axis(c: LatticeCoordinate) -> Column:
        n, size = plane[c.axis], sizes[c.axis]
        along = c.values[: n // size * size].reshape(-1, size).mean(axis=1)
        shape = [-1 if axis == c.axis else 1 for axis in range(len(plane))]
        full: Column = np.broadcast_to(along.reshape(shape), split[::2]).reshape(-1)
        return full

    means = tuple(mean_of_axis(c) if isinstance(c, LatticeCoordinate) else mean(c) for c in coords)
    if weights is None and np.isfinite(data.sum(dtype=np.float64)):
        return means, mean(data), None, None if shift is None else mean(shift)
    used = np.isfinite(data) & (True if weights is None else weights > 0)
    square = used.astype(float) if weights is None else np.where(used, weights, 0) ** 2
    weight = total(square)
    value = total(np.where(used, data, 0) * square) / np.where(weight > 0, weight, 1)
    value = np.where(weight > 0, value, np.nan)
    if weights is None:
        return means, value, None, None if shift is None else mean(shift)
    if shift is not None:
        return means, value, np.where(weight > 0, mean(weights), 0), mean(shift)
    return means, value, np.sqrt(weight), None
