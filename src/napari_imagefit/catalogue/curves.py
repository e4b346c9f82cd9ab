"""Curves over one coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..engine.core.array_module import is_numpy, xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.handles import Height, Width
from ..engine.models.model import Model
from ..engine.models.turns import Turn
from .estimate import Level, Regression, add_up, best_of, first_largest, ratio, regress, sums_at
from .pairs import Sums
from .separable import regress_pair, span_of

# Time constants of an exponential that are tried, in parts of the span: the longest, and halves of it.
LONGEST_TIME_CONSTANT = 3.0
HALVES = 7
# How far each of two steps moves the best of them at most, as a part of it.
CLOSER = 0.25


def _exponential(coords: Coords, amplitude: Array, tau: Array, offset: Array) -> Array:
    return amplitude * xp.exp(coords[0] * (-1 / tau)) + offset


def guess_exponential(coords: Coords, data: Array, weights: Array) -> Array:
    """Return the best of a row of time constants, amplitude and offset regressed for each."""
    t = coords[0]
    level = Level.of(data, weights)
    if t.shape[1] == 1 < data.shape[1] and not is_numpy(t, data, weights):
        # what the fits have in common must not depend on which samples one of them uses
        low, _, span = span_of(t, xp.ones_like(t))
    else:
        low, _, span = span_of(t, weights)
    if is_numpy(low, span) and (low == low[0]).all() and (span == span[0]).all():
        low, span = low[:1], span[:1]
    # measured from the first sample, so that no exponential of a large number is needed
    since = (t - low) / span
    of_weights, of_data = _falls(since, level)
    gains = [level.line(of_weights[k], of_weights[k + 1], of_data[k]).gain for k in range(HALVES)]
    highest, place = gains[0], xp.zeros_like(gains[0])
    for k, gain in enumerate(gains):
        # between neighbours the gain is nearly a parabola
        step = xp.zeros_like(gain)
        if 0 < k < HALVES - 1:
            bend = 2 * gain - gains[k - 1] - gains[k + 1]
            step = xp.clip(ratio(0.5 * (gains[k + 1] - gains[k - 1]), bend), -0.5, 0.5)
        place = xp.where(gain > highest, k + step, place)
        highest = xp.maximum(gain, highest)
    _, part, _ = _closer(level, since, LONGEST_TIME_CONSTANT * 2.0**-place)
    amplitude, part, offset = _closer(level, since, part)
    tau = part * span
    # as far from the first sample as the precision reaches
    most = 0.8 * xp.log(xp.finfo(data.dtype).max)
    return xp.stack([amplitude * xp.exp(xp.clip(low / tau, -most, most)), tau, offset])


def _falls(since: Array, level: Level) -> tuple[Sequence[Array], Sequence[Array]]:
    """Return sums of weights², and of weights²·data, times each of the row of exponentials."""
    # half the time constant gives the square of the exponential
    row = [xp.exp(-since / LONGEST_TIME_CONSTANT)]
    for _ in range(HALVES):
        row.append(row[-1] * row[-1])
    product = level.squares * level.data
    if since.shape[1] == 1 < product.shape[1]:
        # the fits have their coordinates in common: products of matrices
        table = xp.concatenate(row, axis=1).T
        of_weights, of_data = (xp.matmul(table, a) for a in (level.squares, product))
        return list(of_weights), list(of_data)
    sums = add_up(*(level.squares * fall for fall in row), *(product * fall for fall in row[:-1]))
    return sums[: HALVES + 1], sums[HALVES + 1 :]


def _closer(level: Level, since: Array, part: Array) -> tuple[Array, Array, Array]:
    """Return amplitude, time constant and offset after a step of Gauss and Newton from the best amplitude and offset.

    It changes the time constant by no more than a quarter, and not at all where the data do not tell how.
    """
    fall = xp.exp(-since / part)
    # what a longer time constant adds, as a part of it and of the amplitude
    change = fall * since / part
    of_fall, of_change = level.squares * fall, level.squares * change
    x, xx, xy, z, zz, zy, xz = add_up(
        of_fall,
        of_fall * fall,
        of_fall * level.data,
        of_change,
        of_change * change,
        of_change * level.data,
        of_fall * change,
    )
    line = level.line(x, xx, xy)
    mean = ratio(x, level.total)
    own, common = xx - x * mean, xz - z * mean
    both = own * (zz - ratio(z, level.total) * z) - common * common
    told = both > xp.finfo(xx.dtype).eps ** 0.5 * own * zz
    step = xp.where(told, ratio(own * zy - common * xy, both), 0)
    step = xp.clip(ratio(step * xp.sign(line.amplitude), xp.abs(line.amplitude)), -CLOSER, CLOSER)
    moved = step * line.amplitude
    change_of_amplitude = -ratio(common, own) * moved
    offset = line.offset - ratio(z, level.total) * moved - mean * change_of_amplitude
    return line.amplitude + change_of_amplitude, part * (1 + step), offset


exponential_decay = Model(
    "exponential_decay",
    _exponential,
    [
        Parameter("amplitude", "data", description="height above the offset at t = 0"),
        Parameter("tau", "coord0", lower=0, description="time in which the signal falls to 1/e"),
        Parameter("offset", "data", description="what remains at long times"),
    ],
    1,
    guess_exponential,
    formula="amplitude·exp(−t/tau) + offset",
    reference="G. H. Golub, V. Pereyra, Inverse Problems 19, R1 (2003) (its separable fit gives the starts)",
)


def _linear(coords: Coords, slope: Array, intercept: Array) -> Array:
    return slope * coords[0] + intercept


def _guess_linear(coords: Coords, data: Array, weights: Array) -> Array:
    line = regress(xp.broadcast_to(coords[0], data.shape), data, weights)
    return xp.stack([line.amplitude, line.offset])


linear = Model(
    "linear",
    _linear,
    [
        Parameter("slope", "data/coord0", description="change per unit of the coordinate"),
        Parameter("intercept", "data", description="value at t = 0"),
    ],
    1,
    _guess_linear,
    formula="slope·t + intercept",
    reference="P. R. Bevington, D. K. Robinson, Data Reduction and Error Analysis for the Physical Sciences (2003)",
).held_by(Height("slope", "last"), Height("intercept", "first"))


def _damped_sine(coords: Coords, amplitude: Array, frequency: Array, phase: Array, tau: Array, offset: Array) -> Array:
    t = coords[0]
    return amplitude * xp.exp(-t * (1 / tau)) * xp.sin(t * (2 * math.pi * frequency) + phase) + offset


# Values of sines up to which they are computed one by one.
MOST_WAVES = 2**18
# Grid points per sample of an evenly spaced curve, to which samples are moved.
PLACES_PER_SAMPLE = 4


def _best_wave(turns: Array, fall: Array, regression: Regression, steps: int) -> Array:
    """Return the best whole number, up to `steps`, of waves ``fall·sin(2π·number·turns + phase)``.

    Each ``(B,)``, in NumPy.

    By Fourier transforms of the samples, each moved to the nearest of evenly spaced points, to which evenly spaced ones
    need not be moved.
    """
    length = PLACES_PER_SAMPLE * 2 * (steps - 2)
    places = np.round(turns * length).astype(np.int64)
    numbers = np.arange(1, steps + 1)

    def sums(values: Array, numbers: Array) -> tuple[Array, Array]:
        """Return the sums of products of the values with sine and cosine."""
        found = np.fft.rfft(sums_at(places, values, length), axis=0)[numbers]
        return -found.imag, found.real

    squares, total = regression.squares * fall, regression.total
    sine, cosine = sums(squares, numbers)
    # from the sines and cosines of twice the angle
    common, differ = sums(squares * fall, 2 * numbers)
    whole = np.sum(squares * fall, axis=0)
    aa, bb, ab = 0.5 * (whole - differ), 0.5 * (whole + differ), 0.5 * common
    products = sums(regression.product * fall, numbers)
    found = Sums(
        aa - sine * ratio(sine, total), bb - cosine * ratio(cosine, total), ab - sine * ratio(cosine, total), *products
    )
    first, second = found.factors()
    return numbers[first_largest(first * found.ay + second * found.by)].astype(fall.dtype)


def _guess_damped_sine(coords: Coords, data: Array, weights: Array) -> Array:
    """Return a row of frequencies up to Nyquist's for one damping, then closer ones around the best for several."""
    low, _, span = span_of(coords[0], weights)
    # what does not count may lie before the first that does, where the envelope may be too large for a number
    t = xp.where(weights > 0, coords[0] - low, 0)
    regression = Regression.of(data, weights)
    steps = 2 * data.shape[0]
    # half of what the span resolves, or less
    resolved = xp.maximum(add_up((weights > 0).astype(data.dtype))[0], 2) / (2 * span) / steps

    def attempt(frequency: Array, tau: Array) -> tuple[Array, tuple[Array, ...]]:
        fall, angle = xp.exp(-t * (1 / tau)), 2 * math.pi * frequency * t
        sine, cosine = fall * xp.sin(angle), fall * xp.cos(angle)
        means = regression.mean_of(sine), regression.mean_of(cosine)
        pair = regress_pair(sine - means[0], cosine - means[1], regression.squares, regression.product)
        offset = regression.mean - pair.first * means[0] - pair.second * means[1]
        return pair.gain, (frequency, tau, pair.first, pair.second, offset)

    if is_numpy(t, data, weights) and data.size * steps > MOST_WAVES:
        near = resolved * _best_wave(t * resolved, xp.exp(-t * (2 / span)), regression, steps)
    else:
        near = best_of(np.arange(1, steps + 1), lambda i: attempt(i * resolved, 0.5 * span), data, 5)[1][0]
    grid = [(i, f) for i in (-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75) for f in (0.05, 0.1, 0.2, 0.4, 1, 3)]
    found = best_of(grid, lambda c: attempt(near + c[0] * resolved, c[1] * span), data, 5)[1]
    frequency, tau, sine, cosine, offset = found
    most = 0.8 * xp.log(xp.finfo(data.dtype).max)
    amplitude = xp.hypot(sine, cosine) * xp.exp(xp.clip(low / tau, -most, most))
    phase = xp.arctan2(cosine, sine) - 2 * math.pi * frequency * low
    # the turn that is nearest to 0
    phase = phase - 2 * math.pi * xp.round(phase / (2 * math.pi))
    return xp.stack([amplitude, frequency, phase, tau, offset])


damped_sine = (
    Model(
        "damped_sine",
        _damped_sine,
        [
            Parameter("amplitude", "data", lower=0, description="height of the envelope at t = 0"),
            Parameter("frequency", "1/coord0", lower=0, description="oscillations per unit of the coordinate"),
            Parameter("phase", "rad", description="angle at t = 0, in (−180°, 180°]"),
            Parameter("tau", "coord0", lower=0, description="time in which the envelope falls to 1/e"),
            Parameter("offset", "data", description="level around which it swings"),
        ],
        1,
        _guess_damped_sine,
        formula="amplitude·exp(−t/tau)·sin(2π·frequency·t + phase) + offset",
        reference="R. P. Feynman, R. B. Leighton, M. Sands, The Feynman Lectures on Physics I (1963), section 24–2",
    )
    .turning(Turn("phase", 2 * math.pi))
    .held_by(Width("frequency", inverse=True), Width("tau"), Height("amplitude", above="offset"), Height("offset"))
)
