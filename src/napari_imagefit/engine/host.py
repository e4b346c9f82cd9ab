"""Starts from guesses that JAX cannot trace, because they are written in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._lazy import LazyModule
from .model import Array, Model

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


def guess_starts(model: Model, coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
    """``model.guess`` as part of a program: traced if it can be, otherwise called on the host.

    Returns
    -------
    array, ``(n_params, n_fits)``, of the data's type
    """
    shape, dtype = (len(model.names), data.shape[1]), np.dtype(data.dtype)
    try:
        found = model.guess(coords, data, weights)
        return jnp.broadcast_to(jnp.asarray(found, dtype), shape)
    except (jax.errors.JAXTypeError, IndexError, TypeError):
        return _call_back(model, (coords, data, weights), shape, dtype)


def _call_back(model: Model, args: tuple[Array, ...], shape: tuple[int, int], dtype: np.dtype) -> Array:
    """Call the guess with NumPy arrays that it may write to.

    XLA may call back from a thread of its own, in which JAX rounds what goes in and comes out to single precision. So
    the bits travel as integers.
    """

    def to_words(a: Array) -> Array:
        return jax.lax.bitcast_convert_type(jnp.asarray(a, dtype), jnp.uint32)

    def from_words(a: Array) -> Array:
        values = np.array(a).view(dtype)
        return values if dtype.itemsize == 4 else values[..., 0]

    words = shape if dtype.itemsize == 4 else (*shape, 2)

    def call(*arrays: Array) -> Array:
        found = np.asarray(model.guess(*jax.tree.map(from_words, arrays)), dtype)
        return np.broadcast_to(found, shape).copy().view(np.uint32).reshape(words)

    found = jax.pure_callback(call, jax.ShapeDtypeStruct(words, jnp.uint32), *jax.tree.map(to_words, args))
    return jax.lax.bitcast_convert_type(found, dtype)
