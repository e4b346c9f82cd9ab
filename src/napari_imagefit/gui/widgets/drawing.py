"""Layers to draw and to paint in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...layers.geometry.transforms import layer_transform

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer


def add_shapes(viewer: Viewer, image: Image, rectangles: list[Any], axis: int | None) -> Any:
    """Return a Shapes layer over the image's plane; `axis` is the one along which curves run, if any."""
    leading = [a for a in range(image.ndim - 2) if axis is None or axis < image.ndim - 2]
    try:
        transform = layer_transform(image, drop=leading)
    except ValueError:
        # rotated out of its slices: the layer must have all axes
        transform = layer_transform(image)
    shown = [image.data.shape[a] for a in range(image.ndim) if a not in leading and a != axis]
    return viewer.add_shapes(
        rectangles or None,
        ndim=len(transform["scale"]),
        shape_type="rectangle",
        name="ROI",
        edge_color="#F0E442",
        face_color="transparent",
        edge_width=max(0.5, 0.003 * max(shown[-2:])),
        **transform,
    )


def show_plane(viewer: Viewer, image: Image, axis: int) -> bool:
    """Turn the view so that the axis along which curves run is not on screen; returns whether it had to be turned."""
    dims = viewer.dims
    shown = axis + dims.ndim - image.ndim
    if dims.ndisplay != 2 or dims.ndim < 3 or shown not in dims.displayed:
        return False
    dims.order = (shown, *(a for a in range(dims.ndim) if a != shown))
    return True
