"""The one thing that stands out in an image: where surfaces and clouds start.

Arrays are as in `estimate`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..engine.core.array_module import ALONE, is_numpy, xp
from ..engine.core.types import Array
from .estimate import ENOUGH_SAMPLES, HALVINGS, Line, add_up, between, extents, ratio

BLOCKS = 16
# An exponential is the power of one of a 256th of its exponent.
SQUARINGS = 8
# Rounds of adaptive moments at most; of so few samples that a step of the fit is as quick, and the halvings of their
# range in which the background lies: their noise hides the rest.
ROUNDS, ROUNDS_OF_FEW = 6, 3
HALVINGS_OF_FEW = 8
# The change, relative to the widths, that counts as none.
NEGLIGIBLE_CHANGE = 0.05
# What a wide blob has to explain of what one around the brightest sample explains, to be taken instead: from it moments
# find a narrow one as well, but of few counts one bright sample by itself may explain more than all of them.
PREFERRED = 0.6
# How far, in squares of widths, a blob may be from what a matching window would have shown.
NEAR = 6


class Blob(NamedTuple):
    """Position and width of what stands out of the background."""

    amplitude: Array
    y: Array
    x: Array
    yy: Array  # second moments of the matching Gaussian: σ² for a Gaussian
    xx: Array
    yx: Array
    offset: Array


class Sight(NamedTuple):
    """The samples, or a few that stand for them, as a blob is looked for in them."""

    y: Array  # (m, 1) or (m, B)
    x: Array
    data: Array  # (m, B)
    squares: Array  # (m, B): weights²
    count: Array  # (m, B): samples, 0 where none counts


class Frame(NamedTuple):
    """Constants of the search for a blob, each ``(B,)``."""

    y_low: Array
    y_high: Array
    x_low: Array
    x_high: Array
    least: Array  # variance


class Match(NamedTuple):
    """A blob without amplitude, and the matrix ``[[a, b], [b, c]]`` that is the inverse of its second moments."""

    y: Array
    x: Array
    yy: Array
    xx: Array
    yx: Array
    a: Array
    b: Array
    c: Array
    settled: Array

    @classmethod
    def of(cls, y: Array, x: Array, yy: Array, xx: Array, yx: Array, settled: Array) -> Match:
        """Return the match with this centre and second moments; `settled` marks the fits that need no further step."""
        area = yy * xx - yx * yx
        return cls(y, x, yy, xx, yx, ratio(xx, area), ratio(-yx, area), ratio(yy, area), settled)


def find_blob(coords: tuple[Array, ...], data: Array, weights: Array) -> Blob:
    """Return the one elliptical structure, brighter or darker than its surroundings, that stands out most.

    It is found where the data are furthest from the background, of large images on block means, which noise hardly
    moves. Then it is measured with adaptive moments: moments weighted by a Gaussian that is made to match them, with
    its amplitude and the background regressed each time.

    References
    ----------
    G. M. Bernstein, M. Jarvis, Shapes and shears, stars and smears, Astron. J. 123, 583 (2002), section 3.
    """
    m, fits = data.shape
    box = extents((*coords, data), weights)
    (y_low, y_high), (x_low, x_high), (low, high) = box
    squares = xp.broadcast_to(weights * weights, data.shape)
    counts = xp.broadcast_to((weights > 0).astype(data.dtype), data.shape)
    sight = Sight(coords[0], coords[1], data, squares, counts)
    few = _runs(sight) if m >= ENOUGH_SAMPLES else sight
    (count,) = add_up(sight.count)
    least = 0.1 * ratio((y_high - y_low) * (x_high - x_low), xp.maximum(count, 1), 1.0)
    frame = Frame(y_low, y_high, x_low, x_high, least)
    halvings = HALVINGS_OF_FEW if m <= ALONE else HALVINGS
    background = between(few.data, few.count > 0, 0.3, low, high, halvings)
    # what is summed up is small: nothing cancels
    few = few._replace(data=xp.where(few.count > 0, few.data - background, 0))
    if m <= ALONE or fits > 1:
        start = _from_peak(few, frame, low - background, high - background)
        # of few counts the brightest sample is but one of many: then all samples together carry more information
        start = _better(few, start, _from_peak(few, frame, low - background, high - background, cut=0))
    else:
        start = _from_peak(*_blocks(few, frame))
    matched = _match(few, frame, start)
    if m >= ENOUGH_SAMPLES:
        sight = sight._replace(data=xp.where(sight.count > 0, sight.data - background, 0))
        matched = _match(sight, frame, matched)
    else:
        sight = few
    line = _regressed(sight, matched)
    return Blob(line.amplitude, matched.y, matched.x, matched.yy, matched.xx, matched.yx, background + line.offset)


def _runs(sight: Sight) -> Sight:
    """Means over runs of samples that follow each other, which in an image are neighbours."""
    m = sight.data.shape[0]
    length = m // (ENOUGH_SAMPLES // 2)
    short = -m % length

    def runs(a: Array) -> Array:
        padded = xp.pad(a, ((0, short), (0, 0)))
        if a.shape[1] == 1 and is_numpy(a):
            # sums along the last axis, which are slow otherwise
            return np.einsum("ij->i", padded.reshape(-1, length))[:, None]
        return xp.sum(padded.reshape(-1, length, a.shape[1]), axis=1)

    total = runs(sight.squares)

    def means(a: Array) -> Array:
        return ratio(runs(sight.squares * a), total)

    return Sight(means(sight.y), means(sight.x), means(sight.data), total, runs(sight.count))


def _blocks(sight: Sight, frame: Frame) -> tuple[Sight, Frame, Array, Array]:
    """Means of 16 × 16 blocks of a single fit, and the least and the largest of them."""
    places = np.arange(BLOCKS)

    def within(coordinate: Array, low: Array, high: Array) -> Array:
        return xp.clip(BLOCKS * ratio(coordinate - low, high - low), 0, BLOCKS - 1).astype(np.int32)

    rows, columns = within(sight.y, frame.y_low, frame.y_high), within(sight.x, frame.x_low, frame.x_high)

    def gather(a: Array) -> Array:
        if is_numpy(a, rows, columns):
            return np.bincount((BLOCKS * rows + columns)[:, 0], a[:, 0], BLOCKS * BLOCKS)[:, None]
        # a product of matrices: adding to places one by one is far slower there
        by_row, by_column = ((place == places).astype(a.dtype) for place in (rows, columns))
        return xp.matmul((a * by_row).T, by_column).reshape(BLOCKS * BLOCKS, 1)

    total, count = gather(sight.squares), gather(sight.count)
    data = ratio(gather(sight.squares * sight.data), total)
    middle = (places.astype(data.dtype) + 0.5) / BLOCKS
    y = frame.y_low + (frame.y_high - frame.y_low) * np.repeat(middle, BLOCKS)[:, None]
    x = frame.x_low + (frame.x_high - frame.x_low) * np.tile(middle, BLOCKS)[:, None]
    return Sight(y, x, data, total, count), frame, xp.min(data, axis=0), xp.max(data, axis=0)


def _first(sight: Sight) -> tuple[Array, Array]:
    """Return the position of the first sample, from which moments are measured: it is no padding."""
    return sight.y[0], sight.x[0]


def _powers(sight: Sight) -> Array | tuple[Array, ...]:
    """1, y, x, y², x² and yx from the first sample on: in NumPy one table ``(6, m)`` where that helps.

    That is where the fits have their coordinates in common, whose moments then are products of matrices.
    """
    first_y, first_x = _first(sight)
    y, x = sight.y - first_y, sight.x - first_x
    powers = (xp.ones_like(y), y, x, y * y, x * x, y * x)
    m, fits = sight.data.shape
    if y.shape[1] == 1 == x.shape[1] and (fits > 1 or m >= ALONE) and is_numpy(y, x, sight.data):
        return xp.concatenate([power.T for power in powers])
    return powers


def _moments(powers: Array | tuple[Array, ...], *fields: Array, also: Array | None = None) -> list[list[Array]]:
    """Return sums of each field ``(m, B)`` times each of the powers, each ``(B,)``.

    Last that of `also` alone, if given.
    """
    more = () if also is None else (also,)
    if isinstance(powers, tuple):
        sums = add_up(*(field * power for field in fields for power in powers), *more)
        return [list(sums[i : i + 6]) for i in range(0, len(sums), 6)]
    rest = [list(add_up(*more))] if more else []
    if fields[0].shape[1] == 1:
        # not by BLAS, whose threads wait for each other far longer than this takes where other work runs beside it
        return [list(np.einsum("ij,j->i", powers, field[:, 0])[:, None]) for field in fields] + rest
    return [list(xp.matmul(powers, field)) for field in fields] + rest


def _better(sight: Sight, one: Match, other: Match) -> Match:
    """Take for each fit the other match, where it does not explain much less."""
    better = _regressed(sight, other).gain > PREFERRED * _regressed(sight, one).gain
    return Match(*(xp.where(better, b, a) for a, b in zip(one, other, strict=True)))


def _regressed(sight: Sight, at: Match) -> Line:
    """Amplitude and offset of a blob at this position."""
    g = _template(sight, at)
    part = sight.squares * g
    terms = sight.squares, sight.squares * sight.data, part, part * g, part * sight.data
    return _line(*add_up(*terms))


def _from_peak(sight: Sight, frame: Frame, low: Array, high: Array, cut: float = 0.5) -> Match:
    """Centre and size of what is further from the background, 0, than a part of the extremes `low` and `high`."""
    y_low, y_high, x_low, x_high, _ = frame
    middle_y, middle_x = 0.5 * (y_low + y_high), 0.5 * (x_low + x_high)
    dark = -low > 1.5 * high
    sign, top = xp.where(dark, -1, 1).astype(low.dtype), xp.where(dark, -low, high)
    core = xp.where(sight.count > 0, xp.maximum(sign * sight.data - cut * top, 0), 0)
    first_y, first_x = _first(sight)
    (sums,) = _moments(_powers(sight), core)
    mass, cy, cx, yy, xx, _ = sums[0], *(ratio(moment, sums[0]) for moment in sums[1:])
    cy, cx = xp.where(mass > 0, cy, middle_y - first_y), xp.where(mass > 0, cx, middle_x - first_x)
    # a Gaussian cut at half its height has 0.217 of its variance there
    part = 0.217 if cut else 1.0
    yy, xx = xp.maximum(yy - cy * cy, 0) / part, xp.maximum(xx - cx * cx, 0) / part
    block_yy, block_xx = ((y_high - y_low) / BLOCKS) ** 2 / 4, ((x_high - x_low) / BLOCKS) ** 2 / 4
    yy, xx = yy + block_yy, xx + block_xx
    # across a region of a single row or column the width is as good as along it
    wider = xp.where(xp.maximum(yy, xx) > 0, xp.maximum(yy, xx), 1)
    yy, xx = xp.where(yy > 0, yy, wider), xp.where(xx > 0, xx, wider)
    return Match.of(first_y + cy, first_x + cx, yy, xx, xp.zeros_like(cy), xp.zeros(cy.shape, bool))


def _template(sight: Sight, at: Match) -> Array:
    dy, dx = sight.y - at.y, sight.x - at.x
    return _falling(0.5 * (at.a * dy * dy + at.c * dx * dx) + at.b * dy * dx)


def _falling(u: Array) -> Array:
    """exp(−u) for u ≥ 0, compiled to a relative 10⁻¹⁵·u⁶: products take a fifth of an exponential's time."""
    if is_numpy(u):
        return np.exp(-u)
    part = xp.minimum(u * 2.0**-SQUARINGS, 1)
    power = 1 - part * (1 - part * (1 / 2 - part * (1 / 6 - part * (1 / 24 - part / 120))))
    for _ in range(SQUARINGS):
        power = power * power
    return power


def _line(total: Array, y: Array, x: Array, xx: Array, xy: Array) -> Line:
    mean_x, mean_y = ratio(x, total), ratio(y, total)
    own, common = xx - x * mean_x, xy - x * mean_y
    own = xp.where(own > 64 * xp.finfo(xx.dtype).eps * xx, own, 0)
    amplitude = ratio(common, own)
    return Line(amplitude, mean_y - amplitude * mean_x, amplitude * common)


def _match(sight: Sight, frame: Frame, start: Match) -> Match:
    """Run rounds of adaptive moments until every fit has settled; each by itself, whatever the others do."""
    level, powers = add_up(sight.count, sight.count * sight.data), _powers(sight)

    most = ROUNDS_OF_FEW if sight.data.shape[0] <= ALONE else ROUNDS

    def go_on(state: tuple[Array, Match]) -> Array:
        return (state[0] < most) & ~xp.all(state[1].settled)

    def adapt(state: tuple[Array, Match]) -> tuple[Array, Match]:
        old = state[1]
        new = _adapt(sight, frame, old, level, powers)
        return state[0] + 1, Match(*(xp.where(old.settled, o, n) for o, n in zip(old, new, strict=True)))

    fresh = start._replace(settled=xp.zeros_like(start.settled))
    matched: Match = xp.while_loop(go_on, adapt, (np.zeros((), np.int32), fresh))[1]
    return matched


def _adapt(sight: Sight, frame: Frame, at: Match, level: tuple[Array, ...], powers: Array | tuple[Array, ...]) -> Match:
    """One round of adaptive moments; a round that leads nowhere sensible changes nothing, and is the last."""
    y_low, y_high, x_low, x_high, least = frame
    window = _template(sight, at)
    seen = sight.count * window
    of_one, of_data, (square,) = _moments(powers, seen, seen * sight.data, also=seen * window)
    line = _line(level[0], level[1], of_one[0], square, of_data[0])
    sign = xp.where(line.amplitude < 0, -1, 1).astype(window.dtype)
    mass, *rest = (sign * (data - line.offset * one) for one, data in zip(of_one, of_data, strict=True))
    mass, *rest = xp.optimization_barrier((mass, *rest))
    sy, sx, yy, xx, yx = (ratio(moment, mass) for moment in rest)
    yy, xx, yx = yy - sy * sy, xx - sx * sx, yx - sy * sx
    first_y, first_x = _first(sight)
    sy, sx = sy - (at.y - first_y), sx - (at.x - first_x)
    # what several results need is written to memory, or it would be computed again for each
    mass, sy, sx, yy, xx, yx = xp.optimization_barrier((mass, sy, sx, yy, xx, yx))
    # under a matching window the moments of a Gaussian are half as large
    simple = (at.y + 2 * sy, at.x + 2 * sx, 2 * yy, 2 * xx, 2 * yx)
    # under any other the inverse moments of window and Gaussian add up: far from a match it is too noisy
    area = yy * xx - yx * yx
    a, b, c = ratio(xx, area), ratio(-yx, area), ratio(yy, area)
    a, b, c = xp.optimization_barrier((a, b, c))
    own_a, own_b, own_c = a - at.a, b - at.b, c - at.c
    own_area = own_a * own_c - own_b * own_b
    own_yy, own_xx, own_yx = ratio(own_c, own_area), ratio(own_a, own_area), ratio(-own_b, own_area)
    own_yy, own_xx, own_yx = xp.optimization_barrier((own_yy, own_xx, own_yx))
    ty, tx = a * sy + b * sx, b * sy + c * sx
    exact = (at.y + own_yy * ty + own_yx * tx, at.x + own_yx * ty + own_xx * tx, own_yy, own_xx, own_yx)
    near = (area > 0) & (own_a > 0) & (own_area > 0)
    near &= (own_yy < NEAR * yy) & (NEAR * own_yy > 4 * yy) & (own_xx < NEAR * xx) & (NEAR * own_xx > 4 * xx)
    y, x, yy, xx, yx = xp.optimization_barrier(tuple(xp.where(near, e, s) for e, s in zip(exact, simple, strict=True)))
    sane = (
        (mass > 0)
        & (yy > least)
        & (xx > least)
        & (yy * xx > 1.1 * yx * yx)
        & (yy < (y_high - y_low) ** 2)
        & (xx < (x_high - x_low) ** 2)
        & (y >= y_low)
        & (y <= y_high)
        & (x >= x_low)
        & (x <= x_high)
    )
    still = (y - at.y) ** 2 * at.a + (x - at.x) ** 2 * at.c < NEGLIGIBLE_CHANGE**2
    still &= (xp.abs(yy - at.yy) < 2 * NEGLIGIBLE_CHANGE * yy) & (xp.abs(xx - at.xx) < 2 * NEGLIGIBLE_CHANGE * xx)
    still &= (yx - at.yx) ** 2 < (2 * NEGLIGIBLE_CHANGE) ** 2 * yy * xx
    sane, still = xp.optimization_barrier((sane, still))
    new = Match.of(y, x, yy, xx, yx, still)
    kept = Match(*(xp.where(sane, n, old) for n, old in zip(new, at, strict=True)))
    return kept._replace(settled=still | ~sane)
