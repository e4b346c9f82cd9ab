"""Starts, bounds, fixed values, ties and shared parameters from the parameter table; units of what is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.drive.parameter_arrays import check_parameters
from ...engine.functions.parameter import Parameter
from ...engine.models.model import Model
from ...imaging.fitting.run import Settings
from .choices import Row

if TYPE_CHECKING:
    from napari.layers import Layer

# a layer's value at each fit, and which of the fits are wanted
Lookup = Callable[["Layer"], NDArray[np.float64]]


def parameter_settings(
    model: Model, rows: Sequence[Row], lookup: Lookup | None = None, chosen: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Return the parameter table as ``init``, ``bounds``, ``fixed``, ``tied`` and ``shared``.

    Parameters
    ----------
    lookup : callable, optional
        A layer's values on the grid of fits, where parameters may be taken from layers.
    chosen : bool array, optional
        The fits of the grid that are wanted; all if not given.

    Raises
    ------
    FitInputError
        If a bound, a start or an expression makes no sense, what is shared is no one value, or nothing is left free.
    """
    init: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    tied: dict[str, str] = {}
    own = dict(zip(model.names, model.parameters, strict=True))
    shared = [row.name for row in rows if row.shared]
    for row in rows:
        if row.shared:
            _check_shared(row)
        if row.tied:
            if row.fixed:
                raise FitInputError(f"{row.name!r} is tied and also fixed; clear one or the other.")
            tied[row.name] = row.tied
            continue
        value = row.start
        if value is not None and not isinstance(value, (int, float)):
            value = _from_layer(row, value, lookup, chosen)
        if row.fixed and value is None:
            raise FitInputError(f"{row.name!r} is to be fixed but has no value; type one under Start.")
        if not row.fixed and (pair := _bounds_of(row, own[row.name])) is not None:
            bounds[row.name] = pair
        if value is not None:
            (fixed if row.fixed else init)[row.name] = value
    fitted, _ = Settings(tied=tied).model(model)
    n_fits = max((np.size(value) for value in (*init.values(), *fixed.values())), default=1)
    if n_fits > 1 and chosen is not None:
        n_fits = int(np.count_nonzero(chosen))
    check_parameters(
        fitted,
        {name: _wanted(value, chosen) for name, value in init.items()},
        bounds,
        {name: _wanted(value, chosen) for name, value in fixed.items()},
        n_fits=n_fits,
    )
    return {"init": init, "bounds": bounds, "fixed": fixed, "tied": tied, "shared": shared}


def _bounds_of(row: Row, parameter: Parameter) -> tuple[float, float] | None:
    """Return the bounds of a row, None where they are the model's own."""
    lower = parameter.lower if row.lower is None else row.lower
    upper = parameter.upper if row.upper is None else row.upper
    if not lower < upper:
        raise FitInputError(
            f"The lower bound {lower:g} of {row.name!r} is not below its upper bound {upper:g}; "
            "change one of them, or tick Fix to hold the parameter."
        )
    return None if (lower, upper) == (parameter.lower, parameter.upper) else (lower, upper)


def _check_shared(row: Row) -> None:
    for what, is_so in (("tied", bool(row.tied)), ("fixed", row.fixed)):
        if is_so:
            raise FitInputError(f"{row.name!r} is {what} and also shared; clear one or the other.")
    if row.start is not None and not isinstance(row.start, (int, float)):
        raise FitInputError(
            f"{row.name!r} is shared, but its start is taken from layer {row.start.name!r}, which has one for each "
            "fit; type a number, or clear the cell."
        )


def _from_layer(row: Row, layer: Layer, lookup: Lookup | None, chosen: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    if lookup is None:
        raise FitInputError(
            f"{row.name!r} is to be taken from layer {layer.name!r}, which is for voxels; type a number, or fit voxels."
        )
    values = lookup(layer)
    wanted = values if chosen is None else values[chosen]
    finite = np.isfinite(wanted)
    if not finite.any():
        raise FitInputError(f"Layer {layer.name!r} has no value where {row.name!r} is to be taken from it.")
    if not row.fixed:
        # a start is but a start: where the map has a gap, its median
        return np.where(np.isfinite(values), values, np.median(wanted[finite]))
    if not finite.all():
        raise FitInputError(
            f"Layer {layer.name!r} has no value at {int(np.count_nonzero(~finite))} of the {finite.size} voxels that "
            f"{row.name!r} is fixed in; choose a smaller region, or fill its gaps."
        )
    return values


def _wanted(value: Any, chosen: NDArray[np.bool_] | None) -> Any:
    if np.ndim(value) == 0:
        return value
    return (value if chosen is None else value[chosen]).reshape(-1)


def parameter_units(model: Model, axes: Sequence[str]) -> dict[str, str]:
    """Return the unit of every parameter, ``""`` where it is not known or there is none.

    Parameters
    ----------
    axes : sequence of str
        The unit of each coordinate.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> parameter_units(models["exponential_decay"], ["ms"])
    {'amplitude': '', 'tau': 'ms', 'offset': ''}
    """
    common = axes[0] if len(set(axes)) == 1 else ""
    meaning = {"coord": common, "rad": "rad", **{f"coord{i}": unit for i, unit in enumerate(axes)}}
    inverse = {f"1/{name}": f"1/{_in_brackets(unit)}" for name, unit in meaning.items() if unit}
    return {p.name: (meaning | inverse).get(p.unit, "") for p in model.parameters}


def _in_brackets(unit: str) -> str:
    return f"({unit})" if "/" in unit or "*" in unit or " " in unit else unit
