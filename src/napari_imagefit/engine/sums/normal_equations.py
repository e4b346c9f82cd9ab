"""From parameters to cost, gradient and Gauss–Newton matrix, for a whole batch of fits at once.

Arrays have the fits along their last axis: parameters ``(n, B)``, samples ``(m, B)``. The full Jacobian of a large
image is never held: samples are taken in tiles that stay in cache, and only sums leave a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..._lazy import LazyModule
from ..linalg.normal_matrix import Dense, Gram
from ..models.model import Array, Function, Model
from .noise_and_loss import Criterion

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Sums = TypeVar("Sums")

# Samples of a large image that are looked at in one piece: enough that calls cost little, few enough for a cache.
TILE = 65536
# Samples from here on are fitted one by one.
ALONE = 1024


def bucket(length: int) -> int:
    """The number of samples to which data of a length are padded, so that a few programs serve all lengths.

    Powers of two for small ones, of four for larger ones, then whole pieces of a large image.
    """
    small = max(16, 1 << (length - 1).bit_length())
    if small < ALONE:
        return small
    large = 4 * ALONE
    while large < min(length, TILE):
        large *= 4
    return large if length <= TILE else -(-length // TILE) * TILE


def rows_of(length: int) -> int:
    """The samples that a model sees at once if a single fit has so many, padded."""
    return min(length, TILE)


class Samples(NamedTuple):
    """What a batch is fitted to. Samples that are not finite, or of weight 0, do not count."""

    coords: tuple[Array, ...]  # ndim × (m, 1) or (m, B)
    data: Array  # (m, B)
    weights: Array | None = None  # (m, 1) or (m, B): 1/σ, or counts per unit of the data; None stands for 1
    length: Array | None = None  # (B,): how many of the m samples are not padding, which stands at the end; None: all
    shift: Array | None = None  # (m, 1) or (m, B): counts where the data are 0; None stands for 0
    f_scale: Array | None = None  # (): the residual, in units of σ, at which a robust loss begins to bend
    root: Array | None = None  # (m, m): L of the data's covariance LLᵀ, for one fit; the data are L⁻¹d already
    used: Array | None = None  # (m, B): what `usable` says, where it has been asked before
    rho: Array | None = None  # (3, m, B): a loss and its derivatives where JAX cannot trace it

    def usable(self) -> Array:
        if self.used is not None:
            return self.used
        finite = jnp.isfinite(self.data)
        return finite if self.weights is None else finite & (self.weights > 0)

    def filled(self, robust: bool = False) -> tuple[Array, Array]:
        """Data and weights ``(m, B)`` as a guess takes them: both 0 where a sample is not usable.

        For a robust loss, samples that stand out from their neighbours do not count either: a guess has no other
        defence against them.
        """
        used = self.usable()
        if robust:
            used &= ~_stands_out(self.data, used)
        return jnp.where(used, self.data, 0), self.weighted(used.astype(self.data.dtype))

    def weighted(self, values: Array) -> Array:
        return values if self.weights is None else values * self.weights

    def whitened(self, values: Array) -> Array:
        """L⁻¹ times the model's values ``(m, B)`` or slopes ``(n, m, B)``, where the data are correlated.

        What is not used is correlated with nothing, and may not be a number.
        """
        if self.root is None:
            return values
        last = jnp.moveaxis(jnp.where(self.usable(), values, 0), -2, 0)
        solved = jax.scipy.linalg.solve_triangular(self.root, last.reshape(last.shape[0], -1), lower=True)
        return jnp.moveaxis(solved.reshape(last.shape), 0, -2)

    @property
    def can_turn(self) -> bool:
        """Whether `across` is of use: there are many fits, whose samples are not correlated."""
        return self.data.shape[1] > 1 and self.root is None and self.rho is None

    def across(self) -> Samples:
        """With the samples along the last axis, where they follow each other in memory.

        Sums over them are vectorised loops then, in half the time for small fits.
        """

        def turn(array: Array | None) -> Array | None:
            return None if array is None else jax.lax.optimization_barrier(array.T)

        return self._replace(
            coords=tuple(jax.lax.optimization_barrier(c.T) for c in self.coords),
            data=jax.lax.optimization_barrier(self.data.T),
            weights=turn(self.weights),
            shift=turn(self.shift),
            used=turn(self.used),
        )


def _stands_out(data: Array, used: Array) -> Array:
    """Samples far from the median of the five around them, in units of how far samples usually are."""
    known = jnp.where(used, data, jnp.nan)
    around = jnp.stack([jnp.roll(known, shift, axis=0) for shift in range(-2, 3)])
    distance = jnp.abs(known - jnp.nanmedian(around, axis=0))
    usual = jnp.nanmedian(distance, axis=0)
    return distance > 10 * usual


class Kernel(NamedTuple):
    """What a program is compiled for: a model, the parameters to differentiate by, and what is minimised."""

    model: Model
    free: tuple[int, ...]
    criterion: Criterion = Criterion()
    whole: bool = False  # the model sees all samples at once: no tiles, no padding
    shared: tuple[int, ...] = ()  # parameters that all fits have in common


def pick(params: Array, which: Sequence[int]) -> Array:
    """Some of the parameters ``(n_params, B)``."""
    return jnp.stack([params[i] for i in which])


def put(params: Array, which: Sequence[int], x: Array) -> Array:
    """The parameters with some replaced; row by row, since XLA makes a loop of an indexed assignment."""
    rows = list(params)
    for k, i in enumerate(which):
        rows[i] = x[k]
    return jnp.stack(rows)


class Expansion(NamedTuple):
    """The cost and its quadratic model at a point."""

    cost: Array  # (B,)
    gradient: Array  # (n, B): Jᵀr
    gram: Gram  # JᵀJ


def evaluate(
    function: Function, coords: tuple[Array, ...], params: Array | tuple[Array, ...], *, across: bool = False
) -> Array:
    """``function(coords, *params)`` for each fit of a batch.

    Parameters
    ----------
    coords : tuple of arrays, each ``(m, 1)`` or ``(m, B)``
    params : array, ``(n_params, B)``, or as many arrays ``(B,)``
    across : bool
        Whether coordinates and values have the samples along their last axis instead, see `Samples.across`.

    Returns
    -------
    array, ``(m, B)``, or ``(B, m)``
    """
    fits = 0 if across else -1
    own = coords[0].shape[fits] != 1
    columns = coords if own else tuple(jnp.squeeze(c, fits) for c in coords)
    values: Array = jax.vmap(
        lambda c, p: jnp.broadcast_to(function(c, *p), c[0].shape), in_axes=(fits if own else None, -1), out_axes=fits
    )(columns, tuple(params))
    return values


def jacobian(
    model: Model, coords: tuple[Array, ...], params: Array, free: tuple[int, ...], *, across: bool = False
) -> tuple[Array, Array]:
    """The model's values ``(m, B)`` and their derivatives ``(n_free, m, B)`` by the free parameters.

    `across` is as in `evaluate`.
    """

    def values_of(function: Function, params: Array | tuple[Array, ...]) -> Array:
        return evaluate(function, coords, params, across=across)

    value = values_of(model.function, params)
    if model.jacobian is not None:
        given = model.jacobian
        return value, jnp.stack([values_of(lambda c, *p, i=i: given(c, *p)[i], params) for i in free])
    columns = tuple(params)

    def along(i: int) -> Array:
        def of_one(p: Array) -> Array:
            return values_of(model.function, (*columns[:i], p, *columns[i + 1 :]))

        return jax.jvp(of_one, (columns[i],), (jnp.ones_like(columns[i]),))[1]

    # one parameter after the other: derivatives that are nothing cost nothing
    return value, jnp.stack([along(i) for i in free])


def sum_up(cost: Array, residual: Array, slopes: Sequence[Array], axis: int = 0) -> Expansion:
    """Reduce one tile: costs, residuals and n slopes, each ``(T, B)``, or ``(B, T)`` with `axis` 1."""
    n = len(slopes)
    pairs = [(i, j) for i in range(n) for j in range(i + 1)]
    sums = add_up(
        cost, *(slopes[i] * residual for i in range(n)), *(slopes[i] * slopes[j] for i, j in pairs), axis=axis
    )
    place = {pair: 1 + n + k for k, pair in enumerate(pairs)}
    gram = jnp.stack([jnp.stack([sums[place[max(i, j), min(i, j)]] for j in range(n)]) for i in range(n)])
    return Expansion(sums[0], jnp.stack(sums[1 : n + 1]), Dense(gram))


def add_up(*terms: Array, axis: int = 0) -> tuple[Array, ...]:
    """The sums over the samples of several ``(T, B)``, each ``(B,)``, in one pass; or of several ``(B, T)``.

    Together they are one loop, in which what the terms have in common is computed once and nothing is written to
    memory but the sums.
    """
    alike = tuple(jnp.broadcast_arrays(*terms))
    zero = jnp.zeros((), alike[0].dtype)
    return tuple(jax.lax.reduce(alike, (zero,) * len(alike), lambda a, b: tuple(map(jnp.add, a, b)), (axis,)))


def expand(kernel: Kernel, samples: Samples, params: Array, *, across: bool = False) -> Expansion:
    """Cost, gradient and Gauss–Newton matrix in one pass over the samples.

    Parameters
    ----------
    params : array, ``(n_params, B)``
        All parameters, the fixed ones too.
    across : bool
        Whether the samples are those that `Samples.across` returns.
    """

    def tile(part: Samples) -> Expansion:
        return expand_given(
            kernel, part, *jacobian(kernel.model, part.coords, params, kernel.free, across=across), axis=int(across)
        )

    if kernel.whole or across or samples.root is not None:
        return tile(samples)
    return over_tiles(tile, samples)


def expand_given(kernel: Kernel, samples: Samples, value: Array, slopes: Array, axis: int = 0) -> Expansion:
    """The same from the model's values ``(m, B)`` and derivatives ``(n, m, B)``; `axis` is that of the samples."""
    value, slopes = samples.whitened(value), samples.whitened(slopes)
    terms = kernel.criterion.terms(value, samples)
    used = samples.usable()

    def of_used(values: Array) -> Array:
        return jnp.where(used, values, 0)

    # row by row: a stack of them would be written to memory
    rows = [of_used(terms.slope * slopes[i]) for i in range(slopes.shape[0])]
    return sum_up(of_used(terms.cost), of_used(terms.residual), rows, axis)


def over_tiles(function: Callable[[Samples], Sums], samples: Samples) -> Sums:
    """Add up what `function` returns for tiles of the samples, one tile after the other, and skip the padding.

    Only large samples are cut into tiles; many small ones stay in cache as they are.
    """
    m, fits = samples.data.shape
    length = max(1, TILE // fits)
    if m <= TILE or m % length:
        return function(samples)

    def tile(index: Array) -> Samples:
        def rows(array: Array | None) -> Array | None:
            if array is None or array.shape[0] != m:
                return array
            return jax.lax.dynamic_slice_in_dim(array, index * length, length)

        coords = tuple(jax.lax.dynamic_slice_in_dim(c, index * length, length) for c in samples.coords)
        return samples._replace(
            coords=coords,
            data=rows(samples.data),
            weights=rows(samples.weights),
            shift=rows(samples.shift),
            used=rows(samples.used),
            length=None,
        )

    def add(index: Array, sums: Sums) -> Sums:
        total: Sums = jax.tree.map(jnp.add, sums, function(tile(index)))
        return total

    shapes = jax.eval_shape(function, jax.eval_shape(tile, jnp.zeros((), jnp.int32)))
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    tiles = m // length if samples.length is None else (jnp.max(samples.length) + length - 1) // length
    total: Sums = jax.lax.fori_loop(0, tiles, add, zero)
    return total
