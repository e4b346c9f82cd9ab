"""The catalogue's models once more, in NumPy, and simulated data for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

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
CASES = {
    "gaussian_2d": Case(gaussian, (10, 6, 7, 1.5, -5), (10, 18, 21, 5, 5), PLANE),
    "gaussian_2d_elliptic": Case(elliptic, (10, 6, 7, 1.5, 1.5, -5), (10, 18, 21, 5, 5, 5), PLANE),
    "gaussian_2d_rotated": Case(rotated, (10, 6, 7, 1.5, 1.5, -1.5, -5), (10, 18, 21, 5, 5, 1.5, 5), PLANE),
    "thomas_fermi_2d": Case(thomas_fermi, (10, 6, 7, 3, 3, -5), (10, 18, 21, 9, 9, 5), PLANE),
    "bimodal_2d": Case(bimodal, (5, 3, 3, 10, 2, 2, 6, 7, -5), (5, 6, 6, 10, 5, 5, 18, 21, 5), PLANE),
    "exponential_decay": Case(decay, (10, 0.5, -5), (10, 2.5, 5), (np.linspace(0, 5, 32),)),
}


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """By name of the model."""
    return CASES
