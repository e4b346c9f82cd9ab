"""The files that the chunks of a Zarr array are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..fitting.chunks import Slices


def chunk_files(array: Any, folder: Path, where: Slices = ()) -> Iterator[Path]:
    """Give the files, there or not, of a part of an array in this folder; of all of it by default.

    `where` holds slices or numbers of rows along the first axes.
    """
    stored = array.shards or array.chunks  # a shard is a file of chunks
    places = []
    for axis, (length, size) in enumerate(zip(array.shape, stored, strict=True)):
        part = where[axis] if axis < len(where) else slice(None)
        if isinstance(part, slice):
            start, stop, _ = part.indices(length)
            places.append(range(start // size, -(-stop // size)))
        else:
            places.append(np.unique(np.asarray(part) // size).tolist())
    for place in product(*places):
        yield folder / array.metadata.encode_chunk_key(place)
