"""Places as runs ``[first, length]``, by which a recipe says which pixels and frames are meant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError

Indices = NDArray[np.intp]


def runs_of(places: Indices) -> list[list[int]]:
    """Return ascending indices as runs ``[first, length]``.

    Examples
    --------
    >>> runs_of(np.array([3, 4, 5, 9]))
    [[3, 3], [9, 1]]
    """
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    firsts = np.concatenate([[0], breaks]).astype(np.intp)
    lengths = np.diff(np.append(firsts, places.size))
    return [[int(places[first]), int(length)] for first, length in zip(firsts, lengths, strict=True) if length]


def from_runs(said: Any, size: int | None, what: str) -> Indices:
    """Return ascending indices from runs, below a size if there is one.

    Raises
    ------
    FitInputError
        If they are no runs, or not in order.
    """
    if not isinstance(said, list) or not said or not all(isinstance(run, list) and len(run) == 2 for run in said):
        raise FitInputError(f"{what} must be a list of runs [first, length], got {said!r}")
    runs = [whole_numbers(run, what, least=0) for run in said]
    places = np.concatenate([np.arange(first, first + length, dtype=np.intp) for first, length in runs])
    if not places.size or (np.diff(places) <= 0).any() or (size is not None and places[-1] >= size):
        raise FitInputError(
            f"{what} must be ascending and {'within its shape' if size else 'at least one'}, got {said!r}"
        )
    return places


def whole_numbers(said: Any, what: str, least: int) -> tuple[int, ...]:
    """Return a list of whole numbers from JSON.

    Raises
    ------
    FitInputError
        If it is none, or one is below the least.
    """
    numbers = said if isinstance(said, list) else [None]
    if any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in numbers):
        raise FitInputError(f"{what} must be whole numbers from {least} on, got {said!r}")
    return tuple(numbers)
