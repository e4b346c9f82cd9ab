"""A value for each voxel, or each sample, from another layer: a map to fix a parameter to, a σ of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from .transforms import data_map, grid_shape

if TYPE_CHECKING:
    from napari.layers import Image, Layer


def values_on_grid(layer: Layer, image: Image, axis: int | None) -> NDArray[np.float64]:
    """Return the layer's values at the image's voxels: those of its nearest pixels, NaN where it has none.

    Parameters
    ----------
    layer : Image or Labels
        Over the image, in any place and scale; it may lack leading axes.
    image : Image
    axis : int or None
        An axis of the image that the result lacks: the layer is looked up in the middle of it. None for the image's
        whole shape.

    Returns
    -------
    ndarray, float64
        Of the image's shape without `axis`.

    Raises
    ------
    FitInputError
        If the layer holds no numbers, or does not lie over the image at all.
    """
    if layer._type_string not in ("image", "labels") or getattr(layer, "rgb", False):
        raise FitInputError(f"Layer {layer.name!r} holds no single number for each voxel; choose an image layer.")
    shape = grid_shape(image)
    values = np.asarray(layer.data[0] if layer.multiscale else layer.data, dtype=float)
    grid = shape if axis is None else tuple(int(n) for n in np.delete(shape, axis))
    if axis and values.shape == grid:
        # napari aligns last axes, so that a map without an axis further back cannot lie over its stack
        return values.copy()
    places = list(np.indices(grid, sparse=True))
    if axis is not None:
        places.insert(axis, np.array((shape[axis] - 1) / 2))
    matrix, offset = data_map(image, layer)
    nearest, inside = [], np.array(True)
    for row, start, length in zip(matrix, offset, values.shape, strict=True):
        along = sum((factor * place for factor, place in zip(row, places, strict=True) if factor), np.array(start))
        # the middle of the fitted axis may lie between two pixels, or beyond a map that is thin there
        index = np.rint(along) if length > 1 else np.zeros_like(along)
        inside = inside & (index >= 0) & (index < length)
        nearest.append(np.clip(index, 0, length - 1).astype(np.intp))
    if not inside.any():
        raise FitInputError(f"Layer {layer.name!r} does not lie over {image.name!r}; move it there, or choose another.")
    return np.broadcast_to(np.where(inside, values[tuple(nearest)], np.nan), grid).copy()
