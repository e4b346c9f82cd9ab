"""Peaks in a volume: Gaussians over ``(z, y, x)``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.model import Model
from .estimate import Regression, add_each, add_up, extent, quantile, ratio, sums_at
from .surfaces import AMPLITUDE, OFFSET

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
CORE_VARIANCE = 0.189


class Ball(NamedTuple):
    """Position and width of what stands out of the background; centres and variances are ``(3, B)``."""

    amplitude: Array
    center: Array
    variance: Array
    offset: Array


def find_ball(coords: Coords, data: Array, weights: Array) -> Ball:
    """Return the one structure, brighter or darker than its surroundings, that stands out most: `find_blob` in 3-D.

    From the means of 8 × 8 × 8 blocks, then by adaptive moments along the axes.
    """
    limits = [extent(c, weights) for c in coords]
    low, high = xp.stack([pair[0] for pair in limits]), xp.stack([pair[1] for pair in limits])
    start = _on_blocks(coords, data, weights, low, high)
    regression = Regression.of(data, weights)

    def adapt(_: Array, ball: Ball) -> Ball:
        return _adapt(coords, data, weights, regression, low, high, ball)

    matched: Ball = xp.fori_loop(0, 10, adapt, start)
    line = regression.on(_template(coords, matched))
    return matched._replace(amplitude=line.amplitude, offset=line.offset)


def _on_blocks(coords: Coords, data: Array, weights: Array, low: Array, high: Array) -> Ball:
    block = np.zeros(data.shape, np.int32)
    for c, first, last in zip(coords, low, high, strict=True):
        place = xp.clip(BLOCKS * ratio(c - first, last - first), 0, BLOCKS - 1)
        block = block * BLOCKS + place.astype(np.int32)
    w = weights * weights
    background = quantile(data, weights, 0.5)
    total, product = (sums_at(block, a, BLOCKS**3) for a in (w, w * data))
    above = ratio(product, total, background) - background
    above = xp.where(xp.max(-above, axis=0) > xp.max(above, axis=0), -above, above)
    core = xp.maximum(above - 0.5 * xp.max(above, axis=0), 0)

    middle = (np.arange(BLOCKS, dtype=data.dtype) + 0.5) / BLOCKS
    at = np.stack(np.meshgrid(middle, middle, middle, indexing="ij")).reshape(3, -1, 1)
    (mass,) = add_each(core)
    center = xp.stack([ratio(first, mass, 0.5) for first in add_each(*(core * place for place in at))])
    square = add_each(*(core * (place - middle) ** 2 for place, middle in zip(at, center, strict=True)))
    variance = xp.stack([ratio(second, mass) for second in square]) / CORE_VARIANCE + (0.5 / BLOCKS) ** 2
    size = high - low
    # across a single sample the width is as good as along the longest axis
    size = xp.where(size > 0, size, xp.where(xp.max(size, axis=0) > 0, xp.max(size, axis=0), 1))
    zero = xp.zeros_like(mass)
    return Ball(zero, low + (high - low) * center, size**2 * variance, background)


def _template(coords: Coords, ball: Ball) -> Array:
    by = -0.5 / ball.variance
    return xp.exp(sum((c - m) ** 2 * v for c, m, v in zip(coords, ball.center, by, strict=True)))


def _adapt(
    coords: Coords, data: Array, weights: Array, regression: Regression, low: Array, high: Array, ball: Ball
) -> Ball:
    """One round of adaptive moments; along an axis that it leads out of, nothing changes."""
    window = _template(coords, ball)
    line = regression.on(window)
    sign = xp.where(line.amplitude < 0, -1, 1).astype(window.dtype)
    light = xp.where(weights > 0, sign * (data - line.offset) * window, 0)
    (mass,) = add_each(light)
    away = [c - m for c, m in zip(coords, ball.center, strict=True)]
    shift = xp.stack([ratio(add_each(light * d)[0], mass) for d in away])
    # under a matching window the moments of a Gaussian are half as large
    square = xp.stack([ratio(add_each(light * d * d)[0], mass) for d in away])
    variance, center = 2 * (square - shift**2), ball.center + 2 * shift
    size = high - low
    (count,) = add_up((weights > 0).astype(data.dtype))
    least = 0.1 * (size / xp.maximum(count, 1) ** (1 / 3)) ** 2
    sane = (mass > 0) & (variance > least) & (variance < size**2) & (center >= low) & (center <= high)
    return Ball(
        line.amplitude,
        xp.where(sane, center, ball.center),
        xp.where(sane, variance, ball.variance),
        line.offset,
    )


def _round(coords: Coords, amplitude: Array, z: Array, y: Array, x: Array, sigma: Array, offset: Array) -> Array:
    inverse = 1 / sigma
    square = ((coords[0] - z) * inverse) ** 2 + ((coords[1] - y) * inverse) ** 2 + ((coords[2] - x) * inverse) ** 2
    return amplitude * xp.exp(-0.5 * square) + offset


def _guess_round(coords: Coords, data: Array, weights: Array) -> Array:
    ball = find_ball(coords, data, weights)
    return xp.stack([ball.amplitude, *ball.center, xp.sqrt(xp.mean(ball.variance, axis=0)), ball.offset])


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
    return amplitude * xp.exp(-0.5 * square) + offset


def _guess_elliptic(coords: Coords, data: Array, weights: Array) -> Array:
    ball = find_ball(coords, data, weights)
    return xp.stack([ball.amplitude, *ball.center, *xp.sqrt(ball.variance), ball.offset])


gaussian_3d_elliptic = Model(
    "gaussian_3d_elliptic",
    _elliptic,
    [AMPLITUDE, Z, Y, X, *SIGMAS, OFFSET],
    3,
    _guess_elliptic,
    formula="amplitude·exp(−Δz²/(2 sigma_z²) − Δy²/(2 sigma_y²) − Δx²/(2 sigma_x²)) + offset",
    reference=ZHANG,
)
