"""The formulas of the catalogue written anew, after docs/models.md, for numbers of 40 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sized_numbers import Dual, Number, Sized, cos, exp, log, mp, one_less_exp, sin, sqrt, square

Coords = tuple[Any, ...]
Formula = Callable[..., Number]
FORMULAS: dict[str, Formula] = {}


def formula(function: Formula) -> Formula:
    FORMULAS[function.__name__] = function
    return function


@formula
def gaussian_2d(c: Coords, amplitude: Number, y: Number, x: Number, sigma: Number, offset: Number) -> Number:
    return amplitude * exp(-(square(c[0] - y) + square(c[1] - x)) / (2 * square(sigma))) + offset


@formula
def gaussian_2d_elliptic(
    c: Coords, amplitude: Number, y: Number, x: Number, sigma_y: Number, sigma_x: Number, offset: Number
) -> Number:
    down, along = square(c[0] - y) / (2 * square(sigma_y)), square(c[1] - x) / (2 * square(sigma_x))
    return amplitude * exp(-down - along) + offset


@formula
def gaussian_2d_rotated(
    c: Coords,
    amplitude: Number,
    y: Number,
    x: Number,
    sigma_y: Number,
    sigma_x: Number,
    theta: Number,
    offset: Number,
) -> Number:
    dy, dx = c[0] - y, c[1] - x
    u, v = dx * cos(theta) + dy * sin(theta), dy * cos(theta) - dx * sin(theta)
    return amplitude * exp(-square(u) / (2 * square(sigma_x)) - square(v) / (2 * square(sigma_y))) + offset


@formula
def lorentzian_2d(c: Coords, amplitude: Number, y: Number, x: Number, gamma: Number, offset: Number) -> Number:
    return amplitude / (1 + (square(c[0] - y) + square(c[1] - x)) / square(gamma)) + offset


@formula
def airy_2d(c: Coords, amplitude: Number, y: Number, x: Number, radius: Number, offset: Number) -> Number:
    u_squared = square(mp.besseljzero(1, 1) / radius) * (square(c[0] - y) + square(c[1] - x))
    return amplitude * square(jinc(u_squared)) + offset


# The catalogue adds up the power series up to this u; beyond, it is documented to be good to so much.
SERIES_TO, JINC_ACCURACY = 10, 1e-9


def jinc(s: Number) -> Number:
    """``2 J₁(u)/u`` of u²."""

    def by(n: int) -> Callable[[Any], Any]:
        """The n-th derivative by u²."""

        def value(s: Any) -> Any:
            if s == 0:
                return (mp.mpf(-1) / 4) ** n / mp.factorial(n + 1)
            u = mp.sqrt(s)
            return 2 * mp.besselj(1 + n, u) / u * (-1 / (2 * u)) ** n

        return value

    if not isinstance(s, Dual):
        return by(0)(s)
    at = s.value.value
    u = mp.sqrt(at)
    if u < SERIES_TO:
        terms = [(at / 4) ** k / (mp.factorial(k) * mp.factorial(k + 1)) for k in range(34)]
        steepest = max(k * term for k, term in enumerate(terms)) / at if at else mp.mpf(1) / 8
        return s.under(by(0), by(1), by(2), inner=(max(terms), steepest))
    # rounding of the angle of a cosine
    inner = 2 * mp.sqrt(2 / (mp.pi * u)), mp.sqrt(2 / (mp.pi * u)) / u
    return s.under(by(0), by(1), by(2), inner=inner, off=(JINC_ACCURACY, JINC_ACCURACY / (2 * u)))


@formula
def plane_2d(c: Coords, slope_y: Number, slope_x: Number, offset: Number) -> Number:
    return slope_y * c[0] + slope_x * c[1] + offset


def inverted_parabola(c: Coords, y: Number, x: Number, radius_y: Number, radius_x: Number) -> Number:
    return 1 - square((c[0] - y) / radius_y) - square((c[1] - x) / radius_x)


def three_halves(parabola: Number) -> Number:
    return parabola * sqrt(parabola) if parabola > 0 else 0 * parabola


@formula
def thomas_fermi_2d(
    c: Coords, amplitude: Number, y: Number, x: Number, radius_y: Number, radius_x: Number, offset: Number
) -> Number:
    return amplitude * three_halves(inverted_parabola(c, y, x, radius_y, radius_x)) + offset


@formula
def parabola_2d(
    c: Coords, amplitude: Number, y: Number, x: Number, radius_y: Number, radius_x: Number, offset: Number
) -> Number:
    inside = inverted_parabola(c, y, x, radius_y, radius_x)
    return amplitude * (inside if inside > 0 else 0 * inside) + offset


@formula
def bimodal_2d(
    c: Coords,
    amplitude_thermal: Number,
    sigma_y: Number,
    sigma_x: Number,
    amplitude_condensate: Number,
    radius_y: Number,
    radius_x: Number,
    y: Number,
    x: Number,
    offset: Number,
) -> Number:
    thermal = gaussian_2d_elliptic(c, amplitude_thermal, y, x, sigma_y, sigma_x, 0)
    return thermal + thomas_fermi_2d(c, amplitude_condensate, y, x, radius_y, radius_x, 0) + offset


@formula
def gaussian_3d(c: Coords, amplitude: Number, z: Number, y: Number, x: Number, sigma: Number, offset: Number) -> Number:
    distance = square(c[0] - z) + square(c[1] - y) + square(c[2] - x)
    return amplitude * exp(-distance / (2 * square(sigma))) + offset


@formula
def gaussian_3d_elliptic(
    c: Coords,
    amplitude: Number,
    z: Number,
    y: Number,
    x: Number,
    sigma_z: Number,
    sigma_y: Number,
    sigma_x: Number,
    offset: Number,
) -> Number:
    parts = [square((a - m) / s) / 2 for a, m, s in zip(c, (z, y, x), (sigma_z, sigma_y, sigma_x), strict=True)]
    return amplitude * exp(-parts[0] - parts[1] - parts[2]) + offset


@formula
def exponential_decay(c: Coords, amplitude: Number, tau: Number, offset: Number) -> Number:
    return amplitude * exp(-c[0] / tau) + offset


@formula
def biexponential_decay(
    c: Coords, amplitude_1: Number, tau_1: Number, amplitude_2: Number, tau_2: Number, offset: Number
) -> Number:
    return amplitude_1 * exp(-c[0] / tau_1) + amplitude_2 * exp(-c[0] / tau_2) + offset


@formula
def stretched_exponential(c: Coords, amplitude: Number, tau: Number, beta: Number, offset: Number) -> Number:
    if not c[0] > 0:
        return amplitude + offset
    return amplitude * exp(-exp(beta * log(c[0] / tau))) + offset


@formula
def inversion_recovery(c: Coords, amplitude: Number, t1: Number, efficiency: Number) -> Number:
    return amplitude * (1 - 2 * efficiency * exp(-c[0] / t1))


@formula
def saturation_recovery(c: Coords, amplitude: Number, t1: Number) -> Number:
    return amplitude * one_less_exp(-c[0] / t1)


@formula
def exponential_recovery(c: Coords, amplitude: Number, tau: Number, offset: Number) -> Number:
    return amplitude * one_less_exp(-c[0] / tau) + offset


@formula
def ivim(c: Coords, s0: Number, f: Number, d_star: Number, d: Number) -> Number:
    return s0 * (f * exp(-c[0] * d_star) + (1 - f) * exp(-c[0] * d))


@formula
def gaussian_1d(c: Coords, amplitude: Number, x: Number, sigma: Number, offset: Number) -> Number:
    return amplitude * exp(-square(c[0] - x) / (2 * square(sigma))) + offset


@formula
def lorentzian_1d(c: Coords, amplitude: Number, x: Number, gamma: Number, offset: Number) -> Number:
    return amplitude / (1 + square((c[0] - x) / gamma)) + offset


@formula
def voigt_1d(c: Coords, amplitude: Number, x: Number, sigma: Number, gamma: Number, offset: Number) -> Number:
    width = mp.sqrt(2) * sigma
    highest = faddeeva(0 * width, gamma / width)
    return amplitude * faddeeva((c[0] - x) / width, gamma / width) / highest + offset


VOIGT_ACCURACY = 1e-12


def faddeeva(x: Number, y: Number) -> Number:
    """Re w(x + iy)."""
    dual = isinstance(x, Dual)
    z = mp.mpc(x.value.value, y.value.value) if dual else mp.mpc(x, y)
    w = mp.exp(-z * z) * mp.erfc(-1j * z)
    if not dual:
        return mp.re(w)
    slope = -2 * z * w + 2j / mp.sqrt(mp.pi)
    bend = -2 * w - 2 * z * slope

    def sized(value: Any, by_x: Any, by_y: Any) -> Sized:
        # the terms of a rational series of numbers about 1
        return Sized.made(value, (by_x, x.value), (by_y, y.value), inner=1, off=VOIGT_ACCURACY)

    return Dual(
        sized(mp.re(w), mp.re(slope), -mp.im(slope)),
        sized(mp.re(slope), mp.re(bend), -mp.im(bend)) * x.slope
        + sized(-mp.im(slope), -mp.im(bend), -mp.re(bend)) * y.slope,
    )


@formula
def damped_sine(c: Coords, amplitude: Number, frequency: Number, phase: Number, tau: Number, offset: Number) -> Number:
    return amplitude * exp(-c[0] / tau) * sin(2 * mp.pi * frequency * c[0] + phase) + offset


@formula
def linear(c: Coords, slope: Number, intercept: Number) -> Number:
    return slope * c[0] + intercept
