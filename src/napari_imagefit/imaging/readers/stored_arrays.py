"""Arrays in files, of which a piece is read at a time. What is open here can be sent to another process.

`registry.READERS` has the formats, each in a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from .array_reader import ArrayReader, AxisPlacement
from .registry import READERS, kind_of


@dataclass(frozen=True)
class StoredArray:
    """An array in a file; each look at it opens the file and reads what is asked for.

    Attributes
    ----------
    path : str
    inside : str
        The array's name in the file, where there may be several.
    kind : str
        The key of its reader in `READERS`.
    chunks : tuple of int
        Those in which it is stored, or whatever is read well at once.
    stamp : str
        Tells whether the file was changed: its size and time, of a Zarr array those of every chunk.
    remark : str
        What is to be known of it before its fits are believed, if anything.
    """

    path: str
    inside: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] = field(default=())
    stamp: str = ""
    remark: str = ""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def changed(self) -> bool:
        """Tell whether the file is another one than when it was opened first."""
        try:
            return READERS[self.kind].look(self.path, self.inside)[0] != self.stamp
        except (OSError, ValueError):  # gone, or no longer what it was
            return True

    def placement(self, axes: Sequence[int]) -> AxisPlacement:
        """Return the names, scales, translations and units of these axes.

        Empty where the file gives none, or something that cannot be understood.
        """
        try:
            found = READERS[self.kind].placement(self.path, self.inside, self.ndim)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            return {}
        if any(len(values) != self.ndim for values in found.values()):
            return {}
        return {what: [values[axis] for axis in axes] for what, values in found.items()}

    def __getitem__(self, where: Any, /) -> NDArray[Any]:
        """Return the values at an index.

        Raises
        ------
        FitInputError
            If the file is damaged.
        """
        try:
            with READERS[self.kind].opened(self.path, self.inside) as found:
                return np.array(found[where])
        except MemoryError:
            raise
        except Exception as error:  # each library has its own
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FitInputError(f"{self.path!r} cannot be read to its end, it may be damaged: {why}") from error


def open_stored(text: str) -> StoredArray:
    """Return an array in a file: ``.npy``, ``.tif``, ``.zarr`` (or OME-Zarr, its first level), ``FILE.h5::/dataset``.

    Raises
    ------
    FitInputError
        If there is no such file, or nothing in it that can be fitted.
    """
    name, _, inside = text.partition("::")
    path = Path(name)
    if not path.exists():
        raise FitInputError(f"there is no file or folder {name!r}; check the path")
    if not (path.is_file() or path.is_dir()):
        raise FitInputError(f"{name!r} is a pipe or a device, of which no pieces can be read; save it to a file first")
    kind = kind_of(path)
    reader = READERS[kind]
    inside = reader.name_inside(name, inside)
    full = str(path.resolve())
    try:
        shape, dtype, chunks = _describe(reader, full, inside)
        stamp, remark = reader.look(full, inside)
    except FitInputError:
        raise
    except Exception as error:
        raise FitInputError(f"{text!r} cannot be read as an array: {error}") from error
    if dtype.kind not in "biuf" or not shape or 0 in shape:
        raise FitInputError(f"{text!r} holds {dtype} values of shape {shape}; give an array of real numbers")
    return StoredArray(full, inside, kind, shape, dtype, chunks, stamp, remark)


def _describe(reader: ArrayReader, path: str, inside: str) -> tuple[tuple[int, ...], np.dtype[Any], tuple[int, ...]]:
    with reader.opened(path, inside) as found:
        chunks = getattr(found, "chunks", None) or _rows(found.shape)
        return tuple(found.shape), np.dtype(found.dtype), tuple(chunks)


def _rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(1,) * (len(shape) - 1), *shape[-1:])
