"""Peaks in a volume: Gaussians over ``(z, y, x)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._lazy import LazyModule
from ..engine.models.model import Array, Model, Parameter
from .estimate import extent, quantile, ratio, regress
from .surfaces import AMPLITUDE, OFFSET, Coords

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

ZHANG = "B. Zhang, J. Zerubia, J.-C. Olivo-Marin, Appl. Opt. 46, 1819 (2007)"

Z = Parameter("z", "coord0", description="centre along the first axis")
Y = Parameter("y", "coord1", description="centre along the second axis")
X = Parameter("x", "coord2", description="centre along the third axis")
SIGMA = Parameter("sigma", "coord", lower=0, description="standard deviation, the same in all directions")
SIGMAS = tuple(
    Parameter(f"sigma_{axis}", f"coord{i}", lower=0, description=f"standard deviation along {axis}")
    for i, axis in enumerate("zyx")
)

BLOCKS = 8
# A Gaussian cut at half its height has this part of its variance there.
CUT = 0.189


class Ball(NamedTuple):
    """Where something stands out of the background; centres and variances are ``(3, B)``."""

    amplitude: Array
    center: Array
    variance: Array
    offset: Array


def find_ball(coords: Coords, data: Array, weights: Array) -> Ball:
    """The one structure, brighter or darker than its surroundings, that stands out most: `find_blob` in 3-D.

    From the means of 8 × 8 × 8 blocks, then by adaptive moments along the axes.
    """
    limits = [extent(c, weights) for c in coords]
    low, high = jnp.stack([pair[0] for pair in limits]), jnp.stack([pair[1] for pair in limits])
    start = _on_blocks(coords, data, weights, low, high)
    matched: Ball = jax.lax.fori_loop(0, 10, lambda _, ball: _adapt(coords, data, weights, low, high, ball), start)
    line = regress(_template(coords, matched), data, weights)
    return matched._replace(amplitude=line.amplitude, offset=line.offset)


def _on_blocks(coords: Coords, data: Array, weights: Array, low: Array, high: Array) -> Ball:
    block = jnp.zeros(data.shape, jnp.int32)
    for c, first, last in zip(coords, low, high, strict=True):
        place = jnp.clip(BLOCKS * ratio(c - first, last - first), 0, BLOCKS - 1)
        block = block * BLOCKS + place.astype(jnp.int32)
    fit = jnp.broadcast_to(jnp.arange(data.shape[1]), data.shape)
    w = weights * weights
    empty = jnp.zeros((BLOCKS**3, data.shape[1]), data.dtype)
    background = quantile(data, weights, 0.5)
    total = empty.at[block, fit].add(w)
    above = ratio(empty.at[block, fit].add(w * data), total, background) - background
    above = jnp.where(jnp.max(-above, axis=0) > jnp.max(above, axis=0), -above, above)
    core = jnp.maximum(above - 0.5 * jnp.max(above, axis=0), 0)

    middle = (jnp.arange(BLOCKS, dtype=data.dtype) + 0.5) / BLOCKS
    at = jnp.stack(jnp.meshgrid(middle, middle, middle, indexing="ij")).reshape(3, -1, 1)
    mass = jnp.sum(core, axis=0)
    center = ratio(jnp.sum(core * at, axis=1), mass, 0.5)
    variance = ratio(jnp.sum(core * (at - center[:, None]) ** 2, axis=1), mass) / CUT + (0.5 / BLOCKS) ** 2
    size = high - low
    # across a single sample the width is as good as along the longest axis
    size = jnp.where(size > 0, size, jnp.where(jnp.max(size, axis=0) > 0, jnp.max(size, axis=0), 1))
    zero = jnp.zeros_like(mass)
    return Ball(zero, low + (high - low) * center, size**2 * variance, background)


def _template(coords: Coords, ball: Ball) -> Array:
    return jnp.exp(-0.5 * sum((c - m) ** 2 / v for c, m, v in zip(coords, ball.center, ball.variance, strict=True)))


def _adapt(coords: Coords, data: Array, weights: Array, low: Array, high: Array, ball: Ball) -> Ball:
    """One round of adaptive moments; along an axis that it leads out of, nothing changes."""
    window = _template(coords, ball)
    line = regress(window, data, weights)
    light = jnp.where(weights > 0, jnp.where(line.amplitude < 0, -1, 1) * (data - line.offset) * window, 0)
    mass = jnp.sum(light, axis=0)
    away = [c - m for c, m in zip(coords, ball.center, strict=True)]
    shift = jnp.stack([ratio(jnp.sum(light * d, axis=0), mass) for d in away])
    # under a matching window the moments of a Gaussian are half as large
    square = jnp.stack([ratio(jnp.sum(light * d * d, axis=0), mass) for d in away])
    variance, center = 2 * (square - shift**2), ball.center + 2 * shift
    size = high - low
    least = 0.1 * (size / jnp.maximum(jnp.sum(weights > 0, axis=0), 1) ** (1 / 3)) ** 2
    sane = (mass > 0) & (variance > least) & (variance < size**2) & (center >= low) & (center <= high)
    return Ball(
        line.amplitude,
        jnp.where(sane, center, ball.center),
        jnp.where(sane, variance, ball.variance),
        line.offset,
    )


def _round(coords: Coords, amplitude: Array, z: Array, y: Array, x: Array, sigma: Array, offset: Array) -> Array:
    inverse = 1 / sigma
    square = ((coords[0] - z) * inverse) ** 2 + ((coords[1] - y) * inverse) ** 2 + ((coords[2] - x) * inverse) ** 2
    return amplitude * jnp.exp(-0.5 * square) + offset


def _guess_round(coords: Coords, data: Array, weights: Array) -> Array:
    ball = find_ball(coords, data, weights)
    return jnp.stack([ball.amplitude, *ball.center, jnp.sqrt(jnp.mean(ball.variance, axis=0)), ball.offset])


gaussian_3d = Model(
    "gaussian_3d",
    _round,
    [AMPLITUDE, Z, Y, X, SIGMA, OFFSET],
    3,
    _guess_round,
    formula="amplitude·exp(−(Δz² + Δy² + Δx²)/(2 sigma²)) + offset",
    reference=ZHANG,
)


def _elliptic(
    coords: Coords,
    amplitude: Array,
    z: Array,
    y: Array,
    x: Array,
    sigma_z: Array,
    sigma_y: Array,
    sigma_x: Array,
    offset: Array,
) -> Array:
    by_z, by_y, by_x = 1 / sigma_z, 1 / sigma_y, 1 / sigma_x
    square = ((coords[0] - z) * by_z) ** 2 + ((coords[1] - y) * by_y) ** 2 + ((coords[2] - x) * by_x) ** 2
    return amplitude * jnp.exp(-0.5 * square) + offset


def _guess_elliptic(coords: Coords, data: Array, weights: Array) -> Array:
    ball = find_ball(coords, data, weights)
    return jnp.stack([ball.amplitude, *ball.center, *jnp.sqrt(ball.variance), ball.offset])


gaussian_3d_elliptic = Model(
    "gaussian_3d_elliptic",
    _elliptic,
    [AMPLITUDE, Z, Y, X, *SIGMAS, OFFSET],
    3,
    _guess_elliptic,
    formula="amplitude·exp(−Δz²/(2 sigma_z²) − Δy²/(2 sigma_y²) − Δx²/(2 sigma_x²)) + offset",
    reference=ZHANG,
)
