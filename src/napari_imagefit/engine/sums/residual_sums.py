"""A last look at the residuals of every fit: how large they are, where, and whether they look like noise."""

from __future__ import annotations

from typing import NamedTuple

from ..core.array_module import xp
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


def residual_sums(
    criterion: Criterion, samples: Samples, value: Array, middle: Array, axis: int = 0, rho: Array | None = None
) -> Residuals:
    """Return the sums for the model's values.

    `axis` is that of the samples, and `middle` the mean of the data ``(B,)``.
    """
    used = samples.usable()

    def of_used(values: Array) -> Array:
        return xp.where(used, values, 0)

    bend: tuple[Array, ...] = ()
    if criterion.is_robust:
        psi, slope = influence(criterion, value, samples, rho)
        bend = of_used(psi * psi), of_used(slope), of_used(slope * slope)
    e = of_used(standardised(criterion, value, samples))
    variance, raw = xp.full_like(value, 2), None
    if criterion.noise == "poisson":
        rate, _ = samples.counts(value)
        variance = 2 + xp.where(rate > 0, 1 / xp.where(rate > 0, rate, 1), 0)
        raw = of_used(samples.weighted(value - samples.data))
    elif criterion.noise == "rician":
        signal = samples.weighted(value)
        raw = of_used(samples.weighted(samples.data) - rician.moments(signal)[0])
        # Rayleigh's distribution has a kurtosis of 3.245, and that of a strong signal is normal
        variance = 2 + 0.25 * xp.exp(-signal * signal)
    # a sample and the next one; the last has none
    if axis == 0:
        following = xp.concatenate([e[1:], xp.zeros_like(e[:1])])
    else:
        following = xp.concatenate([e[:, 1:], xp.zeros_like(e[:, :1])], axis=1)
    pairs, square = e * following, e * e
    own = () if raw is None else (raw * raw,)
    parted: tuple[Array, ...] = ()
    if criterion == Criterion():
        above = used & (value > xp.expand_dims(middle, axis))
        sizes = (xp.ones_like(e), xp.abs(e), square, square * square)
        parted = (*(xp.where(above, size, 0) for size in sizes), square * square)
    found = add_up(square, of_used(variance), pairs, pairs * pairs, *own, *bend, *parted, axis=axis)
    chi2, rest = found[0], list(found[4:])
    squares = chi2 if raw is None else rest.pop(0)
    nothing = (xp.zeros_like(chi2),)
    bent, looked = rest[: len(bend)], rest[len(bend) :]
    return Residuals(chi2, found[1], squares, *found[2:4], *(bent or nothing * 3), *(looked or nothing * 5))
