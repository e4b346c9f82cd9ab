"""Cost functions of a fit: the cost of each sample, for Gaussian noise, robust losses, Poisson counts and magnitudes.

With ``r = (μ − d)/σ`` for the model's value μ and the datum d, a sample costs

- Gaussian noise: ½C²ρ((r/C)²), where C is `f_scale` and ρ the loss (ρ(z) = z if linear);
- Poisson counts: half the deviance, μ − d + d·ln(d/μ). Where the data are an affine function of counts (a camera),
  weights and shifts turn both μ and d into counts.
- Rician magnitudes: minus the logarithm of the likelihood, less a number that depends on the datum only (see
  `rician`); σ is the noise of one channel, and |μ| the magnitude without noise.

References
----------
B. Triggs et al., Bundle adjustment – a modern synthesis, 2000: the second-order correction of robust losses.
W. Cash, Parameter estimation in astronomy through application of the likelihood ratio, 1979: the Poisson deviance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numpy.typing import DTypeLike

from ..core.array_module import xp
from ..core.errors import FitInputError
from ..core.options import Criterion
from ..core.types import Array, Loss, LossFunction
from . import rician
from .samples import Samples

# of the weight ρ' that a sample keeps as curvature
LEAST = 0.1


class Terms(NamedTuple):
    """Terms of one sample, each ``(m, B)``; the gradient is Σ residual·slope·∂μ, the curvature Σ (slope·∂μ)²."""

    cost: Array
    residual: Array
    slope: Array


class Influence(NamedTuple):
    """A robust loss at r: ψ = ½dρ/dr and its derivative, each ``(m, B)``."""

    psi: Array
    derivative: Array


def terms(criterion: Criterion, value: Array, samples: Samples, rho: Array | None = None) -> Terms:
    """Return the terms of each sample; those that are not usable give numbers of no meaning.

    `rho` are the loss and its derivatives at each sample, where a loss was computed before.
    """
    if criterion.noise == "poisson":
        return _poisson(*samples.counts(value), samples)
    if criterion.noise == "rician":
        return _rician(samples.weighted(value), samples.weighted(samples.data), samples)
    residual = samples.weighted(value - samples.data)
    slope = samples.weighted(xp.ones_like(value))
    if not criterion.is_robust:
        return Terms(0.5 * residual * residual, residual, slope)
    residual = xp.in_one_loop(residual)
    cost, first, curvature = _loss(criterion, residual, samples, rho)
    # a loss that is flat or curves down keeps some of its weight: with none, samples far off the model would count
    # nothing of its parameters, and the trust region would let these go anywhere
    root = xp.sqrt(xp.maximum(xp.maximum(curvature, LEAST * first), xp.finfo(value.dtype).tiny))
    root = xp.in_one_loop(root)
    return Terms(0.5 * cost, xp.in_one_loop(first * residual / root), root * slope)


def influence(criterion: Criterion, value: Array, samples: Samples, rho: Array | None = None) -> Influence:
    """ψ and ψ' of a robust loss."""
    residual = samples.weighted(value - samples.data)
    _, first, curvature = _loss(criterion, residual, samples, rho)
    return Influence(first * residual, curvature)


def standardised(criterion: Criterion, value: Array, samples: Samples) -> Array:
    """(d − μ) in units of its expected scatter."""
    if criterion.noise == "poisson":
        # a camera's data as they are: those far below its zero are far from what can be, not at 0 counts
        rate, count = samples.counts(value)[0], samples.electrons()
        return (count - rate) / xp.sqrt(xp.where(rate > 0, rate, 1))
    if criterion.noise == "rician":
        mean, deviation = rician.moments(samples.weighted(value))
        return (samples.weighted(samples.data) - mean) / deviation
    return samples.weighted(samples.data - value)


def _loss(criterion: Criterion, residual: Array, samples: Samples, rho: Array | None) -> tuple[Array, Array, Array]:
    """C²ρ, ρ' and ρ' + 2zρ'' at z = (r/C)²."""
    scale = 1.0 if samples.f_scale is None else samples.f_scale
    z = xp.in_one_loop((residual / scale) ** 2)
    if callable(criterion.loss):
        cost, first, second = rho_of(criterion.loss, z) if rho is None else rho
        return scale**2 * cost, first, first + 2 * z * second
    cost, first, curvature = LOSS_TERMS[criterion.loss](z)
    return scale**2 * cost, first, curvature


def rho_of(loss: LossFunction, z: Array) -> tuple[Array, ...]:
    """ρ, ρ' and ρ'' of a loss of the user's, as rows.

    Raises
    ------
    FitInputError
        If it returns something else.
    """
    found = loss(z)
    try:
        rows = tuple(found)
    except TypeError:
        rows = (found,)
    if len(rows) != 3 or any(xp.shape(row) not in ((), xp.shape(z)) for row in rows):
        raise FitInputError(
            f"loss must return three rows, ρ, ρ' and ρ'' at each z, got {len(rows)} of shape {xp.shape(rows[0])} "
            f"for z of shape {xp.shape(z)}; see scipy.optimize.least_squares"
        )
    return rows


def _soft_l1(z: Array) -> tuple[Array, Array, Array]:
    root = xp.in_one_loop(xp.sqrt(1 + z))
    # 2(√(1 + z) − 1) without cancelling
    return 2 * z / (1 + root), xp.in_one_loop(1 / root), 1 / (root * (1 + z))


def _huber(z: Array) -> tuple[Array, Array, Array]:
    inside = z <= 1
    root = xp.in_one_loop(xp.sqrt(xp.where(inside, 1, z)))
    return xp.where(inside, z, 2 * root - 1), xp.in_one_loop(1 / root), xp.where(inside, 1.0, 0.0)


def _cauchy(z: Array) -> tuple[Array, Array, Array]:
    first = xp.in_one_loop(1 / (1 + z))
    return xp.log1p(z), first, (2 * first - 1) * first


def _arctan(z: Array) -> tuple[Array, Array, Array]:
    first = xp.in_one_loop(1 / (1 + z * z))
    return xp.arctan(z), first, (4 * first - 3) * first


LOSS_TERMS: dict[Loss, Callable[[Array], tuple[Array, Array, Array]]] = {
    "soft_l1": _soft_l1,
    "huber": _huber,
    "cauchy": _cauchy,
    "arctan": _arctan,
}


def _poisson(rate: Array, count: Array, samples: Samples) -> Terms:
    empty = count == 0
    positive = rate > 0
    impossible = (~positive & ~empty) | xp.isnan(rate)
    safe = xp.where(positive, rate, 1)
    to_unit = xp.in_one_loop(1 / xp.sqrt(safe))
    # below no rate at all a sample without counts goes on with the slope it had, up a steep wall
    wall = steepness(rate.dtype)
    below = xp.where(rate < 0, rate, 0)
    cost = xp.where(positive, _half_deviance(safe, count), below + 0.5 * wall * below * below)
    # the expected curvature (Fisher's scoring), which is never negative
    residual = xp.where(positive, (rate - count) * to_unit, (1 + wall * below) / wall**0.5)
    slope = samples.weighted(xp.where(positive, to_unit, wall**0.5))
    return Terms(xp.where(impossible, xp.inf, cost), residual, slope)


def _rician(signal: Array, datum: Array, samples: Samples) -> Terms:
    m = xp.in_one_loop(xp.abs(signal))
    # the expected curvature, which is never negative; both have a factor m, so that nothing is divided by it
    root = xp.in_one_loop(xp.sqrt(rician.information(m)))
    return Terms(rician.cost(m, datum), xp.in_one_loop(rician.score(m, datum) / root), samples.weighted(signal * root))


def steepness(dtype: DTypeLike) -> float:
    """Return the curvature of the cost of a sample without counts where its rate is below 0.

    A push of one count moves the rate below 0 by 1 in so many counts: too little to matter, and not so little that the
    precision cannot carry it next to the curvature along the edge.
    """
    return 1e4 if xp.finfo(dtype).eps < 1e-10 else 1e3


def _half_deviance(rate: Array, count: Array) -> Array:
    """μ − d + d·ln(d/μ) for μ > 0 without cancelling where d is near μ."""
    empty = count == 0
    observed = xp.where(empty, 1, count)
    inverse = xp.in_one_loop(1 / observed)
    u = (rate - observed) * inverse
    # u − ln(1 + u) by the series of artanh
    s = xp.in_one_loop((rate - observed) / (rate + observed))
    square = s * s
    series = xp.zeros_like(s)
    for k in range(9, 0, -1):
        series = (series + 1 / (2 * k + 1)) * square
    near = s * u - 2 * s * series
    far = u - xp.log(xp.where(xp.abs(s) < 0.1, 1, rate * inverse))
    return xp.where(empty, rate, observed * xp.where(xp.abs(s) < 0.1, near, far))
