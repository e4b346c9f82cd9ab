"""Pixels of an image within drawn shapes and labels, and fits as ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import normalize_axis_tuple

from ...engine.core.errors import FitInputError
from .transforms import FloatArray, data_map, data_to_data, grid_shape

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

BoolArray = npt.NDArray[np.bool_]

# Pixel centres this near to an outline count as on it, and so as inside.
_ON_OUTLINE = 1e-9


class RegionError(FitInputError):
    """A drawn region that cannot be fitted; the message names it and the remedy."""


@dataclass(frozen=True, eq=False)
class RegionMask:
    """The pixels of one drawn shape.

    Attributes
    ----------
    label : int
        1 for the first shape of the layer.
    name : str
        The shape's entry in a feature column ``name``, or else the layer's name and the label.
    mask : ndarray of bool, shape (Y, X)
        Over the plane of the image.
    frame : tuple of (int or None), or None
        Index along each other axis of the image; ``None`` for an axis that the shapes layer lacks, where the
        shape counts for all indices. ``None`` instead of the tuple: it counts for all frames.
    """

    label: int
    name: str
    mask: BoolArray
    frame: tuple[int | None, ...] | None


def shape_mask(shapes_layer: Shapes, index: int, image_layer: Image, *, axes: Sequence[int] = (-2, -1)) -> BoolArray:
    """Return which pixels of an image lie in a drawn rectangle, ellipse or polygon.

    A pixel is in when its centre is in or on the outline (within 1e-9 of a pixel). The transforms and units
    of both layers count; an ellipse is a true one, not napari's polygon of 99 sides. A self-intersecting
    polygon is filled by the even–odd rule, as napari draws it: the middle of a pentagram is out. What lies
    outside the image is cut off.

    Parameters
    ----------
    shapes_layer : napari.layers.Shapes
    index : int
        Number of the shape, from 0.
    image_layer : napari.layers.Image
    axes : sequence of two int, optional
        The data axes of the image that make the plane (Y, X).

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Raises
    ------
    RegionError
        If the shape is a line or path, has no area, lies outside the image, holds no pixel centre, or lies
        across frames.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image, Shapes
    >>> drawn = Shapes([[[0, 0], [2, 4]]], shape_type="rectangle")
    >>> shape_mask(drawn, 0, Image(np.zeros((2, 4)), scale=(2, 2))).astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 0]]
    """
    return _region(shapes_layer, index, image_layer, axes)[0]


def shapes_masks(shapes_layer: Shapes, image_layer: Image, axes: Sequence[int] = (-2, -1)) -> list[RegionMask]:
    """Return the pixels and the frame of every shape of a layer; see `shape_mask`.

    Raises
    ------
    RegionError
        If the layer holds no shapes, or for the first shape that `shape_mask` cannot take.
    """
    if shapes_layer.nshapes == 0:
        raise RegionError(
            f"Shapes layer {shapes_layer.name!r} holds no shapes; draw a rectangle, an ellipse or a polygon in it."
        )
    names = shapes_layer.features.get("name", [""] * shapes_layer.nshapes)
    regions = []
    for label, name in enumerate(names, start=1):
        mask, frame = _region(shapes_layer, label - 1, image_layer, axes)
        known = isinstance(name, str) and name.strip()
        regions.append(RegionMask(label, name if known else f"{shapes_layer.name} {label}", mask, frame))
    return regions


def labels_on_image(
    labels_layer: Labels, image_layer: Image, axes: Sequence[int] = (-2, -1)
) -> npt.NDArray[np.integer[Any]]:
    """Return the label at each pixel of an image, taken from the nearest sample of a Labels layer.

    Parameters
    ----------
    labels_layer : napari.layers.Labels
    image_layer : napari.layers.Image
    axes : sequence of two int, optional
        The data axes of the image that make the plane (Y, X).

    Returns
    -------
    ndarray of int, shape (Y, X) or the image's
        The image's shape, in its axis order, when the labels layer has one of the image's other axes. 0
        where the labels layer does not reach. The layer's own array, not a copy, where the layers' grids are
        the same; otherwise it may be read-only.

    Raises
    ------
    RegionError
        If the layer has no label above 0 or none on the image, or if a rotation makes the labels of a 2-D
        layer different from frame to frame.
    """
    labels = np.asarray(labels_layer.data[0] if labels_layer.multiscale else labels_layer.data)
    if labels.max(initial=0) <= 0:
        raise RegionError(f"Labels layer {labels_layer.name!r} has no label above 0; paint a region in it.")
    plane = normalize_axis_tuple(tuple(axes), image_layer.ndim, "axes")
    missing = max(image_layer.ndim - labels_layer.ndim, 0)
    matrix, offset = data_map(image_layer, labels_layer)
    shape = grid_shape(image_layer)
    full = any(axis >= missing for axis in range(image_layer.ndim) if axis not in plane)
    if not full:  # the plane is then the image's last two axes: napari aligns trailing ones
        _require_same_in_all_frames(labels_layer, image_layer)
        shape, matrix = shape[missing:], matrix[:, missing:]
    if labels.shape != shape or not _is_identity(matrix, offset, shape):
        labels = _nearest(labels, matrix, offset, shape)
        if labels.max(initial=0) <= 0:
            raise RegionError(
                f"No label of {labels_layer.name!r} lies on the image {image_layer.name!r}; "
                "move the labels onto the image or choose another layer."
            )
    return labels if full or plane[0] < plane[1] else labels.T


def _region(
    shapes: Shapes, index: int, image: Image, axes: Sequence[int]
) -> tuple[BoolArray, tuple[int | None, ...] | None]:
    plane = normalize_axis_tuple(tuple(axes), image.ndim, "axes")
    kind = shapes.shape_type[index]
    what = f"Shape {index + 1} of {shapes.name!r} ({kind})"
    if kind not in ("rectangle", "ellipse", "polygon"):
        raise RegionError(f"{what} has no area; draw a rectangle, an ellipse or a polygon instead.")
    corners = data_to_data(shapes, image, shapes.data[index])
    outline = corners[:, plane]
    # Relative, because napari keeps vertices in float32.
    spread = np.linalg.svd(outline - outline.mean(axis=0), compute_uv=False)
    if spread[1] <= 1e-6 * spread[0]:
        raise RegionError(f"{what} has no area in the image's plane; draw it larger or delete it.")
    frame = _frame(shapes, image, corners, plane, what)
    shape = np.array(grid_shape(image))[list(plane)]
    if (outline.max(axis=0) < -0.5).any() or (outline.min(axis=0) > shape - 0.5).any():
        raise RegionError(f"{what} lies outside the image {image.name!r}; move it there or delete it.")
    mask = (_fill_ellipse if kind == "ellipse" else _fill_polygon)(outline, (int(shape[0]), int(shape[1])))
    if not mask.any():
        raise RegionError(f"{what} holds no pixel centre of the image {image.name!r}; enlarge it.")
    return mask, frame


def _frame(
    shapes: Shapes, image: Image, corners: FloatArray, plane: tuple[int, ...], what: str
) -> tuple[int | None, ...] | None:
    missing = max(image.ndim - shapes.ndim, 0)
    _require_same_in_all_frames(shapes, image)
    frame: list[int | None] = []
    for axis in (axis for axis in range(image.ndim) if axis not in plane):
        if axis < missing:
            frame.append(None)
            continue
        position = corners[:, axis]
        if np.ptp(position) > 0.5:
            raise RegionError(f"{what} lies across frames (data axis {axis}); draw it in one frame.")
        number, size = int(np.rint(position.mean())), grid_shape(image)[axis]
        if not 0 <= number < size:
            raise RegionError(
                f"{what} lies at index {number} of data axis {axis}, outside the image {image.name!r} "
                f"with {size}; move it to a frame of the image or delete it."
            )
        frame.append(number)
    return tuple(frame) if any(number is not None for number in frame) else None


def _require_same_in_all_frames(drawn: Shapes | Labels, image: Image) -> None:
    missing = image.ndim - drawn.ndim
    if missing > 0 and np.abs(data_map(image, drawn)[0][:, :missing]).max() > 1e-9:
        raise RegionError(
            f"Layer {drawn.name!r} is {drawn.ndim}-D and the image {image.name!r} is rotated or sheared out "
            "of its plane, so that a region means other pixels in each frame; "
            f"draw in a {image.ndim}-D layer."
        )


def _is_identity(matrix: FloatArray, offset: FloatArray, shape: tuple[int, ...]) -> bool:
    """Tell whether ``matrix @ index + offset`` rounds to `index` on the whole grid."""
    shift = np.abs(matrix - np.eye(len(shape))) @ (np.array(shape) - 1) + np.abs(offset)
    return bool(shift.max() < 0.5)


def _nearest(
    labels: npt.NDArray[np.integer[Any]], matrix: FloatArray, offset: FloatArray, shape: tuple[int, ...]
) -> npt.NDArray[np.integer[Any]]:
    """Sample labels at ``matrix @ index + offset`` for every index of a grid; 0 outside."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    nearest: list[npt.NDArray[np.intp]] = []
    inside = np.array(True)
    for row, position, size in zip(matrix, offset, labels.shape, strict=True):
        for weight, steps in zip(row, grid, strict=True):
            # Only the axes that count: a grid that is not rotated stays one vector per axis.
            if abs(weight) * steps.size > _ON_OUTLINE:
                position = position + weight * steps
        number = np.floor(position + (0.5 + _ON_OUTLINE)).astype(np.intp)  # halves go up, noise or not
        inside = inside & (number >= 0) & (number < size)
        nearest.append(np.clip(number, 0, size - 1))
    return np.broadcast_to(np.where(inside, labels[tuple(nearest)], 0), shape)


def _fill_ellipse(corners: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Fill the ellipse that napari draws for four corners: one interval of columns per row."""
    center = corners.mean(axis=0)
    half_axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]], axis=1) / 2
    directions, radii, _ = np.linalg.svd(half_axes)
    radii = radii + _ON_OUTLINE
    form = (directions * radii**2) @ directions.T
    height = np.sqrt(form[0, 0])
    rows = np.arange(max(np.ceil(center[0] - height), 0), min(np.floor(center[0] + height), shape[0] - 1) + 1)
    dy = rows - center[0]
    reach = radii.prod() / height * np.sqrt(np.maximum(1 - (dy / height) ** 2, 0))
    middle = center[1] + form[0, 1] / form[0, 0] * dy
    width = np.sqrt(form[1, 1])
    columns = np.arange(max(np.ceil(center[1] - width), 0), min(np.floor(center[1] + width), shape[1] - 1) + 1)
    inside = (columns >= (middle - reach)[:, None]) & (columns <= (middle + reach)[:, None])
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(rows.astype(int), columns.astype(int))] = inside
    return mask


def _fill_polygon(outline: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Fill a polygon by the even–odd rule, pixel centres on the outline included.

    ``skimage.draw.polygon2mask`` means the same, but has no tolerance along edges and tests every pixel
    against every edge: 4 s for a free-hand outline of 400 vertices in 2048² pixels, here some 30 ms.
    """
    mask = np.zeros(shape, dtype=bool)
    first = np.maximum(np.ceil(outline.min(axis=0) - _ON_OUTLINE), 0)
    last = np.minimum(np.floor(outline.max(axis=0) + _ON_OUTLINE), np.array(shape) - 1)
    if (last < first).any():
        return mask
    (top, left), (height, width) = first.astype(int), (last - first).astype(int) + 1
    start = outline - first
    stop = np.roll(start, -1, axis=0)

    # A pixel is inside when an odd number of edges cross its row at its left. A row on which one edge ends
    # and the next begins belongs to one of them only.
    _, row, crossing = _walk(start, stop, 0, height, half_open=True)
    flips = np.zeros((height, width + 1), dtype=bool)
    np.logical_xor.at(flips, (row, np.clip(np.ceil(crossing), 0, width).astype(int)), True)
    inside = np.logical_xor.accumulate(flips, axis=1)[:, :width]

    # The outline itself: each edge, followed along the axis on which it is longer, at integer steps.
    steep = np.abs(stop - start)[:, 0] >= np.abs(stop - start)[:, 1]
    for axis, edges in ((0, steep), (1, ~steep)):
        _, line, across = _walk(start[edges], stop[edges], axis, (height, width)[axis], half_open=False)
        number = np.rint(across)
        on = (np.abs(across - number) <= _ON_OUTLINE) & (number >= 0) & (number < (height, width)[1 - axis])
        position = (line[on], number[on].astype(int))
        inside[position if axis == 0 else position[::-1]] = True
    mask[top : top + height, left : left + width] = inside
    return mask


def _walk(
    start: FloatArray, stop: FloatArray, axis: int, size: int, *, half_open: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Return edge, line and position on the other axis wherever edges meet lines 0 … size − 1 of an axis."""
    low, high = np.minimum(start[:, axis], stop[:, axis]), np.maximum(start[:, axis], stop[:, axis])
    slack = 0.0 if half_open else _ON_OUTLINE
    begin = np.clip(np.ceil(low - slack), 0, size).astype(np.intp)
    end = np.clip(np.ceil(high) if half_open else np.floor(high + slack) + 1, 0, size).astype(np.intp)
    count = np.where(high > low, np.maximum(end - begin, 0), 0)
    edge = np.repeat(np.arange(len(start)), count)
    line = begin[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    run = stop - start
    part = np.clip((line - start[edge, axis]) / run[edge, axis], 0, 1)
    return edge, line, start[edge, 1 - axis] + part * run[edge, 1 - axis]
