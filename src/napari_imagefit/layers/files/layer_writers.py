"""napari's own File → Save for layers of fits: spots as a table, maps as OME-TIFF with their placement and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...imaging.files.export_images import write_ome_tiff
from ...imaging.files.export_maps import Map
from ...imaging.files.placement import GRID_AXES, Placement
from ...imaging.fitting.writing import write_files
from ...imaging.readers.optional_packages import need
from ..geometry.output_layers import METADATA_KEY

if TYPE_CHECKING:
    from ...engine.results.fit_result import LayerTuple

# Columns of the layer, and what the same is called in a table of localisations.
COLUMNS = {"status": "message", "status_code": "status"}


def write_spots_layer(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a layer of fitted spots as a table of localisations, CSV or Parquet.

    Raises
    ------
    FitInputError
        If the layer was not made by a fit, or the table cannot be written.
    """
    table = meta["features"]
    if meta.get("metadata", {}).get(METADATA_KEY, {}).get("role") != "spots" or len(table) != len(data):
        raise FitInputError(
            f"layer {meta['name']!r} is no result of a fit of spots; save it as a plain .csv, which napari writes"
        )
    points = {name: f"{name} [px]" for name in table.columns if str(name).startswith("point_")}
    table = table.rename(columns={**COLUMNS, **points})
    parquet = path.lower().endswith(".parquet")
    if parquet:
        need("pyarrow", "writing Parquet", instead="choose .csv")

    def save(to: Path) -> None:
        if parquet:
            table.to_parquet(to, index=False)
        else:
            table.to_csv(to, index=False, encoding="utf-8")

    write_files([(Path(path), save)])
    return [path]


def write_maps(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """Write image layers of one shape and placement as the channels of an OME-TIFF, with sizes and units.

    Raises
    ------
    FitInputError
        If they do not lie on each other, are rotated, hold colours, or the file cannot be written.
    """
    (first, meta, _), maps = layers[0], []
    shape = np.shape(first)
    if len(shape) > len(GRID_AXES):
        raise FitInputError(
            f"layer {meta['name']!r} has {len(shape)} axes, but an OME-TIFF holds at most {len(GRID_AXES)}"
        )
    place = _placement(meta, len(shape))
    for values, own, _ in layers:
        if own.get("rgb") or own.get("multiscale"):
            raise FitInputError(f"layer {own['name']!r} holds colours or several scales; save it as a plain .tif")
        if np.shape(values) != shape or not _is_same(_placement(own, len(shape)), place):
            raise FitInputError(
                f"layers {meta['name']!r} and {own['name']!r} differ in shape or place, and an OME-TIFF holds one; "
                "save them one by one"
            )
        maps.append(Map(str(own["name"]), np.asarray(values, np.float32)))
    axes = place.axes("OME-TIFF")
    names = "; ".join(one.name for one in maps)
    write_files([(Path(path), lambda to: write_ome_tiff(to, maps, axes, names))])
    return [path]


def _is_same(one: Placement, other: Placement) -> bool:
    pairs = (one.matrix, other.matrix), (one.offset, other.offset)
    return one.units == other.units and all(np.allclose(a, b) for a, b in pairs)


def _placement(meta: Mapping[str, Any], count: int) -> Placement:
    transform = {name: meta[name] for name in ("scale", "translate", "rotate", "shear", "affine", "units")}
    return Placement.of(transform, count, 0)
