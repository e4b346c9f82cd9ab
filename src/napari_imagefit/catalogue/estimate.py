"""Estimates from data that the models' guesses are made of.

Everything works on a batch: ``data`` and ``weights`` are ``(m, B)``, coordinates ``(m, 1)`` or ``(m, B)``, results
``(B,)``. A weight of 0 marks a sample that does not count. All estimates are finite for any finite input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._lazy import LazyModule
from ..engine.core.array_module import ALONE, VALUES_AT_ONCE, is_numpy, xp
from ..engine.core.types import Array

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

Found = tuple[Array, ...]

# Samples that are enough to estimate a level or a width of something that fills a good part of the region.
ENOUGH_SAMPLES = 8192
# Halvings of the range in which a quantile lies.
HALVINGS = 16


def ratio(numerator: Array, denominator: Array, otherwise: Array | float = 0.0) -> Array:
    """Quotient, `otherwise` where the denominator is not positive."""
    good = denominator > 0
    return xp.where(good, numerator / xp.where(good, denominator, 1), otherwise)


def thinned(*arrays: Array) -> tuple[Array, ...]:
    """Every k-th sample, with k odd so that it does not run down the columns of an image."""
    step = arrays[0].shape[0] // ENOUGH_SAMPLES | 1
    return tuple(a[::step] for a in arrays)


def add_up(*terms: Array) -> tuple[Array, ...]:
    """Return the sums over the samples of several ``(m, B)``, each ``(B,)``.

    In NumPy of a term ``(m, 1)`` it is ``(1,)``.
    """
    if not is_numpy(terms):
        terms = tuple(xp.broadcast_arrays(*terms))
    sums: tuple[Array, ...] = xp.reduce_sums(terms, 0)
    return sums


def add_each(*terms: Array) -> tuple[Array, ...]:
    """Add up like `add_up`, but of a term ``(m, 1)`` the sum is ``(1,)`` under JAX, too."""
    if is_numpy(terms):
        return add_up(*terms)
    return tuple(xp.sum(term, axis=0) for term in terms)


def extents(arrays: tuple[Array, ...], weights: Array) -> list[tuple[Array, Array]]:
    """Least and largest value, of each array, of the samples that count; 0 and 1 where none does."""
    used = weights > 0

    def greatest(a: Array) -> Array:
        return xp.max(xp.where(used, a, -xp.inf), axis=0)

    empty = ~xp.any(used, axis=0)
    return [(xp.where(empty, 0, -greatest(-a)), xp.where(empty, 1, greatest(a))) for a in arrays]


def extent(coordinate: Array, weights: Array) -> tuple[Array, Array]:
    """Least and largest coordinate of the samples that count."""
    return extents((coordinate,), weights)[0]


def quantile(data: Array, weights: Array, fraction: float) -> Array:
    """Quantile of the samples that count, to 10⁻⁵ of their range."""
    data, weights = thinned(data, weights)
    return between(data, weights > 0, fraction, *extent(data, weights))


def between(data: Array, used: Array, fraction: float, low: Array, high: Array, halvings: int = HALVINGS) -> Array:
    """Return the quantile, which lies between `low` and `high`, by halving.

    That counts often, but sorting is far slower.
    """
    kept = xp.where(used, data, xp.inf)
    (count,) = add_up(used.astype(data.dtype))
    rank = fraction * xp.maximum(count - 1, 0)

    def halve(_: Array, ends: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, middle, high = ends
        (below,) = add_up((kept <= middle).astype(data.dtype))
        enough = below > rank
        low, high = xp.where(enough, low, middle), xp.where(enough, middle, high)
        return low, 0.5 * low + 0.5 * high, high

    middle: Array = xp.fori_loop(0, halvings, halve, (low, 0.5 * low + 0.5 * high, high))[1]
    return xp.where(count > 0, middle, 0)


def sums_at(places: Array, values: Array, length: int) -> Array:
    """Return sums ``(length, B)`` of the values ``(m, B)`` that have the same index, ``(m, 1)`` or ``(m, B)``."""
    fits = values.shape[1]
    flat = places * fits + np.arange(fits, dtype=places.dtype)
    if is_numpy(places, values):
        sums: Array = np.bincount(flat.ravel(), values.ravel(), length * fits).astype(values.dtype)
    else:
        sums = jnp.zeros(length * fits, values.dtype).at[flat].add(values)
    return sums.reshape(length, fits)


class Line(NamedTuple):
    """The best ``amplitude·basis + offset``, and how much of the sum of squares it explains."""

    amplitude: Array
    offset: Array
    gain: Array


def regress(basis: Array, data: Array, weights: Array) -> Line:
    """Weighted linear regression of data on one basis function and a constant."""
    return Regression.of(data, weights).on(basis)


class Regression(NamedTuple):
    """Data that are regressed on several basis functions, each beside a constant."""

    squares: Array  # (m, B): weights²
    total: Array  # (B,): their sum
    mean: Array  # (B,): of the data
    product: Array  # (m, B): of weights² and what the data are above their mean

    @classmethod
    def of(cls, data: Array, weights: Array) -> Regression:
        """Return the regression of data with weights ``1/σ``, ``(m, B)`` each."""
        squares = weights * weights
        total, product = add_up(squares, squares * data)
        mean = ratio(product, total)
        return cls(squares, total, mean, squares * (data - mean))

    def mean_of(self, a: Array) -> Array:
        """Weighted mean."""
        return ratio(add_each(self.squares * a)[0], self.total)

    def on(self, basis: Array) -> Line:
        """Return the regression on one basis function ``(m, B)``."""
        x = self.mean_of(basis)
        own = basis - x
        xx, xy = add_each(self.squares * own * own, self.product * own)
        # what is left of a constant is its rounding
        xx = xp.where(xx > (8 * xp.finfo(xx.dtype).eps * x) ** 2 * self.total, xx, 0)
        amplitude = ratio(xy, xx)
        return Line(amplitude, self.mean - amplitude * x, amplitude * xy)


class Level(NamedTuple):
    """Data about their weighted mean, to be regressed on one basis function after the other in a pass for each."""

    data: Array  # (m, B), less its mean
    squares: Array  # (m, B): weights²
    total: Array  # (B,): their sum
    mean: Array  # (B,)

    @classmethod
    def of(cls, data: Array, weights: Array) -> Level:
        """Return the level of data with weights ``1/σ``; data within the rounding of their mean count as equal."""
        squares = xp.broadcast_to(weights * weights, data.shape)
        total, product = add_up(squares, squares * data)
        mean = ratio(product, total)
        own = data - mean
        # data that do not vary differ from their mean by its rounding, which is nothing to explain
        rounding = 64 * xp.finfo(data.dtype).eps * xp.abs(mean)
        return cls(xp.where(xp.abs(own) > rounding, own, 0), squares, total, mean)

    def regress(self, basis: Array) -> Line:
        """Regress on a basis function that changes by more than 10⁻³ of itself, in one pass."""
        part = self.squares * basis
        return self.line(*add_up(part, part * basis, part * self.data))

    def line(self, x: Array, xx: Array, xy: Array) -> Line:
        """Return the line from the sums of basis, basis² and basis·data, weighted."""
        mean = ratio(x, self.total)
        own = xx - x * mean
        # what is left of a constant is its rounding
        own = xp.where(own > 64 * xp.finfo(xx.dtype).eps * xx, own, 0)
        amplitude = ratio(xy, own)
        return Line(amplitude, self.mean - amplitude * mean, amplitude * xy)


def best_of(
    candidates: ArrayLike, attempt: Callable[[Array], tuple[Array, Found]], data: Array, parts: int
) -> tuple[Array, Found]:
    """Return for each fit the result of the candidate with the largest gain; 0 where no gain is a number.

    In NumPy, candidates for a single fit of few samples are attempted side by side, like fits ``(K,)`` of which
    everything else is ``(1,)`` or ``(m, 1)``: an attempt has to broadcast.

    Parameters
    ----------
    candidates : array_like, ``(K,)`` or ``(K, n)``
    attempt : callable
        From one candidate, a number or n of them, to its gain ``(B,)`` and a tuple of arrays ``(B,)``.
    data : array, ``(m, B)``
    parts : int
        The length of that tuple.

    Returns
    -------
    gain : array, ``(B,)``
    found : tuple of arrays, each ``(B,)``
    """
    table = np.asarray(candidates, data.dtype)
    zero = xp.zeros_like(data[0])
    best = (zero - xp.inf, (zero,) * parts)
    if data.shape[1] > 1 or data.shape[0] > ALONE or not is_numpy(data):

        def compare(best: tuple[Array, Found], candidate: Array) -> tuple[Array, Found]:
            return _better_of(best, attempt(candidate))

        compared: tuple[Array, Found] = xp.fold(compare, best, table)
        return compared
    at_once = max(1, VALUES_AT_ONCE // data.shape[0])
    for first in range(0, len(table), at_once):
        gain, found = attempt(table[first : first + at_once].T)
        place = first_largest(gain)
        best = _better_of(best, (gain[place], tuple(np.broadcast_to(part, gain.shape)[place] for part in found)))
    return best


def first_largest(gain: Array) -> Array:
    """Return the index of the largest number along the first axis of a NumPy array, the first of equal ones."""
    return np.argmax(np.where(np.isnan(gain), -np.inf, gain), axis=0)


def _better_of(one: tuple[Array, Found], other: tuple[Array, Found]) -> tuple[Array, Found]:
    """Take for each fit the other one, where it gains more."""
    better = other[0] > one[0]
    found = tuple(xp.where(better, b, a) for a, b in zip(one[1], other[1], strict=True))
    return xp.where(better, other[0], one[0]), found
