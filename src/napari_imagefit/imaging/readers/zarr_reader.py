"""Reader of Zarr arrays and OME-Zarr images, and of the placement that OME-Zarr gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...engine.core.errors import FitInputError
from .array_reader import ABSENT, ArrayReader, AxisPlacement, size_and_time
from .optional_packages import need
from .zarr_chunks import chunk_files


class ZarrReader(ArrayReader):
    """Reader of folders: a Zarr array, a group with one array, or the first level of an OME-Zarr image."""

    example = ".zarr"

    def can_read(self, path: Path) -> bool:
        """Return whether it is a folder, whatever its name."""
        return path.is_dir()

    def name_inside(self, name: str, inside: str) -> str:
        """Return the path of the array in the folder."""
        return inside or _first_level(Path(name))

    @contextmanager
    def opened(self, path: str, inside: str) -> Iterator[Any]:
        """Give the array."""
        yield need("zarr", "reading Zarr").open_array(path, path=inside or None, mode="r")

    def look(self, path: str, inside: str) -> tuple[str, str]:
        """Return a hash of the sizes and times of all chunks, and a remark if some are missing."""
        with self.opened(path, inside) as array:
            folder = Path(path, inside)
            chunks = [size_and_time(file) for file in chunk_files(array, folder)]
            described = [size_and_time(folder / name) for name in ("zarr.json", ".zarray")]
            fill, lacking = array.fill_value, chunks.count(ABSENT)
        remark = (
            f"the input lacks {lacking} of its {len(chunks)} chunks, which Zarr takes to be {fill} everywhere: "
            "where they were lost, and not left out for being empty, fits of them mean nothing"
        )
        return hashlib.sha256("\n".join(described + chunks).encode()).hexdigest(), remark if lacking else ""

    def placement(self, path: str, inside: str, ndim: int) -> AxisPlacement:
        """Return what the attributes of an OME-Zarr image give for this level."""
        above, _, name = inside.strip("/").rpartition("/")
        if not name:
            return {}
        attributes = dict(need("zarr", "reading Zarr").open_group(path, path=above, mode="r").attrs)
        (image,) = attributes.get("ome", attributes)["multiscales"]
        level = next(one for one in image["datasets"] if one["path"] == name)
        scale, translate = [1.0] * ndim, [0.0] * ndim
        for step in [*level["coordinateTransformations"], *image.get("coordinateTransformations", ())]:
            factors = step.get("scale", [1.0] * ndim)
            shifts = step.get("translation", [0.0] * ndim)
            scale = [float(f) * s for f, s in zip(factors, scale, strict=True)]
            translate = [float(f) * t + float(d) for f, t, d in zip(factors, translate, shifts, strict=True)]
        return {
            "axes": [axis["name"] for axis in image["axes"]],
            "scale": scale,
            "translate": translate,
            "units": [axis.get("unit", "") for axis in image["axes"]],
        }


def _first_level(path: Path) -> str:
    """Return the path of the array in a Zarr folder: itself, or the first level of an OME-Zarr image."""
    zarr = need("zarr", "reading Zarr")
    try:
        node = zarr.open(str(path), mode="r")
    except Exception as error:
        raise FitInputError(f"the folder {str(path)!r} is no Zarr array or image: {error}") from error
    if not hasattr(node, "group_keys"):
        return ""
    attributes = dict(node.attrs)
    scales = attributes.get("ome", attributes).get("multiscales")
    if scales:
        return str(scales[0]["datasets"][0]["path"])
    arrays = sorted(node.array_keys())
    if len(arrays) == 1:
        return str(arrays[0])
    raise FitInputError(
        f"the Zarr group {str(path)!r} holds {len(arrays)} arrays and is no OME-Zarr image; name one: {path}::NAME"
    )
