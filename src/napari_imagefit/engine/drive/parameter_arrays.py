"""Starts and bounds of the parameters as arrays, from numbers and arrays by name."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import FitInputError
from ..core.types import Bounds, Floats, Values
from ..core.validation import float_array
from ..functions.parameter import Parameter
from ..models.model import Model

Row = float | Floats  # of one parameter: the same for all fits, or one for each


def check_parameters(
    model: Model, init: Values, bounds: Bounds, fixed: Values, n_fits: int = 1, *, counts: bool = False
) -> None:
    """Check the settings of the parameters that need no data.

    Raises
    ------
    FitInputError
        As `Problem.build` does.
    """
    _, lower, upper = parameter_arrays(model, n_fits, init, bounds, fixed, counts=counts)
    if (lower == upper).all():
        raise FitInputError(f"all parameters of {model.name!r} are fixed; leave at least one free")


def own_lower(parameter: Parameter, *, counts: bool) -> float:
    """Return a parameter's lower bound where the caller gives none: of counts one in their unit is not negative."""
    least = parameter.lower
    return 0.0 if counts and parameter.unit == "data" and math.isinf(least) and parameter.upper > 0 else least


def parameter_arrays(
    model: Model, n_fits: int, init: Values, bounds: Bounds, fixed: Values, *, counts: bool
) -> tuple[Floats, Floats, Floats]:
    """Start, lower and upper, each ``(n_params, 1 or n_fits)``.

    With counts, parameters in the unit of the data are not negative unless the caller bounds them otherwise.
    """

    def row(what: str, name: str, value: ArrayLike) -> Row:
        if isinstance(value, float):
            return float(value)
        array = float_array(value, f"{what} of {name!r}, {value!r},").reshape(-1)
        if array.size not in (1, n_fits):
            raise FitInputError(
                f"{what} of {name!r} has {array.size} values; give one, or one for each of {n_fits} fits"
            )
        return array

    for name in (*init, *bounds, *fixed):
        model.index(name)
    starts, lowers, uppers = list[Row](), list[Row](), list[Row]()
    for parameter in model.parameters:
        name = parameter.name
        if name in fixed:
            if name in init or name in bounds:
                raise FitInputError(f"{name!r} is fixed and also has a start or bounds; give one or the other")
            low = high = row("the fixed value", name, fixed[name])
            _check_fixed(parameter, np.atleast_1d(low))
        else:
            pair = bounds.get(name, (own_lower(parameter, counts=counts), parameter.upper))
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise FitInputError(f"bounds of {name!r} are {pair!r}; give (lower, upper)")
            low, high = row("the lower bound", name, pair[0]), row("the upper bound", name, pair[1])
        starts.append(row("the start", name, init.get(name, math.nan)))
        lowers.append(low)
        uppers.append(high)
    given, lower, upper = _stack(starts), _stack(lowers), _stack(uppers)
    held = lower == upper
    start = np.where(held, lower, given)
    inside = ~((start < lower) | (start > upper))
    known = np.isfinite(given) if init else True
    # all at once; one by one where there is something to say
    if not ((lower <= upper) & ~(held & np.isinf(lower)) & inside & known).all():
        _check_each(model, init, given, start, lower, upper)
    return start, lower, upper


def _check_each(model: Model, init: Values, given: Floats, start: Floats, lower: Floats, upper: Floats) -> None:
    """Refuse the first parameter with a start or bounds that cannot be; a start that is to be guessed is NaN."""
    for name, own, begin, low, high in zip(model.names, given, start, lower, upper, strict=True):
        _check_order(name, low, high)
        if name in init and not np.isfinite(own).all():
            raise FitInputError(
                f"the start of {name!r} is not finite; give a number, or leave it out to have it guessed"
            )
        _check_inside(name, begin, low, high)


def _check_fixed(parameter: Parameter, values: Floats) -> None:
    name, least, most = parameter.name, parameter.lower, parameter.upper
    if not np.isfinite(values).all():
        raise FitInputError(f"the fixed value of {name!r} is not finite; give a number")
    if (wrong := values[(values < least) | (values > most)]).size:
        raise FitInputError(
            f"the fixed value {wrong[0]:g} of {name!r} is outside of what the model takes, [{least:g}, {most:g}]; "
            "give a value inside"
        )


def _check_order(name: str, low: Floats, high: Floats) -> None:
    if np.isnan(low).any() or np.isnan(high).any():
        raise FitInputError(f"a bound of {name!r} is NaN; give a number, or -inf or inf for none")
    wrong = low > high
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        lo, hi = np.broadcast_arrays(low, high)
        raise FitInputError(
            f"the lower bound {lo[at]:g} of {name!r} is above its upper bound {hi[at]:g}; exchange or change them"
        )
    if np.isinf(np.where(low == high, low, 0)).any():
        raise FitInputError(f"both bounds of {name!r} are infinite with the same sign; give finite numbers to fix it")


def _check_inside(name: str, start: Floats, low: Floats, high: Floats) -> None:
    outside = (start < low) | (start > high)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        b, lo, hi = np.broadcast_arrays(start, low, high)
        raise FitInputError(
            f"the start {b[at]:g} of {name!r} is outside its bounds [{lo[at]:g}, {hi[at]:g}]; "
            "move it inside or widen them"
        )


def _stack(rows: list[Row]) -> Floats:
    if all(type(row) is float for row in rows):
        return np.array(rows)[:, None]
    return np.stack(np.broadcast_arrays(*map(np.atleast_1d, rows)))
