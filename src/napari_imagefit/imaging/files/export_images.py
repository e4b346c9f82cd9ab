"""Maps as OME-TIFF, NIfTI and OME-Zarr. Each function writes what it is given to a path that does not exist yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import float_array
from ..chunked.stored_arrays import need
from ..fitting.units import parse_unit
from .export_maps import Axis, Map

# Lengths and times that OME has names for, as pint writes them.
OME_LENGTHS = {"km", "m", "dm", "cm", "mm", "µm", "nm", "pm", "Å", "in", "ft"}
OME_TIMES = {"d", "h", "min", "s", "ms", "µs", "ns", "ps"}
# Voxels along each axis of a piece of a Zarr array.
CHUNK = 256


def write_ome_tiff(path: Path, maps: Sequence[Map], axes: Sequence[Axis], description: str) -> None:
    """One file with a channel of float32 for each map; sizes in the axes' units."""
    tifffile = need("tifffile", "writing OME-TIFF")
    stacked = np.stack([np.asarray(one.values, np.float32) for one in maps])
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
    for axis in axes:
        if axis.name == "t":
            time = _in(axis, OME_TIMES, "s")
            if time is not None:
                metadata |= {"TimeIncrement": abs(time.scale), "TimeIncrementUnit": time.unit}
        elif axis.unit or axis.scale != 1:
            length = _in(axis, OME_LENGTHS, "µm")
            unit = "pixel" if axis.unit == "px" else "reference frame" if length is None else length.unit
            metadata[f"PhysicalSize{axis.name.upper()}"] = abs((length or axis).scale)
            metadata[f"PhysicalSize{axis.name.upper()}Unit"] = unit
    tifffile.imwrite(path, stacked, ome=True, photometric="minisblack", metadata=metadata)


def _in(axis: Axis, known: set[str], usual: str) -> Axis | None:
    """The axis in a unit that has a name, None where it is not of that kind."""
    found = axis.to(usual) if axis.unit not in ("", "px") else None
    return axis if found is not None and axis.unit in known else found


def check_affine(affine: ArrayLike | None) -> NDArray[np.float64] | None:
    """An affine as an array.

    Raises
    ------
    FitInputError
        If it is not 4×4 and invertible.
    """
    if affine is None:
        return None
    matrix = float_array(affine, "the affine")
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
        raise FitInputError("the affine is not an invertible 4×4 matrix; give the one of the image that was fitted")
    return matrix


def write_nifti(path: Path, one: Map, axes: Sequence[Axis], affine: NDArray[np.float64] | None) -> None:
    """One map.

    With an affine the axes stay in the order of the grid, as those of the image that the affine is of. Otherwise they
    are turned around: NIfTI begins with x, the grid ends with it.
    """
    nibabel = need("nibabel", "writing NIfTI")
    values = one.values
    spatial = axes[-3:]
    if affine is None:
        values = values.transpose()
        affine = np.eye(4)
        lengths = [axis.to("mm") for axis in spatial]
        in_mm = all(axis is not None for axis in lengths)
        for row, axis in enumerate(reversed([a for a in lengths if a is not None] if in_mm else spatial)):
            affine[row, row], affine[row, 3] = axis.scale, axis.translate
    else:
        in_mm = True
    steps = list(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    image = nibabel.Nifti1Image(np.ascontiguousarray(values), affine)
    header = image.header
    time = axes[0].to("s") if len(axes) == 4 else None
    header.set_xyzt_units("mm" if in_mm else "unknown", "sec" if time is not None else "unknown")
    header.set_zooms([*steps, *([] if len(axes) < 4 else [abs((time or axes[0]).scale)])])
    # of 80 bytes
    header["descrip"] = one.title.encode()[:79]
    nibabel.save(image, path)


def write_zarr(path: Path, maps: Sequence[Map], axes: Sequence[Axis], name: str, attributes: Mapping[str, Any]) -> None:
    """A group in the layout of OME-Zarr 0.5: one image of one level, a channel of float32 for each map."""
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
