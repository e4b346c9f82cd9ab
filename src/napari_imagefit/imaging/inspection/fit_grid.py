"""Lookup of the fit that a sample of the data, or a position in an image of spots, belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import Place
from ..layer_data.spot_layers import spot_positions
from ..regions.region import EveryPixel, Region
from ..spots.windows import Windows


@dataclass(frozen=True, eq=False)
class FitGrid:
    """Layout of a result's grid of fits in its data.

    Attributes
    ----------
    shape : tuple of int
        Of the data.
    grid : tuple of int
        Of the fits.
    axis : int or None
        The axis of the data along which curves run; None for surfaces.
    regions : list of Region
        For surfaces.
    """

    shape: tuple[int, ...]
    grid: tuple[int, ...]
    axis: int | None = None
    regions: tuple[Region, ...] = ()

    @classmethod
    def of(cls, result: FitResult) -> FitGrid:
        """Return the grid of a result of `fit_voxels`, `fit_image` or `fit_spots`."""
        source: Any = result.source
        if source.job == "spots":
            return SpotGrid.of_spots(result, source.windows, source.windows.shape)
        if source.job == "voxels":
            return cls(source.stack.shape, result.shape, source.axis)
        return cls(source.image.shape, result.shape, None, tuple(source.regions))

    def places(self, samples: NDArray[np.intp]) -> list[Place]:
        """Return the fits to which samples belong, without repetitions, in their order.

        Parameters
        ----------
        samples : int array, ``(n, len(shape))``
            Indices within the data.

        Examples
        --------
        >>> grid = FitGrid((32, 4, 5), (4, 5), axis=0)
        >>> grid.places(np.array([[3, 1, 2], [4, 1, 2], [4, 1, 3]]))
        [(1, 2), (1, 3)]
        """
        if self.axis is not None:
            rows = np.delete(samples, self.axis, axis=1)
            return list(dict.fromkeys(tuple(int(i) for i in row) for row in rows))
        found: dict[Place, None] = {}
        for sample in samples:
            flat = self._place(tuple(int(i) for i in sample))
            if flat is not None:
                found[tuple(int(i) for i in np.unravel_index(flat, self.grid))] = None
        return list(found)

    def holds(self, place: Place) -> bool:
        """Whether there is a fit at that position: a region may be fitted in some of the frames only."""
        inside = len(place) == len(self.grid) and all(0 <= i < n for i, n in zip(place, self.grid, strict=True))
        if not inside or not self.regions:
            return inside
        flat = int(np.ravel_multi_index(place, self.grid)) if place else 0
        return any(flat in region.places for region in self.regions)

    def sample_of(self, place: Place, inside: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Return a sample of a fit, as an index into the data.

        Of a curve the first, of a region the one nearest `inside`.
        """
        if self.axis is not None:
            before, after = place[: self.axis], place[self.axis :]
            return (*before, 0, *after)
        flat = int(np.ravel_multi_index(place, self.grid))
        region = next(r for r in self.regions if flat in r.places)
        frame = int(region.frames[int(np.flatnonzero(region.places == flat)[0])])
        pixels = np.stack(np.unravel_index(region.pixels, self.shape[-2:]), axis=1)
        target = pixels.mean(axis=0) if inside is None or not np.isfinite(inside).all() else np.asarray(inside)
        nearest = pixels[int(np.argmin(((pixels - target) ** 2).sum(axis=1)))]
        leading = tuple(int(i) for i in np.unravel_index(frame, self.shape[:-2])) if len(self.shape) > 2 else ()
        return (*leading, int(nearest[0]), int(nearest[1]))

    def nearest(self, sample: ArrayLike) -> Place | None:
        """Return the surface that lies nearest to a sample, of those in its frame if there is one.

        Parameters
        ----------
        sample : array_like, ``(len(shape),)``
            An index into the data, which may lie between pixels or outside.

        Returns
        -------
        tuple of int or None
            None for curves, and where there are no regions.
        """
        index = np.asarray(sample, dtype=float)
        frame = self._frame_of(index)
        best: tuple[int, float, int] | None = None
        for region in self.regions if self.axis is None else ():
            when = int(np.argmin(np.abs(region.frames - frame)))
            middle = np.stack(np.unravel_index(region.pixels, self.shape[-2:])).mean(axis=1)
            far = abs(int(region.frames[when]) - frame), float(((middle - index[-2:]) ** 2).sum())
            if best is None or far < best[:2]:
                best = *far, int(region.places[when])
        return None if best is None else tuple(int(i) for i in np.unravel_index(best[2], self.grid))

    def in_frame(self, place: Place, sample: ArrayLike) -> Place | None:
        """Return the fit of the same region in the frame of a sample; None where there is none.

        Parameters
        ----------
        sample : array_like, ``(len(shape),)``
            As in `nearest`.
        """
        frame = self._frame_of(np.asarray(sample, dtype=float))
        flat = int(np.ravel_multi_index(place, self.grid)) if place else 0
        region = next((r for r in self.regions if flat in r.places), None)
        when = None if region is None else _find(region.frames, frame)
        if region is None or when is None:
            return None
        return tuple(int(i) for i in np.unravel_index(int(region.places[when]), self.grid))

    def _frame_of(self, index: NDArray[np.float64]) -> int:
        leading = np.clip(np.rint(index), 0, np.array(self.shape) - 1).astype(np.intp)[:-2]
        return int(np.ravel_multi_index(tuple(leading), self.shape[:-2])) if leading.size else 0

    def paint(self, chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """1 where a chosen fit lies: of the grid's shape for curves, of the data's for surfaces."""
        if self.axis is not None:
            return chosen.astype(np.uint8)
        n_frames, plane = int(np.prod(self.shape[:-2])), self.shape[-2:]
        canvas = np.zeros((n_frames, int(np.prod(plane))), np.uint8)
        flat = chosen.ravel()
        for region in self.regions:
            for frame in region.frames[flat[region.places]]:
                canvas[frame, region.pixels] = 1
        return canvas.reshape(self.shape)

    def _place(self, sample: tuple[int, ...]) -> int | None:
        """Return the index of the smallest of several regions that hold the pixel."""
        frame = int(np.ravel_multi_index(sample[:-2], self.shape[:-2])) if len(self.shape) > 2 else 0
        pixel = int(np.ravel_multi_index(sample[-2:], self.shape[-2:]))
        best: tuple[int, int] | None = None
        for region in self.regions:
            at = _find(region.pixels, pixel)
            when = _find(region.frames, frame) if at is not None else None
            if when is not None and (best is None or region.pixels.size < best[0]):
                best = region.pixels.size, int(region.places[when])
        return None if best is None else best[1]


@dataclass(frozen=True, eq=False)
class SpotGrid(FitGrid):
    """Layout of spots in their image: each where it was found.

    Attributes
    ----------
    positions : array, ``(N, len(shape))``
        In pixel indices: fitted, or the point that was given where there is no answer.
    reach : array, ``(len(shape),)``
        Half a window along each axis, half a frame along the others.
    """

    positions: NDArray[np.float64] = None  # type: ignore[assignment]
    reach: NDArray[np.float64] = None  # type: ignore[assignment]

    @classmethod
    def of_spots(cls, result: FitResult, windows: Windows, shape: tuple[int, ...]) -> SpotGrid:
        """Return the grid of a result of `fit_spots`."""
        n_frame_axes = windows.frames.shape[1]
        reach = np.concatenate([np.full(n_frame_axes, 0.5), np.array(windows.size) / 2])
        return cls(shape, result.shape, None, (), spot_positions(result, windows), reach)

    def under(self, point: NDArray[np.float64]) -> Place | None:
        """Return the spot nearest to a point, of those whose window it lies in.

        Parameters
        ----------
        point : array, ``(len(shape),)``
            In pixel indices; NaN along axes that do not matter, such as the depth of what is looked at from above.
        """
        away = np.abs(self.positions - point)
        # a frame is whole, a window has no preferred direction
        away[:, np.isnan(point)] = 0
        within = (away <= self.reach).all(axis=1)
        if not within.any():
            return None
        plane = self.reach > 0.5
        distance = np.where(within, (away[:, plane] ** 2).sum(axis=1), np.inf)
        return (int(np.argmin(distance)),)

    def places(self, samples: NDArray[Any]) -> list[Place]:
        """Return the spots in whose windows samples lie, of several the nearest, without repetitions."""
        found = [self.under(np.asarray(sample, float)) for sample in samples]
        return list(dict.fromkeys(place for place in found if place is not None))

    def sample_of(self, place: Place, inside: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Return the pixel nearest to a spot, as an index into the data."""
        # a pin is kept by its pixel, and is to find this spot again
        return tuple(float(round(i)) for i in self.positions[place[0]])

    def paint(self, chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """1 in the pixels next to where a chosen spot is, of the image's shape."""
        canvas = np.zeros(self.shape, np.uint8)
        nearest = np.rint(self.positions[chosen.ravel()]).astype(int)
        n_frame_axes = int(np.count_nonzero(self.reach == 0.5))
        steps = product(*[(0,)] * n_frame_axes, *[(-1, 0, 1)] * (len(self.shape) - n_frame_axes))
        for step in steps:
            canvas[tuple(np.clip(nearest + step, 0, np.array(self.shape) - 1).T)] = 1
        return canvas


def _find(ascending: NDArray[Any] | EveryPixel, value: int) -> int | None:
    if isinstance(ascending, EveryPixel):
        return value if 0 <= value < ascending.size else None
    at = int(np.searchsorted(ascending, value))
    return at if at < ascending.size and ascending[at] == value else None
