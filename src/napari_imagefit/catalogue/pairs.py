"""The two of a row of falling exponentials that explain a curve best, from sums of their products.

Shapes are those of `estimate`: ``data`` and ``weights`` ``(m, B)``, coordinates ``(m, 1)`` or ``(m, B)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..engine.core.array_module import is_numpy, xp
from ..engine.core.types import Array
from .estimate import best_of, first_largest, ratio

# An exponential of a negative coordinate is limited to that of this.
MOST_EXPONENT = 20.0


class Sums(NamedTuple):
    """Sums of products of two basis functions a and b and the data y, weighted, each ``(B,)``."""

    aa: Array
    bb: Array
    ab: Array
    ay: Array
    by: Array

    def factors(self) -> tuple[Array, Array]:
        """Return those of the best ``first·a + second·b``; the second counts only where it differs from the first."""
        share = ratio(self.ab, self.aa)
        own = self.bb - share * self.ab
        differs = own > 1000 * xp.finfo(own.dtype).eps * self.bb
        second = xp.where(differs, ratio(self.by - share * self.ay, own), 0)
        return ratio(self.ay, self.aa) - share * second, second


def falling_row(t: Array, slowest: Array, octaves: int, parts: int) -> Array:
    """``exp(−t·slowest·2^(k/parts))`` for k from 0, ``(octaves·parts + 1, m, B)``.

    Twice the rate gives the square of the exponential, so that only `parts` of them are computed.
    """
    row = [xp.exp(-xp.clip(t * (slowest * 2.0 ** (k / parts)), -MOST_EXPONENT, None)) for k in range(parts)]
    for k in range(octaves * parts + 1 - parts):
        row.append(xp.minimum(row[k] * row[k], math.exp(MOST_EXPONENT)))
    return xp.stack(row)


def find_pair(row: Array, data: Array, weights: Array, gain: Callable[[Sums, Array], Array]) -> tuple[Array, Array]:
    """Return the indices in a row ``(k, m, B)`` of the two that gain most together, the larger first; each ``(B,)``.

    Parameters
    ----------
    gain : callable
        From the sums of two, and the larger of their indices, to their gain.
    """
    w = weights * weights
    pairs = np.array([(j, i) for i, j in combinations(range(row.shape[0]), 2)])
    if is_numpy(row, data, w):
        # all products at once, by matrices for each fit
        own_row, weighted = (np.ascontiguousarray(np.moveaxis(a, 2, 0)) for a in (row, w * row))
        products = np.moveaxis(np.matmul(weighted, np.moveaxis(own_row, 1, 2)), 0, 2)
        on = np.matmul(weighted, data.T[:, :, None])[:, :, 0].T
        i, j = pairs.T
        gains = gain(Sums(products[i, i], products[j, j], products[i, j], on[i], on[j]), i[:, None])
        best = first_largest(gains)
        return i[best].astype(data.dtype), j[best].astype(data.dtype)
    own, on = xp.sum(w * row * row, axis=1), xp.sum(w * row * data, axis=1)

    def attempt(pair: Array) -> tuple[Array, tuple[Array, Array]]:
        i, j = pair.astype(np.int32)
        common = xp.sum(w * row[i] * row[j], axis=0)
        found = gain(Sums(own[i], own[j], common, on[i], on[j]), i)
        everywhere = xp.zeros_like(found)
        return found, (everywhere + i, everywhere + j)

    i, j = best_of(pairs, attempt, data, 2)[1]
    return i, j
