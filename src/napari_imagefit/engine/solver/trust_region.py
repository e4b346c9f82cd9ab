"""The trust-region method, one trial step at a time, for a whole batch of fits.

Every fit of the batch has its own radius, damping and status; a fit that has ended no longer changes. A trial whose
cost is not finite, or not lower, is rejected by selection, so that a NaN can neither be accepted nor reach a neighbour.

References
----------
L. R. Hofer, M. Krstajić, R. P. Smith, JAXFit, 2022, algorithms 1 to 3, with the treatment of bounds of SciPy's ``trf``.
Unlike SciPy's, the tests for the end of a fit do not depend on the units of data or coordinates (see `_optimality` and
`_settled`), nor does the distance to a bound (see `propose`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..core.status import Status
from ..linalg.normal_matrix import Gram
from ..linalg.trust_region_subproblem import divide, norm
from ..models.model import Array
from ..sums.normal_equations import Expansion, Kernel, Samples, expand, put
from .bounded_step import Box, Quadratic, bounded_step

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
    gain: Array  # (B,): by how much the last accepted step lowered the cost
    optimality: Array  # (B,): how far the point is from satisfying the first-order conditions


class Task(NamedTuple):
    """What does not change while a batch is fitted; the fixed parameters are columns of `params` not in `free`."""

    samples: Samples | None  # None where they travel apart
    params: Array  # (n_params, B)
    lower: Array  # (n, B), of the free parameters
    upper: Array  # (n, B)
    rounding: Array  # (B,): a cost that is nothing but the rounding of the data
    size: Array  # (B,): the norm of what there is to explain, in the unit of the residuals; positive
    norms: Array | None = None  # (n, 1) or (n, B): the scale of the parameters, 1/size; None: as J has it


class Trial(NamedTuple):
    """A step that is to be tried."""

    x: Array  # (n, B): where it leads
    step: Array  # (n, B)
    scaled_step: Array  # (n, B)
    predicted: Array  # (B,): by how much the quadratic model falls
    hoped: Array  # (B,): and by how much it would if no bound cut the step short
    alpha: Array  # (B,)


# The cost and its quadratic model at unknowns (n, B)
Landscape = Callable[[Task, Array], Expansion]


def of_each_fit(kernel: Kernel, across: bool = False) -> Landscape:
    """Every fit by itself: `expand` at the free parameters, with those whose bounds coincide held still.

    `across` says how the task's samples lie, see `Samples.across`.
    """

    def landscape(task: Task, x: Array) -> Expansion:
        assert task.samples is not None
        params = put(task.params, kernel.free, x)
        return hold(task, expand(kernel, task.samples, params, across=across))

    return landscape


def hold(task: Task, there: Expansion) -> Expansion:
    """Without the unknowns whose bounds coincide."""
    held = task.lower == task.upper
    return Expansion(there.cost, jnp.where(held, 0, there.gradient), there.gram.without(held))


def is_finite(there: Expansion) -> Array:
    """Whether cost and model are, ``(B,)``."""
    return jnp.isfinite(there.cost) & jnp.all(jnp.isfinite(there.gradient), axis=0) & there.gram.finite()


def _norms(gram: Gram) -> Array:
    return jnp.sqrt(gram.diagonal())


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


def begin(task: Task, x: Array, blank: Expansion, enough: Array) -> State:
    """The state before the first step, in which the starts `x` are evaluated.

    Parameters
    ----------
    blank : Expansion
        Of the right shapes; its values do not matter.
    enough : array, ``(B,)``
        Whether there are samples enough to fit.
    """
    x = jnp.where(task.lower == task.upper, task.lower, Box(task.lower, task.upper).strictly_inside(x, margin=1e-10))
    fits = x.shape[1]
    zero = jnp.zeros(fits, x.dtype)
    return State(
        x=x,
        here=jax.tree.map(jnp.zeros_like, blank),
        column_norms=jnp.zeros_like(x),
        radius=zero + 1,
        alpha=zero,
        status=jnp.where(enough, FRESH, Status.TOO_FEW_SAMPLES).astype(jnp.int32),
        iterations=jnp.zeros(fits, jnp.int32),
        gain=jnp.full(fits, jnp.inf, x.dtype),
        optimality=zero + 1,
    )


def first_radius(task: Task, x: Array, here: Expansion) -> Array:
    """The trust region around the start: the size of the parameters in their own scale, as in SciPy."""
    box = Box(task.lower, task.upper)
    norms = _norms(here.gram) if task.norms is None else jnp.broadcast_to(task.norms, x.shape)
    v, dv = box.distance(x, here.gradient)
    v = jnp.where(dv == 0, 1, v * jnp.where(norms > 0, norms, 1) / task.size)
    radius = norm(norms * x / jnp.sqrt(jnp.where(v > 0, v, 1)))
    length = jnp.sqrt(2 * here.cost)
    return jnp.where(radius > 0, radius, jnp.where(length > 0, length, 1))


def advance(
    landscape: Landscape,
    task: Task,
    tolerances: Tolerances,
    limit: Array,
    state: State,
    steps: Array,
    few: Array | int = 0,
) -> State:
    """Let every running fit try `steps` more steps, or until all but a `few` have ended."""

    def unfinished(carry: tuple[Array, State]) -> Array:
        count, now = carry
        return (count < steps) & (jnp.sum(now.status >= RUNNING) > few)

    def again(carry: tuple[Array, State]) -> tuple[Array, State]:
        count, now = carry
        trial = propose(task, now)
        return count + 1, judge(task, tolerances, limit, now, trial, landscape(task, trial.x))

    return jax.lax.while_loop(unfinished, again, (jnp.zeros((), jnp.int32), state))[1]


def judge(task: Task, tolerances: Tolerances, limit: Array, state: State, trial: Trial, there: Expansion) -> State:
    """What a trial leads to: a step or a smaller region, and perhaps the end of a fit."""
    box = Box(task.lower, task.upper)
    x, predicted = trial.x, trial.predicted
    fresh = state.status == FRESH
    running = state.status >= RUNNING

    finite = is_finite(there)
    actual = jnp.where(finite, state.here.cost - there.cost, -jnp.inf)
    ratio = jnp.where(predicted > 0, divide(actual, predicted), jnp.where((predicted == 0) & (actual == 0), 1, 0))
    length = norm(trial.scaled_step)
    grows = (length > 0.95 * state.radius) & (ratio > 0.75)
    radius = jnp.where(ratio < 0.25, 0.25 * length, jnp.where(grows, 2 * state.radius, state.radius))
    radius = jnp.where(fresh, first_radius(task, x, there), radius)
    # a step of no length would shrink the region to nothing; the test of the step ends such a fit
    radius = jnp.where(radius > 0, radius, state.radius)

    better = fresh | (actual > 0)
    # where the cost can tell no longer, the gradient still can
    same = (predicted <= _resolution(state)) & (jnp.abs(actual) <= _resolution(state))
    # it is computed once for each trial: its divisions and roots cost as much as the samples of a small fit
    optimality = _optimality(box, x, there)
    better |= same & (optimality < state.optimality)
    accepted = running & finite & better
    new_x = jnp.where(accepted, x, state.x)
    here = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, state.here)
    optimality = jnp.where(accepted, optimality, state.optimality)
    norms = jnp.where(accepted, jnp.maximum(state.column_norms, _norms(here.gram)), state.column_norms)
    iterations = state.iterations + (running & ~fresh)

    flat = (optimality <= tolerances.gradient) | (here.cost <= task.rounding)
    flat &= finite & (fresh | (actual > 0))
    status = jnp.where(flat, Status.GRADIENT, RUNNING)
    settled = _settled(state, tolerances, trial, actual, ratio, grows)
    # steps that shrink to nothing because the model ends here, while the cost still falls, lead to no minimum
    stuck = ~finite & (settled != RUNNING) & (state.optimality > 1e-4)
    settled = jnp.where(stuck, Status.NON_FINITE_MODEL, settled)
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
        alpha=keep(jnp.where(fresh, 0, trial.alpha * state.radius / radius), state.alpha),
        status=keep(status.astype(jnp.int32), state.status),
        iterations=iterations.astype(jnp.int32),
        gain=jnp.where(accepted & ~fresh, actual, state.gain),
        optimality=optimality,
    )


def stay(state: State) -> Trial:
    """What is tried first: where a fit is, whose start has not been evaluated."""
    nothing, none = jnp.zeros_like(state.x), jnp.zeros_like(state.radius)
    return Trial(state.x, nothing, nothing, none, none, none)


def propose(task: Task, state: State) -> Trial:
    """The next step to try; a fit whose start has not been evaluated stays there."""
    box, here = Box(task.lower, task.upper), state.here
    norms = state.column_norms if task.norms is None else jnp.broadcast_to(task.norms, state.x.shape)
    norms = jnp.where(norms > 0, norms, 1)
    v, dv = box.distance(state.x, here.gradient)
    # the distance to a bound is measured by what the model changes on the way, as a part of what there is to explain:
    # any unit would make the trust region, and in single precision the rounding, depend on that of the data
    scale = jnp.sqrt(jnp.where(dv == 0, 1, v * norms / task.size)) / norms
    # Coleman and Li's term keeps the quadratic model convex towards a bound
    matrix = here.gram.scaled(scale, here.gradient * dv / (norms * task.size))
    gradient = scale * here.gradient
    # fits that have ended, or are about to begin, must not keep the search for a damping busy
    sane = matrix.finite() & jnp.all(jnp.isfinite(gradient), axis=0) & (state.status == RUNNING)
    quadratic = Quadratic(matrix.identity_where(~sane), jnp.where(sane, gradient, 0))
    p, alpha = quadratic.matrix.step(quadratic.gradient, state.radius, state.alpha)
    theta = jnp.maximum(0.995, 1 - state.optimality)
    step, scaled_step, predicted = bounded_step(box, state.x, p, scale, quadratic, state.radius, theta)
    still = (state.status == FRESH) | (task.lower == task.upper)
    x = jnp.where(still, state.x, box.strictly_inside(state.x + step))
    return Trial(x, step, scaled_step, predicted, -quadratic.value(p), alpha)


def _left_to_gain(state: State, trial: Trial, actual: Array, ratio: Array) -> Array:
    """What this step gained, or what is left to gain by one of three signs if that is more, ``(B,)``.

    A fit is not at its end if gains do not decline from step to step (it creeps along a valley), if it gained more than
    the model foretold (the cost curves less than the model, or down: a saddle), or if a bound has cut the step short.
    """
    decline = actual / state.gain
    following = jnp.where(decline < 1, divide(decline, 1 - decline), jnp.inf)
    # from a ratio of 1 − c/2 : 1/2 follows a curvature c = 2 − ratio in units of the model's
    curved = jnp.where(ratio < 2, divide(trial.predicted, 2 - ratio), jnp.inf)
    cut = actual * divide(trial.hoped, trial.predicted)
    return jnp.maximum(jnp.maximum(actual, actual * following), jnp.maximum(curved, cut))


def _resolution(state: State) -> Array:
    """Changes of the cost that are nothing but rounding, ``(B,)``."""
    return 10 * jnp.finfo(state.x.dtype).eps * state.here.cost


def _settled(state: State, tolerances: Tolerances, trial: Trial, actual: Array, ratio: Array, grows: Array) -> Array:
    """SciPy's tests of cost and step after a trial, the step measured in the parameters' own scale as in MINPACK.

    A step that is small because the region is tells nothing while the region `grows`.
    """
    cost, step = state.here.cost, trial.step
    little = _left_to_gain(state, trial, actual, ratio) < tolerances.cost * cost
    little &= (ratio > 0.25) & ~grows
    # what is left to gain is below what the cost can resolve
    little |= (trial.predicted <= _resolution(state)) & (jnp.abs(actual) <= _resolution(state))
    # in the scale of here and now: the largest norms so far may be those of a bad start
    norms = _norms(state.here.gram)
    still = ~grows & (norm(norms * step) < tolerances.step * norm(norms * state.x))
    still |= jnp.all(state.x + step == state.x, axis=0)
    status = jnp.where(still, Status.STEP, RUNNING)
    return jnp.where(little, jnp.where(still, Status.COST_AND_STEP, Status.COST), status)
