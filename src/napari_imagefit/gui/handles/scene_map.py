"""Mapping between the coordinates of a fit and the canvas' scene, where x comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ...layers.geometry.transforms import data_to_world, unit_factors

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image

    from ...layers.tasks.starts import Grid

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SceneMap:
    """``(x, y)`` in the scene is ``matrix @ (y, x) + offset`` of the coordinates of the fit."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, image: Image, dims: Dims, grid: Grid, frame: tuple[int, ...]) -> Self:
        """Return the map of a frame of an image, as it is displayed."""
        matrix, offset = data_to_world(image)
        factors = np.ones(image.ndim) if dims.units is None else unit_factors(image.units, dims.units[-image.ndim :])
        offset = factors * (matrix[:, :-2] @ np.array(frame, float) + offset)
        matrix = factors[:, None] * matrix[:, -2:] / grid.step
        rows = [axis - dims.ndim for axis in dims.displayed[::-1]]
        return cls(matrix[rows], (offset - matrix @ grid.origin)[rows])

    def scene(self, coordinates: Any) -> Points:
        """Convert coordinates ``(…, 2)`` to the scene."""
        return np.asarray(np.asarray(coordinates) @ self.matrix.T + self.offset)

    def coordinates(self, scene: Any) -> Points:
        """Convert a point in the scene to coordinates."""
        return np.asarray(np.linalg.solve(self.matrix, np.asarray(scene) - self.offset))

    def pixel(self, zoom: float) -> float:
        """Return the size of a pixel on screen, in the coordinates of the fit."""
        return float(1 / (np.linalg.norm(self.matrix, axis=0).max() * zoom))
