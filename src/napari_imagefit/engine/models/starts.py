"""Guesses that JAX cannot trace, because they are written in plain NumPy.

They are called outside of compiled programs: a callback from within one can wait for ever for a thread of XLA's pool
when several programs run at once.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from ..._lazy import LazyModule
from .model import Array, Model

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

_traceable: weakref.WeakKeyDictionary[Model, bool] = weakref.WeakKeyDictionary()


def is_traceable(model: Model) -> bool:
    """Whether ``model.guess`` is written for JAX."""
    if model not in _traceable:
        numbers = jax.ShapeDtypeStruct((16, 2), np.float32)
        try:
            with jax.enable_x64(False):
                jax.eval_shape(model.guess, (numbers,) * model.ndim, numbers, numbers)
        except (jax.errors.JAXTypeError, IndexError, TypeError, ValueError, AttributeError):
            _traceable[model] = False
        else:
            _traceable[model] = True
    return _traceable[model]


def guess_starts(model: Model, coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
    """``model.guess``, traced or called.

    Returns
    -------
    array, ``(n_params, n_fits)``, of the data's type
    """
    shape = len(model.names), data.shape[1]
    if isinstance(data, jax.core.Tracer) or is_traceable(model):
        return jnp.broadcast_to(jnp.asarray(model.guess(coords, data, weights), data.dtype), shape)
    starts = np.ones(shape, data.dtype)
    # the guess need not know what to do with a fit without samples, and may write to what it gets
    some = np.flatnonzero((np.asarray(weights) > 0).any(axis=0))
    if some.size:
        own = tuple(np.array(c) if c.shape[1] == 1 else np.asarray(c)[:, some] for c in coords)
        starts[:, some] = np.asarray(model.guess(own, np.asarray(data)[:, some], np.asarray(weights)[:, some]))
    return starts
