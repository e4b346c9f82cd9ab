"""Tables of localisations as Points layers: for napari's File → Open, and over an image in the widget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import LayerTuple
from ...imaging.files.localisations import (
    Localisations,
    localisations_of,
    read_localisations,
    read_table,
    style_of,
)
from ..geometry.transforms import layer_transform
from ..request.spot_inputs import pixel_sizes_of

if TYPE_CHECKING:
    from napari.layers import Image

RING, DIAMETER = "#2EE6A6", 7.0
ENDINGS = (".csv", ".parquet")
Paths = str | list[str]


def napari_get_reader(path: Paths) -> Callable[[Paths], list[LayerTuple]] | None:
    """Return a reader for tables of localisations, None for files that are no tables: the hook of napari.

    napari asks it for files with the endings in the manifest, and for others where a person chose this plugin. Their
    columns decide, and a table that holds something else is refused in a sentence when it is read.

    Parameters
    ----------
    path : str or list of str

    Returns
    -------
    callable or None
    """
    paths = [path] if isinstance(path, str) else path
    return read_points_layer if all(str(one).lower().endswith(ENDINGS) for one in paths) else None


def read_points_layer(path: Paths) -> list[LayerTuple]:
    """Return a Points layer of a table, where no image gives the size of a pixel.

    Positions are in pixels, or in the table's unit where it gives the size of a pixel; ThunderSTORM's are in nm, from
    the corner of the first pixel.

    Raises
    ------
    FitInputError
        If it is no table of localisations, or there are several to be stacked.
    """
    if not isinstance(path, str):
        if len(path) != 1:
            raise FitInputError(f"{len(path)} tables make no stack of points; open them one by one")
        (path,) = path
    name, table = Path(path).name, read_table(path)
    in_nm = style_of(table) == "thunderstorm"
    found = localisations_of(table, path, pixel_size=1.0 if in_nm else None)
    points, n_axes = found.points.copy(), _plane_axes(found)
    options: dict[str, Any] = {}
    frames = points.shape[1] - n_axes
    if in_nm:
        points[:, -2:] += 0.5  # back to the corner: there are no pixels
        options = {"units": ("pixel",) * frames + ("nm",) * n_axes, "size": 300.0}
    elif found.pixel_size is not None and (unit := _unit_of(list(table.columns))):
        options = {
            "scale": (1.0,) * frames + found.pixel_size,
            "units": ("pixel",) * frames + (unit,) * n_axes,
        }
    return [(points, {**_look(found, name), **options}, "points")]


def points_over(image: Image, path: str) -> LayerTuple:
    """Return a Points layer of a table over an image, which gives the size of its pixels.

    Raises
    ------
    FitInputError
        If the file is no table of localisations, or does not go with the image.
    """
    # the axis before the plane may be depth, or something else, whose unit is no length then
    each = (pixel_sizes_of(image, n_axes) for n_axes in (3, 2) if n_axes <= image.ndim)
    sizes, unit = next(((sizes, unit) for sizes, unit in each if unit not in ("px", "")), ((), ""))
    length = bool(sizes)
    try:
        found = read_localisations(path, pixel_size=sizes if length else None, units=unit if length else "nm")
    except FitInputError as error:
        if length or "give pixel_size" not in str(error):
            raise
        raise FitInputError(
            f"The positions in {Path(path).name!r} are in nm, but layer {image.name!r} does not say how large a pixel "
            "is; set its scale and units first."
        ) from None
    points: NDArray[np.float64] = found.points
    extra = points.shape[1] - image.ndim
    if extra > 0:
        # a picture without frames may have the points of a table of one frame
        if (points[:, :extra] != points[:1, :extra]).any():
            raise FitInputError(
                f"{Path(path).name!r} holds points of several frames, but layer {image.name!r} has none; choose the "
                "layer that they are of."
            )
        points = points[:, extra:]
    drop = range(image.ndim - points.shape[1])
    look = {**_look(found, Path(path).name), "ndim": points.shape[1]}
    try:
        transform = layer_transform(image, drop=drop)
    except ValueError as error:
        raise FitInputError(f"{Path(path).name!r} does not go with layer {image.name!r}: {error}") from None
    return points, {**look, **transform}, "points"


def _look(found: Localisations, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "features": found.features,
        "size": DIAMETER,
        "face_color": "transparent",
        "border_color": RING,
        "border_width": 0.1,
        "canvas_size_limits": (5, 10000),
        "ndim": found.points.shape[1],
    }


def _plane_axes(found: Localisations) -> int:
    if found.pixel_size is not None:
        return len(found.pixel_size)
    columns = set(found.features.columns)
    return 3 if {"z [px]", "z [nm]"} & columns or {"z", "point_z"} <= columns else 2


def _unit_of(names: list[str]) -> str:
    """Return the unit of the size of a pixel, as in ``pixel_y [µm]``."""
    column = next((name for name in names if name.startswith("pixel_y [")), "")
    return column.partition("[")[2].rstrip("]")
