"""Memory that entries hold, and its limit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preferences import history_bytes

MEMORY_SHARE = 0.1  # of the machine's memory
OURS = "napari_imagefit."


def budget() -> int:
    """Return the bytes that entries may hold: as set in *Preferences*, at most a tenth of the machine's memory."""
    most = history_bytes()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not known on Windows
        return most
    return min(most, int(MEMORY_SHARE * memory))


def arrays_in(thing: Any) -> dict[int, int]:
    """Return the memory behind every array that a thing holds: bytes by the identity of their owner, each once.

    Files that are mapped into memory and Dask arrays hold none.

    Examples
    --------
    >>> values = np.zeros((10, 10))
    >>> sum(arrays_in({"all": values, "some": values[:3], "more": [values]}).values())
    800
    """
    found: dict[int, int] = {}
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, np.ndarray):
            owner = owner_of(one)
            if not isinstance(owner, np.memmap):
                found[id(owner)] = owner.nbytes
        elif _is_table(one):
            found[id(one)] = int(one.memory_usage(index=False).sum())
        else:
            waiting.extend(_parts(one))
    return found


def _is_table(thing: Any) -> bool:
    # who has never imported pandas has no table
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(thing, pandas.DataFrame)


def owner_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array whose memory this one looks at; itself, if it has its own."""
    while not isinstance(array, np.memmap) and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def held_by(layers: Iterable[Any]) -> set[int]:
    """Return the owners of the data of layers, as `arrays_in` names them: memory that is the viewer's anyway."""
    return {owner for layer in layers for owner in arrays_in(layer.data)}


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (tuple, list, set, frozenset)):
        if thing and not isinstance(next(iter(thing)), (int, float, str, bool)):
            yield from thing
    elif is_dataclass(thing) or type(thing).__module__.startswith(OURS):
        yield from getattr(thing, "__dict__", {}).values()
