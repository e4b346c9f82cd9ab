"""Filters of spots: ranges of columns, each of which gives the spots that it rejects a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError


@dataclass(frozen=True)
class SpotFilter:
    """A range of a column; spots beyond it, or without a value, do not count.

    Attributes
    ----------
    column : str
        As the table of spots has it, unit included.
    low, high : float
        Both ends count; infinite where the range has none.

    Raises
    ------
    FitInputError
        If the range is empty.

    Examples
    --------
    >>> SpotFilter("sigma [px]", 0.8, 2).words
    'sigma [px] from 0.8 to 2'
    """

    column: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise FitInputError(
                f"The filter of {self.column!r} goes from {self.low:g} to {self.high:g}, where nothing lies; "
                "give a lower end that is not above the upper one."
            )

    @property
    def words(self) -> str:
        """The range in words."""
        if math.isinf(self.low):
            return f"{self.column} any" if math.isinf(self.high) else f"{self.column} up to {self.high:.6g}"
        if math.isinf(self.high):
            return f"{self.column} from {self.low:.6g}"
        return f"{self.column} from {self.low:.6g} to {self.high:.6g}"

    def passes(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return which values lie within the range; NaN never does."""
        found = np.asarray(values, dtype=float)
        with np.errstate(invalid="ignore"):
            return np.asarray((found >= self.low) & (found <= self.high))

    def recipe(self) -> dict[str, Any]:
        """Return the range for a recipe; ends that are infinite are left out."""
        ends = {"low": self.low, "high": self.high}
        return {"column": self.column, **{name: end for name, end in ends.items() if not math.isinf(end)}}

    @classmethod
    def of_recipe(cls, said: Any) -> SpotFilter:
        """Return the filter of a recipe.

        Raises
        ------
        FitInputError
            If it is no filter.
        """
        if not isinstance(said, Mapping) or not isinstance(said.get("column"), str):
            raise FitInputError(f'a filter in the recipe is {said!r}; give {{"column": "sigma", "low": 1}}')
        for name, end in said.items():
            if name not in ("column", "low", "high"):
                raise FitInputError(f"a filter in the recipe has {name!r}; it may have column, low and high")
            if name != "column" and (isinstance(end, bool) or not isinstance(end, (int, float))):
                raise FitInputError(f"{name} of a filter in the recipe is {end!r}; give a number")
        return cls(said["column"], float(said.get("low", -math.inf)), float(said.get("high", math.inf)))


def judge(table: Any, filters: Sequence[SpotFilter]) -> NDArray[np.object_]:
    """Return why each row of a table does not count, ``(N,)``; empty where all filters let it pass.

    Parameters
    ----------
    table : DataFrame, or mapping of columns
    filters : sequence of SpotFilter
        The first that does not let a row pass is its reason. Columns that the table lacks let all pass: another model
        has other parameters.

    Examples
    --------
    >>> judge({"sigma": np.array([0.5, 1.0, np.nan])}, [SpotFilter("sigma", low=0.8)]).tolist()
    ['filtered out: sigma 0.5 is below 0.8', '', 'filtered out: sigma has no value']
    """
    columns = list(table)
    n = len(table[columns[0]]) if columns else 0
    reasons = np.full(n, "", object)
    for one in filters:
        if one.column not in columns:
            continue
        values = np.asarray(table[one.column], dtype=float)
        for row in np.flatnonzero(~one.passes(values) & (reasons == "")):
            value = values[row]
            if np.isnan(value):
                words = "has no value"
            elif value < one.low:
                words = f"{value:.4g} is below {one.low:.6g}"
            else:
                words = f"{value:.4g} is above {one.high:.6g}"
            reasons[row] = f"filtered out: {one.column} {words}"
    return reasons
