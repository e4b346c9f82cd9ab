"""Signs for magnitudes of a signal that goes through 0, which a guess for signed data needs."""

from __future__ import annotations

import math

from ..engine.core.array_module import xp
from ..engine.core.types import Array
from .estimate import Regression, add_each, ratio
from .separable import falling

# What signs must leave unexplained by one exponential, in parts of what is left without them.
CLEARER = 0.5
# The part of their range that data must have risen by at the end: those that only fall are no recovery.
RISEN = 0.1


def unfolded(t: Array, data: Array, weights: Array) -> Array:
    """Return data with their signs, where they look like magnitudes of a signal that recovers from below 0.

    Else as they are.

    They do where none is negative, they rise after the smallest, and one exponential through 0 next to it explains them
    far better once those before it are negative. The smallest lies on either side of 0: it is given the sign with which
    more is explained.
    """
    used = weights > 0
    least = xp.min(xp.where(used, data, xp.inf), axis=0)
    turn = xp.min(xp.where(used & (data <= least), t, xp.inf), axis=0)
    most = xp.max(xp.where(used, data, -xp.inf), axis=0)
    turn, low = (xp.where(xp.isfinite(value), value, 0) for value in (turn, least))

    def left(values: Array, zero: Array) -> Array:
        regression = Regression.of(values, weights)
        (spread,) = add_each(regression.product * (values - regression.mean))
        return spread - regression.on(falling(t, math.log(2) / xp.where(zero > 0, zero, 1))).gain

    def through_zero(beside: Array) -> Array:
        """Return the zero of the line from the smallest magnitude, sign changed, to that at its neighbour's time."""
        there = xp.isfinite(beside)
        height = xp.max(xp.where(used & (t == beside), data, 0), axis=0)
        return turn + xp.where(there, beside - turn, 0.0) * ratio(low, low + height)

    before = through_zero(xp.max(xp.where(used & (t < turn), t, -xp.inf), axis=0))
    after = through_zero(xp.min(xp.where(used & (t > turn), t, xp.inf), axis=0))
    rising, falling_yet = xp.where(used & (t < turn), -data, data), xp.where(used & (t <= turn), -data, data)
    one, other = left(rising, before), left(falling_yet, after)
    last = xp.max(xp.where(used, t, -xp.inf), axis=0)
    end = xp.max(xp.where(used & (t >= last), data, -xp.inf), axis=0)
    risen = (turn > 0) & (end - least > RISEN * (most - least))
    folded = (
        (least >= 0) & risen & (xp.minimum(one, other) < CLEARER * xp.minimum(left(data, before), left(data, after)))
    )
    return xp.where(folded, xp.where(other < one, falling_yet, rising), data)
