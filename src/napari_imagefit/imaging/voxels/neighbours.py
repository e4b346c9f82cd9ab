"""Neighbours of a voxel on the grid of fits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from ...engine.core.status import Flag
from ...engine.core.types import Booleans, Floats, Indices
from ...engine.results.fit_result import FitResult
from .call import solution_rows

# Axes of a grid that are those of space: the last ones. Leading ones are frames, which are independent of each other.
SPATIAL = 3
# Numbers that are gathered at a time.
NUMBERS_AT_A_TIME = 1 << 22
# Cubes around a voxel in which its neighbours are sought, one after the other, and how many are enough.
RADII = (1, 2, 4)
ENOUGH_NEIGHBOURS = 3


def is_good(result: FitResult) -> Booleans:
    """Return which fits can be trusted as starts for others, ``(*grid,)``: converged, and all is determined."""
    return np.asarray(result.converged & ((result.flags & np.uint16(Flag.POORLY_DETERMINED)) == 0))


def around(places: Indices, grid: tuple[int, ...], radius: int) -> Iterator[tuple[slice, Indices, Booleans]]:
    """Return the flat positions of all neighbours within a cube, some voxels at a time.

    Yields
    ------
    part : slice
        Of `places`.
    neighbours : int array, ``(n, k)``
    inside : boolean array, ``(n, k)``
        Where there is such a neighbour; elsewhere its position is another's.
    """
    grid = grid or (1,)
    leading = len(grid) - min(len(grid), SPATIAL)
    ranges = [range(1)] * leading + [range(-radius, radius + 1)] * (len(grid) - leading)
    steps = [step for step in product(*ranges) if any(step)]
    strides = [int(np.prod(grid[axis + 1 :])) for axis in range(len(grid))]
    width = max(1, NUMBERS_AT_A_TIME // max(1, len(steps)))
    for first in range(0, places.size, width):
        own = places[first : first + width]
        at = np.unravel_index(own, grid)
        there = [
            {by: (at[axis] + by >= 0) & (at[axis] + by < grid[axis]) for by in ranges[axis]}
            for axis in range(len(grid))
        ]
        found = np.repeat(own[:, None], len(steps), axis=1)
        inside = np.ones(found.shape, bool)
        for column, step in enumerate(steps):
            for axis, by in enumerate(step):
                if by:
                    inside[:, column] &= there[axis][by]
            found[:, column] += inside[:, column] * int(np.dot(step, strides))
        yield slice(first, first + own.size), found, inside


def any_around(where: Booleans, places: Indices, radius: int) -> Booleans:
    """Whether there is any of these in the cube around each of some voxels, ``(n_places,)``."""
    found_any = np.zeros(places.size, bool)
    for part, found, inside in around(places, where.shape, radius):
        found_any[part] = (inside & where.ravel()[found]).any(axis=1)
    return found_any


def neighbour_starts(result: FitResult, places: Indices, good: Booleans) -> Floats:
    """Weighted medians ``(n_params, n_places)`` of the good neighbours of some voxels, NaN where there are none.

    The weights are 1/σ² of each parameter; one that was fixed or is at a bound has no σ, and counts as the others do on
    average. The nearest cube with at least three good neighbours counts, or else the largest with any.
    """
    values = solution_rows(result)
    errors = np.stack([np.asarray(result.stderr[name]).ravel() for name in result.model.names])
    trusted = good.ravel()
    starts = np.full((len(values), places.size), np.nan)
    missing = np.arange(places.size)
    for radius in RADII:
        left: list[Indices] = []
        for part, found, inside in around(places[missing], result.shape, radius):
            own = missing[part]
            use = inside & trusted[found]
            count = use.sum(axis=1)
            some = count > 0
            for row, (value, error) in enumerate(zip(values, errors, strict=True)):
                starts[row, own[some]] = weighted_median(value[found[some]], _weights(error[found[some]]), use[some])
            left.append(own[count < ENOUGH_NEIGHBOURS])
        missing = np.concatenate(left) if left else missing[:0]
        if not missing.size:
            break
    return starts


def _weights(errors: Floats) -> Floats:
    """1/σ², row by row; that of the others on average where there is no σ."""
    with np.errstate(divide="ignore", over="ignore"):
        weights = 1 / errors**2
    known = np.isfinite(weights) & (weights > 0)
    total, count = np.where(known, weights, 0).sum(axis=1), known.sum(axis=1)
    usual = np.where(count > 0, total / np.maximum(count, 1), 1.0)
    # sums of weights near the largest number would overflow
    usual = np.where(np.isfinite(usual), usual, 1.0)
    return np.where(known, weights, usual[:, None])


def weighted_median(values: Floats, weights: Floats, use: Booleans) -> Floats:
    """Return the value of each row at which half of the weight is reached, ``(n,)``; NaN where nothing is used."""
    use = use & np.isfinite(values)
    weights = np.where(use, weights, 0.0)
    largest = weights.max(axis=1, initial=0.0, keepdims=True)
    weights = weights / np.where(largest > 0, largest, 1.0)
    order = np.argsort(np.where(use, values, np.inf), axis=1)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = np.argmax(reached >= 0.5 * reached[:, -1:], axis=1)
    found = np.take_along_axis(values, np.take_along_axis(order, middle[:, None], axis=1), axis=1)[:, 0]
    return np.where(reached[:, -1] > 0, found, np.nan)


def lower_quartile_around(values: Floats, use: Booleans, places: Indices) -> Floats:
    """Return the lower quartile of a map in the cube around some voxels, ``(n_places,)``.

    NaN with too few neighbours.
    """
    flat = np.where(use & np.isfinite(values), values, np.inf).ravel()
    quartiles = np.full(places.size, np.nan)
    radius = 1 if min(values.ndim, SPATIAL) == SPATIAL else 2
    for part, found, inside in around(places, values.shape, radius):
        ordered = np.where(inside, flat[found], np.inf)
        ordered.sort(axis=1)
        count = np.count_nonzero(ordered < np.inf, axis=1)
        at = np.take_along_axis(ordered, (np.maximum(count - 1, 0) // 4)[:, None], axis=1)[:, 0]
        quartiles[part] = np.where(count >= ENOUGH_NEIGHBOURS, at, np.nan)
    return quartiles
