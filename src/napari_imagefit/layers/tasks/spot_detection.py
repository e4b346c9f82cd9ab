"""Detection of spots in a layer: quick in the frame on screen while settings change, and in all frames at a click."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.progress import Progress
from ...imaging.spots.detection import Detection, Spots, iter_find_spots, pick, response
from ..geometry.output_layers import shortened
from ..geometry.transforms import grid_shape, layer_transform
from ..inspection.marks import MARK_KEY
from ..request.naming import spaced
from ..request.spot_inputs import DETECTED, fingerprint

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image, Layer, Points

PREVIEW = "preview of spots"
RING, PREVIEW_RING = "#2EE6A6", "#F0E442"


@dataclass(frozen=True, eq=False)
class Search:
    """Input of a search for spots: plain arrays and settings, for a worker.

    Attributes
    ----------
    data : array-like
        Of the layer; read in the worker.
    version : object
        Changes with the layer and its data.
    frame : tuple of int
        The leading indices of the frame on screen.
    """

    data: Any
    version: object
    detection: Detection
    ndim: int
    frame: tuple[int, ...] = ()


def search_of(
    image: Image | None, detection: Detection, ndim: int, current: tuple[int, ...] = (), version: object = 0
) -> Search:
    """Check that a layer can be searched.

    Raises
    ------
    FitInputError
        If there is no layer, or spots cannot be searched in it.
    """
    if image is None:
        raise FitInputError("There is no image to search; open one, or a sample from File → Open Sample.")
    if image.rgb:
        raise FitInputError(
            f"Layer {image.name!r} is an RGB image; "
            "split it into channels (right click on the layer) and search one of them."
        )
    shape = grid_shape(image)
    if len(shape) < ndim:
        raise FitInputError(
            f"Layer {image.name!r} has {len(shape)} axes, which are no volumes; search each frame for itself."
        )
    for name in ("scale", "min_distance", "border"):
        detection.per_axis(name, ndim)
    data = image.data[0] if image.multiscale else image.data
    frames = shape[: len(shape) - ndim]
    frame = tuple(min(max(i, 0), n - 1) for i, n in zip(current, frames, strict=False))
    return Search(data, (image.unique_id, version), detection, ndim, frame)


class FrameFinder:
    """Spots of one frame, which is filtered anew only if another frame or scale is requested."""

    def __init__(self) -> None:
        self._key: object = None
        self._filtered: Any = None

    def find(self, search: Search) -> Spots:
        """Return the spots of the frame, in pixel indices of the whole image."""
        detection = search.detection
        key = (search.version, search.frame, search.ndim, detection.scale, detection.bright)
        if key != self._key:
            self._filtered = response(np.asarray(search.data[search.frame]), detection)
            self._key = key
        found = pick(self._filtered, detection)
        where = np.broadcast_to(np.array(search.frame, float), (found.count, len(search.frame)))
        return Spots(np.hstack([where, found.points]), found.strengths)


def find_all(search: Search) -> Generator[Progress, None, Spots]:
    """Return the spots of all frames, with progress; a generator for a worker thread."""
    return (yield from iter_find_spots(search.data, search.detection, search.ndim))


def show_preview(layers: LayerList, image: Image, spots: Spots, search: Search) -> Points:
    """Make or update the layer of what would be found in the frame on screen."""
    layer = find_preview(layers)
    if layer is not None and layer.ndim != image.ndim:
        layers.remove(layer)
        layer = None
    if layer is None:
        return _add(
            layers,
            spots.points,
            image,
            search,
            name=PREVIEW,
            border_color=PREVIEW_RING,
            metadata={MARK_KEY: {"what": PREVIEW, "group": str(image.unique_id)}},
        )
    if layer.data.shape != spots.points.shape or not np.array_equal(layer.data, spots.points):
        layer.selected_data = set()
        layer.data = spots.points
    layer.current_size = layer.size = diameter(search)
    _follow(layer, image)
    return layer


def find_preview(layers: LayerList) -> Any:
    """Return the layer of the preview, None if there is none."""
    return next((layer for layer in layers if layer.metadata.get(MARK_KEY, {}).get("what") == PREVIEW), None)


def hide_preview(layers: LayerList) -> None:
    """Remove the layer of the preview."""
    layer = find_preview(layers)
    if layer is not None:
        layers.remove(layer)


def put_detected(layers: LayerList, image: Image, spots: Spots, search: Search) -> Points:
    """Make the Points layer of what was found, or update the one that an earlier search of the image has made."""
    group = str(image.unique_id)
    made = {
        DETECTED: {
            "group": group,
            "detection": {**search.detection.recipe(), "ndim": search.ndim},
            "points": fingerprint(spots.points),
        }
    }
    found = next((layer for layer in layers if layer.metadata.get(DETECTED, {}).get("group") == group), None)
    if found is not None and found.ndim == image.ndim:
        found.selected_data = set()
        found.data = spots.points
        found.features = {"strength": spots.strengths}
        found.size = diameter(search)
        found.metadata = {**found.metadata, **made}
        found.visible = True
        _follow(found, image)
        return found
    return _add(
        layers,
        spots.points,
        image,
        search,
        name=f"{shortened(image.name)} · detected points",
        border_color=RING,
        features={"strength": spots.strengths},
        metadata=made,
    )


def is_points(layer: Layer) -> bool:
    """Whether a layer holds points to fit at: not what a fit, a pin or the preview has made."""
    from ..geometry.output_layers import is_output

    return layer._type_string == "points" and not is_output(layer) and MARK_KEY not in layer.metadata


def diameter(search: Search) -> float:
    """Return the diameter of a ring around a spot: 3 σ to either side, in pixels of the plane."""
    return 6.0 * float(np.mean(search.detection.per_axis("scale", search.ndim)[-2:])) + 1.0


def count_words(spots: Spots, search: Search) -> str:
    """Return how many were found in the frame, or volume, on screen."""
    what = "volume" if search.ndim == 3 else "frame"
    where = f" in this {what}" if search.frame or search.ndim == 3 else ""
    if not spots.count:
        return f"no spots{where}; lower the threshold, or change the scale"
    near = "; rings are those near this plane" if search.ndim == 3 else ""
    return f"{spaced(spots.count)} spot{'' if spots.count == 1 else 's'}{where}{near}"


def all_words(spots: Spots, search: Search) -> str:
    """Return how many were found in all frames."""
    n_frames = int(np.prod(np.shape(search.data)[: len(np.shape(search.data)) - search.ndim]))
    where = f" in {spaced(n_frames)} frames" if n_frames > 1 else ""
    if not spots.count:
        return f"No spots{where} stand out; lower the threshold, or change the scale."
    return f"{spaced(spots.count)} spot{'' if spots.count == 1 else 's'} detected{where}; click Fit."


def _add(layers: LayerList, points: NDArray[np.float64], image: Image, search: Search, **options: Any) -> Points:
    from napari.layers import Points

    from ..geometry.output_layers import draw_nothing_when_empty

    layer = Points(
        points,
        ndim=image.ndim,
        size=diameter(search),
        face_color="transparent",
        border_width=0.06,
        # a ring is to be seen when the whole image is
        canvas_size_limits=(5, 10000),
        projection_mode="rescale_spherical" if search.ndim == 3 else "all",
        **options,
        **layer_transform(image),
    )
    selected = layers.selection.active
    layers.append(layer)
    draw_nothing_when_empty(layer)
    if selected is not None:
        layers.selection.active = selected
    return layer


def _follow(layer: Points, image: Image) -> None:
    from ..geometry.output_layers import TRANSFORM, is_same

    for name, value in layer_transform(image).items():
        if name in TRANSFORM and not is_same(getattr(layer, name), value):
            setattr(layer, name, value)
