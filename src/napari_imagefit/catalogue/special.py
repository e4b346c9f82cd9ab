"""Special functions that JAX lacks, written so that they can be traced and differentiated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..engine.core.array_module import xp
from ..engine.core.types import Array

# First zero of J₁.
J1_ZERO = 3.8317059702075125

# J₁ by its power series below 10, of which no term is above 140, and beyond by Hankel's asymptotic series, whose best
# truncation is wrong by e⁻²⁰ there.
SPLIT = 10.0
SERIES = [(-0.25) ** k / (math.factorial(k) * math.factorial(k + 1)) for k in range(34)]
HANKEL = [math.prod(4.0 - (2 * j - 1) ** 2 for j in range(1, k + 1)) / (math.factorial(k) * 8.0**k) for k in range(20)]


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    value = xp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        # not in place of x: `value` is an array of its own
        value *= x
        value += coefficient
    return value


def jinc(square: Array) -> Array:
    """``2 J₁(u)/u`` of u², to 10⁻⁹; 1 at 0, and smooth there because it is a function of the square.

    References
    ----------
    F. W. J. Olver, NIST Digital Library of Mathematical Functions, equations 10.2.2 and 10.17.3.
    """
    near = square < SPLIT**2
    u = xp.sqrt(xp.where(near, SPLIT**2, square))
    by_u = 1 / u
    inverse = by_u * by_u
    even = _polynomial([(-1) ** k * a for k, a in enumerate(HANKEL[::2])], inverse)
    odd = _polynomial([(-1) ** k * a for k, a in enumerate(HANKEL[1::2])], inverse) * by_u
    angle = u - 0.75 * math.pi
    far = 2 * by_u * xp.sqrt((2 / math.pi) * by_u) * (even * xp.cos(angle) - odd * xp.sin(angle))
    return xp.where(near, _polynomial(SERIES, xp.where(near, square, 0)), far)


@np.errstate(all="ignore")
def _weideman(n: int) -> tuple[float, list[float]]:
    """Scale and coefficients of Weideman's rational series of n terms, highest order first."""
    scale = math.sqrt(n / math.sqrt(2))
    m = 2 * n
    t = scale * np.tan(0.5 * np.pi * np.arange(-m + 1, m) / m)
    f = np.concatenate([[0.0], np.exp(-t * t) * (scale**2 + t * t)])
    a = np.fft.fft(np.fft.fftshift(f)).real / (2 * m)
    return scale, a[n:0:-1].tolist()


SCALE, WEIDEMAN = _weideman(32)


def voigt_function(x: Array, y: Array) -> Array:
    """Real part of the Faddeeva function ``w(x + iy)``, y ≥ 0, to 10⁻¹².

    References
    ----------
    J. A. C. Weideman, Computation of the complex error function, SIAM J. Numer. Anal. 31, 1497 (1994).
    """
    z = x + 1j * y
    under = 1 / (SCALE - 1j * z)
    p = _polynomial(WEIDEMAN[::-1], (SCALE + 1j * z) * under)
    return xp.real((2 * p * under + 1 / math.sqrt(math.pi)) * under)
