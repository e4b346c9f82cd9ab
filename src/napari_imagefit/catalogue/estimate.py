"""Estimates from data that the models' guesses are made of.

Everything works on a batch: ``data`` and ``weights`` are ``(m, B)``, coordinates ``(m, 1)`` or ``(m, B)``, results
``(B,)``. A weight of 0 marks a sample that does not count. All estimates are finite for any finite input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .._lazy import LazyModule
from ..engine.model import Array

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Found = TypeVar("Found")

# Samples that are enough to estimate a level or a width of something that fills a good part of the region.
ENOUGH = 8192
BLOCKS = 16


def ratio(numerator: Array, denominator: Array, otherwise: Array | float = 0.0) -> Array:
    """Quotient, `otherwise` where the denominator is not positive."""
    good = denominator > 0
    return jnp.where(good, numerator / jnp.where(good, denominator, 1), otherwise)


def thinned(*arrays: Array) -> tuple[Array, ...]:
    """Every k-th sample, with k odd so that it does not run down the columns of an image."""
    step = arrays[0].shape[0] // ENOUGH | 1
    return tuple(a[::step] for a in arrays)


def extent(coordinate: Array, weights: Array) -> tuple[Array, Array]:
    """Least and largest coordinate of the samples that count."""
    used = weights > 0
    low = jnp.min(jnp.where(used, coordinate, jnp.inf), axis=0)
    high = jnp.max(jnp.where(used, coordinate, -jnp.inf), axis=0)
    empty = ~jnp.any(used, axis=0)
    return jnp.where(empty, 0, low), jnp.where(empty, 1, high)


def quantile(data: Array, weights: Array, fraction: float) -> Array:
    """Quantile of the samples that count."""
    data, weights = thinned(data, weights)
    used = weights > 0
    ordered = jnp.sort(jnp.where(used, data, jnp.inf), axis=0)
    last = jnp.maximum(jnp.sum(used, axis=0) - 1, 0)
    place = jnp.round(fraction * last).astype(jnp.int32)
    value = jnp.take_along_axis(ordered, place[None], axis=0)[0]
    return jnp.where(jnp.isfinite(value), value, 0)


class Line(NamedTuple):
    """The best ``amplitude·basis + offset``, and how much of the sum of squares it explains."""

    amplitude: Array
    offset: Array
    gain: Array


def regress(basis: Array, data: Array, weights: Array) -> Line:
    """Weighted linear regression of data on one basis function and a constant."""
    w = weights * weights
    total = jnp.sum(w, axis=0)
    x, y = ratio(jnp.sum(w * basis, axis=0), total), ratio(jnp.sum(w * data, axis=0), total)
    dx, dy = basis - x, data - y
    xx, xy = jnp.sum(w * dx * dx, axis=0), jnp.sum(w * dx * dy, axis=0)
    amplitude = ratio(xy, xx)
    return Line(amplitude, y - amplitude * x, amplitude * xy)


def best_of(candidates: Array, attempt: Callable[[Array], tuple[Array, Found]]) -> tuple[Array, Found]:
    """For each fit, the result of the candidate with the largest gain.

    Parameters
    ----------
    candidates : array, ``(K, …)``
    attempt : callable
        From one candidate to its gain ``(B,)`` and a tuple of arrays ``(B,)``.

    Returns
    -------
    gain : array, ``(B,)``
    found : as `attempt` returns it
    """

    def compare(best: tuple[Array, Found], candidate: Array) -> tuple[tuple[Array, Found], None]:
        new = attempt(candidate)
        better = new[0] > best[0]
        return jax.tree.map(lambda n, b: jnp.where(better, n, b), new, best), None

    shapes = jax.eval_shape(attempt, candidates[0])
    none = (
        jnp.full(shapes[0].shape, -jnp.inf, shapes[0].dtype),
        jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[1]),
    )
    best: tuple[Array, Found] = jax.lax.scan(compare, none, candidates)[0]
    return best


class Blob(NamedTuple):
    """Where something stands out of the background, and how wide it is."""

    amplitude: Array
    y: Array
    x: Array
    yy: Array  # second moments of the matching Gaussian: σ² for a Gaussian
    xx: Array
    yx: Array
    offset: Array


def find_blob(coords: tuple[Array, ...], data: Array, weights: Array) -> Blob:
    """The one elliptical structure, brighter or darker than its surroundings, that stands out most.

    It is found on block means, which noise hardly moves, and then measured with adaptive moments: moments weighted by
    a Gaussian that is made to match them, with its amplitude and the background regressed each time.

    References
    ----------
    G. M. Bernstein, M. Jarvis, Shapes and shears, stars and smears, Astron. J. 123, 583 (2002), section 3.
    """
    y, x = coords
    box = (*extent(y, weights), *extent(x, weights))
    start = _on_blocks(y, x, data, weights, box)

    def match(_: Array, blob: Blob) -> Blob:
        return _adapt(y, x, data, weights, box, blob)

    matched: Blob = jax.lax.fori_loop(0, 8, match, start)
    line = regress(_template(y, x, matched), data, weights)
    return matched._replace(amplitude=line.amplitude, offset=line.offset)


def _on_blocks(y: Array, x: Array, data: Array, weights: Array, box: tuple[Array, ...]) -> Blob:
    """Centre and size from the means of 16 × 16 blocks."""
    y_low, y_high, x_low, x_high = box
    rows = jnp.clip(BLOCKS * ratio(y - y_low, y_high - y_low), 0, BLOCKS - 1).astype(jnp.int32)
    columns = jnp.clip(BLOCKS * ratio(x - x_low, x_high - x_low), 0, BLOCKS - 1).astype(jnp.int32)
    block = jnp.broadcast_to(rows * BLOCKS + columns, data.shape)
    fit = jnp.broadcast_to(jnp.arange(data.shape[1]), data.shape)
    w = weights * weights
    empty = jnp.zeros((BLOCKS * BLOCKS, data.shape[1]), data.dtype)
    total = empty.at[block, fit].add(w)
    background = quantile(data, weights, 0.3)
    mean = ratio(empty.at[block, fit].add(w * data), total, background)
    above = mean - background
    dark = jnp.max(-above, axis=0) > 1.5 * jnp.max(above, axis=0)
    above = jnp.where(dark, -above, above)
    core = jnp.maximum(above - 0.5 * jnp.max(above, axis=0), 0)

    middle = (jnp.arange(BLOCKS, dtype=data.dtype) + 0.5) / BLOCKS
    by = y_low + (y_high - y_low) * jnp.repeat(middle, BLOCKS)[:, None]
    bx = x_low + (x_high - x_low) * jnp.tile(middle, BLOCKS)[:, None]
    mass = jnp.sum(core, axis=0)
    cy = ratio(jnp.sum(core * by, axis=0), mass, 0.5 * (y_low + y_high))
    cx = ratio(jnp.sum(core * bx, axis=0), mass, 0.5 * (x_low + x_high))
    # a Gaussian cut at half its height has 0.217 of its variance there
    yy = ratio(jnp.sum(core * (by - cy) ** 2, axis=0), mass) / 0.217
    xx = ratio(jnp.sum(core * (bx - cx) ** 2, axis=0), mass) / 0.217
    block_yy, block_xx = ((y_high - y_low) / BLOCKS) ** 2 / 4, ((x_high - x_low) / BLOCKS) ** 2 / 4
    yy, xx = yy + block_yy, xx + block_xx
    zero = jnp.zeros_like(cy)
    # across a region of a single row or column the width is as good as along it
    wider = jnp.where(jnp.maximum(yy, xx) > 0, jnp.maximum(yy, xx), 1)
    return Blob(zero, cy, cx, jnp.where(yy > 0, yy, wider), jnp.where(xx > 0, xx, wider), zero, background)


def _template(y: Array, x: Array, blob: Blob) -> Array:
    dy, dx = y - blob.y, x - blob.x
    area = blob.yy * blob.xx - blob.yx**2
    return jnp.exp(-0.5 * ratio(blob.xx * dy * dy - 2 * blob.yx * dy * dx + blob.yy * dx * dx, area))


def _adapt(y: Array, x: Array, data: Array, weights: Array, box: tuple[Array, ...], blob: Blob) -> Blob:
    """One round of adaptive moments; a round that leads nowhere sensible changes nothing."""
    y_low, y_high, x_low, x_high = box
    window = _template(y, x, blob)
    line = regress(window, data, weights)
    sign = jnp.where(line.amplitude < 0, -1, 1)
    light = jnp.where(weights > 0, sign * (data - line.offset) * window, 0)
    mass = jnp.sum(light, axis=0)
    dy, dx = y - blob.y, x - blob.x
    sy, sx = ratio(jnp.sum(light * dy, axis=0), mass), ratio(jnp.sum(light * dx, axis=0), mass)
    # under a matching window the moments of a Gaussian are half as large
    yy = 2 * (ratio(jnp.sum(light * dy * dy, axis=0), mass) - sy * sy)
    xx = 2 * (ratio(jnp.sum(light * dx * dx, axis=0), mass) - sx * sx)
    yx = 2 * (ratio(jnp.sum(light * dy * dx, axis=0), mass) - sy * sx)
    new_y, new_x = blob.y + 2 * sy, blob.x + 2 * sx
    height, width = y_high - y_low, x_high - x_low
    count = jnp.maximum(jnp.sum(weights > 0, axis=0), 1)
    least = 0.1 * ratio(height * width, count, 1.0)
    sane = (
        (mass > 0)
        & (yy > least)
        & (xx > least)
        & (yy * xx > 1.1 * yx * yx)
        & (yy < height**2)
        & (xx < width**2)
        & (new_y >= y_low)
        & (new_y <= y_high)
        & (new_x >= x_low)
        & (new_x <= x_high)
    )
    new = Blob(line.amplitude, new_y, new_x, yy, xx, yx, line.offset)
    kept: Blob = jax.tree.map(lambda n, old: jnp.where(sane, n, old), new, blob)
    return kept
