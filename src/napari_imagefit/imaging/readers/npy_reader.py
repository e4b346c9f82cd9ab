"""Reader of NumPy's own files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .array_reader import ArrayReader


class NpyReader(ArrayReader):
    """Reader of ``.npy`` files, mapped into memory."""

    example = ".npy"
    endings = (".npy",)

    @contextmanager
    def opened(self, path: str, inside: str) -> Iterator[Any]:
        """Give the mapped array."""
        yield np.load(path, mmap_mode="r", allow_pickle=False)
