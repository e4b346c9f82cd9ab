"""Surfaces over ``(y, x)``: Gaussians and other peaks, and the plane."""

from __future__ import annotations

import math

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.model import Model
from ..engine.models.turns import Turn
from .blob import find_blob
from .estimate import Regression, regress
from .peaks import AMPLITUDE as AMPLITUDE
from .peaks import OFFSET as OFFSET
from .separable import regress_pair
from .special import J1_ZERO, jinc

SIEGMAN = "A. E. Siegman, How to (maybe) measure laser beam quality, DPSS Lasers, OSA (1998)"

Y = Parameter("y", "coord0", description="centre along the first axis")
X = Parameter("x", "coord1", description="centre along the second axis")
SIGMA_Y = Parameter("sigma_y", "coord0", lower=0, description="standard deviation along y")
SIGMA_X = Parameter("sigma_x", "coord1", lower=0, description="standard deviation along x")


def _falling(v: Array, u: Array) -> Array:
    """exp(−(v² + u²)/2); on an open grid from a table along each axis, which has fewer exponentials than pixels."""
    if v.shape == u.shape:
        return xp.exp(-0.5 * (v * v + u * u))
    along_y, along_x = xp.optimization_barrier((xp.exp(-0.5 * v * v), xp.exp(-0.5 * u * u)))
    return along_y * along_x


def _round(coords: Coords, amplitude: Array, y: Array, x: Array, sigma: Array, offset: Array) -> Array:
    # divisions, and all that is the same for all pixels, are kept out of the pixels' loop
    inverse = 1 / sigma
    return amplitude * _falling((coords[0] - y) * inverse, (coords[1] - x) * inverse) + offset


def _guess_round(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    return xp.stack([blob.amplitude, blob.y, blob.x, xp.sqrt(0.5 * (blob.yy + blob.xx)), blob.offset])


gaussian_2d = Model(
    "gaussian_2d",
    _round,
    [
        AMPLITUDE,
        Y,
        X,
        Parameter("sigma", "coord", lower=0, description="standard deviation, the same in all directions"),
        OFFSET,
    ],
    2,
    _guess_round,
    formula="amplitude·exp(−(Δy² + Δx²)/(2 sigma²)) + offset",
    reference=SIEGMAN,
).on_open_grids()


def _elliptic(
    coords: Coords, amplitude: Array, y: Array, x: Array, sigma_y: Array, sigma_x: Array, offset: Array
) -> Array:
    return amplitude * _falling((coords[0] - y) * (1 / sigma_y), (coords[1] - x) * (1 / sigma_x)) + offset


def _guess_elliptic(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    return xp.stack([blob.amplitude, blob.y, blob.x, xp.sqrt(blob.yy), xp.sqrt(blob.xx), blob.offset])


gaussian_2d_elliptic = Model(
    "gaussian_2d_elliptic",
    _elliptic,
    [AMPLITUDE, Y, X, SIGMA_Y, SIGMA_X, OFFSET],
    2,
    _guess_elliptic,
    formula="amplitude·exp(−Δy²/(2 sigma_y²) − Δx²/(2 sigma_x²)) + offset",
    reference=SIEGMAN,
).on_open_grids()


def _rotated(
    coords: Coords,
    amplitude: Array,
    y: Array,
    x: Array,
    sigma_y: Array,
    sigma_x: Array,
    theta: Array,
    offset: Array,
) -> Array:
    dy, dx = coords[0] - y, coords[1] - x
    cosine, sine = xp.cos(theta), xp.sin(theta)
    along, across = 1 / sigma_x, 1 / sigma_y
    u = dx * (cosine * along) + dy * (sine * along)
    v = dy * (cosine * across) - dx * (sine * across)
    return amplitude * xp.exp(-0.5 * (u * u + v * v)) + offset


def _guess_rotated(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    # the principal axis within 45° of x is called x, so that an unrotated ellipse gets theta = 0
    theta = 0.5 * xp.arctan2(2 * blob.yx, xp.abs(blob.xx - blob.yy))
    theta = xp.where(blob.xx < blob.yy, -theta, theta)
    mean, half = 0.5 * (blob.yy + blob.xx), xp.hypot(0.5 * (blob.xx - blob.yy), blob.yx)
    half = xp.where(blob.xx < blob.yy, -half, half)
    along = (xp.sqrt(xp.maximum(mean - half, 0)), xp.sqrt(xp.maximum(mean + half, 0)))
    return xp.stack([blob.amplitude, blob.y, blob.x, *along, theta, blob.offset])


gaussian_2d_rotated = Model(
    "gaussian_2d_rotated",
    _rotated,
    [
        AMPLITUDE,
        Y,
        X,
        Parameter("sigma_y", "coord", lower=0, description="standard deviation along the axis at theta + 90°"),
        Parameter("sigma_x", "coord", lower=0, description="standard deviation along the axis at theta, the larger"),
        Parameter("theta", "rad", description="angle of the sigma_x axis, from x towards y, in (−90°, 90°]"),
        OFFSET,
    ],
    2,
    _guess_rotated,
    formula="amplitude·exp(−u²/(2 sigma_x²) − v²/(2 sigma_y²)) + offset, u = Δx cosθ + Δy sinθ, v = −Δx sinθ + Δy cosθ",
    reference=SIEGMAN,
).turning(Turn("theta", math.pi, ("sigma_x", "sigma_y")))


def _lorentzian(coords: Coords, amplitude: Array, y: Array, x: Array, gamma: Array, offset: Array) -> Array:
    square = (coords[0] - y) ** 2 + (coords[1] - x) ** 2
    return amplitude / (1 + square * (1 / gamma) ** 2) + offset


def _guess_lorentzian(coords: Coords, data: Array, weights: Array) -> Array:
    # the matching Gaussian is a little wider than the half width at half maximum
    amplitude, y, x, sigma, _ = _guess_round(coords, data, weights)
    gamma = 0.9 * sigma
    line = regress(_lorentzian(coords, 1.0, y, x, gamma, 0.0), data, weights)
    return xp.stack([xp.where(line.amplitude == 0, amplitude, line.amplitude), y, x, gamma, line.offset])


lorentzian_2d = Model(
    "lorentzian_2d",
    _lorentzian,
    [
        AMPLITUDE,
        Y,
        X,
        Parameter("gamma", "coord", lower=0, description="half width at half maximum, the same in all directions"),
        OFFSET,
    ],
    2,
    _guess_lorentzian,
    formula="amplitude/(1 + (Δy² + Δx²)/gamma²) + offset",
    reference="A. F. J. Moffat, Astron. Astrophys. 3, 455 (1969), with β = 1",
)


def _airy(coords: Coords, amplitude: Array, y: Array, x: Array, radius: Array, offset: Array) -> Array:
    square = (coords[0] - y) ** 2 + (coords[1] - x) ** 2
    return amplitude * jinc(square * (J1_ZERO / radius) ** 2) ** 2 + offset


def _guess_airy(coords: Coords, data: Array, weights: Array) -> Array:
    amplitude, y, x, sigma, offset = _guess_round(coords, data, weights)
    return xp.stack([amplitude, y, x, DARK_RING_PER_SIGMA * sigma, offset])


# Radius of the first dark ring over σ of the Gaussian that matches the disc best.
DARK_RING_PER_SIGMA = 2.96

airy_2d = Model(
    "airy_2d",
    _airy,
    [AMPLITUDE, Y, X, Parameter("radius", "coord", lower=0, description="radius of the first dark ring"), OFFSET],
    2,
    _guess_airy,
    formula="amplitude·(2 J₁(u)/u)² + offset, u = 3.8317·√(Δy² + Δx²)/radius",
    reference="M. Born, E. Wolf, Principles of Optics (1999), section 8.5.2",
)


def _plane(coords: Coords, slope_y: Array, slope_x: Array, offset: Array) -> Array:
    return slope_y * coords[0] + slope_x * coords[1] + offset


def _guess_plane(coords: Coords, data: Array, weights: Array) -> Array:
    regression = Regression.of(data, weights)
    y, x = (c - regression.mean_of(c) for c in coords)
    pair = regress_pair(y, x, regression.squares, regression.product)
    sloped = _plane(coords, pair.first, pair.second, 0.0)
    return xp.stack([pair.first, pair.second, regression.mean_of(data - sloped)])


plane_2d = Model(
    "plane_2d",
    _plane,
    [
        Parameter("slope_y", "data/coord0", description="change per unit along y"),
        Parameter("slope_x", "data/coord1", description="change per unit along x"),
        Parameter("offset", "data", description="value at the origin of the coordinates"),
    ],
    2,
    _guess_plane,
    formula="slope_y·y + slope_x·x + offset",
    reference="P. R. Bevington, D. K. Robinson, Data Reduction and Error Analysis for the Physical Sciences (2003)",
)
