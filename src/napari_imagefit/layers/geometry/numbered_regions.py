"""Regions by numbers: rectangles and ellipses in the pixels of an image, as shapes of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...engine.core.errors import FitInputError
from .transforms import AxisCoordinates, data_to_data, grid_shape

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

Kind = Literal["rectangle", "ellipse"]
MIN_SIZE_PX = 2.0  # of a region along each axis: less is a click that was no drag


@dataclass(frozen=True)
class Box:
    """The pixels of a rectangle, or of the rectangle around an ellipse.

    Attributes
    ----------
    first : tuple of float
        The first row and column that belong to it.
    size : tuple of float
        Rows and columns.
    """

    first: tuple[float, float]
    size: tuple[float, float]

    @classmethod
    def of_numbers(
        cls,
        place: Sequence[float],
        size: Sequence[float],
        axes: Sequence[AxisCoordinates] | None = None,
        *,
        centred: bool = False,
    ) -> Box:
        """Return the box of what a person types.

        Parameters
        ----------
        place : two floats
            In pixels: the first row and column. In coordinates: where its edges begin. Or its centre.
        size : two floats
        axes : two AxisCoordinates, optional
            In whose coordinates the numbers are; None for pixels.

        Examples
        --------
        >>> Box.of_numbers((10, 20), (4, 6))
        Box(first=(10.0, 20.0), size=(4.0, 6.0))
        >>> Box.of_numbers((11.5, 22.5), (4, 6), centred=True)
        Box(first=(10.0, 20.0), size=(4.0, 6.0))
        """
        at, n = np.asarray(place, float), np.asarray(size, float)
        if axes is not None:
            step, origin = _steps(axes)
            at, n = (at - origin) / step, n / np.abs(step)
            if not centred:
                at += 0.5
        first = at - (n - 1) / 2 if centred else at
        return cls(_pair(first), _pair(n))

    def numbers(
        self, axes: Sequence[AxisCoordinates] | None = None, *, centred: bool = False
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return position and size, as `of_numbers` takes them.

        Examples
        --------
        >>> Box((10, 20), (4, 6)).numbers(centred=True)
        ((11.5, 22.5), (4.0, 6.0))
        """
        first, n = np.asarray(self.first, float), np.asarray(self.size, float)
        at = first + (n - 1) / 2 if centred else first
        if axes is not None:
            step, origin = _steps(axes)
            at = origin + (at if centred else at - 0.5) * step
            n = n * np.abs(step)
        return _pair(at), _pair(n)


def box_of(layer: Shapes, index: int, image: Image, axes: Sequence[int]) -> Box:
    """Return the pixels of an image that a shape spans, along two axes."""
    corners = data_to_data(layer, image, layer.data[index])[:, list(axes)]
    low, high = corners.min(axis=0), corners.max(axis=0)
    return Box(_pair(low + 0.5), _pair(high - low))


def check_box(box: Box, image: Image, axes: Sequence[int]) -> None:
    """Refuse what is no region of the image.

    Raises
    ------
    FitInputError
        If it is too small, or lies outside.
    """
    for what, n in zip(("height", "width"), box.size, strict=True):
        if not n >= MIN_SIZE_PX:
            raise FitInputError(f"The {what} must be at least {MIN_SIZE_PX:g} pixels, got {n:g}.")
    lengths = [grid_shape(image)[axis] for axis in axes]
    for first, n, length in zip(box.first, box.size, lengths, strict=True):
        if first + n - 0.5 <= 0 or first - 0.5 >= length - 1:
            raise FitInputError(
                f"The region must lie in the image, which has {lengths[0]} × {lengths[1]} pixels; it begins at row "
                f"{box.first[0]:g}, column {box.first[1]:g}."
            )


def put_box(
    layer: Shapes, index: int | None, box: Box, kind: Kind, image: Image, axes: Sequence[int], at: Sequence[int]
) -> int:
    """Add a shape to a layer, or change one; returns its index, which is then the selected one.

    Parameters
    ----------
    axes : two ints
        Of the image, along which the box lies.
    at : tuple of int
        The image's index on screen: where the box lies along the other axes.
    """
    low = np.asarray(box.first) - 0.5
    high = low + np.asarray(box.size)
    corners = np.tile(np.asarray(at, dtype=float), (4, 1))
    corners[:, axes[0]] = low[0], low[0], high[0], high[0]
    corners[:, axes[1]] = low[1], high[1], high[1], low[1]
    vertices = data_to_data(image, layer, corners)
    if index is None:
        layer.add(vertices, shape_type=kind)
        index = layer.nshapes - 1
    else:
        kinds = [str(one) for one in layer.shape_type]
        kinds[index] = kind
        shapes = list(layer.data)
        shapes[index] = vertices
        layer.data = list(zip(shapes, kinds, strict=True))
    layer.selected_data = {index}
    return index


def _steps(axes: Sequence[AxisCoordinates]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([axis.step for axis in axes]), np.array([axis.origin for axis in axes])


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
