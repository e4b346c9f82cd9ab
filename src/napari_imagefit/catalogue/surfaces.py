"""Peaks on a surface: Gaussians over ``(y, x)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import LazyModule
from ..engine.model import Array, Model, Parameter
from .estimate import find_blob

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

Coords = tuple[Array, ...]

SIEGMAN = "A. E. Siegman, How to (maybe) measure laser beam quality, DPSS Lasers, OSA (1998)"

AMPLITUDE = Parameter("amplitude", "data", description="height above the offset; negative for a dip")
Y = Parameter("y", "coord0", description="centre along the first axis")
X = Parameter("x", "coord1", description="centre along the second axis")
SIGMA_Y = Parameter("sigma_y", "coord0", lower=0, description="standard deviation along y")
SIGMA_X = Parameter("sigma_x", "coord1", lower=0, description="standard deviation along x")
OFFSET = Parameter("offset", "data", description="constant background")


def _round(coords: Coords, amplitude: Array, y: Array, x: Array, sigma: Array, offset: Array) -> Array:
    square = (coords[0] - y) ** 2 + (coords[1] - x) ** 2
    return amplitude * jnp.exp(-0.5 * square / sigma**2) + offset


def _guess_round(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    return jnp.stack([blob.amplitude, blob.y, blob.x, jnp.sqrt(0.5 * (blob.yy + blob.xx)), blob.offset])


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
)


def _elliptic(
    coords: Coords, amplitude: Array, y: Array, x: Array, sigma_y: Array, sigma_x: Array, offset: Array
) -> Array:
    square = ((coords[0] - y) / sigma_y) ** 2 + ((coords[1] - x) / sigma_x) ** 2
    return amplitude * jnp.exp(-0.5 * square) + offset


def _guess_elliptic(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    return jnp.stack([blob.amplitude, blob.y, blob.x, jnp.sqrt(blob.yy), jnp.sqrt(blob.xx), blob.offset])


gaussian_2d_elliptic = Model(
    "gaussian_2d_elliptic",
    _elliptic,
    [AMPLITUDE, Y, X, SIGMA_Y, SIGMA_X, OFFSET],
    2,
    _guess_elliptic,
    formula="amplitude·exp(−Δy²/(2 sigma_y²) − Δx²/(2 sigma_x²)) + offset",
    reference=SIEGMAN,
)


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
    cosine, sine = jnp.cos(theta), jnp.sin(theta)
    u = dx * cosine + dy * sine
    v = dy * cosine - dx * sine
    return amplitude * jnp.exp(-0.5 * ((u / sigma_x) ** 2 + (v / sigma_y) ** 2)) + offset


def _guess_rotated(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    # the principal axis within 45° of x is called x, so that an unrotated ellipse gets theta = 0
    theta = 0.5 * jnp.arctan2(2 * blob.yx, jnp.abs(blob.xx - blob.yy)) * jnp.where(blob.xx < blob.yy, -1, 1)
    mean, half = 0.5 * (blob.yy + blob.xx), jnp.hypot(0.5 * (blob.xx - blob.yy), blob.yx)
    half = jnp.where(blob.xx < blob.yy, -half, half)
    along = (jnp.sqrt(jnp.maximum(mean - half, 0)), jnp.sqrt(jnp.maximum(mean + half, 0)))
    return jnp.stack([blob.amplitude, blob.y, blob.x, *along, theta, blob.offset])


gaussian_2d_rotated = Model(
    "gaussian_2d_rotated",
    _rotated,
    [
        AMPLITUDE,
        Y,
        X,
        Parameter("sigma_y", "coord", lower=0, description="standard deviation along the axis at theta + 90°"),
        Parameter("sigma_x", "coord", lower=0, description="standard deviation along the axis at theta"),
        Parameter("theta", "rad", description="angle of the sigma_x axis, from x towards y"),
        OFFSET,
    ],
    2,
    _guess_rotated,
    formula="amplitude·exp(−u²/(2 sigma_x²) − v²/(2 sigma_y²)) + offset, u = Δx cosθ + Δy sinθ, v = −Δx sinθ + Δy cosθ",
    reference=SIEGMAN,
)
