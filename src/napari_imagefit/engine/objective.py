"""From parameters to cost, gradient and Gauss–Newton matrix, for a whole batch of fits at once.

Arrays have the fits along their last axis: parameters ``(n, B)``, samples ``(m, B)``. The full Jacobian of a large
image is never held: samples are taken in tiles that stay in cache, and only sums leave a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .._lazy import LazyModule
from .model import Array, Function, Model

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Sums = TypeVar("Sums")

# Samples × fits that are looked at together; 4 096 to 16 384 were equally fast, more or fewer slower.
TILE = 8192


class Samples(NamedTuple):
    """What a batch is fitted to. Samples that are not finite, or of weight 0, do not count."""

    coords: tuple[Array, ...]  # ndim × (m, 1) or (m, B)
    data: Array  # (m, B)
    weights: Array | None = None  # (m, 1) or (m, B): 1/σ; None stands for 1
    length: Array | None = None  # (B,): how many of the m samples are not padding, which stands at the end; None: all

    def usable(self) -> Array:
        finite = jnp.isfinite(self.data)
        return finite if self.weights is None else finite & (self.weights > 0)

    def weighted(self, values: Array) -> Array:
        return values if self.weights is None else values * self.weights


class Expansion(NamedTuple):
    """The cost ½Σr² and its quadratic model at a point."""

    cost: Array  # (B,)
    gradient: Array  # (n, B): Jᵀr
    gram: Array  # (n, n, B): JᵀJ


def evaluate(function: Function, coords: tuple[Array, ...], params: Array) -> Array:
    """``function(coords, *params)`` for each fit of a batch.

    Parameters
    ----------
    coords : tuple of arrays, each ``(m, 1)`` or ``(m, B)``
    params : array, ``(n_params, B)``

    Returns
    -------
    array, ``(m, B)``
    """
    own = coords[0].shape[1] != 1
    columns = coords if own else tuple(c[:, 0] for c in coords)
    values: Array = jax.vmap(
        lambda c, p: jnp.broadcast_to(function(c, *p), c[0].shape), in_axes=(-1 if own else None, -1), out_axes=-1
    )(columns, tuple(params))
    return values


def jacobian(model: Model, coords: tuple[Array, ...], params: Array, free: tuple[int, ...]) -> tuple[Array, Array]:
    """The model's values ``(m, B)`` and their derivatives ``(n_free, m, B)`` by the free parameters."""
    value = evaluate(model.function, coords, params)
    if model.jacobian is not None:
        given = model.jacobian
        return value, jnp.stack([evaluate(lambda c, *p, i=i: given(c, *p)[i], coords, params) for i in free])
    index = jnp.asarray(free)

    def along(direction: Array) -> Array:
        tangent = jnp.zeros_like(params).at[index].set(direction[:, None])
        return jax.jvp(lambda p: evaluate(model.function, coords, p), (params,), (tangent,))[1]

    return value, jax.vmap(along)(jnp.eye(len(free), dtype=params.dtype))


def _sums(residual: Array, slopes: Array) -> Expansion:
    """Reduce one tile: residual ``(T, B)``, slopes ``(n, T, B)``."""
    n = slopes.shape[0]
    if residual.shape[1] == 1:
        # one fit: a single matrix product of [J r] with itself holds all three sums
        both = jnp.concatenate([slopes[:, :, 0], residual[None, :, 0]])
        product = jnp.matmul(both, both.T, precision="highest")
        return Expansion(0.5 * product[n, n][None], product[:n, n][:, None], product[:n, :n][:, :, None])
    # many fits: sums over the samples, vectorised over the fits; unrolled, XLA fuses them into one pass
    rows = [[jnp.sum(slopes[i] * slopes[j], axis=0) for j in range(i + 1)] for i in range(n)]
    gram = jnp.stack([jnp.stack([rows[max(i, j)][min(i, j)] for j in range(n)]) for i in range(n)])
    gradient = jnp.stack([jnp.sum(slopes[i] * residual, axis=0) for i in range(n)])
    return Expansion(0.5 * jnp.sum(residual * residual, axis=0), gradient, gram)


def expand(model: Model, samples: Samples, params: Array, free: tuple[int, ...]) -> Expansion:
    """Cost, gradient and Gauss–Newton matrix of ``r = (model − data)·weight`` in one pass over the samples.

    Parameters
    ----------
    params : array, ``(n_params, B)``
        All parameters, the fixed ones too.
    free : tuple of int
        Those by which to differentiate.
    """

    def tile(part: Samples) -> Expansion:
        value, slopes = jacobian(model, part.coords, params, free)
        used = part.usable()
        residual = jnp.where(used, part.weighted(value - part.data), 0)
        return _sums(residual, jnp.where(used, part.weighted(slopes), 0))

    return over_tiles(tile, samples)


def over_tiles(function: Callable[[Samples], Sums], samples: Samples) -> Sums:
    """Add up what `function` returns for tiles of the samples, one tile after the other, and skip the padding."""
    m, fits = samples.data.shape
    length = max(1, TILE // fits)
    if m <= length or m % length:
        return function(samples)

    def tile(index: Array) -> Samples:
        rows = (samples.coords, samples.data, samples.weights)
        coords, data, weights = jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, index * length, length) if a.shape[0] == m else a, rows
        )
        return Samples(coords, data, weights)

    def add(index: Array, sums: Sums) -> Sums:
        total: Sums = jax.tree.map(jnp.add, sums, function(tile(index)))
        return total

    shapes = jax.eval_shape(function, jax.eval_shape(tile, jnp.zeros((), jnp.int32)))
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    tiles = m // length if samples.length is None else (jnp.max(samples.length) + length - 1) // length
    total: Sums = jax.lax.fori_loop(0, tiles, add, zero)
    return total
