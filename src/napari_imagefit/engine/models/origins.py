"""Coordinates far from 0, of which single precision keeps few digits: which models may count them from elsewhere.

A model allows another origin along an axis where it depends on the distance from its own positions alone: these are
counted from there, too. Of another model coordinates that rounding would change are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.columns import Columns
from ..core.errors import FitInputError
from ..core.options import Options
from ..core.types import Floats
from .model import Model, roles_of
from .prediction import is_far, values_of

# Parameter values at which a model is tried.
TRIED = (0.71, 1.37)
# The part of their range that rounding may change coordinates by: of a peak over a tenth of it with a noise of 1 %
# that moves the centre by a third of its error; five times as much, and half of the fits are singular.
MOST_ROUNDING = 1e-4
# Coordinates at which it is tried whether a model allows another origin, and how far off it is.
PLACES, STEP = np.linspace(-1.3, 1.9, 11), 0.8


def check_digits(model: Model, coords: Sequence[Any], options: Options) -> None:
    """Refuse coordinates of which single precision keeps too few digits, where the model allows no other origin.

    Raises
    ------
    FitInputError
        With the coordinate, and what it would be rounded to.
    """
    if options.dtype != "float32":
        return
    axes = tuple(axis for axis, c in enumerate(coords) if not isinstance(c, Columns) and _coarse(c) is not None)
    allowed = positions_along(model, axes)
    for axis in axes:
        if axis not in allowed:
            low, high = _coarse(coords[axis])  # type: ignore[misc]
            step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
            raise FitInputError(
                f"the coordinates of axis {axis} must be told apart in single precision, got {low:.10g} to "
                f"{high:.10g}, which it rounds to multiples of {step:g}; take dtype='float64', or count them from an "
                "origin nearby"
            )


def origins_of(coordinate: Any) -> Floats | None:
    """Return the least coordinate of each fit, 0 where it is not far from 0; None where none is.

    It does not depend on the other fits.
    """
    if isinstance(coordinate, Columns):
        return None
    low, high = _ends(coordinate)
    away = is_far(low, high)
    return np.where(away, low, 0.0) if away.any() else None


def positions_along(model: Model, axes: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return the positions along those of some axes along which another origin changes nothing.

    What the model says of its parameters is tried.
    """
    along = {axis: tuple(i for i, a in roles_of(model).positions if a == axis) for axis in axes}
    return {axis: positions for axis, positions in along.items() if positions and _moves(model, axis, positions)}


def tried_of(model: Model) -> Floats:
    """Return values between the bounds of the parameters, which no formula is likely to be special at, ``(n, 2)``."""
    return np.array([[_inside(model, i, value) for value in TRIED] for i in range(len(model.names))])


def _coarse(coordinate: Any) -> tuple[float, float] | None:
    """Return the least and the largest coordinate of the first fit whose coordinates rounding would change."""
    low, high = _ends(coordinate)
    with np.errstate(over="ignore"):
        step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32)).astype(np.float64)
    wrong = np.flatnonzero(~(0.5 * step <= MOST_ROUNDING * (high - low)) & (high > low))
    return (float(low[wrong[0]]), float(high[wrong[0]])) if wrong.size else None


def _ends(coordinate: Any) -> tuple[Floats, Floats]:
    """Return the least and the largest of each fit, ``(N,)``, or of all, ``(1,)``."""
    return np.atleast_1d(coordinate.min(axis=0)), np.atleast_1d(coordinate.max(axis=0))


def _moves(model: Model, axis: int, positions: tuple[int, ...]) -> bool:
    """Whether the model has the same values where coordinates and positions have been moved alike."""
    coords = [np.roll(PLACES, 3 * a)[:, None] for a in range(model.ndim)]
    at = tried_of(model)
    there = [c + STEP if a == axis else c for a, c in enumerate(coords)]
    moved = at + STEP * np.isin(np.arange(len(at)), positions)[:, None]
    here, values = (values_of(model, tuple(c), p, Options(device="cpu")) for c, p in ((coords, at), (there, moved)))
    with np.errstate(invalid="ignore"):
        return bool((np.abs(values - here) <= 1e-9 * (1 + np.abs(here))).all() and np.ptp(here) > 0)


def _inside(model: Model, i: int, value: float) -> float:
    """Return a value between the bounds of a parameter."""
    lower, upper = model.parameters[i].lower, model.parameters[i].upper
    if np.isfinite(upper - lower):
        return float(lower + (upper - lower) * value / 2)
    return float(min(max(value + 0.01 * i, lower + value), upper - value if np.isfinite(upper) else np.inf))
