"""Which spot a place in the image belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import Place
from ..layer_data.spot_layers import spot_positions
from ..spots.windows import Windows
from .fit_grid import FitGrid


@dataclass(frozen=True, eq=False)
class SpotGrid(FitGrid):
    """How spots lie in their image: each where it was found.

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
        found = [self.under(np.asarray(sample, float)) for sample in samples]
        return list(dict.fromkeys(place for place in found if place is not None))

    def sample_of(self, place: Place, inside: tuple[float, ...] | None = None) -> tuple[float, ...]:
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
