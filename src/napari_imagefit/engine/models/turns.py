"""Angles: the turns after which a model is the same again, and which of its equivalent solutions is returned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ..core.array_module import xp
from ..core.fits import Fits
from ..core.types import Array, Booleans, Floats


@dataclass(frozen=True, slots=True)
class Turn:
    """An angle of a model, and the two widths that it turns.

    Attributes
    ----------
    angle : str
    period : float
        The turn after which the model is the same.
    widths : tuple of str or None
        Along the angle, and across it: after half a period the model is the same with the two exchanged.
    """

    angle: str
    period: float = math.pi
    widths: tuple[str, str] | None = None

    def renamed(self, names: Mapping[str, str]) -> Self | None:
        """Return the same under other names; without widths where these have none, None where the angle has none."""
        if self.angle not in names:
            return None
        widths = self.widths and tuple(names[name] for name in self.widths if name in names)
        pair = (widths[0], widths[1]) if widths and len(widths) == 2 else None
        return type(self)(names[self.angle], self.period, pair)


def renamed(turns: Sequence[Turn], names: Mapping[str, str]) -> tuple[Turn, ...]:
    """Return the turns that still hold under other names."""
    return tuple(one for turn in turns if (one := turn.renamed(names)) is not None)


class Branches(NamedTuple):
    """The two equivalent solutions, each ``(B,)``."""

    angle: Array  # with the widths as they are
    other: Array  # with the widths exchanged
    exchange: Array  # whether the other one is requested


def start_in_branch(
    turns: Sequence[Turn], names: Sequence[str], x: Array, asked: Array, lower: Array, upper: Array
) -> Array:
    """Guessed starts ``(n_params, B)`` in the branch given by bounds and starts; see `branches`."""
    for turn in turns:
        found = branches(turn, names, x, asked, lower, upper)
        rows = list(x)
        rows[names.index(turn.angle)] = xp.where(found.exchange, found.other, found.angle)
        if turn.widths is not None:
            along, across = (names.index(name) for name in turn.widths)
            rows[along] = xp.where(found.exchange, x[across], x[along])
            rows[across] = xp.where(found.exchange, x[along], x[across])
        x = xp.stack(rows)
    return x


def settle(turns: Sequence[Turn], names: Sequence[str], fits: Fits, asked: Array, lower: Array, upper: Array) -> None:
    """Move solutions to the branch that is returned, with everything that there is for each parameter.

    It is the one inside the bounds that is nearest to the starts that were given, or, without any, the one whose first
    width is the larger. Fixed parameters stay, and so do those at a bound that the other branch does not have.

    Parameters
    ----------
    asked : array, ``(n_params, 1 or N)``
        The starts that were given, NaN where there was none.
    lower, upper : arrays, ``(n_params, 1 or N)``
    """
    for turn in turns:
        at = names.index(turn.angle)
        with np.errstate(all="ignore"):
            found = branches(turn, names, fits.solution, asked, lower, upper, ordered=True)
        moves = (lower[at] < upper[at]) & (fits.at_bound[at] == 0) & np.isfinite(fits.solution[at])
        exchange = np.asarray(moves & found.exchange & _within(found.other, lower[at], upper[at]))
        if turn.widths is not None:
            pair = [names.index(name) for name in turn.widths]
            exchange &= _can_exchange(pair, fits, lower, upper)
            _exchange(pair, fits, np.flatnonzero(exchange))
        angle = np.where(_within(found.angle, lower[at], upper[at]), found.angle, fits.solution[at])
        angle = np.where(moves, np.where(exchange, found.other, angle), fits.solution[at])
        fits.params[at] = np.where(np.isnan(fits.params[at]), np.nan, angle)
        fits.solution[at] = angle


def branches(
    turn: Turn, names: Sequence[str], x: Array, asked: Array, lower: Array, upper: Array, *, ordered: bool = False
) -> Branches:
    """Return the two branches of points ``(n_params, B)``, and which of them is requested.

    First by the bounds, then by the distance from `asked` (angles in radians, widths by the logarithm of their
    ratio), then, if `ordered`, by having the larger width first.
    """
    at = names.index(turn.angle)
    angle = _turned(x[at], turn.period, asked[at], lower[at], upper[at])
    if turn.widths is None:
        return Branches(angle, angle, xp.zeros_like(angle, dtype=bool))
    other = _turned(x[at] + 0.5 * turn.period, turn.period, asked[at], lower[at], upper[at])
    along, across = (names.index(name) for name in turn.widths)
    size = xp.abs(x[along]) + xp.abs(x[across])

    def judge(angle: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """Return how far a solution is outside of the bounds, and how far from the requested one."""
        outside = _outside(angle, lower[at], upper[at])
        away = xp.where(xp.isnan(asked[at]), 0, angle - asked[at]) ** 2
        for i, width in ((along, first), (across, second)):
            outside = outside + _outside(width, lower[i], upper[i]) / size
            away = away + xp.where(xp.isnan(asked[i]), 0, xp.log(xp.abs(width / asked[i]))) ** 2
        return outside, away

    outside, away = judge(angle, x[along], x[across])
    outside_there, away_there = judge(other, x[across], x[along])
    was_asked = ~(xp.isnan(asked[at]) & xp.isnan(asked[along]) & xp.isnan(asked[across]))
    larger = xp.abs(x[along]) < xp.abs(x[across]) if ordered else xp.zeros_like(angle, dtype=bool)
    nearer = xp.where(was_asked, away_there < away, larger)
    return Branches(angle, other, xp.where(outside == outside_there, nearer, outside_there < outside))


def _turned(angle: Array, period: float, asked: Array, lower: Array, upper: Array) -> Array:
    """Return an angle ``(B,)`` within half a period of the requested one, or of 0, if the bounds allow it."""
    middle = xp.where(xp.isnan(asked), 0, asked)
    turns = xp.ceil((angle - middle) / period - 0.5)
    # rounding may have led to the other end
    turns = turns + xp.where(angle - turns * period > middle + 0.5 * period, 1, 0)
    turns = turns - xp.where(angle - turns * period <= middle - 0.5 * period, 1, 0)
    least, most = xp.ceil((angle - upper) / period), xp.floor((angle - lower) / period)
    nearest = xp.round((angle - 0.5 * (lower + upper)) / period)
    turns = xp.where(least <= most, xp.minimum(xp.maximum(turns, least), most), nearest)
    return xp.where(turns == 0, angle, angle - turns * period)


def _outside(x: Array, lower: Array, upper: Array) -> Array:
    return xp.maximum(xp.maximum(lower - x, x - upper), 0)


def _within(x: Array, lower: Array, upper: Array) -> Booleans:
    return np.asarray((x >= lower) & (x <= upper))


def _can_exchange(pair: Sequence[int], fits: Fits, lower: Floats, upper: Floats) -> Booleans:
    """Whether two widths may be exchanged: both are free, and each has the bounds of the other if it is at one."""
    one, other = pair
    free = (lower[one] < upper[one]) & (lower[other] < upper[other])
    alike = (lower[one] == lower[other]) & (upper[one] == upper[other])
    inside = [_within(fits.solution[i], lower[j], upper[j]) for i, j in ((one, other), (other, one))]
    return np.asarray(free & inside[0] & inside[1] & (alike | (fits.at_bound[pair] == 0).all(axis=0)))


def _exchange(pair: Sequence[int], fits: Fits, where: Array) -> None:
    rows, back = np.array(pair)[:, None], np.array(pair[::-1])[:, None]
    for table in (fits.params, fits.solution, fits.at_bound):
        table[rows, where] = table[back, where]
    order = np.arange(len(fits.params))
    order[list(pair)] = pair[::-1]
    fits.covariance[where] = fits.covariance[where][:, order[:, None], order]
