"""The formats that arrays are read from. A new one is a reader in a file of its own, and an entry here."""

from __future__ import annotations

from pathlib import Path

from ...engine.core.errors import FitInputError
from .array_reader import ArrayReader
from .hdf5_reader import Hdf5Reader
from .npy_reader import NpyReader
from .tiff_reader import TiffReader
from .zarr_reader import ZarrReader

# By the key that `StoredArray.kind` has; the order is that of messages.
READERS: dict[str, ArrayReader] = {"zarr": ZarrReader(), "tif": TiffReader(), "npy": NpyReader(), "h5": Hdf5Reader()}


def kind_of(path: Path) -> str:
    """Return the key of the format of a file or folder.

    Raises
    ------
    FitInputError
        If no reader takes it.
    """
    for kind, reader in READERS.items():
        if reader.can_read(path):
            return kind
    *examples, last = (reader.example for reader in READERS.values())
    raise FitInputError(
        f"{path.name!r} is of no kind that can be read piece by piece; give {', '.join(examples)} or {last}"
    )
