"""Drawn areas to be left out: pixels of an image that do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .drawn_regions import BoolArray, labels_on_image, shapes_masks
from .transforms import grid_shape

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes


def left_out(layer: Shapes | Labels, image: Image, axes: Sequence[int] = (-2, -1)) -> BoolArray | None:
    """Return which pixels of an image lie in any shape or label of a layer.

    Parameters
    ----------
    layer : napari.layers.Shapes or napari.layers.Labels
    image : napari.layers.Image
    axes : sequence of two int, optional
        The data axes of the image that make the plane in which shapes are drawn, in ascending order.

    Returns
    -------
    ndarray of bool, or None
        With as many axes as the image, of length 1 along those where every index has the same. None where nothing is
        drawn: that leaves nothing out.

    Raises
    ------
    RegionError
        For the first shape, or the labels, that lie nowhere on the image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image, Shapes
    >>> frames = Image(np.zeros((3, 2, 4)))
    >>> left_out(Shapes([[[0, 0], [1, 1]]]), frames).shape
    (1, 2, 4)
    >>> left_out(Shapes([[[2, 0, 0], [2, 0, 1], [2, 1, 1], [2, 1, 0]]]), frames).sum(axis=(1, 2))
    array([0, 0, 4])
    """
    plane = normalize_axis_tuple(tuple(axes), image.ndim, "axes")
    if layer._type_string == "labels":
        return _of_labels(layer, image, plane)
    if not layer.nshapes:
        return None
    others = [axis for axis in range(image.ndim) if axis not in plane]
    drawn = [(one.mask, one.frame or (None,) * len(others)) for one in shapes_masks(layer, image, plane)]
    shape = list(grid_shape(image))
    for place, axis in enumerate(others):
        if all(frame[place] is None for _, frame in drawn):
            shape[axis] = 1
    left = np.zeros(shape, bool)
    for mask, frame in drawn:
        where: list[int | slice] = [slice(None)] * image.ndim
        for axis, number in zip(others, frame, strict=True):
            where[axis] = slice(None) if number is None else number
        # a view: the plane's axes keep their order
        left[tuple(where)] |= mask
    return left


def _of_labels(layer: Labels, image: Image, plane: tuple[int, ...]) -> BoolArray | None:
    painted = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if painted.max(initial=0) <= 0:
        return None
    labels = labels_on_image(layer, image, plane)
    # what is repeated along an axis is looked at once
    once = labels[tuple(slice(None) if step else slice(1) for step in labels.strides)]
    return np.asarray(once > 0).reshape((1,) * (image.ndim - labels.ndim) + once.shape)
