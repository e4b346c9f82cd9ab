"""Drawing of a model at its starts, and the starts that follow from a drag: numbers, no window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ...engine.core.options import Options
from ...engine.core.types import Floats
from ...engine.models.handles import Centre, Ellipse, Height, Width
from ...engine.models.model import Model
from ...engine.models.prediction import values_of

Values = Mapping[str, float]
Line = Centre | Width | Height

BEYOND = 1.4  # half axes from the centre to the grip of an angle


class Grip(NamedTuple):
    """A point at which an ellipse is taken hold of.

    Attributes
    ----------
    what : {"centre", "along", "across", "angle"}
        The centre, the end of one of its axes, or its direction.
    names : tuple of str
        The parameters that it sets.
    at : (float, float)
        ``(y, x)``, in the coordinates of the fit.
    """

    ellipse: Ellipse
    what: Literal["centre", "along", "across", "angle"]
    names: tuple[str, ...]
    at: tuple[float, float]


@dataclass(frozen=True)
class Limits:
    """The least and the most that a start may be, by name."""

    lower: Values
    upper: Values

    def turned(self, name: str, angle: float) -> float:
        """Return an angle after half turns that lead inside the bounds, if any do.

        Examples
        --------
        >>> round(Limits({"theta": 0.0}, {"theta": 3.2}).turned("theta", -0.1), 3)
        3.042
        """
        turns = (angle, angle + math.pi, angle - math.pi)
        return next((one for one in turns if self.lower[name] <= one <= self.upper[name]), angle)

    def within(self, name: str, value: float, step: float) -> float:
        """Return a value on multiples of a step, and inside the bounds; a drag beyond one stops at it.

        Where it must be above 0, it is a step at least.

        Examples
        --------
        >>> limits = Limits({"sigma": 0.0}, {"sigma": 9.0})
        >>> limits.within("sigma", 3.14159, 0.1), limits.within("sigma", -1, 0.1), limits.within("sigma", 99, 0.1)
        (3.1, 0.1, 9.0)
        """
        lower, upper = self.lower[name], self.upper[name]
        if lower == 0:
            lower = min(step, upper)
        return min(max(rounded(value, step), lower), upper)


def rounded(value: float, step: float) -> float:
    """Return a number to the decimal place of a step, so that it reads well.

    Examples
    --------
    >>> rounded(12.3456, 0.03), rounded(12345.6, 20)
    (12.35, 12350.0)
    """
    if not (math.isfinite(value) and step > 0):
        return value
    return round(value, -math.floor(math.log10(step)))


def grips_of(ellipse: Ellipse, values: Values) -> list[Grip]:
    """Return the grips of an ellipse: none where it has no position, its centre where it has no widths."""
    y, x = (values.get(name, math.nan) for name in ellipse.centre)
    if not np.isfinite([y, x]).all():
        return []
    found = [Grip(ellipse, "centre", ellipse.centre, (y, x))]
    axes = _axes(ellipse, values)
    if axes is None:
        return found
    across, along = axes
    found.append(Grip(ellipse, "along", (ellipse.widths[1],), (y + along[0], x + along[1])))
    if not ellipse.is_round:
        found.append(Grip(ellipse, "across", (ellipse.widths[0],), (y + across[0], x + across[1])))
    if ellipse.angle:
        found.append(Grip(ellipse, "angle", (ellipse.angle,), (y + BEYOND * along[0], x + BEYOND * along[1])))
    return found


def outline_of(ellipse: Ellipse, values: Values, count: int) -> Floats:
    """Return points ``(count, 2)`` of an ellipse, of which the first is the last again; none without widths."""
    axes = _axes(ellipse, values)
    centre = np.array([values.get(name, math.nan) for name in ellipse.centre])
    if axes is None or not np.isfinite(centre).all():
        return np.empty((0, 2))
    turn = np.linspace(0, 2 * np.pi, count)[:, None]
    return np.asarray(centre + np.cos(turn) * np.array(axes[1]) + np.sin(turn) * np.array(axes[0]))


def _axes(ellipse: Ellipse, values: Values) -> tuple[Floats, Floats] | None:
    """Return the half axes ``(y, x)``, across and along; None where they are no numbers."""
    if not all(ellipse.widths):
        return None
    across, along = (abs(values.get(name, math.nan)) for name in ellipse.widths)
    angle = values.get(ellipse.angle, math.nan) if ellipse.angle else 0.0
    if not np.isfinite([across, along, angle]).all():
        return None
    sine, cosine = math.sin(angle), math.cos(angle)
    return across * np.array([cosine, -sine]), along * np.array([sine, cosine])


def dragged(grip: Grip, values: Values, to: tuple[float, float]) -> dict[str, float]:
    """Return what its parameters are where a grip is dragged to, ``(y, x)``.

    Examples
    --------
    >>> ellipse = Ellipse(("y", "x"), ("s", "s"))
    >>> centre, width = grips_of(ellipse, {"y": 1.0, "x": 2.0, "s": 3.0})
    >>> dragged(centre, {}, (5.0, 6.0)), dragged(width, {"y": 1.0, "x": 2.0}, (1.0, 9.0))
    ({'y': 5.0, 'x': 6.0}, {'s': 7.0})
    """
    if grip.what == "centre":
        return dict(zip(grip.names, to, strict=True))
    (name,), ellipse = grip.names, grip.ellipse
    dy, dx = (end - values[of] for end, of in zip(to, ellipse.centre, strict=True))
    if ellipse.is_round:
        return {name: math.hypot(dy, dx)}
    angle = values[ellipse.angle] if ellipse.angle else 0.0
    if grip.what == "angle":
        # of equal angles the nearest, in (−90°, 90°] where nothing else is near
        found = math.atan2(dy, dx)
        return {name: found - math.pi * math.ceil(found / math.pi - 0.5)}
    sine, cosine = math.sin(angle), math.cos(angle)
    away = dx * cosine + dy * sine if grip.what == "along" else dy * cosine - dx * sine
    return {name: abs(away)}


def line_at(line: Line, model: Model, values: Values, ends: tuple[float, float]) -> float:
    """Return where a line over a curve lies: its x where it is vertical, its y where it is horizontal.

    Parameters
    ----------
    ends : (float, float)
        The coordinates of the first and the last sample.
    """
    value = values.get(line.parameter, math.nan)
    if isinstance(line, Centre):
        return value
    if isinstance(line, Width):
        away = (1 / value if value else math.inf) if line.inverse else value
        return _from(line, values, ends) + away
    if not line.at:
        return value + (values.get(line.above, math.nan) if line.above else 0.0)
    return _height(line, model, values, ends, [value])[0]


def value_at(line: Line, model: Model, values: Values, ends: tuple[float, float], to: float) -> float:
    """Return what a line's parameter is where the line lies at `to`; NaN where no value leads there."""
    if isinstance(line, Centre):
        return to
    if isinstance(line, Width):
        away = abs(to - _from(line, values, ends))
        return (1 / away if away else math.nan) if line.inverse else away
    if not line.at:
        return to - (values.get(line.above, math.nan) if line.above else 0.0)
    none, one = _height(line, model, values, ends, [0.0, 1.0])
    return (to - none) / (one - none) if one != none else math.nan


def _from(line: Width, values: Values, ends: tuple[float, float]) -> float:
    return values.get(line.centre, math.nan) if line.centre else ends[0]


def _height(
    line: Height, model: Model, values: Values, ends: tuple[float, float], tried: Sequence[float]
) -> list[float]:
    """Return the curve's value where a height is seen, for some values of its parameter."""
    place = {"first": ends[0], "last": ends[1]}.get(line.at)
    place = values.get(line.at, math.nan) if place is None else place
    there = {name: 0.0 if name in line.without else values.get(name, math.nan) for name in model.names}
    params = np.array([[there[name]] * len(tried) for name in model.names])
    params[model.index(line.parameter)] = tried
    return [float(value) for value in values_of(model, (np.array([[place]]),), params, Options(device="cpu"))[0]]
