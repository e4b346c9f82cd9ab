"""A last look at the residuals of every fit: how large they are, and whether they look like noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..linalg.normal_matrix import Gram
from ..models.model import Array
from . import rician
from .noise_and_loss import counts
from .normal_equations import Kernel, Samples, add_up, evaluate, jacobian, over_tiles, sum_up

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")


class RobustSums(NamedTuple):
    """What the covariance of a robust fit needs, each ``(B,)`` but `gram`."""

    psi: Array  # Σψ²
    slope: Array  # Σψ'
    slope_squared: Array  # Σψ'²
    gram: Gram  # JᵀJ of the residuals themselves


class Residuals(NamedTuple):
    """Sums over the residuals e, each ``(B,)``.

    They are (d − μ)/σ, with σ² = μ for counts; for magnitudes μ and σ are mean and standard deviation of the datum.
    """

    chi2: Array  # Σe²
    chi2_variance: Array  # what its variance is if the model is right
    squares: Array  # Σ(w(d − μ))²: the same as χ² for Gaussian noise
    neighbours: Array  # Σ eᵢeᵢ₊₁
    neighbours_squared: Array  # Σ (eᵢeᵢ₊₁)²
    robust: RobustSums | None = None


def residuals(kernel: Kernel, samples: Samples, params: Array) -> Residuals:
    """All sums in one pass over the samples, at parameters ``(n_params, B)``."""

    def tile(part: Samples) -> Residuals:
        if kernel.criterion.is_robust:
            return residuals_given(kernel, part, *jacobian(kernel.model, part.coords, params, kernel.free))
        return residuals_given(kernel, part, evaluate(kernel.model.function, part.coords, params), None)

    if kernel.whole or samples.root is not None:
        return tile(samples)
    return over_tiles(tile, samples)


def residuals_given(kernel: Kernel, samples: Samples, value: Array, slopes: Array | None) -> Residuals:
    """The same from the model's values ``(m, B)`` and, for a robust loss, their derivatives ``(n, m, B)``."""
    criterion = kernel.criterion
    used = samples.usable()
    value = samples.whitened(value)
    robust = None
    if criterion.is_robust:
        influence = criterion.influence(value, samples)
        nothing = jnp.zeros_like(value)
        whitened = samples.whitened(slopes)
        robust = RobustSums(
            jnp.sum(jnp.where(used, influence.psi**2, 0), axis=0),
            jnp.sum(jnp.where(used, influence.derivative, 0), axis=0),
            jnp.sum(jnp.where(used, influence.derivative**2, 0), axis=0),
            sum_up(nothing, nothing, [jnp.where(used, samples.weighted(row), 0) for row in whitened]).gram,
        )
    e = jnp.where(used, criterion.standardised(value, samples), 0)
    variance, raw = jnp.full_like(e, 2), e
    if criterion.noise == "poisson":
        rate, _ = counts(value, samples)
        variance = 2 + jnp.where(rate > 0, 1 / jnp.where(rate > 0, rate, 1), 0)
        raw = jnp.where(used, samples.weighted(value - samples.data), 0)
    elif criterion.noise == "rician":
        signal = samples.weighted(value)
        raw = jnp.where(used, samples.weighted(samples.data) - rician.moments(signal)[0], 0)
        # Rayleigh's distribution has a kurtosis of 3.245, and that of a strong signal is normal
        variance = 2 + 0.25 * jnp.exp(-signal * signal)
    # a sample and the next one; the last has none
    pairs = e * jnp.concatenate([e[1:], jnp.zeros_like(e[:1])])
    chi2, expected, squares, products, their_squares = add_up(
        e * e, jnp.where(used, variance, 0), raw * raw, pairs, pairs * pairs
    )
    return Residuals(chi2, expected, squares, products, their_squares, robust)
