"""Output layers in the viewer: over their input, and updated by the next fit instead of piling up."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from ...engine.results.fit_result import LayerTuple
from ...imaging.layer_data.maps import METADATA_KEY as METADATA_KEY
from .transforms import data_to_world, grid_shape, layer_transform
from .world_columns import middles, world_columns

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import LayerList
    from napari.layers import Image, Layer, Points, Shapes

PAINT = "paint"  # the role of a layer that a person paints in, and no fit updates
NAME_ENDS = 5, 4  # characters at both ends of a long name that are kept
CONTOUR = 1  # of labels: what they lie over stays in sight
TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def map_transform(image: Image, axis: int) -> dict[str, Any]:
    """Return the transform of a map without the fitted axis.

    napari aligns the last axes of layers. Where the fitted axis comes first, the map has one axis less. Elsewhere, or
    where the map would have a single axis, it keeps the fitted one with one sample as long as the whole axis.
    """
    shape = grid_shape(image)
    if axis == 0 and len(shape) > 2:
        try:
            return layer_transform(image, drop=[0])
        except ValueError:
            # rotated out of its slices: it cannot lose the axis
            pass
    transform = layer_transform(image)
    matrix, _ = data_to_world(image)
    affine = np.asarray(transform["affine"])[:-1, :-1]
    along = np.linalg.solve(affine, matrix[:, axis])
    length = shape[axis]
    transform["translate"] = transform["translate"] + along * (length - 1) / 2
    transform["scale"][axis] *= length
    return transform


def place_maps(
    layers: Sequence[LayerTuple],
    group: str,
    data_name: str,
    transform: Mapping[str, Any],
    map_transform: Mapping[str, Any],
    axis: int,
) -> tuple[LayerTuple, ...]:
    """Add transforms and the group to layer tuples, the name of the data to theirs, and the axis that maps keep."""
    placed = []
    for data, options, kind in layers:
        role = options["metadata"][METADATA_KEY]["role"]
        whole = role in ("fitted", "residual", "outlines") or map_transform is transform
        where = transform if whole else map_transform
        if kind not in ("shapes", "points") and np.ndim(data) < len(where["scale"]):
            data = np.expand_dims(data, axis)
        name = f"{shortened(data_name)} · {options['name']}"
        if kind == "shapes" and "features" in options:
            options = {**options, "features": _with_world(options["features"], data, where)}
        metadata = {METADATA_KEY: {**options["metadata"][METADATA_KEY], "group": group}}
        placed.append((data, {**options, **where, "name": name, "metadata": metadata}, kind))
    return tuple(placed)


def shortened(name: str) -> str:
    """Return the name of data as the names of their layers have it: of a long one both ends, where names differ.

    Examples
    --------
    >>> shortened("shots"), shortened("2024-11-30_helium_bec_od_0013")
    ('shots', '2024-…0013')
    """
    head, tail = NAME_ENDS
    return name if len(name) <= head + 1 + tail else f"{name[:head].rstrip()}…{name[-tail:].lstrip()}"


def _with_world(features: pd.DataFrame, shapes: Sequence[Any], transform: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with where napari draws the shapes, where a layer's own axes do not say it."""
    return features.assign(**world_columns(middles(shapes), transform))


@dataclass(frozen=True, eq=False)
class Output:
    """A layer tuple, and the layer itself where it has been made already."""

    data: LayerTuple
    layer: Layer | None

    @classmethod
    def of(cls, data: LayerTuple, *, make: bool) -> Output:
        """Make the layer now, invisible, if it is to be added rather than updated."""
        values, options, kind = data
        return cls(data, _make((values, {**options, "visible": False}, kind)) if make else None)

    @property
    def visible(self) -> bool:
        """Whether the layer is to be seen at first."""
        return bool(self.data[1].get("visible", True))


def _make(new: LayerTuple) -> Layer:
    from napari.layers import Layer

    data, options, kind = new
    layer = Layer.create(data, dict(options), kind)
    if kind == "labels":
        layer.contour, layer.opacity = CONTOUR, 1.0
    elif kind == "image":
        layer.colorbar.visible = True
    return layer


def role(new: LayerTuple) -> str:
    """Return what a layer tuple shows."""
    return str(new[1]["metadata"][METADATA_KEY]["role"])


def is_output(layer: Layer) -> bool:
    """Whether the layer was made by a fit."""
    return METADATA_KEY in layer.metadata


def role_of(layer: Layer, group: str) -> str | None:
    """Return what the layer shows of the fits of that group; None if it is not one of theirs."""
    made: Mapping[str, Any] = layer.metadata.get(METADATA_KEY, {})
    return made.get("role") if made.get("group") == group else None


def shown_roles(layers: LayerList, group: str) -> frozenset[str]:
    """Return the roles of the group's layers."""
    return frozenset(found for layer in layers if (found := role_of(layer, group)) is not None)


def put(layers: LayerList, new: Output) -> Layer:
    """Show an output: update the layer of its group and role if there is one, otherwise add it.

    What is selected stays selected, and an updated layer keeps its place in the list and the looks that the user set.
    """
    data, options, kind = new.data
    made = options["metadata"][METADATA_KEY]
    for layer in layers:
        if role_of(layer, made["group"]) == made["role"] and layer._type_string == kind:
            if _update(layer, data, options):
                return layer
            layers.remove(layer)
            break
    selected = layers.selection.active
    layer = new.layer or _make(new.data)
    layers.insert(_place_of(layers, made["group"]) if kind == "image" else len(layers), layer)
    _remember_name(layer)
    if kind == "points":
        draw_nothing_when_empty(layer)
    if selected is not None:
        layers.selection.active = selected
    return layer


def _place_of(layers: LayerList, group: str) -> int:
    """Return the index at which a map is put in: on top, but below outlines and contours of the same fit."""
    over = (n for n, layer in enumerate(layers) if role_of(layer, group) and layer._type_string != "image")
    return next(over, len(layers))


def _remember_name(layer: Layer) -> None:
    """Note what the layer is called now: napari adds a number where a name is taken."""
    layer.metadata = {**layer.metadata, METADATA_KEY: {**layer.metadata[METADATA_KEY], "named": layer.name}}


def draw_nothing_when_empty(layer: Points) -> None:
    """Draw no points that are kept large on screen, where none is in the plane that is shown.

    napari draws one of size 0 at the origin then, which is kept as large as the others.
    """
    low, high = layer.canvas_size_limits

    def follow(_event: object = None) -> None:
        wanted = (low if len(layer._view_indices) else 0, high)
        if tuple(layer.canvas_size_limits) != wanted:
            layer.canvas_size_limits = wanted

    layer.events.set_data.connect(follow)
    follow()


def remove_stale(layers: LayerList, group: str, roles: Collection[str]) -> None:
    """Remove what earlier fits of the group showed and the last one does not, such as another model's parameters."""
    remove_all(layers, [layer for layer in layers if role_of(layer, group) not in (None, PAINT, *roles)])


def remove_all(layers: LayerList, these: Sequence[Layer]) -> None:
    """Remove layers.

    napari collects garbage after each that goes, some tenths of a second in which the window stands still; in a batch
    once for all.
    """
    with layers.batched_update() if these else contextlib.nullcontext():
        for layer in these:
            layers.remove(layer)


def _update(layer: Layer, data: Any, options: Mapping[str, Any]) -> bool:
    """Give a layer new data and whatever depends on them; False if it cannot hold them."""
    if layer.ndim != len(options["scale"]):
        return False
    if layer._type_string == "shapes":
        _update_shapes(layer, data, options)
    elif layer._type_string == "points":
        _update_points(layer, data, options)
    else:
        layer.data = data
    if layer._type_string == "image":
        low, high = options["contrast_limits"]
        layer.contrast_limits_range = _range(data, low, high)
        layer.contrast_limits = (low, high)
    elif layer._type_string == "labels":
        layer.features = options["features"]
        # failures are not to be overlooked, even after a fit without any
        layer.visible = layer.visible or options["visible"]
    # one that a person has renamed stays so
    renamed = layer.name != layer.metadata[METADATA_KEY].get("named")
    layer.metadata = {
        **layer.metadata,
        METADATA_KEY: {**options["metadata"][METADATA_KEY], "named": layer.metadata[METADATA_KEY].get("named")},
    }
    if not renamed:
        layer.name = options["name"]
        _remember_name(layer)
    for name in TRANSFORM:
        # each of them, once set, makes the whole viewer look at its extent again
        if not is_same(getattr(layer, name), options[name]):
            setattr(layer, name, options[name])
    return True


def is_same(old: Any, new: Any) -> bool:
    """Whether a part of a transform is what it was: arrays, tuples of units or labels, or napari's affines."""
    old, new = (getattr(value, "affine_matrix", value) for value in (old, new))
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        # napari takes a shear as a matrix, and tells what stands above its diagonal
        old, new = (_above(one) if np.ndim(other) == 1 else one for one, other in ((old, new), (new, old)))
        return np.shape(old) == np.shape(new) and bool(np.array_equal(old, new))
    return bool(old == new)


def _above(value: Any) -> Any:
    """Return what stands above the diagonal of a matrix that has ones on it and zeros below; anything else as it is."""
    if np.ndim(value) != 2 or not np.array_equal(np.tril(value), np.eye(len(value))):
        return value
    return np.asarray(value)[np.triu_indices(len(value), 1)]


def _range(data: Any, low: float, high: float) -> tuple[float, float]:
    # both pass over NaN, and need no copy of what is finite: this is done in the window's thread
    least, most = float(np.fmin.reduce(data, axis=None)), float(np.fmax.reduce(data, axis=None))
    if np.isinf(least) or np.isinf(most):
        finite = data[np.isfinite(data)]
        least, most = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    return (low, high) if np.isnan(least) else (min(low, least), max(high, most))


def follow(layers: LayerList, new: Output) -> bool:
    """Show what a fit has found while others come in quick succession: data alone, where there is a layer for them.

    What depends on them, such as a table of features or limits of contrast, is for `put`, once the last one has come.
    Returns whether it is shown.
    """
    data, options, kind = new.data
    made = options["metadata"][METADATA_KEY]
    for layer in layers:
        if role_of(layer, made["group"]) == made["role"] and layer._type_string == kind:
            if layer.ndim != len(options["scale"]):
                return False
            if kind == "shapes":
                return _move_shapes(layer, data, options)
            if kind == "points":
                _update_points(layer, data, options)
            else:
                layer.data = data
            return True
    return False


def _move_shapes(layer: Shapes, vertices: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Move shapes to where others lie, as napari does while one is dragged; False if they are not of the same kinds.

    To remove shapes and to add others takes ten times as long: each of it has the viewer look at its extent again.
    """
    if layer.nshapes != len(vertices) or list(layer.shape_type) != list(options.get("shape_type", [])):
        return False
    colours = transform_color(options["edge_color"])
    with layer._data_view.batched_updates():
        for number, (corners, colour) in enumerate(zip(vertices, colours, strict=True)):
            layer._data_view.edit(number, corners, edge_color=colour)
    layer.refresh(thumbnail=False, highlight=False, extent=False)
    return True


def _is_drawn_alike(layer: Shapes, count: int, options: Mapping[str, Any]) -> bool:
    """Whether there are as many shapes, with lines as thick and filled as they are to be."""
    if layer.nshapes != count or not count:
        return False
    widths = np.broadcast_to(options["edge_width"], layer.nshapes)
    faces = np.broadcast_to(transform_color(options["face_color"]), (layer.nshapes, 4))
    return np.array_equal(layer.edge_width, widths) and np.array_equal(layer.face_color, faces)


def _update_shapes(layer: Shapes, vertices: Sequence[Any], options: Mapping[str, Any]) -> None:
    # a hidden layer would not take notice
    if layer.visible and _is_drawn_alike(layer, len(vertices), options) and _move_shapes(layer, vertices, options):
        layer.selected_data = set()
        if "features" in options:
            layer.features = options["features"]
        layer.refresh()
        return
    layer.selected_data = set(range(layer.nshapes))
    layer.remove_selected()
    if not len(vertices):
        return
    # napari asks the table of features for a row per shape as it adds them, so that the table comes after
    layer.add(
        list(vertices),
        shape_type=options["shape_type"],
        edge_width=options["edge_width"],
        edge_color=options["edge_color"],
        face_color=options["face_color"],
    )
    if "features" in options:
        layer.features = options["features"]
    layer.selected_data = set()


def _update_points(layer: Points, data: Any, options: Mapping[str, Any]) -> None:
    layer.selected_data = set()
    layer.data = data
    # each of them in one go: napari looks through all points for every one that is set
    layer.features = options["features"]
    for name in ("size", "symbol", "border_color"):
        setattr(layer, name, options[name])
