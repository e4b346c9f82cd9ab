"""The stages of a batch of fits as pure functions of arrays, ready to be compiled.

Each takes what a program is compiled for, then arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..linalg.normal_matrix import Dense
from ..models.model import Array
from ..models.starts import guess_starts
from ..solver import covariance, trust_region
from ..solver.bounded_step import Box
from ..solver.trust_region import State, Task, Tolerances, of_each_fit
from ..sums.noise_and_loss import counts
from ..sums.normal_equations import Expansion, Kernel, Samples, add_up, evaluate, jacobian, pick, put
from ..sums.residual_sums import residuals

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
    norms: Array | None = (
        None  # (n_params, 1): 1/size of the parameters, where the caller knows better than the Jacobian
    )


class Statistics(NamedTuple):
    """What does not depend on the fit, each ``(B,)``."""

    n_used: Array
    n_left_out: Array  # samples that are not finite
    spread: Array  # Σw²(d − d̄)²
    norm: Array  # Σw²d²


def guess(kernel: Kernel, samples: Samples, limits: Limits, found: Array | None) -> Array:
    """Starts ``(n_params, B)``: those given, and the model's guess where they are NaN, moved inside the bounds.

    Parameters
    ----------
    found : array, ``(n_params, B)``, or None
        The guess, where JAX cannot trace it.
    """
    model = kernel.model
    shape = (len(model.names), samples.data.shape[1])
    start, lower, upper = (jnp.broadcast_to(a, shape) for a in limits[:3])
    if found is None:
        found = guess_starts(model, samples.coords, *samples.filled(kernel.criterion.is_robust))
    found = jnp.where(jnp.isnan(start), Box(lower, upper).strictly_inside(found, margin=1e-3), start)
    if kernel.criterion.noise == "poisson":
        found = _lift(kernel, samples, found, jnp.isnan(start) & (lower < upper))
    return found


def _lift(kernel: Kernel, samples: Samples, start: Array, guessed: Array) -> Array:
    """Starts of Poisson fits need rates above 0: raise the constant of the model by what lacks at worst."""
    constant = next((i for i, name in enumerate(kernel.model.names) if name in ("offset", "intercept")), None)
    if constant is None:
        return start
    used = samples.usable()
    rate, count = counts(evaluate(kernel.model.function, samples.coords, start), samples)
    lowest = jnp.min(jnp.where(used, rate, jnp.inf), axis=0)
    mean = jnp.sum(jnp.where(used, count, 0), axis=0) / jnp.maximum(jnp.sum(used, axis=0), 1)
    floor = 0.1 * mean
    weight = 1.0 if samples.weights is None else jnp.max(samples.weights, axis=0)
    lack = jnp.where((lowest <= 0) & jnp.isfinite(lowest) & guessed[constant], (floor - lowest) / weight, 0)
    return put(start, (constant,), lack[None] + start[constant])


def begin(kernel: Kernel, samples: Samples, limits: Limits, found: Array | None) -> tuple[Task, State, Statistics]:
    """From samples to a task, the state before its first step, and the samples' statistics."""
    params = guess(kernel, samples, limits, found)
    lower, upper = (pick(jnp.broadcast_to(a, params.shape), kernel.free) for a in (limits.lower, limits.upper))
    statistics = _statistics(samples)
    rounding = _rounding(kernel, samples, statistics)
    norms = None if limits.norms is None else pick(limits.norms, kernel.free)
    task = Task(samples, params, lower, upper, rounding, _size(kernel, samples, statistics, rounding), norms)
    return task, start_of(task, kernel, statistics.n_used), statistics


def start_of(task: Task, kernel: Kernel, n_used: Array) -> State:
    """The state of fits whose starts have not been evaluated."""
    x = pick(task.params, kernel.free)
    n, fits = x.shape
    blank = Expansion(jnp.zeros(fits, x.dtype), x, Dense(jnp.zeros((n, n, fits), x.dtype)))
    return trust_region.begin(task, x, blank, n_used >= jnp.sum(task.lower < task.upper, axis=0))


def _rounding(kernel: Kernel, samples: Samples, statistics: Statistics) -> Array:
    """A cost that is nothing but the rounding of the data, ``(B,)``; for counts one that means nothing."""
    least = 64 * jnp.finfo(samples.data.dtype).eps ** 2
    used = samples.usable()
    if kernel.criterion.noise == "poisson":
        return jnp.maximum(least * jnp.sum(jnp.where(used, counts(samples.data, samples)[1], 0), axis=0), 1e-12)
    if kernel.criterion.is_robust:
        # the largest may be an outlier
        usual = jnp.nanmedian(jnp.where(used, samples.weighted(samples.data) ** 2, jnp.nan), axis=0)
        return least * statistics.n_used * jnp.nan_to_num(usual)
    return least * statistics.norm


def _size(kernel: Kernel, samples: Samples, statistics: Statistics, rounding: Array) -> Array:
    """See `Task.size`."""
    if kernel.criterion.noise == "poisson":
        total = jnp.sum(jnp.where(samples.usable(), counts(samples.data, samples)[1], 0), axis=0)
        return size_of(total, total)
    if kernel.criterion.is_robust:
        usual = rounding / (64 * jnp.finfo(rounding.dtype).eps ** 2)
        return size_of(usual, usual)
    return size_of(statistics.spread, statistics.norm)


def size_of(spread: Array, norm: Array) -> Array:
    """How far data are from their mean, or from 0 if they do not vary; from sums of squares, never 0."""
    square = jnp.where(spread > 64 * jnp.finfo(norm.dtype).eps ** 2 * norm, spread, norm)
    return jnp.where(square > 0, jnp.sqrt(square), 1)


class Level(NamedTuple):
    """Of the samples that are used, each ``(B,)``."""

    n_used: Array  # their number, not yet an integer
    weight: Array  # Σw²
    mean: Array  # weighted
    norm: Array  # Σw²d²
    spread: Array  # Σw²(d − mean)²


def level_of(samples: Samples) -> Level:
    """Two passes: integers, and terms that are constant, would keep XLA from making vectorised loops of them."""
    used = samples.usable()
    one = used.astype(samples.data.dtype)
    data = jnp.where(used, samples.data, 0)
    if samples.weights is None:
        square: Array = one
        n_used, moment, norm = add_up(one, data, data * data)
        weight = n_used
    else:
        square = jnp.where(used, samples.weights * samples.weights, 0)
        n_used, weight, moment, norm = add_up(one, square, square * data, square * data * data)
    mean = moment / jnp.where(weight > 0, weight, 1)
    (spread,) = add_up(square * (data - mean) ** 2)
    return Level(n_used, weight, mean, norm, spread)


def _statistics(samples: Samples) -> Statistics:
    level = level_of(samples)
    n_used = level.n_used.astype(jnp.int32)
    if samples.weights is not None:
        wanted = jnp.sum(jnp.broadcast_to(samples.weights > 0, samples.data.shape), axis=0)
    else:
        wanted = jnp.asarray(samples.data.shape[0] if samples.length is None else samples.length)
    return Statistics(n_used, wanted - n_used, level.spread, level.norm)


def advance(
    kernel: Kernel,
    samples: Samples,
    task: Task,
    state: State,
    tolerances: Tolerances,
    limit: Array,
    steps: Array,
    few: Array,
) -> State:
    """Up to `steps` more trial steps for every fit that still runs, until only a few do."""
    samples = samples._replace(used=samples.usable())
    across = samples.can_turn and not kernel.whole
    task = task._replace(samples=samples.across() if across else samples)
    return trust_region.advance(of_each_fit(kernel, across), task, tolerances, limit, state, steps, few)


def finish(kernel: Kernel, samples: Samples, task: Task, state: State) -> covariance.Answer:
    """`answer` for a task that came without its samples."""
    return answer(kernel, task._replace(samples=samples), state)


def prepare(kernel: Kernel, samples: Samples, limits: Limits, found: Array | None) -> tuple[Task, State, Statistics]:
    """`begin`, and a task without its samples."""
    task, state, statistics = begin(kernel, samples, limits, found)
    return task._replace(samples=None), state, statistics


def answer(kernel: Kernel, task: Task, state: State) -> covariance.Answer:
    """Covariance, which parameters are at a bound or not determined, and what the residuals look like."""
    assert task.samples is not None
    params = put(task.params, kernel.free, state.x)
    sums = residuals(kernel, task.samples, params)
    return covariance.answer(kernel.criterion, task, state, sums, jnp.sum(task.samples.usable(), axis=0))


def predict(kernel: Kernel, coords: tuple[Array, ...], params: Array) -> Array:
    """The model's values ``(m, B)``."""
    return evaluate(kernel.model.function, coords, params)


def linearise(kernel: Kernel, coords: tuple[Array, ...], params: Array) -> tuple[Array, Array]:
    """The model's values ``(m, B)``, and their derivatives ``(n_free, m, B)``."""
    return jacobian(kernel.model, coords, params, kernel.free)


class Sandwich(NamedTuple):
    """Sums over the samples of each fit, with V the variance of a sample."""

    curvature: Array  # JᵀJ, (n_free, n_free, B)
    scatter: Array  # JᵀVJ, (n_free, n_free, B)
    variance: Array  # V, (B,)
    squares: Array  # (data − fitted)², (B,)


def sandwich(
    kernel: Kernel, coords: tuple[Array, ...], params: Array, data: Array, others: Array, line: Array
) -> Sandwich:
    """For samples whose variance is ``line[0] + line[1]·fitted``, and no less than 0.

    `data` are NaN where a sample is not used; `others` is what is there beside the model, ``(m, 1)`` or ``(m, B)``.
    """
    value, slopes = jacobian(kernel.model, coords, params, kernel.free)
    used, fitted = jnp.isfinite(data), value + others
    variance = jnp.where(used, jnp.maximum(line[0] + line[1] * fitted, 0.0), 0.0)
    squares = jnp.where(used, jnp.square(data - fitted), 0.0)
    own = [jnp.where(used, slope, 0.0) for slope in slopes]
    n = len(own)
    pairs = [(i, j) for i in range(n) for j in range(i + 1)]
    products = [own[i] * own[j] for i, j in pairs]
    sums = add_up(variance, squares, *products, *(product * variance for product in products))
    place = {pair: k for k, pair in enumerate(pairs)}

    def matrix(first: int) -> Array:
        return jnp.stack([jnp.stack([sums[first + place[max(i, j), min(i, j)]] for j in range(n)]) for i in range(n)])

    return Sandwich(matrix(2), matrix(2 + len(pairs)), sums[0], sums[1])
