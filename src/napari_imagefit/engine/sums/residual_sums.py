"""A last look at the residuals of every fit: how large they are, where, and whether they look like noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.array_module import is_numpy, xp
from ..core.options import Criterion
from ..core.types import Array
from ..noise import rician
from ..noise.noise_and_loss import influence, standardised
from ..noise.samples import Samples
from .normal_equations import add_up


class Residuals(NamedTuple):
    """Sums over the residuals e of each fit, each ``(B,)``.

    They are (d − μ)/σ, with σ² = μ for counts; for magnitudes μ and σ are mean and standard deviation of the datum.
    """

    chi2: Array  # Σe²
    chi2_variance: Array  # what its variance is if the model is right
    squares: Array  # Σ(w(d − μ))²: the same as χ² for Gaussian noise
    neighbours: Array  # Σ eᵢeᵢ₊₁
    neighbours_squared: Array  # Σ (eᵢeᵢ₊₁)²
    # of a robust loss, else 0
    psi: Array  # Σψ²
    slope: Array  # Σψ'
    slope_squared: Array  # Σψ'²
    # of least squares, else 0: of the samples whose fitted value is above the mean of the data
    bright: Array  # how many
    bright_sizes: Array  # Σ|e|
    bright_squares: Array  # Σe²
    bright_fourths: Array  # Σe⁴
    fourths: Array  # Σe⁴ of all samples


def _pairs(e: Array, axis: int) -> Array:
    """Return the products of each sample and the next one; the last has none."""
    if is_numpy(e):
        pairs = np.empty_like(e)
        own, following, last = (e[:-1], e[1:], pairs[-1:]) if axis == 0 else (e[:, :-1], e[:, 1:], pairs[:, -1:])
        np.multiply(own, following, out=pairs[:-1] if axis == 0 else pairs[:, :-1])
        last[...] = 0
        return pairs
    if axis == 0:
        return e * xp.concatenate([e[1:], xp.zeros_like(e[:1])])
    return e * xp.concatenate([e[:, 1:], xp.zeros_like(e[:, :1])], axis=1)


def residual_sums(
    criterion: Criterion, samples: Samples, value: Array, middle: Array, axis: int = 0, rho: Array | None = None
) -> Residuals:
    """Return the sums for the model's values.

    `axis` is that of the samples, and `middle` the mean of the data ``(B,)``.
    """
    used = samples.usable()
    every = is_numpy(used) and bool(used.all())

    def of_used(values: Array) -> Array:
        return values if every else xp.where(used, values, 0)

    bend: tuple[Array, ...] = ()
    if criterion.is_robust:
        psi, slope = influence(criterion, value, samples, rho)
        bend = of_used(psi * psi), of_used(slope), of_used(slope * slope)
    e = of_used(standardised(criterion, value, samples))
    variance, raw = xp.broadcast_to(xp.full_like(value[:1, :1], 2), value.shape), None
    if criterion.noise == "poisson":
        rate, _ = samples.counts(value)
        variance = 2 + xp.where(rate > 0, 1 / xp.where(rate > 0, rate, 1), 0)
        raw = of_used(samples.weighted(value - samples.data))
    elif criterion.noise == "rician":
        signal = samples.weighted(value)
        raw = of_used(samples.weighted(samples.data) - rician.moments(signal)[0])
        # Rayleigh's distribution has a kurtosis of 3.245, and that of a strong signal is normal
        variance = 2 + 0.25 * xp.exp(-signal * signal)
    pairs, square = _pairs(e, axis), e * e
    own = () if raw is None else (raw * raw,)
    parted: tuple[Array, ...] = ()
    if criterion == Criterion():
        above = of_used(value > xp.expand_dims(middle, axis))
        bright = xp.where(above, e, 0)
        bright_square = bright * bright
        parted = (above * xp.ones_like(e[:1, :1]), xp.abs(bright), bright_square, bright_square * bright_square)
        parted = (*parted, square * square)
    found = add_up(square, of_used(variance), pairs, pairs * pairs, *own, *bend, *parted, axis=axis)
    chi2, rest = found[0], list(found[4:])
    squares = chi2 if raw is None else rest.pop(0)
    nothing = (xp.zeros_like(chi2),)
    bent, looked = rest[: len(bend)], rest[len(bend) :]
    return Residuals(chi2, found[1], squares, *found[2:4], *(bent or nothing * 3), *(looked or nothing * 5))
