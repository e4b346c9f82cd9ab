"""The trust-region method, one trial step at a time, for a whole batch of fits.

Every fit of the batch has its own radius, damping and status; a fit that has ended no longer changes. A trial whose
cost is not finite, or not lower, is rejected by selection, so that a NaN can neither be accepted nor reach a neighbour.

References
----------
L. R. Hofer, M. Krstajić, R. P. Smith, JAXFit, 2022, algorithms 1 to 3, with the treatment of bounds of SciPy's ``trf``.
Unlike SciPy's, the tests for the end of a fit do not depend on the units of data or coordinates (see `_optimality` and
`_settled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._lazy import LazyModule
from .bounds import Box, Quadratic, bounded_step
from .model import Array, Model
from .objective import Expansion, Samples, expand
from .status import Status
from .subproblem import divide, norm, trust_region_step

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

RUNNING = 100  # the status of a fit that has not ended
FRESH = 101  # and of one whose start has not been evaluated


class Tolerances(NamedTuple):
    """When a fit has converged: relative change of cost and of parameters, cosine of the gradient."""

    cost: Array
    step: Array
    gradient: Array


class State(NamedTuple):
    """Where every fit of a batch stands; ``n`` counts the free parameters."""

    x: Array  # (n, B)
    here: Expansion
    column_norms: Array  # (n, B): largest norm so far of each column of J; the scale of the parameters
    radius: Array  # (B,)
    alpha: Array  # (B,): damping, to start the next search from
    status: Array  # (B,) int32: Status or RUNNING
    iterations: Array  # (B,) int32: trial steps, accepted or not


class Task(NamedTuple):
    """What does not change while a batch is fitted; the fixed parameters are columns of `params` not in `free`."""

    samples: Samples
    params: Array  # (n_params, B)
    lower: Array  # (n, B), of the free parameters
    upper: Array  # (n, B)
    rounding: Array  # (B,): a cost that is nothing but the rounding of the data


def expand_free(model: Model, free: tuple[int, ...], task: Task, x: Array) -> Expansion:
    """`expand` at the free parameters `x`, with a parameter whose bounds coincide held still."""
    params = task.params.at[jnp.asarray(free)].set(x)
    there = expand(model, task.samples, params, free)
    held = task.lower == task.upper
    gradient = jnp.where(held, 0, there.gradient)
    eye = jnp.eye(len(free), dtype=x.dtype)[:, :, None]
    return Expansion(there.cost, gradient, jnp.where(held[:, None] | held[None], eye * 0, there.gram))


def _finite(there: Expansion) -> Array:
    return (
        jnp.isfinite(there.cost)
        & jnp.all(jnp.isfinite(there.gradient), axis=0)
        & jnp.all(jnp.isfinite(there.gram), axis=(0, 1))
    )


def _norms(gram: Array) -> Array:
    return jnp.sqrt(jnp.diagonal(gram).T)


def _optimality(box: Box, x: Array, here: Expansion) -> Array:
    """How far a point is from satisfying the first-order conditions, ``(B,)``, in [0, 1] and free of units.

    For a free parameter it is the cosine between the residual vector and its column of the Jacobian (MINPACK's test).
    Towards a bound it is also multiplied by the distance, in units of the change that makes the residual norm.
    """
    columns, length = _norms(here.gram), jnp.sqrt(2 * here.cost)
    cosine = divide(jnp.abs(here.gradient), columns * length)
    v, dv = box.distance(x, here.gradient)
    reach = jnp.where(dv == 0, 1, jnp.minimum(1, divide(columns * v, length)))
    return jnp.max(cosine * reach, axis=0)


def begin(task: Task, free: tuple[int, ...]) -> State:
    """The state before the first step, in which the starts are evaluated."""
    x = Box(task.lower, task.upper).strictly_inside(task.params[jnp.asarray(free)], margin=1e-10)
    x = jnp.where(task.lower == task.upper, task.lower, x)
    n, fits = x.shape
    zero = jnp.zeros(fits, x.dtype)
    used = jnp.sum(task.samples.usable(), axis=0)
    wanted = jnp.sum(task.lower < task.upper, axis=0)
    return State(
        x=x,
        here=Expansion(zero, jnp.zeros((n, fits), x.dtype), jnp.zeros((n, n, fits), x.dtype)),
        column_norms=jnp.zeros_like(x),
        radius=zero + 1,
        alpha=zero,
        status=jnp.where(used < wanted, Status.TOO_FEW_SAMPLES, FRESH).astype(jnp.int32),
        iterations=jnp.zeros(fits, jnp.int32),
    )


def first_radius(box: Box, x: Array, here: Expansion) -> Array:
    """The trust region around the start: the size of the parameters in their own scale, as in SciPy."""
    norms = _norms(here.gram)
    v, dv = box.distance(x, here.gradient)
    v = jnp.where(dv == 0, 1, v * jnp.where(norms > 0, norms, 1))
    radius = norm(norms * x / jnp.sqrt(jnp.where(v > 0, v, 1)))
    length = jnp.sqrt(2 * here.cost)
    return jnp.where(radius > 0, radius, jnp.where(length > 0, length, 1))


def advance(
    model: Model, free: tuple[int, ...], task: Task, tolerances: Tolerances, limit: Array, state: State, steps: Array
) -> State:
    """Let every running fit try `steps` more steps, or until all have ended."""

    def unfinished(carry: tuple[Array, State]) -> Array:
        count, now = carry
        return (count < steps) & jnp.any(now.status >= RUNNING)

    def again(carry: tuple[Array, State]) -> tuple[Array, State]:
        count, now = carry
        return count + 1, _try_step(model, free, task, tolerances, limit, now)

    return jax.lax.while_loop(unfinished, again, (jnp.zeros((), jnp.int32), state))[1]


def _try_step(
    model: Model, free: tuple[int, ...], task: Task, tolerances: Tolerances, limit: Array, state: State
) -> State:
    box = Box(task.lower, task.upper)
    fresh = state.status == FRESH
    running = state.status >= RUNNING
    step, scaled_step, predicted, alpha = _propose(box, state)
    held = task.lower == task.upper
    x = jnp.where(fresh | held, state.x, box.strictly_inside(state.x + step))
    there = expand_free(model, free, task, x)

    finite = _finite(there)
    actual = jnp.where(finite, state.here.cost - there.cost, -jnp.inf)
    ratio = jnp.where(predicted > 0, divide(actual, predicted), jnp.where((predicted == 0) & (actual == 0), 1, 0))
    length = norm(scaled_step)
    at_edge = length > 0.95 * state.radius
    radius = jnp.where(ratio < 0.25, 0.25 * length, jnp.where((ratio > 0.75) & at_edge, 2 * state.radius, state.radius))
    radius = jnp.where(fresh, first_radius(box, x, there), radius)
    # a step of no length would shrink the region to nothing; the test of the step ends such a fit
    radius = jnp.where(radius > 0, radius, state.radius)

    accepted = running & finite & (fresh | (actual > 0))
    new_x = jnp.where(accepted, x, state.x)
    here = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, state.here)
    norms = jnp.where(accepted, jnp.maximum(state.column_norms, _norms(here.gram)), state.column_norms)
    iterations = state.iterations + (running & ~fresh)

    flat = (_optimality(box, new_x, here) <= tolerances.gradient) | (here.cost <= task.rounding)
    flat &= finite & (fresh | (actual > 0))
    status = jnp.where(flat, Status.GRADIENT, RUNNING)
    settled = _settled(state, tolerances, step, actual, predicted, ratio)
    status = jnp.where((settled != RUNNING) & ~fresh, settled, status)
    status = jnp.where(fresh & ~finite, Status.NON_FINITE_MODEL, status)
    status = jnp.where((status == RUNNING) & (iterations >= limit), Status.ITERATION_LIMIT, status)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(running, new, old)

    return State(
        x=new_x,
        here=here,
        column_norms=norms,
        radius=keep(radius, state.radius),
        alpha=keep(jnp.where(fresh, 0, alpha * state.radius / radius), state.alpha),
        status=keep(status.astype(jnp.int32), state.status),
        iterations=iterations.astype(jnp.int32),
    )


def _propose(box: Box, state: State) -> tuple[Array, Array, Array, Array]:
    """The trial step in true and in scaled variables, the reduction it promises, and the damping."""
    here = state.here
    norms = jnp.where(state.column_norms > 0, state.column_norms, 1)
    v, dv = box.distance(state.x, here.gradient)
    scale = jnp.sqrt(jnp.where(dv == 0, 1, v * norms)) / norms
    # Coleman and Li's term keeps the quadratic model convex towards a bound
    curvature = here.gradient * dv / norms
    n = state.x.shape[0]
    eye = jnp.eye(n, dtype=state.x.dtype)[:, :, None]
    matrix = scale[:, None] * here.gram * scale[None] + eye * curvature[:, None]
    gradient = scale * here.gradient
    sane = jnp.all(jnp.isfinite(matrix), axis=(0, 1)) & jnp.all(jnp.isfinite(gradient), axis=0)
    quadratic = Quadratic(jnp.where(sane, matrix, eye), jnp.where(sane, gradient, 0))
    p, alpha = trust_region_step(*quadratic, state.radius, state.alpha)
    theta = jnp.maximum(0.995, 1 - _optimality(box, state.x, here))
    step, scaled_step, predicted = bounded_step(box, state.x, p, scale, quadratic, state.radius, theta)
    return step, scaled_step, predicted, alpha


def _settled(state: State, tolerances: Tolerances, step: Array, actual: Array, predicted: Array, ratio: Array) -> Array:
    """SciPy's tests of cost and step after a trial, the step measured in the parameters' own scale as in MINPACK."""
    cost = state.here.cost
    eps = jnp.finfo(step.dtype).eps
    little = (actual < tolerances.cost * cost) & (ratio > 0.25)
    # what is left to gain is below what the cost can resolve
    little |= (predicted <= 10 * eps * cost) & (jnp.abs(actual) <= 10 * eps * cost)
    # in the scale of here and now: the largest norms so far may be those of a bad start
    norms = _norms(state.here.gram)
    still = norm(norms * step) < tolerances.step * norm(norms * state.x)
    still |= jnp.all(state.x + step == state.x, axis=0)
    status = jnp.where(still, Status.STEP, RUNNING)
    return jnp.where(little, jnp.where(still, Status.COST_AND_STEP, Status.COST), status)
