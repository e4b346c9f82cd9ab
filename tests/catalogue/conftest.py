"""The catalogue's models once more, in NumPy, and simulated data for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import j1, voigt_profile

Array = np.ndarray


def gaussian(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, sigma, offset = p
    return amplitude * np.exp(-((y - yc) ** 2 + (x - xc) ** 2) / (2 * sigma**2)) + offset


def elliptic(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, sy, sx, offset = p
    return amplitude * np.exp(-((y - yc) ** 2) / (2 * sy**2) - (x - xc) ** 2 / (2 * sx**2)) + offset


def rotated(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, sy, sx, theta, offset = p
    u = (x - xc) * np.cos(theta) + (y - yc) * np.sin(theta)
    v = -(x - xc) * np.sin(theta) + (y - yc) * np.cos(theta)
    return amplitude * np.exp(-(u**2 / sx**2 + v**2 / sy**2) / 2) + offset


def thomas_fermi(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, ry, rx, offset = p
    return amplitude * np.maximum(1 - ((y - yc) / ry) ** 2 - ((x - xc) / rx) ** 2, 0) ** 1.5 + offset


def bimodal(p: Array, y: Array, x: Array) -> Array:
    thermal, sy, sx, condensate, ry, rx, yc, xc, offset = p
    return elliptic((thermal, yc, xc, sy, sx, 0), y, x) + thomas_fermi((condensate, yc, xc, ry, rx, offset), y, x)


def parabola(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, ry, rx, offset = p
    return amplitude * np.maximum(1 - ((y - yc) / ry) ** 2 - ((x - xc) / rx) ** 2, 0) + offset


def lorentzian_surface(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, gamma, offset = p
    return amplitude * gamma**2 / (gamma**2 + (y - yc) ** 2 + (x - xc) ** 2) + offset


def airy(p: Array, y: Array, x: Array) -> Array:
    amplitude, yc, xc, radius, offset = p
    u = np.maximum(3.8317059702075125 * np.hypot(y - yc, x - xc) / radius, 1e-9)
    return amplitude * (2 * j1(u) / u) ** 2 + offset


def plane(p: Array, y: Array, x: Array) -> Array:
    return p[0] * y + p[1] * x + p[2]


def ball(p: Array, z: Array, y: Array, x: Array) -> Array:
    amplitude, zc, yc, xc, sigma, offset = p
    return ellipsoid((amplitude, zc, yc, xc, sigma, sigma, sigma, offset), z, y, x)


def ellipsoid(p: Array, z: Array, y: Array, x: Array) -> Array:
    amplitude, zc, yc, xc, sz, sy, sx, offset = p
    along_z = np.exp(-((z - zc) ** 2) / (2 * sz**2))
    return amplitude * along_z * np.exp(-((y - yc) ** 2) / (2 * sy**2) - (x - xc) ** 2 / (2 * sx**2)) + offset


def two_decays(p: Array, t: Array) -> Array:
    return p[0] * np.exp(-t / p[1]) + p[2] * np.exp(-t / p[3]) + p[4]


def stretched(p: Array, t: Array) -> Array:
    return p[0] * np.exp(-((t / p[1]) ** p[2])) + p[3]


def inversion(p: Array, t: Array) -> Array:
    return p[0] - 2 * p[0] * p[2] * np.exp(-t / p[1])


def saturation(p: Array, t: Array) -> Array:
    return p[0] - p[0] * np.exp(-t / p[1])


def recovery(p: Array, t: Array) -> Array:
    return p[0] - p[0] * np.exp(-t / p[1]) + p[2]


def perfused(p: Array, b: Array) -> Array:
    s0, f, d_star, d = p
    return s0 * f * np.exp(-b * d_star) + s0 * (1 - f) * np.exp(-b * d)


def gaussian_peak(p: Array, t: Array) -> Array:
    return p[0] * np.exp(-((t - p[1]) ** 2) / (2 * p[2] ** 2)) + p[3]


def lorentzian_peak(p: Array, t: Array) -> Array:
    return p[0] * p[2] ** 2 / (p[2] ** 2 + (t - p[1]) ** 2) + p[3]


def voigt_peak(p: Array, t: Array) -> Array:
    amplitude, x, sigma, gamma, offset = p
    return amplitude * voigt_profile(t - x, sigma, gamma) / voigt_profile(0, sigma, gamma) + offset


def swing(p: Array, t: Array) -> Array:
    amplitude, frequency, phase, tau, offset = p
    return amplitude * np.exp(-t / tau) * np.sin(2 * np.pi * frequency * t + phase) + offset


def line(p: Array, t: Array) -> Array:
    return p[0] * t + p[1]


def decay(p: Array, t: Array) -> Array:
    return p[0] * np.exp(-t / p[1]) + p[2]


@dataclass(frozen=True)
class Case:
    """A model in NumPy, its coordinates, and ranges for random truths in which noise of 1 is a tenth of the signal."""

    function: Callable[..., Array]
    low: tuple[float, ...]
    high: tuple[float, ...]
    coords: tuple[Array, ...]

    def truths(self, n: int, seed: int) -> Array:
        """Random parameters, ``(n, n_params)``."""
        return np.random.default_rng(seed).uniform(self.low, self.high, (n, len(self.low)))


PLANE = tuple(np.mgrid[:24.0, :28.0])
VOLUME = tuple(np.mgrid[:10.0, :12.0, :14.0])
TIMES = (np.linspace(0, 5, 32),)
LATER = (np.linspace(0.05, 5, 32),)
CASES = {
    "gaussian_2d": Case(gaussian, (10, 6, 7, 1.5, -5), (10, 18, 21, 5, 5), PLANE),
    "gaussian_2d_elliptic": Case(elliptic, (10, 6, 7, 1.5, 1.5, -5), (10, 18, 21, 5, 5, 5), PLANE),
    "gaussian_2d_rotated": Case(rotated, (10, 6, 7, 1.5, 1.5, -1.5, -5), (10, 18, 21, 5, 5, 1.5, 5), PLANE),
    "thomas_fermi_2d": Case(thomas_fermi, (10, 6, 7, 3, 3, -5), (10, 18, 21, 9, 9, 5), PLANE),
    "bimodal_2d": Case(bimodal, (5, 3, 3, 10, 2, 2, 6, 7, -5), (5, 6, 6, 10, 5, 5, 18, 21, 5), PLANE),
    "parabola_2d": Case(parabola, (10, 6, 7, 3, 3, -5), (10, 18, 21, 9, 9, 5), PLANE),
    "lorentzian_2d": Case(lorentzian_surface, (10, 6, 7, 1.5, -5), (10, 18, 21, 4, 5), PLANE),
    "airy_2d": Case(airy, (10, 6, 7, 3.5, -5), (10, 18, 21, 9, 5), PLANE),
    "plane_2d": Case(plane, (-1, -1, -5), (1, 1, 5), PLANE),
    "gaussian_3d": Case(ball, (10, 3, 3, 3, 1.2, -5), (10, 6, 8, 10, 3, 5), VOLUME),
    "gaussian_3d_elliptic": Case(ellipsoid, (10, 3, 3, 3, 1.2, 1.2, 1.2, -5), (10, 6, 8, 10, 3, 3, 3, 5), VOLUME),
    "exponential_decay": Case(decay, (10, 0.5, -5), (10, 2.5, 5), TIMES),
    "biexponential_decay": Case(two_decays, (80, 0.15, 80, 1, -5), (120, 0.4, 120, 2.5, 5), TIMES),
    "stretched_exponential": Case(stretched, (20, 0.5, 0.5, -5), (20, 2, 1.5, 5), LATER),
    "inversion_recovery": Case(inversion, (10, 0.5, 0.7), (20, 2.5, 1), TIMES),
    "saturation_recovery": Case(saturation, (10, 0.3), (20, 2.5), TIMES),
    "exponential_recovery": Case(recovery, (10, 0.5, -5), (10, 2.5, 5), TIMES),
    "ivim": Case(perfused, (100, 0.1, 5, 0.3), (200, 0.4, 20, 0.8), TIMES),
    "gaussian_1d": Case(gaussian_peak, (20, 0.5, 0.2, -5), (20, 4.5, 0.8, 5), TIMES),
    "lorentzian_1d": Case(lorentzian_peak, (20, 0.5, 0.2, -5), (20, 4.5, 0.6, 5), TIMES),
    "voigt_1d": Case(voigt_peak, (20, 1, 0.2, 0.1, -5), (20, 4, 0.5, 0.4, 5), TIMES),
    "damped_sine": Case(swing, (10, 0.4, -3, 1, -5), (20, 2.5, 3, 5, 5), TIMES),
    "linear": Case(line, (-5, -5), (5, 5), TIMES),
}


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """By name of the model."""
    return CASES
