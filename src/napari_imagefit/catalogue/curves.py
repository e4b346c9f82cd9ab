"""Curves over one coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._lazy import LazyModule
from ..engine.models.model import Array, Model, Parameter
from .estimate import Level, add_up, best_of, ratio, regress
from .separable import centred, mean, regress_pair, span_of

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

Coords = tuple[Array, ...]

# Time constants of an exponential that are tried, in parts of the span: the longest, and halves of it.
LONGEST = 3.0
HALVES = 7


def _exponential(coords: Coords, amplitude: Array, tau: Array, offset: Array) -> Array:
    return amplitude * jnp.exp(-coords[0] * (1 / tau)) + offset


def guess_exponential(coords: Coords, data: Array, weights: Array) -> Array:
    """The best of a row of time constants, amplitude and offset regressed for each."""
    t = coords[0]
    level = Level.of(data, weights)
    if t.shape[1] == 1 < data.shape[1]:
        # what the fits have in common must not depend on which samples one of them uses
        low, _, span = span_of(t, jnp.ones_like(t))
    else:
        low, _, span = span_of(t, weights)
    # measured from the first sample, so that no exponential of a large number is needed
    since = (t - low) / span
    of_weights, of_data = _falls(since, level)
    gains = [level.line(of_weights[k], of_weights[k + 1], of_data[k]).gain for k in range(HALVES)]
    highest, place = gains[0], jnp.zeros_like(gains[0])
    for k, gain in enumerate(gains):
        # between neighbours the gain is nearly a parabola
        step = jnp.zeros_like(gain)
        if 0 < k < HALVES - 1:
            bend = 2 * gain - gains[k - 1] - gains[k + 1]
            step = jnp.clip(ratio(0.5 * (gains[k + 1] - gains[k - 1]), bend), -0.5, 0.5)
        place = jnp.where(gain > highest, k + step, place)
        highest = jnp.maximum(gain, highest)
    part = LONGEST * 2.0**-place
    line = level.regress(jnp.exp(-since / part))
    amplitude, tau, offset = line.amplitude, part * span, line.offset
    # as far from the first sample as the precision reaches
    most = 0.8 * jnp.log(jnp.finfo(data.dtype).max)
    return jnp.stack([amplitude * jnp.exp(jnp.clip(low / tau, -most, most)), tau, offset])


def _falls(since: Array, level: Level) -> tuple[Sequence[Array], Sequence[Array]]:
    """Sums of weights², and of weights²·data, times each of the row of exponentials."""
    # half the time constant gives the square of the exponential
    row = [jnp.exp(-since / LONGEST)]
    for _ in range(HALVES):
        row.append(row[-1] * row[-1])
    product = level.squares * level.data
    if since.shape[1] == 1 < product.shape[1]:
        # the fits have their coordinates in common: products of matrices
        table = jnp.concatenate(row, axis=1).T
        of_weights, of_data = (jnp.matmul(table, a, precision="highest") for a in (level.squares, product))
        return list(of_weights), list(of_data)
    sums = add_up(*(level.squares * fall for fall in row), *(product * fall for fall in row[:-1]))
    return sums[: HALVES + 1], sums[HALVES + 1 :]


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
    line = regress(jnp.broadcast_to(coords[0], data.shape), data, weights)
    return jnp.stack([line.amplitude, line.offset])


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
)


def _damped_sine(coords: Coords, amplitude: Array, frequency: Array, phase: Array, tau: Array, offset: Array) -> Array:
    t = coords[0]
    return amplitude * jnp.exp(-t / tau) * jnp.sin(2 * math.pi * frequency * t + phase) + offset


def _guess_damped_sine(coords: Coords, data: Array, weights: Array) -> Array:
    """A row of frequencies up to Nyquist's for one damping, then closer ones around the best for several."""
    low, _, span = span_of(coords[0], weights)
    t = coords[0] - low
    target = centred(data, weights)
    steps = 2 * data.shape[0]
    # half of what the span resolves, or less
    resolved = jnp.maximum(jnp.sum(weights > 0, axis=0), 2) / (2 * span) / steps

    def attempt(frequency: Array, tau: Array) -> tuple[Array, tuple[Array, ...]]:
        fall, angle = jnp.exp(-t / tau), 2 * math.pi * frequency * t
        sine, cosine = fall * jnp.sin(angle), fall * jnp.cos(angle)
        pair = regress_pair(centred(sine, weights), centred(cosine, weights), target, weights)
        offset = mean(data - pair.first * sine - pair.second * cosine, weights)
        return pair.gain, (frequency, tau, pair.first, pair.second, offset)

    row = jnp.arange(1, steps + 1, dtype=data.dtype)
    near = best_of(row, lambda i: attempt(i * resolved, 0.5 * span))[1][0]
    grid = [(i, f) for i in (-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75) for f in (0.05, 0.1, 0.2, 0.4, 1, 3)]
    closer = jnp.asarray(grid, data.dtype)
    found = best_of(closer, lambda c: attempt(near + c[0] * resolved, c[1] * span))[1]
    frequency, tau, sine, cosine, offset = found
    most = 0.8 * jnp.log(jnp.finfo(data.dtype).max)
    amplitude = jnp.hypot(sine, cosine) * jnp.exp(jnp.clip(low / tau, -most, most))
    phase = jnp.arctan2(cosine, sine) - 2 * math.pi * frequency * low
    # the turn that is nearest to 0
    phase = phase - 2 * math.pi * jnp.round(phase / (2 * math.pi))
    return jnp.stack([amplitude, frequency, phase, tau, offset])


damped_sine = Model(
    "damped_sine",
    _damped_sine,
    [
        Parameter("amplitude", "data", lower=0, description="height of the envelope at t = 0"),
        Parameter("frequency", "1/coord0", lower=0, description="oscillations per unit of the coordinate"),
        Parameter("phase", "rad", description="angle at t = 0; whole turns may be added"),
        Parameter("tau", "coord0", lower=0, description="time in which the envelope falls to 1/e"),
        Parameter("offset", "data", description="level around which it swings"),
    ],
    1,
    _guess_damped_sine,
    formula="amplitude·exp(−t/tau)·sin(2π·frequency·t + phase) + offset",
    reference="R. P. Feynman, R. B. Leighton, M. Sands, The Feynman Lectures on Physics I (1963), section 24–2",
)
