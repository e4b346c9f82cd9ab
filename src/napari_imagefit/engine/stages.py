"""The stages of a batch of fits as pure functions of arrays, ready to be compiled.

Each takes the model and the indices of its free parameters, then arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._lazy import LazyModule
from . import covariance, trust_region
from .bounds import Box
from .host import guess_starts
from .model import Array, Model
from .objective import Samples, evaluate
from .trust_region import State, Task, Tolerances

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


class Limits(NamedTuple):
    """Start (NaN: guess), lower and upper bound of every parameter, each ``(n_params, 1)`` or ``(n_params, B)``."""

    start: Array
    lower: Array
    upper: Array


class Statistics(NamedTuple):
    """What does not depend on the fit, each ``(B,)``."""

    n_used: Array
    n_left_out: Array  # samples that are not finite
    spread: Array  # Σw²(d − d̄)²
    norm: Array  # Σw²d²


def guess(model: Model, _free: tuple[int, ...], samples: Samples, limits: Limits) -> Array:
    """Starts ``(n_params, B)``: those given, and the model's guess where they are NaN, moved inside the bounds."""
    shape = (len(model.names), samples.data.shape[1])
    start, lower, upper = (jnp.broadcast_to(a, shape) for a in limits)
    used = samples.usable()
    data = jnp.where(used, samples.data, 0)
    found = guess_starts(model, samples.coords, data, samples.weighted(used.astype(data.dtype)))
    return jnp.where(jnp.isnan(start), Box(lower, upper).strictly_inside(found, margin=1e-3), start)


def begin(model: Model, free: tuple[int, ...], samples: Samples, limits: Limits) -> tuple[Task, State, Statistics]:
    """From samples to a task, the state before its first step, and the samples' statistics."""
    params = guess(model, free, samples, limits)
    index = jnp.asarray(free)
    lower, upper = (jnp.broadcast_to(a, params.shape)[index] for a in (limits.lower, limits.upper))
    statistics = _statistics(samples)
    task = Task(samples, params, lower, upper, 8 * jnp.finfo(params.dtype).eps ** 2 * statistics.norm)
    return task, trust_region.begin(task, free), statistics


def _statistics(samples: Samples) -> Statistics:
    used = samples.usable()
    n_used = jnp.sum(used, axis=0)
    weight = jnp.where(used, samples.weighted(jnp.ones_like(samples.data)) ** 2, 0)
    data = jnp.where(used, samples.data, 0)
    total = jnp.sum(weight, axis=0)
    mean = jnp.sum(weight * data, axis=0) / jnp.where(total > 0, total, 1)
    if samples.weights is not None:
        wanted = jnp.sum(jnp.broadcast_to(samples.weights > 0, used.shape), axis=0)
    else:
        wanted = jnp.asarray(samples.data.shape[0] if samples.length is None else samples.length)
    spread = jnp.sum(weight * (data - mean) ** 2, axis=0)
    return Statistics(n_used, wanted - n_used, spread, jnp.sum(weight * data**2, axis=0))


def advance(
    model: Model,
    free: tuple[int, ...],
    task: Task,
    state: State,
    tolerances: Tolerances,
    limit: Array,
    steps: Array,
) -> State:
    """Up to `steps` more trial steps for every fit that still runs."""
    return trust_region.advance(model, free, task, tolerances, limit, state, steps)


def answer(_model: Model, _free: tuple[int, ...], task: Task, state: State) -> covariance.Answer:
    """Covariance, and which parameters are at a bound or not determined."""
    return covariance.answer(task, state)


def predict(model: Model, _free: tuple[int, ...], coords: tuple[Array, ...], params: Array) -> Array:
    """The model's values ``(m, B)``."""
    return evaluate(model.function, coords, params)
