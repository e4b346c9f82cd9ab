"""Offsets that single precision would round away, subtracted before a fit and added back after it."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from .level_removal import Levelled, without_levels
from .origins import Moved, near_origins
from .problem import Problem


class Eased(NamedTuple):
    """A problem that single precision is enough for, as far as origins and levels can make it so."""

    problem: Problem
    parts: tuple[Moved | Levelled, ...]

    def give_back(self, *arrays: NDArray[Any]) -> None:
        """Put parameters ``(n_params, n_fits)`` back to where the problem had them."""
        for part in self.parts:
            part.give_back(*arrays)


def eased(problem: Problem, shared: tuple[int, ...] = ()) -> Eased:
    """Return a problem as it is computed; `shared` are the parameters that all fits have in common."""
    parts: tuple[Moved | Levelled, ...] = ()
    moved = near_origins(problem, shared)
    if moved is not None:
        problem, parts = moved.problem, (moved,)
    levelled = without_levels(problem, shared)
    if levelled is not None:
        problem, parts = levelled.problem, (*parts, levelled)
    return Eased(problem, parts)
