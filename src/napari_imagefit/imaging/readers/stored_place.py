"""Placement of a stored image's grid, as OME-Zarr and OME-TIFF give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .stored_arrays import StoredArray, need

Place = dict[str, list[Any]]


def place_of(data: StoredArray, axes: Sequence[int]) -> Place:
    """Return the name, scale, translation and unit of these axes of a stored array.

    Nothing where the file does not say them.

    A file that says something that cannot be understood says nothing.
    """
    readers = {"zarr": _of_zarr, "tif": _of_tiff}
    try:
        said = readers[data.kind](data) if data.kind in readers else {}
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        return {}
    if any(len(values) != data.ndim for values in said.values()):
        return {}
    return {what: [values[axis] for axis in axes] for what, values in said.items()}


def _of_zarr(data: StoredArray) -> Place:
    above, _, name = data.inside.strip("/").rpartition("/")
    if not name:
        return {}
    attributes = dict(need("zarr", "reading Zarr").open_group(data.path, path=above, mode="r").attrs)
    (image,) = attributes.get("ome", attributes)["multiscales"]
    level = next(one for one in image["datasets"] if one["path"] == name)
    scale, translate = [1.0] * data.ndim, [0.0] * data.ndim
    for step in [*level["coordinateTransformations"], *image.get("coordinateTransformations", ())]:
        factors = step.get("scale", [1.0] * data.ndim)
        shifts = step.get("translation", [0.0] * data.ndim)
        scale = [float(f) * s for f, s in zip(factors, scale, strict=True)]
        translate = [float(f) * t + float(d) for f, t, d in zip(factors, translate, shifts, strict=True)]
    return {
        "axes": [axis["name"] for axis in image["axes"]],
        "scale": scale,
        "translate": translate,
        "units": [axis.get("unit", "") for axis in image["axes"]],
    }


def _of_tiff(data: StoredArray) -> Place:
    tifffile = need("tifffile", "reading TIFF")
    with tifffile.TiffFile(data.path) as file:
        if not file.is_ome:
            return {}
        names = file.series[0].axes
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, (list, tuple)) else image)["Pixels"]
    planes = pixels.get("Plane", {})
    first = planes[0] if isinstance(planes, (list, tuple)) else planes
    columns = [_axis_of_tiff(name, pixels, first) for name in names]
    return {
        "axes": [name.lower() for name in names],
        **{what: [column[at] for column in columns] for at, what in enumerate(("scale", "translate", "units"))},
    }


def _axis_of_tiff(name: str, pixels: Mapping[str, Any], first: Mapping[str, Any]) -> tuple[float, float, str]:
    size, start = ("TimeIncrement", "DeltaT") if name == "T" else (f"PhysicalSize{name}", f"Position{name}")
    # what OME means where no unit stands
    usual, usual_start = ("s", "s") if name == "T" else ("µm", "reference frame")
    unit = str(pixels.get(f"{size}Unit", usual)) if size in pixels else ""
    same = first.get(f"{start}Unit", usual_start) == unit
    return float(pixels.get(size, 1.0)), float(first.get(start, 0.0)) if same else 0.0, unit
