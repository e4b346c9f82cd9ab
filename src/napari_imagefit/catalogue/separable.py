"""Linear parameters regressed for given nonlinear ones, and the search for a peak that is made of it.

Shapes are those of `estimate`: ``data`` and ``weights`` ``(m, B)``, coordinates ``(m, 1)`` or ``(m, B)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..engine.core.array_module import xp
from ..engine.core.types import Array
from .estimate import Regression, add_each, best_of, extent, ratio


class Pair(NamedTuple):
    """The best ``first·a + second·b``, and how much of the sum of squares it explains."""

    first: Array
    second: Array
    gain: Array


def mean(a: Array, weights: Array) -> Array:
    """Weighted mean of the samples that count."""
    w = weights * weights
    return ratio(*add_each(w * a, w))


def centred(a: Array, weights: Array) -> Array:
    """Less its weighted mean: what is regressed after that is regressed beside a constant."""
    return a - mean(a, weights)


def regress_alone(basis: Array, squares: Array, product: Array) -> tuple[Array, Array]:
    """Weighted regression of data on one basis function without a constant: the factor and the gain.

    Weights² and their product with the data are what is given.
    """
    on_basis, own = add_each(product * basis, squares * basis * basis)
    factor = ratio(on_basis, own)
    return factor, factor * on_basis


def regress_pair(a: Array, b: Array, squares: Array, product: Array) -> Pair:
    """Weighted regression of data on two basis functions; the second counts only where it differs from the first.

    Weights² and their product with the data are what is given.
    """
    part = squares * a
    aa, ab, bb, on_a = add_each(part * a, part * b, squares * b * b, product * a)
    share = ratio(ab, aa)
    rest = b - share * a
    own, on_rest = add_each(squares * rest * rest, product * rest)
    differs = own > 100 * xp.finfo(own.dtype).eps * bb
    first, second = ratio(on_a, aa), xp.where(differs, ratio(on_rest, own), 0)
    return Pair(first - share * second, second, first * on_a + second * on_rest)


def regress_in_turn(bases: Sequence[Array], data: Array, weights: Array) -> list[Array]:
    """Return the factors of a weighted regression of data on several basis functions.

    Each is freed of those before it (Gram and Schmidt), and counts only where something is left of it.
    """
    squares = weights * weights
    freed: list[tuple[Array, Array]] = []
    shares: list[list[Array]] = []
    for basis in bases:
        (whole,), row, rest = add_each(squares * basis * basis), [], basis
        for other, size in freed:
            row.append(ratio(add_each(squares * other * rest)[0], size))
            rest = rest - row[-1] * other
        (own,) = add_each(squares * rest * rest)
        freed.append((rest, xp.where(own > 1000 * xp.finfo(data.dtype).eps * whole, own, 0)))
        shares.append(row)
    factors = [ratio(add_each(squares * rest * data)[0], size) for rest, size in freed]
    for i in reversed(range(len(bases))):
        for j in range(i):
            factors[j] = factors[j] - shares[i][j] * factors[i]
    return factors


def span_of(t: Array, weights: Array) -> tuple[Array, Array, Array]:
    """First and last coordinate and what lies between, never 0."""
    low, high = extent(t, weights)
    return low, high, xp.where(high > low, high - low, 1)


def reach_of(t: Array, weights: Array) -> Array:
    """Return the largest distance of the coordinates from 0, never 0."""
    low, high = extent(t, weights)
    most = xp.maximum(xp.abs(low), xp.abs(high))
    return xp.where(most > 0, most, 1)


def falling(t: Array, rate: Array) -> Array:
    """``exp(−t·rate)``, limited where t is negative."""
    return xp.exp(-xp.clip(t * rate, -20, None))


class Peak(NamedTuple):
    """Position, width and the linear parameters of a peak."""

    amplitude: Array
    center: Array
    width: Array
    offset: Array


def find_peak(shape: Callable[[Array], Array], t: Array, data: Array, weights: Array) -> Peak:
    """Return the peak or dip ``shape((t − center)/width)`` that explains most.

    A grid over centres and widths, the centres as close as the widths need; then closer looks around the best.
    """
    low, high, span = span_of(t, weights)
    regression = Regression.of(data, weights)

    def attempt(center: Array, width: Array) -> tuple[Array, Peak]:
        line = regression.on(shape((t - center) * (1 / width)))
        return line.gain, Peak(line.amplitude, center * xp.ones_like(line.gain), width, line.offset)

    coarse = [(c, w) for w in (0.01, 0.02, 0.04, 0.08, 0.16, 0.32) for c in np.arange(0, 1 + w, 1.5 * w)]
    peak = Peak(*best_of(coarse, lambda c: attempt(low + c[0] * span, c[1] * span), data, 4)[1])
    for step in (0.6, 0.3, 0.15):
        near = [(i * step, 4.0 ** (j * step)) for i in (-2, -1, 0, 1, 2) for j in (-1, 0, 1)]
        found = peak
        peak = Peak(
            *best_of(
                near,
                lambda c, at=found: attempt(at.center + c[0] * at.width, c[1] * at.width),  # type: ignore[misc]
                data,
                4,
            )[1]
        )
    return peak._replace(center=xp.clip(peak.center, low, high))
