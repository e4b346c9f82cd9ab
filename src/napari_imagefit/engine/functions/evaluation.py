"""A model's values and derivatives, for a whole batch of fits at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import is_numpy
from ..core.types import Array, Function

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


def evaluate(
    function: Function, coords: tuple[Array, ...], params: Array | tuple[Array, ...], *, across: bool = False
) -> Array:
    """``function(coords, *params)`` for each fit of a batch.

    Under JAX the function sees one fit at a time. With NumPy arrays it sees all of them, and must broadcast, as those
    of the catalogue and expressions do; see `values_of` for any model.

    Parameters
    ----------
    coords : tuple of arrays, each ``(m, 1)`` or ``(m, B)``
        With `across` they may be an open grid, ``(1, h, 1)`` and ``(1, 1, w)``; values then are ``(B, h, w)``.
    params : array, ``(n_params, B)``, or as many arrays ``(B,)``
    across : bool
        Whether coordinates and values have the samples along their last axis instead.

    Returns
    -------
    array, ``(m, B)``, or ``(B, m)``
    """
    columns = tuple(params)
    if is_numpy(coords, columns):
        rows = tuple(np.asarray(p)[:, None] for p in columns) if across else columns
        fits = (np.size(columns[0]),)
        shape = (*fits, coords[0].shape[1]) if across else (coords[0].shape[0], *fits)
        return np.broadcast_to(function(coords, *rows), shape)
    fits_axis = 0 if across else -1
    own = coords[0].shape[fits_axis] != 1
    seen = coords if own else tuple(jnp.squeeze(c, fits_axis) for c in coords)
    values: Array = jax.vmap(
        lambda c, p: jnp.broadcast_to(function(c, *p), jnp.broadcast_shapes(*(one.shape for one in c))),
        in_axes=(fits_axis if own else None, -1),
        out_axes=fits_axis,
    )(seen, columns)
    return values


def jacobian(
    function: Function,
    given: Function | None,
    coords: tuple[Array, ...],
    params: Array | tuple[Array, ...],
    *,
    across: bool = False,
) -> tuple[Array, list[Array]]:
    """Return values ``(m, B)``, and their derivatives by each parameter, under JAX.

    Those that are `given`, as `Model.jacobian`, or automatic ones; `across` is as in `evaluate`.
    """
    columns = tuple(params)

    def values(function: Function, *params: Array) -> Array:
        return evaluate(function, coords, params, across=across)

    if given is not None:
        value = values(function, *columns)
        slopes = [values(lambda c, *p, i=i: given(c, *p)[i], *columns) for i in range(len(columns))]
        return value, [s.astype(value.dtype) for s in slopes]

    # the function itself runs once: what it did is differentiated in less time than it takes to do it again
    traced = jax.jit(partial(values, function), inline=True)
    value = traced(*columns)

    def along(i: int) -> Array:
        def of_one(p: Array) -> Array:
            found: Array = traced(*columns[:i], p, *columns[i + 1 :])
            return found

        return jax.jvp(of_one, (columns[i],), (jnp.ones_like(columns[i]),))[1]

    # one parameter after the other: derivatives that are nothing cost nothing
    return value, [along(i) for i in range(len(columns))]
