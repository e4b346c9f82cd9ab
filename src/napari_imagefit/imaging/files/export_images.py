"""Maps as OME-TIFF, NIfTI and OME-Zarr. Each function writes what it is given to a path that does not exist yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..fitting.units import parse_unit
from ..readers.optional_packages import need
from .export_maps import Map
from .nifti_grid import NiftiGrid
from .placement import Axis

# Lengths and times that OME has names for, as pint writes them.
OME_LENGTHS = {"km", "m", "dm", "cm", "mm", "µm", "nm", "pm", "Å", "in", "ft"}
OME_TIMES = {"d", "h", "min", "s", "ms", "µs", "ns", "ps"}
# Voxels along each axis of a piece of a Zarr array.
CHUNK = 256


def write_ome_tiff(path: Path, maps: Sequence[Map], axes: Sequence[Axis], description: str) -> None:
    """One file with a channel of float32 for each map; sizes and positions in the axes' units.

    OME's sizes are positive: where an axis runs backwards, the maps are turned around along it.
    """
    tifffile = need("tifffile", "writing OME-TIFF")
    stacked = np.stack([np.asarray(one.values, np.float32) for one in maps])
    stacked = np.flip(stacked, tuple(at for at, axis in enumerate(axes, start=1) if axis.scale < 0))
    axes = [_forwards(axis, n) for axis, n in zip(axes, stacked.shape[1:], strict=True)]
    names = "c" + "".join(axis.name for axis in axes)
    # a file has planes; frames come first, as OME's order of dimensions has them
    while not names.endswith("yx"):
        missing = "x" if not names.endswith("x") else "y"
        at = len(names) if missing == "x" else len(names) - 1
        names, stacked = names[:at] + missing + names[at:], np.expand_dims(stacked, at)
    metadata: dict[str, Any] = {
        "axes": names.upper(),
        "Name": description.partition(";")[0],
        "Description": description,
        "Channel": {"Name": [one.name for one in maps]},
    }
    metadata |= _ome_places(axes, names, stacked.shape)
    tifffile.imwrite(path, stacked, ome=True, photometric="minisblack", metadata=metadata)


def _ome_places(axes: Sequence[Axis], names: str, shape: Sequence[int]) -> dict[str, Any]:
    """Return the sizes of OME, and of each plane the positions that are not 0.

    Of its first pixel, its z and its time.
    """
    said: dict[str, Any] = {}
    planes: dict[str, list[Any]] = {}
    places = np.indices(shape[:-2]).reshape(len(shape) - 2, -1)
    for axis in axes:
        found = _ome_axis(axis)
        if found is None:
            continue
        size, start, known = found
        said |= {size: known.scale, f"{size}Unit": known.unit}
        if known.translate:
            here = places[names.index(axis.name)] if axis.name in names[:-2] else np.zeros(places.shape[1])
            planes[start] = (known.scale * here + known.translate).tolist()
            planes[f"{start}Unit"] = [known.unit] * here.size
    return said | ({"Plane": planes} if planes else {})


def _ome_axis(axis: Axis) -> tuple[str, str, Axis] | None:
    """Return what OME calls size and start of an axis, and the axis in a unit that it knows.

    None if there is none to say.
    """
    if axis.name == "t":
        time = _in(axis, OME_TIMES, "s")
        return None if time is None else ("TimeIncrement", "DeltaT", time)
    if not axis.unit and axis.scale == 1 and not axis.translate:
        return None
    unit = "pixel" if axis.unit == "px" else "reference frame"
    known = _in(axis, OME_LENGTHS, "µm") or replace(axis, unit=unit)
    return f"PhysicalSize{axis.name.upper()}", f"Position{axis.name.upper()}", known


def _forwards(axis: Axis, n: int) -> Axis:
    """Return the axis as it is once it is turned around, where it runs backwards."""
    return axis if axis.scale > 0 else replace(axis, scale=-axis.scale, translate=axis.translate + axis.scale * (n - 1))


def _in(axis: Axis, known: set[str], usual: str) -> Axis | None:
    """Return the axis in a unit that has a name, None where it is not of that kind."""
    found = axis.to(usual) if axis.unit not in ("", "px") else None
    return axis if found is not None and axis.unit in known else found


def write_nifti(path: Path, one: Map, grid: NiftiGrid, frames: Axis | None = None) -> None:
    """One map, in the order of a file; `frames` is its fourth axis, where there is one."""
    nibabel = need("nibabel", "writing NIfTI")
    values, steps = grid.arrange(one.values), list(np.sqrt((grid.affine[:3, :3] ** 2).sum(axis=0)))
    time = None if frames is None else frames.to("s")
    if frames is not None:
        values = np.flip(values, 3) if frames.scale < 0 else values
        frames = _forwards(time or frames, values.shape[3])
    image = nibabel.Nifti1Image(np.ascontiguousarray(values), grid.affine)
    header = image.header
    header.set_xyzt_units("mm" if grid.in_mm else "unknown", "sec" if time is not None else "unknown")
    header.set_zooms(steps if frames is None else [*steps, frames.scale])
    header["toffset"] = 0 if frames is None else frames.translate
    # of 80 bytes
    header["descrip"] = one.title.encode()[:79]
    nibabel.save(image, path)


def write_zarr(path: Path, maps: Sequence[Map], axes: Sequence[Axis], name: str, attributes: Mapping[str, Any]) -> None:
    """Return a group in the layout of OME-Zarr 0.5: one image of one level, a channel of float32 for each map."""
    zarr = need("zarr", "writing Zarr")
    group = zarr.create_group(str(path), zarr_format=3)
    shape = (len(maps), *maps[0].values.shape)
    array = group.create_array(
        "0",
        shape=shape,
        chunks=(1, *(min(CHUNK, n) for n in shape[1:])),
        dtype=np.float32,
        fill_value=np.nan,
        dimension_names=["c", *(axis.name for axis in axes)],
    )
    for channel, one in enumerate(maps):
        array[channel] = np.asarray(one.values, np.float32)
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [{"name": "c", "type": "channel"}, *(_zarr_axis(axis) for axis in axes)],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [1.0, *(axis.scale for axis in axes)]},
                            {"type": "translation", "translation": [0.0, *(axis.translate for axis in axes)]},
                        ],
                    }
                ],
            }
        ],
        "omero": {"channels": [_channel(number, one) for number, one in enumerate(maps)]},
    }
    for key, value in attributes.items():
        group.attrs[key] = value


def _zarr_axis(axis: Axis) -> dict[str, str]:
    said = {"name": axis.name, "type": "time" if axis.name == "t" else "space"}
    # OME-Zarr spells units out
    return said if axis.unit in ("", "px") else {**said, "unit": str(parse_unit(axis.unit))}


def _channel(number: int, one: Map) -> dict[str, Any]:
    finite = one.values[np.isfinite(one.values)]
    low, high = (float(v) for v in np.percentile(finite, [0.5, 99.5])) if finite.size else (0.0, 1.0)
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return {
        "label": one.name,
        "color": "FFFFFF",
        "active": number == 0,
        "window": {"min": least, "max": most, "start": low, "end": high},
    }
