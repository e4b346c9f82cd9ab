"""Layers to draw and to paint in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...layers.geometry.transforms import layer_transform

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# how layers look in which is drawn where to fit, and what does not count
REGION = {"name": "ROI", "edge_color": "#F0E442", "face_color": "transparent"}
LEFT_OUT = {"name": "Leave out", "edge_color": "#56B4E9", "face_color": "#0072B280"}


def add_shapes(viewer: Viewer, image: Image, rectangles: list[Any], axis: int | None, **look: Any) -> Any:
    """Return a Shapes layer over the image's plane; `axis` is the one along which curves run, if any."""
    transform, leading = plane_transform(image, axis), _leading(image, axis)
    shown = [image.data.shape[a] for a in range(image.ndim) if a not in leading and a != axis]
    return viewer.add_shapes(
        rectangles or None,
        ndim=len(transform["scale"]),
        shape_type="rectangle",
        edge_width=max(0.5, 0.003 * max(shown[-2:])),
        **look,
        **transform,
    )


def plane_transform(image: Image, axis: int | None) -> dict[str, Any]:
    """Return the transform of a layer to draw in over the image's plane, of as few axes as that can have."""
    try:
        return layer_transform(image, drop=_leading(image, axis))
    except ValueError:
        # rotated out of its slices: the layer must have all axes
        return layer_transform(image)


def _leading(image: Image, axis: int | None) -> list[int]:
    return [a for a in range(image.ndim - 2) if axis is None or axis < image.ndim - 2]


def show_plane(viewer: Viewer, image: Image, axis: int) -> bool:
    """Turn the view so that the axis along which curves run is not on screen; returns whether it had to be turned."""
    dims = viewer.dims
    shown = axis + dims.ndim - image.ndim
    if dims.ndisplay != 2 or dims.ndim < 3 or shown not in dims.displayed:
        return False
    dims.order = (shown, *(a for a in range(dims.ndim) if a != shown))
    return True
