"""Rician noise: magnitudes of complex signals of which both channels have Gaussian noise of the same σ.

With m = |μ|/σ and x = d/σ, a magnitude d of the signal μ has the density x·exp(−(x² + m²)/2)·I₀(xm)/σ. Bessel functions
appear scaled by exp(−z), so that nothing overflows.

References
----------
S. O. Rice, Mathematical analysis of random noise, Bell Syst. Tech. J. 24, 46 (1945).
H. Gudbjartsson, S. Patz, The Rician distribution of noisy MRI data, Magn. Reson. Med. 34, 910 (1995).
J. Sijbers et al., Maximum-likelihood estimation of Rician distribution parameters, IEEE Trans. Med. Imaging 17, 357
(1998).
"""

from __future__ import annotations

import math

from ..core.array_module import xp
from ..core.types import Array

# Fisher's information of m is s·P(s)/Q(s) with s = m², within 2·10⁻⁵ of itself (found by least squares on quadratures
# of the definition), and beyond STRONG its series.
P = (1.0, 1.837736567807326, 0.43794588581457466, 0.07932019707043042, 0.005454768528415782)
Q = (1.0, 2.8370846382406523, 2.037299610980468, 0.482604132742104, 0.08202574633328094, 0.005454768528415782)
STRONG = 1e3
# Difference of exp(2·cost), at the likeliest m, from its asymptote 2πx² − π, in units of 1/x².
ASYMPTOTE_GAP = 4.08


def cost(m: Array, x: Array) -> Array:
    """Minus the logarithm of the likelihood of m, less about what it is for the likeliest m; never negative.

    What is taken off depends on the datum only. It is exact for x² ≤ 2, where m = 0 is likeliest, and at most 0.012
    too little above.
    """
    u = x * x
    above = xp.where(u > 2, u, 2)
    # ½x² and ½ln(2πx² − π − …), written as factors: the product is about 1 where the fit is good
    floor = xp.where(
        u > 2, xp.sqrt(2 * math.pi * above - math.pi - ASYMPTOTE_GAP / above), xp.exp(0.5 * xp.minimum(u, 2))
    )
    return xp.maximum(0.5 * (x - m) ** 2 - xp.log(xp.i0e(x * m) * floor), 0)


def score(m: Array, x: Array) -> Array:
    """Return the derivative of the cost by m, divided by m: 1 − (x/m)·I₁(xm)/I₀(xm)."""
    z = x * m
    positive = z > xp.finfo(z.dtype).tiny
    safe = xp.where(positive, z, 1)
    quotient = xp.i1e(safe) / (safe * xp.i0e(safe))
    return 1 - x * x * xp.where(positive, quotient, 0.5)


def information(m: Array) -> Array:
    """Fisher's information of m, divided by m²: 1 at 0, about 1/m² where the signal is strong."""
    s = m * m
    near = xp.minimum(s, STRONG)
    far = xp.maximum(s, STRONG)
    return xp.where(s < STRONG, _polynomial(P, near) / _polynomial(Q, near), (1 - (0.5 + 0.25 / far) / far) / far)


def moments(m: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of x."""
    s = m * m
    near = xp.minimum(s, STRONG)
    quarter = 0.25 * near
    i0e, i1e = xp.i0e, xp.i1e
    mean = math.sqrt(0.5 * math.pi) * ((1 + 0.5 * near) * i0e(quarter) + 0.5 * near * i1e(quarter))
    far = xp.sqrt(xp.maximum(s, STRONG))
    # a difference of large numbers that is about 1
    variance = xp.where(s < STRONG, 2 + near - mean**2, 1 - 0.5 / far**2)
    return xp.where(s < STRONG, mean, far + 0.5 / far + 0.125 / far**3), xp.sqrt(variance)


def _polynomial(coefficients: tuple[float, ...], s: Array) -> Array:
    value = xp.full_like(s, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * s + coefficient
    return value
