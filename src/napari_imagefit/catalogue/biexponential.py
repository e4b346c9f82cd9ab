"""The sum of two exponentials, whose start is the hard part: its minima are flat, and some lie at infinity."""

from __future__ import annotations

import numpy as np

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.handles import Height, Width
from ..engine.models.model import Model
from .estimate import Regression, add_each, best_of, ratio
from .pairs import Sums, falling_row, find_pair
from .separable import centred, regress_in_turn, regress_pair, span_of


def _biexponential(
    coords: Coords, amplitude_1: Array, tau_1: Array, amplitude_2: Array, tau_2: Array, offset: Array
) -> Array:
    return amplitude_1 * xp.exp(coords[0] * (-1 / tau_1)) + amplitude_2 * xp.exp(coords[0] * (-1 / tau_2)) + offset


Found = tuple[Array, ...]

# The slowest of the row of exponentials, of which the span sees a fifth of the time constant.
SLOWEST_RATE = 0.2
OCTAVES = 9  # of rates in the row
# By how much the time constant of a spike is below the distance of the first two samples, and how much shorter it is
# tried to be: there a fit gets on slowly, for hardly a sample depends on it.
SPIKE = 5
SHORTER = (1, 0.7, 0.5, 0.35)
# Factors between the time constants of closer looks, each about a root of the one before.
CLOSER_FACTORS = (1.19, 1.09, 1.04)


def _explained(sums: Sums, _: Array) -> Array:
    first, second = sums.factors()
    return first * sums.ay + second * sums.by


def _slow(row: Array, since: Array, span: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Time constants where the longer one is beyond the span: those of an exponential beside a straight line.

    Between steps of the row a change of the exponential is regressed as well. The
    curvature that is left in the line gives the longer constant to first order. Where it has the other sign, no finite
    constant fits, and a very long one is taken: a fit started from a shorter one converges extremely slowly.
    """
    squares = weights * weights
    far = xp.finfo(target.dtype).eps ** (-1 / 3)
    part = since / span
    straight, bend = centred(part, weights), centred(part * part, weights)
    of_row, on_row = xp.sum(squares * row * row, axis=1), xp.sum(squares * row * target, axis=1)
    common = xp.sum(squares * row * straight, axis=1)
    of_line, on_line = add_each(squares * straight * straight, squares * straight * target)
    gains = _explained(Sums(of_line, of_row, common, on_line, on_row), of_line)
    rate = SLOWEST_RATE * 2 ** (0.5 * xp.argmax(gains, axis=0).astype(target.dtype))

    def regressed(rate: Array, *more: Array) -> list[Array]:
        fall = xp.exp(-part * rate)
        return regress_in_turn(
            [straight, centred(fall, weights), centred(part * fall, weights), *more], target, weights
        )

    def moved(rate: Array, height: Array, change: Array) -> Array:
        return xp.clip(rate - ratio(change * xp.sign(height), xp.abs(height)), 0.6 * rate, 1.6 * rate)

    rate = moved(rate, *regressed(rate)[1:])
    slope, *alone = regressed(rate)
    _, *beside, bent = regressed(rate, bend)
    slow = -2 * ratio(bent * xp.sign(slope), xp.abs(slope))
    rate = xp.where(slow > 1 / far, moved(rate, *beside), moved(rate, *alone))
    return span / rate, span / xp.clip(slow, 1 / far, 0.5)


def _guess_biexponential(coords: Coords, data: Array, weights: Array, level: Array | None = None) -> Array:
    """Return the best pair of time constants, the shorter first: of a row, then of closer looks around it.

    Parameters
    ----------
    level : array or None, ``(B,)``
        The offset, beside which they are the best, NaN where that is to be found; None where it is for all.
    """
    t = coords[0]
    low, _, span = span_of(t, weights)
    known = None if level is None else ~xp.isnan(level)
    # what does not count may lie before the first that does, where an exponential may be too large for a number
    since = xp.where(weights > 0, t - low, 0)
    regression = Regression.of(data, weights)
    if known is not None:
        mean = xp.where(known, level, regression.mean)
        regression = regression._replace(mean=mean, product=regression.squares * (data - mean))
    target = data - regression.mean

    def of_offset(mean: Array) -> Array:
        """Return what of the mean of an exponential the offset explains: nothing where it is known."""
        return mean if known is None else xp.where(known, 0, mean)

    def attempt(tau_1: Array, tau_2: Array, exact: bool = False) -> tuple[Array, Found]:
        short, long = xp.exp(-since * (1 / tau_1)), (xp.expm1 if exact else xp.exp)(-since * (1 / tau_2))
        means = [of_offset(regression.mean_of(fall)) for fall in (short, long)]
        pair = regress_pair(short - means[0], long - means[1], regression.squares, regression.product)
        offset = regression.mean - pair.first * means[0] - pair.second * means[1]
        return pair.gain, (pair.first, tau_1, pair.second, tau_2, offset)

    def closer(gain: Array, found: Found) -> tuple[Array, Found]:
        for step in CLOSER_FACTORS:
            near = [(step**i, step**j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            gain, found = best_of(near, lambda c, at=found: attempt(c[0] * at[1], c[1] * at[3]), data, 5)  # type: ignore[misc]
        return gain, found

    # from five times the span on, in steps of √2
    row = falling_row(since, SLOWEST_RATE / span, octaves=OCTAVES, parts=2)
    squares = weights * weights
    row = row - of_offset(ratio(xp.sum(squares * row, axis=1), add_each(squares)[0]))[:, None]
    fast, slow = find_pair(row, target, weights, _explained)
    gain, found = attempt(*(span / SLOWEST_RATE * 2 ** (-0.5 * place) for place in (fast, slow)))
    gain, found = closer(gain, found)
    # one may fall so fast that hardly more than the first sample has it, which the row is too coarse to see
    after = xp.min(xp.where((weights > 0) & (since > 0), since, xp.inf), axis=0)
    spike = xp.where(xp.isfinite(after), after, span) / SPIKE
    parts = 2 ** (-0.5 * np.arange(2 * OCTAVES + 1))
    abrupt = closer(*best_of(parts, lambda part: attempt(spike, span / SLOWEST_RATE * part), data, 5))
    gain_of_it, abrupt = best_of(SHORTER, lambda c, at=abrupt[1]: attempt(c * at[1], at[3]), data, 5)  # type: ignore[misc]
    better = (gain_of_it > gain) & (low < 100 * spike)
    gain = xp.where(better, gain_of_it, gain)
    found = tuple(xp.where(better, one, other) for one, other in zip(abrupt, found, strict=True))
    # of the exponential of a very long time constant, less 1, no digit is lost
    beyond, (*rest, height, tau, level) = attempt(*_slow(row, since, span, target, weights), exact=True)
    better = beyond > gain * (1 + 64 * xp.finfo(data.dtype).eps)
    if known is not None:
        # beside a known offset an exponential without end is a constant, next to which the slowest of the row is
        better &= ~known
    pairs = zip((*rest, height, tau, level - height), found, strict=True)
    a, tau_1, b, tau_2, offset = (xp.where(better, one, other) for one, other in pairs)
    most = 0.8 * xp.log(xp.finfo(data.dtype).max)
    a, b = (c * xp.exp(xp.clip(low / tau, -most, most)) for c, tau in ((a, tau_1), (b, tau_2)))
    return xp.stack([a, tau_1, b, tau_2, offset])


def _guess_beside_offset(
    coords: Coords, data: Array, weights: Array, start: Array, lower: Array, upper: Array
) -> Array:
    """Guess beside an offset that is fixed; one to start from is no more than a hint."""
    return _guess_biexponential(coords, data, weights, xp.where(lower[4] == upper[4], start[4], xp.nan))


biexponential_decay = (
    Model(
        "biexponential_decay",
        _biexponential,
        [
            Parameter("amplitude_1", "data", description="height of the first part at t = 0"),
            Parameter(
                "tau_1", "coord0", lower=0, description="time constant of the first part; it starts as the shorter"
            ),
            Parameter("amplitude_2", "data", description="height of the second part at t = 0"),
            Parameter(
                "tau_2", "coord0", lower=0, description="time constant of the second part; it starts as the longer"
            ),
            Parameter("offset", "data", description="what remains at long times"),
        ],
        1,
        _guess_biexponential,
        formula="amplitude_1·exp(−t/tau_1) + amplitude_2·exp(−t/tau_2) + offset",
        reference="A. A. Istratov, O. F. Vyvenko, Rev. Sci. Instrum. 70, 1233 (1999)",
    )
    .knowing(_guess_beside_offset)
    .held_by(
        Width("tau_1"),
        Width("tau_2"),
        Height("amplitude_1", "first"),
        Height("amplitude_2", "first", without=("amplitude_1",)),
        Height("offset"),
    )
)
