"""Maps of a result that are written, by name, and their position in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from ..fitting.derived_maps import DerivedMap
from .placement import GRID_AXES, Placement


@dataclass(frozen=True, eq=False)
class Map:
    """One map.

    Attributes
    ----------
    name : str
        As a column of `FitResult.to_dataframe`: ``"tau"``, ``"tau_stderr"``, ``"reduced_chi2"``.
    values : array, ``(*grid,)``
        float32 with NaN where there is no result, or an integer type.
    unit : str
    """

    name: str
    values: NDArray[Any]
    unit: str = ""

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


def iter_maps(result: FitResult, units: Mapping[str, str], derived: Sequence[DerivedMap] = ()) -> Iterator[Map]:
    """Parameters, their errors, expressions, goodness, and how each fit ended."""

    def single(values: Any) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)

    for name in result.model.names:
        yield Map(name, single(result.params[name]), units.get(name, ""))
    for name in result.model.names:
        yield Map(f"{name}_stderr", single(result.stderr[name]), units.get(name, ""))
    for one in derived:
        yield Map(one.expression, single(one.values), one.unit)
        yield Map(f"{one.expression}_stderr", single(one.stderr), one.unit)
    yield Map("reduced_chi2", single(result.reduced_chi2))
    yield Map("r2", single(result.r2))
    yield Map("n_used", np.asarray(result.n_used, np.int32))
    yield Map("status", np.asarray(result.status, np.int16))
    yield Map("attempt", np.asarray(result.attempt, np.int16))


def placement_of(result: FitResult, transform: Mapping[str, Any] | None) -> Placement:
    """Return the placement of the maps of a result; `transform` as `Placement.of` takes it.

    Raises
    ------
    FitInputError
        If the fits are not of voxels, the grid has more axes than files can name, or the transform does not go with it.
    """
    if result.recipe()["verb"] != "fit_voxels":
        raise FitInputError("the fits are not of voxels and make no map; write a table, as csv")
    count = len(result.shape)
    if not count:
        raise FitInputError("the result is of a single fit and has no maps; write a table, as csv")
    if count > len(GRID_AXES):
        raise FitInputError(
            f"the grid of fits has {count} axes, but files hold at most {len(GRID_AXES)}; write a table"
        )
    return Placement.of(transform, count, result.recipe()["axis"])
