"""Decays and recoveries beyond a single exponential."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.handles import Height, Width
from ..engine.models.model import Model
from .curves import guess_exponential
from .estimate import Regression, best_of, extent, ratio, regress
from .magnitudes import unfolded
from .pairs import Sums, falling_row, find_pair
from .separable import falling, reach_of, regress_alone, regress_pair

T1 = Parameter("t1", "coord0", lower=0, description="longitudinal relaxation time")
EQUILIBRIUM = Parameter("amplitude", "data", description="signal at equilibrium, after a long time")

# Values of T1 that are tried, in parts of the reach of the times.
FRACTIONS = np.geomspace(0.02, 5, 16)


def _stretched(coords: Coords, amplitude: Array, tau: Array, beta: Array, offset: Array) -> Array:
    # a power has no derivative at t = 0, and no value before
    after = coords[0] > 0
    power = xp.exp(beta * xp.log(xp.where(after, coords[0], tau) * (1 / tau)))
    return amplitude * xp.exp(-xp.where(after, power, 0)) + offset


def _guess_stretched(coords: Coords, data: Array, weights: Array) -> Array:
    reach, regression = reach_of(coords[0], weights), Regression.of(data, weights)

    def attempt(shape: Array) -> tuple[Array, tuple[Array, ...]]:
        tau, beta = shape[0] * reach, shape[1] * xp.ones_like(reach)
        line = regression.on(_stretched(coords, 1.0, tau, beta, 0.0))
        return line.gain, (line.amplitude, tau, beta, line.offset)

    grid = [(tau, beta) for tau in np.geomspace(0.01, 3, 14) for beta in (0.35, 0.5, 0.7, 1, 1.4, 2)]
    return xp.stack(best_of(grid, attempt, data, 4)[1])


stretched_exponential = Model(
    "stretched_exponential",
    _stretched,
    [
        Parameter("amplitude", "data", description="height above the offset at t = 0"),
        Parameter("tau", "coord0", lower=0, description="time in which the signal falls to 1/e"),
        Parameter("beta", "", lower=0, description="exponent; 1 is an exponential, less a spread of time constants"),
        Parameter("offset", "data", description="what remains at long times"),
    ],
    1,
    _guess_stretched,
    formula="amplitude·exp(−(t/tau)^beta) + offset; amplitude + offset before t = 0",
    reference="G. Williams, D. C. Watts, Trans. Faraday Soc. 66, 80 (1970)",
)


def _inversion(coords: Coords, amplitude: Array, t1: Array, efficiency: Array) -> Array:
    return amplitude - (2 * efficiency * amplitude) * xp.exp(coords[0] * (-1 / t1))


def _guess_inversion(coords: Coords, data: Array, weights: Array) -> Array:
    """Return the best of a row of T1, with the efficiency that regression gives, kept sensible.

    Magnitudes get their signs.
    """
    t = coords[0]
    data = unfolded(t, data, weights)
    reach, regression = reach_of(t, weights), Regression.of(data, weights)
    product = regression.squares * data

    def attempt(fraction: Array) -> tuple[Array, tuple[Array, ...]]:
        t1 = fraction * reach
        fall = falling(t, 1 / t1)
        line = regression.on(fall)
        half = -0.5 * line.amplitude * xp.sign(line.offset)
        efficiency = xp.clip(ratio(half, xp.abs(line.offset), 1.0), 0.1, 1.5)
        amplitude, gain = regress_alone(1 - 2 * efficiency * fall, regression.squares, product)
        return gain, (amplitude, t1, efficiency)

    return xp.stack(best_of(FRACTIONS, attempt, data, 3)[1])


inversion_recovery = Model(
    "inversion_recovery",
    _inversion,
    [EQUILIBRIUM, T1, Parameter("efficiency", "", lower=0, description="of the inversion; 1 is perfect")],
    1,
    _guess_inversion,
    formula="amplitude·(1 − 2·efficiency·exp(−t/t1)), of signed (not magnitude) data",
    reference="J. K. Barral et al., Magn. Reson. Med. 64, 1057 (2010)",
).held_by(Width("t1"), Height("amplitude", "last"), Height("efficiency", "first"))


def _saturation(coords: Coords, amplitude: Array, t1: Array) -> Array:
    return -amplitude * xp.expm1(coords[0] * (-1 / t1))


def _guess_saturation(coords: Coords, data: Array, weights: Array) -> Array:
    reach, squares = reach_of(coords[0], weights), weights * weights
    product = squares * data

    def attempt(fraction: Array) -> tuple[Array, tuple[Array, ...]]:
        amplitude, gain = regress_alone(1 - falling(coords[0], 1 / (fraction * reach)), squares, product)
        return gain, (amplitude, fraction * reach)

    return xp.stack(best_of(FRACTIONS, attempt, data, 2)[1])


saturation_recovery = Model(
    "saturation_recovery",
    _saturation,
    [EQUILIBRIUM, T1],
    1,
    _guess_saturation,
    formula="amplitude·(1 − exp(−t/t1))",
    reference="M. A. Bernstein, K. F. King, X. J. Zhou, Handbook of MRI Pulse Sequences (2004)",
).held_by(Width("t1"), Height("amplitude", "last"))


def _recovery(coords: Coords, amplitude: Array, tau: Array, offset: Array) -> Array:
    return offset - amplitude * xp.expm1(coords[0] * (-1 / tau))


def _guess_recovery(coords: Coords, data: Array, weights: Array) -> Array:
    amplitude, tau, offset = guess_exponential(coords, data, weights)
    return xp.stack([-amplitude, tau, offset + amplitude])


exponential_recovery = Model(
    "exponential_recovery",
    _recovery,
    [
        Parameter("amplitude", "data", description="what is recovered after a long time (FRAP: the mobile part)"),
        Parameter("tau", "coord0", lower=0, description="time in which all but 1/e of it is recovered"),
        Parameter("offset", "data", description="signal at t = 0, right after bleaching"),
    ],
    1,
    _guess_recovery,
    formula="amplitude·(1 − exp(−t/tau)) + offset",
    reference="B. L. Sprague et al., Biophys. J. 86, 3473 (2004)",
).held_by(Width("tau"), Height("amplitude", "last"), Height("offset", "first"))


def _ivim(coords: Coords, s0: Array, f: Array, d_star: Array, d: Array) -> Array:
    return (s0 * f) * xp.exp(coords[0] * -d_star) + (s0 * (1 - f)) * xp.exp(coords[0] * -d)


# The least fall within the reach of the b-values that is looked for.
SLOWEST = 0.05
# Factors of the closer looks: at each of two starts, and at the better one.
LOOKS, REST = (1.41, 1.19), (1.09,)
# The part of the reach from which on b-values are high, and how many times as fast as the slower the faster one may be.
HIGH = 0.15
FASTER = 2.0 ** np.arange(2, 11)


def _guess_ivim(coords: Coords, data: Array, weights: Array) -> Array:
    """Return the best pair of a row of coefficients, with the fraction that regression gives, kept sensible.

    Closer looks around it follow. The row begins where the signal hardly falls, and ends where it has gone before the
    second sample. Two that together are next to one exponential hide a better pair between the steps of the row,
    of which high b-values determine the slower one: it is looked for as well.
    """
    b = coords[0]
    reach, squares = reach_of(b, weights), weights * weights
    product = squares * data
    first = extent(b, weights)[0]
    gap = xp.min(xp.where((weights > 0) & (b > first), b - first, xp.inf), axis=0)

    def attempt(d_star: Array, d: Array) -> tuple[Array, tuple[Array, ...]]:
        fast, slow = falling(b, d_star), falling(b, d)
        pair = regress_pair(fast, slow, squares, product)
        f = xp.clip(ratio(pair.first, pair.first + pair.second), 0.02, 0.98)
        s0, gain = regress_alone(f * fast + (1 - f) * slow, squares, product)
        return gain, (s0, f, d_star, d)

    # of more than a thousand falls within the reach none can be told from the others
    fastest = xp.log2(xp.clip(3 * reach / gap, 50, 1000) / SLOWEST)

    def explained(sums: Sums, place: Array) -> Array:
        first, second = sums.factors()
        f = xp.clip(ratio(first, first + second), 0.02, 0.98)
        both = f**2 * sums.aa + 2 * f * (1 - f) * sums.ab + (1 - f) ** 2 * sums.bb
        product = f * sums.ay + (1 - f) * sums.by
        return xp.where(place <= fastest, ratio(product * xp.maximum(product, 0), both), -1)

    def closer(at: tuple[Array, ...], steps: tuple[float, ...], beside: tuple[int, ...] = (-1, 0, 1)) -> Any:
        gain = None
        for step in steps:
            near = [(step**i, step**j) for i in (-1, 0, 1) for j in beside]
            gain, at = best_of(near, lambda c, at=at: attempt(c[0] * at[2], c[1] * at[3]), data, 4)  # type: ignore[misc]
        return gain, at

    places = find_pair(falling_row(b, SLOWEST / reach, octaves=14, parts=1), data, weights, explained)
    gain, found = closer(attempt(*(SLOWEST / reach * 2**place for place in places))[1], LOOKS)
    # what is left at high b-values falls by the slower one alone
    high = (weights > 0) & (b >= first + HIGH * (reach - first)) & (data > 0)
    level = xp.log(xp.where(high, data, 1))
    d = xp.maximum(
        -regress(xp.broadcast_to(b, data.shape), level, xp.where(high, weights * data, 0)).amplitude, SLOWEST / reach
    )
    most = SLOWEST / reach * 2**fastest
    faster = best_of(FASTER, lambda c: attempt(xp.minimum(c * d, most), d), data, 4)[1]
    other, faster = closer(faster, LOOKS, beside=(0,))
    found = tuple(xp.where(other > gain, one, two) for one, two in zip(faster, found, strict=True))
    return xp.stack(closer(found, REST)[1])


ivim = Model(
    "ivim",
    _ivim,
    [
        Parameter("s0", "data", lower=0, description="signal without diffusion weighting"),
        Parameter("f", "", lower=0, upper=1, description="perfusion fraction"),
        Parameter("d_star", "1/coord0", lower=0, description="pseudo-diffusion coefficient, the larger"),
        Parameter("d", "1/coord0", lower=0, description="diffusion coefficient"),
    ],
    1,
    _guess_ivim,
    formula="s0·(f·exp(−b·d_star) + (1 − f)·exp(−b·d))",
    reference="D. Le Bihan et al., Radiology 168, 497 (1988)",
).held_by(Width("d_star", inverse=True), Width("d", inverse=True), Height("s0", "first"))
