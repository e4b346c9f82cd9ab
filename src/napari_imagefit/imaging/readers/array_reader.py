"""Interface of a reader of one file format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

# Of each axis of an array: its name, scale, translation and unit, under "axes", "scale", "translate" and "units".
AxisPlacement = dict[str, list[Any]]
# The size and time of a file that is not there.
ABSENT = "absent"


class ArrayReader(ABC):
    """Reader of arrays in one file format.

    A format is a subclass in a file of its own here, `<format>_reader.py`, with an entry in `READERS`. Readers hold no
    state: an array is reopened at each look, in whichever process asks for it.

    Attributes
    ----------
    example : str
        How to name such a file, for messages.
    endings : tuple of str
        How its files end, in lower case; empty for a format whose arrays are folders.
    """

    example: str
    endings: tuple[str, ...] = ()

    def can_read(self, path: Path) -> bool:
        """Return whether a file or folder is of this format, by its name."""
        return path.is_file() and path.name.lower().endswith(self.endings)

    def name_inside(self, name: str, inside: str) -> str:
        """Return the name of the array in a file of this name, where the format has several and the caller named none.

        Raises
        ------
        FitInputError
            If one has to be named.
        """
        return inside

    @abstractmethod
    def opened(self, path: str, inside: str) -> AbstractContextManager[Any]:
        """Return a context manager that gives something with shape, dtype, slices and, if stored in such, chunks."""

    def look(self, path: str, inside: str) -> tuple[str, str]:
        """Return a stamp that tells whether the file was changed, and a remark on the file, which may be empty."""
        return size_and_time(Path(path)), ""

    def placement(self, path: str, inside: str, ndim: int) -> AxisPlacement:
        """Return the placement of the axes as the file gives it; empty if it gives none.

        What cannot be understood may raise KeyError, IndexError, ValueError, TypeError or AttributeError.
        """
        return {}


def size_and_time(file: Path) -> str:
    """Return the size of a file and the time of its last change."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return ABSENT
    return f"{stat.st_size} {stat.st_mtime_ns}"
