"""Reader of TIFF files, and of the placement that OME-TIFF gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .array_reader import ArrayReader, AxisPlacement
from .optional_packages import need


class TiffReader(ArrayReader):
    """Reader of ``.tif`` files: mapped into memory, or piece by piece if compressed."""

    example = ".tif"
    endings = (".tif", ".tiff")

    @contextmanager
    def opened(self, path: str, inside: str) -> Iterator[Any]:
        """Give the mapped array, or one that reads a piece at a time."""
        tifffile = need("tifffile", "reading TIFF")
        try:
            mapped = tifffile.memmap(path, mode="r")
        except ValueError:  # compressed, or in pieces
            zarr = need("zarr", "reading a compressed TIFF piece by piece")
            store = tifffile.imread(path, aszarr=True)
            try:
                yield zarr.open_array(store, mode="r")
            finally:
                store.close()
        else:
            yield mapped

    def placement(self, path: str, inside: str, ndim: int) -> AxisPlacement:
        """Return what the metadata of an OME-TIFF file give."""
        tifffile = need("tifffile", "reading TIFF")
        with tifffile.TiffFile(path) as file:
            if not file.is_ome:
                return {}
            names = file.series[0].axes
            image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (image[0] if isinstance(image, (list, tuple)) else image)["Pixels"]
        planes = pixels.get("Plane", {})
        first = planes[0] if isinstance(planes, (list, tuple)) else planes
        columns = [_axis(name, pixels, first) for name in names]
        return {
            "axes": [name.lower() for name in names],
            **{what: [column[at] for column in columns] for at, what in enumerate(("scale", "translate", "units"))},
        }


def _axis(name: str, pixels: Mapping[str, Any], first: Mapping[str, Any]) -> tuple[float, float, str]:
    """Return the scale, translation and unit of one axis."""
    size, start = ("TimeIncrement", "DeltaT") if name == "T" else (f"PhysicalSize{name}", f"Position{name}")
    # what OME means where no unit stands
    usual, usual_start = ("s", "s") if name == "T" else ("µm", "reference frame")
    unit = str(pixels.get(f"{size}Unit", usual)) if size in pixels else ""
    same = first.get(f"{start}Unit", usual_start) == unit
    return float(pixels.get(size, 1.0)), float(first.get(start, 0.0)) if same else 0.0, unit
