"""A model's guess of starts, in NumPy or under JAX.

A guess that JAX cannot trace is called outside of compiled programs: a callback from within one can deadlock on a
thread of XLA's pool when several programs run at once.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import is_numpy, xp
from ..core.device import computing, in_precision
from ..core.options import Options
from ..core.programs import Arithmetic, obtain, request
from ..core.types import Array, GuessWithin
from .model import Model

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

_traceable: weakref.WeakKeyDictionary[Model, bool] = weakref.WeakKeyDictionary()


def is_traceable(model: Model) -> bool:
    """Whether ``model.guess`` is written for JAX."""
    if model.broadcasts:
        return True
    if model not in _traceable:
        numbers = jax.ShapeDtypeStruct((16, 2), np.float32)
        try:
            with in_precision("float32"):
                jax.eval_shape(lambda *a: model.guess(*a), (numbers,) * model.ndim, numbers, numbers)
        except (jax.errors.JAXTypeError, IndexError, TypeError, ValueError, AttributeError):
            _traceable[model] = False
        else:
            _traceable[model] = True
    return _traceable[model]


def guess_starts(
    model: Model,
    coords: tuple[Array, ...],
    data: Array,
    weights: Array,
    said: tuple[Array, Array, Array] | None = None,
) -> Array:
    """Return ``model.guess(coords, data, weights)``, of the data's type.

    Data and weights are ``(m, B)``, both 0 where a sample does not count; coordinates ``(m, 1)`` or ``(m, B)``. `said`
    has starts, NaN where there are none, and bounds, ``(n_params, B)`` each: some models keep to them in their guess.

    Returns
    -------
    array, ``(n_params, B)``
    """
    shape = len(model.names), data.shape[1]
    guess = model.guess
    if said is not None and model.guess_within is not None:
        guess = partial(_within, model.guess_within, said)
    if not is_numpy(coords, data, weights):
        return jnp.broadcast_to(jnp.asarray(guess(coords, data, weights), data.dtype), shape)
    if model.broadcasts:
        with np.errstate(all="ignore"):
            found = guess(coords, data, weights)
        return np.broadcast_to(np.asarray(found, data.dtype), shape)
    if is_traceable(model):
        return _compiled(model, coords, data, weights)
    starts = np.ones(shape, data.dtype)
    # the guess need not know what to do with a fit without samples, and may write to what it gets
    some = np.flatnonzero((weights > 0).any(axis=0))
    if some.size:
        own = tuple(np.array(c) if c.shape[1] == 1 else np.asarray(c)[:, some] for c in coords)
        with np.errstate(all="ignore"):
            starts[:, some] = np.asarray(model.guess(own, data[:, some], weights[:, some]))
    return starts


def _within(
    guess: GuessWithin, said: tuple[Array, Array, Array], coords: tuple[Array, ...], data: Array, weights: Array
) -> Array:
    return guess(coords, data, weights, *said)


def prepare_guess(model: Model, coords: tuple[Array, ...], data: Array, weights: Array) -> list[Future[Any]]:
    """Compile a guess that is called with NumPy arrays of these shapes, if it needs to be."""
    if model.broadcasts or not is_traceable(model):
        return []
    return [request(*_program(model, coords, data, weights))]


def _compiled(model: Model, coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
    """Return a guess of other people's in ``jax.numpy``.

    It would compile operation by operation if it was called.
    """
    wanted = _program(model, coords, data, weights)
    program = obtain(*wanted)
    with computing(wanted[3]):
        return np.array(program(coords, data, weights))


def _program(
    model: Model, coords: tuple[Array, ...], data: Array, weights: Array
) -> tuple[Any, Any, Any, Options, Arithmetic]:
    options = Options(dtype="float64" if data.dtype == np.float64 else "float32", device="cpu")
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (coords, data, weights))
    shape = len(model.names), data.shape[1]

    def function(coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
        return jnp.broadcast_to(jnp.asarray(model.guess(coords, data, weights), data.dtype), shape)

    key = ("guess", model.key, tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes)))
    return key, function, shapes, options, "plain"


def moved_inside(x: Array, lower: Array, upper: Array, margin: float = 1e-3) -> Array:
    """Move points on or outside a bound inside it, by `margin` relative to the bound or the width."""
    width = upper - lower
    size = xp.where(xp.isfinite(width), width, xp.maximum(xp.abs(x), 1e-30))
    low = xp.maximum(lower + margin * size, xp.nextafter(lower, upper))
    high = xp.minimum(upper - margin * size, xp.nextafter(upper, lower))
    # bounds so close that no number lies between them
    return xp.where(low > high, 0.5 * (lower + upper), xp.minimum(xp.maximum(x, low), high))
