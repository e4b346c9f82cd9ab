"""Signs for magnitudes of a signal that goes through 0, which a guess for signed data needs."""

from __future__ import annotations

import math

from ..engine.core.array_module import xp
from ..engine.core.types import Array
from .estimate import Regression, add_each
from .separable import falling

# What signs must leave unexplained by one exponential, in parts of what is left without them.
CLEARER = 0.5
# The part of their range that data must have risen by at the end: those that only fall are no recovery.
RISEN = 0.1


def unfolded(t: Array, data: Array, weights: Array) -> Array:
    """Return data with their signs, where they look like magnitudes of a signal that recovers from below 0.

    Else as they are.

    They do where none is negative, they rise after the smallest, and one exponential through 0 there explains them far
    better once those before it are negative.
    """
    used = weights > 0
    least = xp.min(xp.where(used, data, xp.inf), axis=0)
    turn = xp.min(xp.where(used & (data <= least), t, xp.inf), axis=0)
    signed = xp.where(used & (t < turn), -data, data)
    basis = falling(t, math.log(2) / xp.where(xp.isfinite(turn) & (turn > 0), turn, 1))

    def left(values: Array) -> Array:
        regression = Regression.of(values, weights)
        (spread,) = add_each(regression.product * (values - regression.mean))
        return spread - regression.on(basis).gain

    last = xp.max(xp.where(used, t, -xp.inf), axis=0)
    end = xp.max(xp.where(used & (t >= last), data, -xp.inf), axis=0)
    most = xp.max(xp.where(used, data, -xp.inf), axis=0)
    risen = (turn > 0) & (end - least > RISEN * (most - least))
    folded = (least >= 0) & xp.isfinite(turn) & risen & (left(signed) < CLEARER * left(data))
    return xp.where(folded, signed, data)
