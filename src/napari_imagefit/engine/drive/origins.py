"""Single precision for coordinates far from 0: they are counted from the least of them before they are rounded.

So are the positions along them, which are put back in the end; see `models.origins`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.grid_coordinates import LatticeCoordinate
from ..core.types import Floats
from ..models.origins import origins_of, positions_along
from .problem import Problem


@dataclass(frozen=True)
class Moved:
    """A problem whose coordinates are counted from other origins.

    Attributes
    ----------
    problem : Problem
    origins : dict
        For each parameter that is a position, ``(1,)`` or ``(n_fits,)``.
    lower, upper : arrays
        The bounds as they were said.
    """

    problem: Problem
    origins: dict[int, Floats]
    lower: Floats
    upper: Floats

    def give_back(self, *arrays: NDArray[Any]) -> None:
        """Add the origins to parameters ``(n_params, n_fits)``; rounding leads to no other value than was fixed."""
        for params in arrays:
            for i, origin in self.origins.items():
                params[i] = np.clip(params[i] + origin, self.lower[i], self.upper[i])


def near_origins(problem: Problem, shared: Sequence[int] = ()) -> Moved | None:
    """Return the problem with coordinates that single precision holds; None where it holds them as they are.

    A position that is among the `shared` parameters is one number for all fits, and so is its origin.
    """
    if problem.options.dtype != "float32":
        return None
    found = {axis: o for axis, c in enumerate(problem.coords) if (o := origins_of(c)) is not None}
    places = positions_along(problem.model, tuple(found))
    if not places:
        return None
    for axis in places:
        if not set(places[axis]).isdisjoint(shared):
            found[axis] = np.median(found[axis], keepdims=True)
    coords = tuple(_less(c, found[axis]) if axis in places else c for axis, c in enumerate(problem.coords))
    origins = {i: found[axis] for axis, positions in places.items() for i in positions}
    start, lower, upper, asked = (
        None if table is None else _moved(table, origins)
        for table in (problem.start, problem.lower, problem.upper, problem.asked)
    )
    less = replace(problem, coords=coords, start=start, lower=lower, upper=upper, asked=asked)  # type: ignore[arg-type]
    return Moved(less, origins, problem.lower, problem.upper)


def _less(coordinate: Any, origin: Floats) -> Any:
    if isinstance(coordinate, LatticeCoordinate):
        return replace(coordinate, values=coordinate.values - origin[0])
    return coordinate - origin


def _moved(table: Floats, origins: dict[int, Floats]) -> Floats:
    """Return starts or bounds ``(n_params, 1)`` or ``(n_params, n_fits)`` for the other origins."""
    width = max(table.shape[1], *(origin.size for origin in origins.values()))
    full = np.array(np.broadcast_to(table, (len(table), width)))
    for i, origin in origins.items():
        full[i] -= origin
    return full
