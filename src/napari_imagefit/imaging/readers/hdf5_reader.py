"""Reader of datasets in HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...engine.core.errors import FitInputError
from .array_reader import ArrayReader
from .optional_packages import need


class Hdf5Reader(ArrayReader):
    """Reader of ``FILE.h5::/dataset``."""

    example = "FILE.h5::/dataset"
    endings = (".h5", ".hdf5")

    def name_inside(self, name: str, inside: str) -> str:
        """Return the dataset's name, which has to be given."""
        if not inside:
            raise FitInputError(f"{name!r} may hold several arrays; name one: {name}::/dataset")
        return inside

    @contextmanager
    def opened(self, path: str, inside: str) -> Iterator[Any]:
        """Give the dataset."""
        with need("h5py", "reading HDF5").File(path, "r") as file:
            if inside not in file:
                raise FitInputError(f"{path!r} has no dataset {inside!r}; it has {', '.join(sorted(file)) or 'none'}")
            yield file[inside]
