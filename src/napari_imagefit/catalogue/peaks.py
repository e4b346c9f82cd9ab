"""Peaks on a curve."""

from __future__ import annotations

import math

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.model import Model
from .estimate import Regression, best_of
from .separable import find_peak
from .special import voigt_function

BEVINGTON = "P. R. Bevington, D. K. Robinson, Data Reduction and Error Analysis for the Physical Sciences (2003)"

AMPLITUDE = Parameter("amplitude", "data", description="height above the offset; negative for a dip")
X = Parameter("x", "coord0", description="centre")
SIGMA = Parameter("sigma", "coord0", lower=0, description="standard deviation of the Gaussian")
GAMMA = Parameter("gamma", "coord0", lower=0, description="half width at half maximum of the Lorentzian")
OFFSET = Parameter("offset", "data", description="constant background")


def _gaussian(coords: Coords, amplitude: Array, x: Array, sigma: Array, offset: Array) -> Array:
    return amplitude * xp.exp(-0.5 * ((coords[0] - x) * (1 / sigma)) ** 2) + offset


def _guess_gaussian(coords: Coords, data: Array, weights: Array) -> Array:
    return xp.stack(find_peak(lambda u: xp.exp(-0.5 * u * u), coords[0], data, weights))


gaussian_1d = Model(
    "gaussian_1d",
    _gaussian,
    [AMPLITUDE, X, SIGMA, OFFSET],
    1,
    _guess_gaussian,
    formula="amplitude·exp(−Δx²/(2 sigma²)) + offset",
    reference=BEVINGTON,
)


def _lorentzian(coords: Coords, amplitude: Array, x: Array, gamma: Array, offset: Array) -> Array:
    return amplitude / (1 + ((coords[0] - x) * (1 / gamma)) ** 2) + offset


def _guess_lorentzian(coords: Coords, data: Array, weights: Array) -> Array:
    return xp.stack(find_peak(lambda u: 1 / (1 + u * u), coords[0], data, weights))


lorentzian_1d = Model(
    "lorentzian_1d",
    _lorentzian,
    [AMPLITUDE, X, GAMMA, OFFSET],
    1,
    _guess_lorentzian,
    formula="amplitude/(1 + (Δx/gamma)²) + offset",
    reference=BEVINGTON,
)


def _voigt(coords: Coords, amplitude: Array, x: Array, sigma: Array, gamma: Array, offset: Array) -> Array:
    width = math.sqrt(2) * sigma
    y = gamma / width
    scale = amplitude / voigt_function(xp.zeros_like(y), y)
    return scale * voigt_function((coords[0] - x) * (1 / width), y) + offset


def _guess_voigt(coords: Coords, data: Array, weights: Array) -> Array:
    """Found as half a Gaussian, half a Lorentzian; then the best of some shares of the two in its width."""
    t = coords[0]
    # u in half widths at half maximum
    regression = Regression.of(data, weights)
    peak = find_peak(lambda u: 0.5 * xp.exp(-math.log(2) * u * u) + 0.5 / (1 + u * u), t, data, weights)

    def attempt(part: Array) -> tuple[Array, tuple[Array, ...]]:
        sigma, gamma = part[0] * peak.width, part[1] * peak.width
        line = regression.on(_voigt(coords, 1.0, peak.center, sigma, gamma, 0.0))
        return line.gain, (line.amplitude, peak.center, sigma, gamma, line.offset)

    shares = [(0.82, 0.06), (0.72, 0.26), (0.58, 0.48), (0.38, 0.72), (0.15, 0.95)]
    grid = [(scale * s, scale * g) for s, g in shares for scale in (0.8, 1, 1.25)]
    return xp.stack(best_of(grid, attempt, data, 5)[1])


voigt_1d = Model(
    "voigt_1d",
    _voigt,
    [AMPLITUDE, X, SIGMA, GAMMA, OFFSET],
    1,
    _guess_voigt,
    formula="amplitude·Re w((Δx + i·gamma)/(√2·sigma)) / Re w(i·gamma/(√2·sigma)) + offset, w the Faddeeva function",
    reference="F. W. J. Olver et al., NIST Digital Library of Mathematical Functions, section 7.19",
)
