"""The two of a row of falling exponentials that explain a curve best, from sums of their products.

Shapes are those of `estimate`: ``data`` and ``weights`` ``(m, B)``, coordinates ``(m, 1)`` or ``(m, B)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._lazy import LazyModule
from ..engine.models.model import Array
from .estimate import best_of, ratio

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

# An exponential of a negative coordinate is limited to that of this.
MOST = 20.0


class Sums(NamedTuple):
    """Of products of two basis functions a and b and the data y, weighted, each ``(B,)``."""

    aa: Array
    bb: Array
    ab: Array
    ay: Array
    by: Array

    def factors(self) -> tuple[Array, Array]:
        """Those of the best ``first·a + second·b``; the second counts only where it differs from the first."""
        share = ratio(self.ab, self.aa)
        own = self.bb - share * self.ab
        differs = own > 1000 * jnp.finfo(own.dtype).eps * self.bb
        second = jnp.where(differs, ratio(self.by - share * self.ay, own), 0)
        return ratio(self.ay, self.aa) - share * second, second


def falling_row(t: Array, slowest: Array, octaves: int, parts: int) -> Array:
    """``exp(−t·slowest·2^(k/parts))`` for k from 0, ``(octaves·parts + 1, m, B)``.

    Twice the rate gives the square of the exponential, so that only `parts` of them are computed.
    """
    row = [jnp.exp(-jnp.clip(t * (slowest * 2.0 ** (k / parts)), -MOST, None)) for k in range(parts)]
    for k in range(octaves * parts + 1 - parts):
        row.append(jnp.minimum(row[k] * row[k], math.exp(MOST)))
    return jnp.stack(row)


def find_pair(row: Array, data: Array, weights: Array, gain: Callable[[Sums, Array], Array]) -> tuple[Array, Array]:
    """The places in a row ``(k, m, B)`` of the two that gain most together, the larger first; each ``(B,)``.

    Parameters
    ----------
    gain : callable
        From the sums of two, and the larger of their places, to what they gain.
    """
    w = weights * weights
    own, on = jnp.sum(w * row * row, axis=1), jnp.sum(w * row * data, axis=1)
    pairs = jnp.asarray(np.array([(j, i) for i, j in combinations(range(row.shape[0]), 2)]))

    def attempt(pair: Array) -> tuple[Array, tuple[Array, Array]]:
        i, j = pair[0], pair[1]
        common = jnp.sum(w * row[i] * row[j], axis=0)
        found = gain(Sums(own[i], own[j], common, on[i], on[j]), i)
        everywhere = jnp.zeros(found.shape, data.dtype)
        return found, (everywhere + i, everywhere + j)

    return best_of(pairs, attempt)[1]
