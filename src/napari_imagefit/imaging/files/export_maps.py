"""What is written of a result: its maps by name, and how they lie in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from ..fitting.derived_maps import DerivedMap
from ..fitting.units import parse_unit, symbol

# Names of the axes of a grid, the last ones.
AXES = "tzyx"


@dataclass(frozen=True, eq=False)
class Map:
    """One map.

    Attributes
    ----------
    name : str
        As a column of `FitResult.to_dataframe`: ``"tau"``, ``"tau_stderr"``, ``"reduced_chi2"``.
    values : array, ``(*grid,)``
        float32 with NaN where there is no answer, or an integer type.
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


@dataclass(frozen=True)
class Axis:
    """One axis of the grid: ``position = scale * index + translate``.

    Attributes
    ----------
    name : str
        One of `AXES`.
    unit : str
        Of pint, short; ``"px"`` for pixels, ``""`` where it is not known.
    """

    name: str
    scale: float = 1.0
    translate: float = 0.0
    unit: str = ""

    def to(self, unit: str) -> Self | None:
        """The same in another unit; None if it is of another kind."""
        import pint

        try:
            factor = float((1 * parse_unit(self.unit)).to(parse_unit(unit)).magnitude)
        except (ValueError, pint.DimensionalityError):
            return None
        return type(self)(self.name, self.scale * factor, self.translate * factor, unit)


def axes_of(result: FitResult, transform: Mapping[str, Any] | None) -> tuple[Axis, ...]:
    """The axes of the grid.

    `transform` may have ``scale``, ``translate`` and ``units`` (texts or pint's), as a napari layer of the maps has, or
    as one of the stack, whose fitted axis is then left out.

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
    if count > len(AXES):
        raise FitInputError(f"the grid of fits has {count} axes, but files hold at most {len(AXES)}; write a table")
    transform = transform or {}
    names = AXES[len(AXES) - count :]
    columns: dict[str, list[Any]] = {
        "scale": [float(v) for v in transform.get("scale", [1.0] * count)],
        "translate": [float(v) for v in transform.get("translate", [0.0] * count)],
        "units": [_unit(v) for v in transform.get("units") or [""] * count],
    }
    for what, values in columns.items():
        if len(values) == count + 1:
            del values[result.recipe()["axis"]]
        if len(values) != count:
            raise FitInputError(
                f"the {what} of the transform has {len(values)} values, but the grid of fits has {count} axes; "
                "give one each"
            )
    if not all(np.isfinite(v) and v != 0 for v in columns["scale"]):
        raise FitInputError(f"the scale is {columns['scale']}; give numbers other than 0")
    rows = zip(names, columns["scale"], columns["translate"], columns["units"], strict=True)
    return tuple(Axis(name, float(scale), float(shift), str(unit)) for name, scale, shift, unit in rows)


def _unit(said: Any) -> str:
    if said is None or str(said) in ("", "dimensionless"):
        return ""
    try:
        return symbol(parse_unit(str(said)))
    except ValueError:
        raise FitInputError(f"{said!r} is not a unit of an axis; give one such as 'µm', or leave units out") from None
