"""Likely positions of structure in the samples of a region: the brightest, the darkest, and the middle of all.

In NumPy, for a batch: samples are ``(m, B)``. They are gathered in cells, as many as there are samples for, of which
means over neighbours are looked at: noise moves them little, and samples need not lie on a lattice. What is found for a
fit does not depend on the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..core.types import Booleans, Floats
from ..linalg.linear_least_squares import solve

# Cells along each axis at most, by the number of axes.
CELLS = {1: 64, 2: 32, 3: 16}
# The part of its variance that a Gaussian cut at half its height has there.
PART = 0.217
# The part of the largest deviation from the background from which on a cell belongs to what is seen.
SEEN_FROM = 0.5


class Place(NamedTuple):
    """A position, and the spread of what is seen around it; each ``(B,)``, positions ``(ndim, B)``."""

    at: Floats
    radius: Floats  # mean distance
    width: Floats  # its scatter
    size: Floats  # root mean square of the distance along an axis


class Cells(NamedTuple):
    """Means of the samples of cells, ``(K, B)``; NaN where there is none."""

    coords: tuple[Floats, ...]
    mean: Floats  # over each and those next to it, less the background
    own: Floats  # of each alone, less the background
    span: Floats  # (ndim, B)

    @classmethod
    def of(cls, coords: tuple[Floats, ...], data: Floats, weights: Floats) -> Self:
        """Return the cells of samples as a guess takes them: data and weights are 0 where one does not count."""
        used = np.broadcast_to(weights > 0, data.shape)
        fits, ndim = data.shape[1], len(coords)
        most = CELLS.get(ndim, 8)
        along = np.clip(np.count_nonzero(used, axis=0) ** (1 / ndim), 1, most).astype(int)
        full = [np.broadcast_to(c, data.shape) for c in coords]
        low = np.stack([np.where(used, c, np.inf).min(axis=0) for c in full])
        span = np.stack([np.where(used, c, -np.inf).max(axis=0) for c in full]) - low
        span = np.where(np.isfinite(span) & (span > 0), span, 1.0)
        flat = np.zeros(data.shape, np.intp)
        for c, first, width in zip(full, low, span, strict=True):
            at = np.clip(along * (c - np.where(np.isfinite(first), first, 0)) / width, 0, along - 1)
            flat = flat * most + at.astype(np.intp)
        flat = flat * fits + np.arange(fits)

        def gather(values: NDArray[Any]) -> Floats:
            found = np.bincount(flat.ravel(), np.where(used, values, 0).ravel(), most**ndim * fits)
            return np.asarray(found.reshape(most**ndim, fits))

        squares = np.broadcast_to(weights * weights, data.shape)
        count, weight = gather(used), gather(squares)
        places = tuple(np.where(count > 0, gather(c) / np.maximum(count, 1), np.nan) for c in full)
        total, lattice = gather(squares * data), (*(most,) * ndim, fits)
        own = np.where(count > 0, total / np.where(weight > 0, weight, 1), np.nan)
        total, weight = (_blurred(a.reshape(lattice)).reshape(-1, fits) for a in (total, weight))
        mean = np.where(count > 0, total / np.where(weight > 0, weight, 1), np.nan)
        background = _median(own)
        return cls(places, mean - background, own - background, span)

    def outside(self, axis: int, lower: Floats, upper: Floats) -> Self:
        """Leave out the cells outside of bounds ``(B,)`` along an axis, unless none were left."""
        inside = (self.coords[axis] >= lower) & (self.coords[axis] <= upper) & np.isfinite(self.mean)
        left = inside | ~inside.any(axis=0)
        return self._replace(mean=np.where(left, self.mean, np.nan), own=np.where(left, self.own, np.nan))

    def highest(self, values: Floats) -> Floats:
        """Return the position of the cell with the largest value, ``(ndim, B)``."""
        best = np.argmax(np.where(np.isfinite(values), values, -np.inf), axis=0)
        return np.stack([np.take_along_axis(c, best[None], axis=0)[0] for c in self.coords])

    def middle(self) -> Floats:
        """Return the centroid of all that stands out, ``(ndim, B)``."""
        mass = self.mass()
        return np.stack([_average(c, mass) for c in self.coords])

    def centre(self) -> Floats:
        """Return the middle of the circle, or sphere, of which what stands out is a part."""
        mass, middle = self.mass(), self.middle()
        away = [c - here for c, here in zip(self.coords, middle, strict=True)]
        square = sum((a * a for a in away), start=np.zeros(mass.shape))
        ndim = len(away)
        gram = np.stack([np.stack([_average(a * b, mass) for b in away]) for a in away])
        trace = sum(gram[i, i] for i in range(ndim))
        # samples along a line do not determine how far off the middle of a circle is
        gram += 1e-3 * np.where(trace > 0, trace, 1) * np.eye(ndim)[:, :, None]
        right = np.stack([_average(a * (square - _average(square, mass)), mass) for a in away])
        return np.asarray(middle + 0.5 * solve(gram, right))

    def axis(self) -> tuple[Floats, Floats]:
        """Return the long half-axis ``(2, B)`` of what stands out in a plane, and the width across it ``(B,)``."""
        mass, middle = self.mass(), self.middle()
        dy, dx = (c - here for c, here in zip(self.coords, middle, strict=True))
        yy, xx, yx = (_average(product, mass) for product in (dy * dy, dx * dx, dy * dx))
        angle = 0.5 * np.arctan2(2 * yx, xx - yy)
        mean, half = 0.5 * (yy + xx), np.hypot(0.5 * (xx - yy), yx)
        long: Floats = np.sqrt(mean + half) * np.stack([np.sin(angle), np.cos(angle)])
        return long, np.sqrt(np.maximum(mean - half, 0) / PART)

    def mass(self) -> Floats:
        """Return what stands out of the background, ``(K, B)``."""
        away = np.where(np.isfinite(self.mean), np.abs(self.mean), 0)
        mass: Floats = np.maximum(away - SEEN_FROM * away.max(axis=0), 0)
        return mass

    def seen_from(self, at: Floats) -> Place:
        """Return a position, with the moments of the distances from it."""
        away = [c - here for c, here in zip(self.coords, at, strict=True)]
        square = sum((a * a for a in away), start=np.zeros(self.mean.shape))
        distance, mass = np.sqrt(square), self.mass()
        radius = _average(distance, mass)
        width = np.sqrt(_average((distance - radius) ** 2, mass))
        size = np.sqrt(_average(square, mass) / len(at))
        # no more is known than the size of a cell
        least = np.sqrt(np.mean(self.span**2, axis=0)) / CELLS.get(len(at), 8)
        return Place(at, np.maximum(radius, least), np.maximum(width, least), np.maximum(size, least))

    def around(self, at: Floats, part: float, coords: tuple[Floats, ...]) -> Booleans:
        """Return the samples ``(m, B)`` within a part of the span from a position."""
        near = np.ones((1, 1), bool)
        for c, here, span in zip(coords, at, self.span, strict=True):
            near = near & (np.abs(c - here) <= part * span)
        return near


def _average(values: Floats, mass: Floats) -> Floats:
    total = mass.sum(axis=0)
    return np.asarray(np.where(mass > 0, values * mass, 0).sum(axis=0) / np.where(total > 0, total, 1))


def _blurred(lattice: Floats) -> Floats:
    """Return sums over each cell and those next to it; the fits are along the last axis."""
    for axis in range(lattice.ndim - 1):
        rows = np.moveaxis(lattice, axis, 0)
        found = rows.copy()
        found[1:] += rows[:-1]
        found[:-1] += rows[1:]
        lattice = np.moveaxis(found, 0, axis)
    return lattice


def _median(values: Floats) -> Floats:
    """Return the median of the cells with samples; 0 where there is none."""
    ordered = np.sort(values, axis=0)
    count = np.count_nonzero(np.isfinite(values), axis=0)
    found = np.take_along_axis(ordered, (count // 2)[None], axis=0)[0]
    return np.where(count > 0, found, 0)
