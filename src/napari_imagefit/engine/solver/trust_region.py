"""The trust-region method, one trial step at a time, for a whole batch of fits.

Every fit of the batch has its own radius, damping and status; a fit that has ended no longer changes. A trial whose
cost is not finite, or not lower, is rejected by selection, so that a NaN can neither be accepted nor reach a neighbour.

References
----------
L. R. Hofer, M. Krstajić, R. P. Smith, JAXFit, 2022, algorithms 1 to 3, with the treatment of bounds of SciPy's ``trf``.
Unlike SciPy's, the tests for the end of a fit do not depend on the units of data or coordinates, nor on where these
begin (see `_optimality` and `_settled`), nor does the distance to a bound (see `propose`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..core.options import Tolerances
from ..core.status import Status
from ..core.types import Array
from ..linalg.algebra import Algebra, Matrix, Rows
from .bounded_step import Box, Quadratic, cut_step

RUNNING = 100  # status of a fit that has not ended
UNEVALUATED = 101  # status of a fit whose start has not been evaluated


class Expansion(NamedTuple):
    """The cost and its quadratic model at a point, by the free parameters."""

    cost: Array  # (B,)
    gradient: Rows  # Jᵀr
    matrix: Matrix  # JᵀJ

    def select(self, algebra: Algebra, mask: Array, other: Expansion) -> Expansion:
        """Return this one where `mask`, else the other."""
        return Expansion(
            algebra.where(mask, self.cost, other.cost),
            tuple(algebra.where(mask, a, b) for a, b in zip(self.gradient, other.gradient, strict=True)),
            self.matrix.select(algebra, mask, other.matrix),
        )

    def without(self, algebra: Algebra, held: Rows) -> Expansion:
        """Leave out the unknowns that are fixed."""
        gradient = tuple(algebra.where(h, 0.0, g) for h, g in zip(held, self.gradient, strict=True))
        return Expansion(self.cost, gradient, self.matrix.without(algebra, held))

    def is_finite(self, algebra: Algebra) -> Array:
        """Whether cost and model are, ``(B,)``."""
        gradient = algebra.every([algebra.isfinite(g) for g in self.gradient])
        return algebra.isfinite(self.cost) & gradient & self.matrix.finite(algebra)


class State(NamedTuple):
    """State of every fit of a batch; rows are by free parameter."""

    x: Rows
    here: Expansion
    column_norms: Rows  # largest norm so far of each column of J; the scale of the parameters
    radius: Array  # (B,)
    alpha: Array  # (B,): damping, to start the next search from
    status: Array  # (B,) int: Status or RUNNING
    iterations: Array  # (B,) int: trial steps, accepted or not
    gain: Array  # (B,): by how much the last accepted step lowered the cost
    optimality: Array  # (B,): how far the point is from satisfying the first-order conditions


class Task(NamedTuple):
    """Constants of a batch of fits; rows are by free parameter.

    It is made once from the samples and the bounds; `begin`, `judge` and `propose` read it at each step, while `State`
    is what changes. Its numbers set scales: a cost up to `rounding` counts as 0, distances to bounds and the least step
    are in units of `size`, and `norms` scales the parameters where the columns of J do not.
    """

    lower: Rows  # none where no fit has any bounds
    upper: Rows
    rounding: Array  # (B,): a cost that is nothing but the rounding of the data
    size: Array  # (B,): the norm of what there is to explain, in the unit of the residuals; positive
    norms: Rows | None = None  # the scale of the parameters, 1/size; None: as J has it

    @property
    def box(self) -> Box:
        """Both bounds of the free parameters."""
        return Box(self.lower, self.upper)

    @property
    def held(self) -> Rows:
        """Unknowns whose bounds coincide."""
        return tuple(low == high for low, high in zip(self.lower, self.upper, strict=True))


class Trial(NamedTuple):
    """A step that is to be tried."""

    x: Rows  # where it leads
    step: Rows
    scaled_step: Rows
    predicted: Array  # (B,): by how much the quadratic model falls
    hoped: Array  # (B,): and by how much it would if no bound cut the step short
    alpha: Array  # (B,)


def _norms(algebra: Algebra, matrix: Matrix) -> Rows:
    return tuple(algebra.sqrt(d) for d in matrix.diagonal())


def _optimality(algebra: Algebra, box: Box, x: Rows, here: Expansion, columns: Rows) -> Array:
    """Return the violation of the first-order conditions at a point, ``(B,)``, in [0, 1] and free of units.

    For a free parameter it is the cosine between the residual vector and its column of the Jacobian (MINPACK's test).
    Towards a bound it is also multiplied by the distance, in units of the change that makes the residual norm.
    """
    length = algebra.sqrt(2 * here.cost)
    if not box.lower:
        gradients = zip(here.gradient, columns, strict=True)
        return algebra.largest([algebra.divide(algebra.abs(g), column * length) for g, column in gradients])
    distances, signs = box.distance(algebra, x, here.gradient)
    rows = []
    for g, column, v, dv in zip(here.gradient, columns, distances, signs, strict=True):
        cosine = algebra.divide(algebra.abs(g), column * length)
        reach = algebra.where(dv == 0, 1.0, algebra.minimum(1.0, algebra.divide(column * v, length)))
        rows.append(cosine * reach)
    return algebra.largest(rows)


def begin(algebra: Algebra, task: Task, x: Rows, blank: Expansion, enough: Array) -> State:
    """Return the state before the first step, in which the starts `x` are evaluated.

    Parameters
    ----------
    blank : Expansion
        Of the right shapes; its values do not matter.
    enough : array, ``(B,)``
        Whether there are samples enough to fit.
    """
    x = tuple(algebra.rounded(v) for v in task.box.strictly_inside(algebra, x, margin=1e-10))
    if task.lower:
        x = tuple(algebra.where(h, low, v) for h, low, v in zip(task.held, task.lower, x, strict=True))
    zero = 0.0 * task.size
    status = algebra.where(enough, UNEVALUATED, int(Status.TOO_FEW_SAMPLES))
    return State(
        x=x,
        here=blank,
        column_norms=tuple(0.0 * g for g in blank.gradient),
        radius=zero + 1,
        alpha=zero,
        status=status,
        iterations=0 * status,
        gain=zero + math.inf,
        optimality=zero + 1,
    )


def first_radius(algebra: Algebra, task: Task, x: Rows, here: Expansion, columns: Rows) -> Array:
    """Return the trust region around the start: the size of the parameters in their own scale, as in SciPy."""
    norms = columns if task.norms is None else task.norms
    length = algebra.sqrt(2 * here.cost)
    if not task.lower:
        radius = algebra.norm([size * value for size, value in zip(norms, x, strict=True)])
        return algebra.where(radius > 0, radius, algebra.where(length > 0, length, 1.0))
    distances, signs = task.box.distance(algebra, x, here.gradient)
    scaled = []
    for value, v, dv, size in zip(x, distances, signs, norms, strict=True):
        v = algebra.where(dv == 0, 1.0, v * algebra.where(size > 0, size, 1.0) / task.size)
        scaled.append(size * value / algebra.sqrt(algebra.where(v > 0, v, 1.0)))
    radius = algebra.norm(scaled)
    return algebra.where(radius > 0, radius, algebra.where(length > 0, length, 1.0))


def judge(
    algebra: Algebra, task: Task, tolerances: Tolerances, limit: Array, state: State, trial: Trial, there: Expansion
) -> State:
    """Return what a trial leads to: a step or a smaller region, and perhaps the end of a fit."""
    where = algebra.where
    x, predicted = trial.x, trial.predicted
    fresh = state.status == UNEVALUATED
    running = state.status >= RUNNING

    finite = there.is_finite(algebra)
    actual = where(finite, state.here.cost - there.cost, -math.inf)
    level = where((predicted == 0) & (actual == 0), 1.0, 0.0)
    ratio = where(predicted > 0, algebra.divide(actual, predicted), level)
    length = algebra.norm(trial.scaled_step)
    grows = (length > 0.95 * state.radius) & (ratio > 0.75)
    columns = _norms(algebra, there.matrix)
    radius = where(ratio < 0.25, 0.25 * length, where(grows, 2 * state.radius, state.radius))
    if algebra.any(fresh):
        radius = where(fresh, first_radius(algebra, task, x, there, columns), radius)
    # a step of no length would shrink the region to nothing; the test of the step ends such a fit
    radius = where(radius > 0, radius, state.radius)

    better = fresh | (actual > 0)
    # the gradient still has digits where the differences of the cost are rounding
    resolution = 10 * algebra.eps * state.here.cost
    same = (predicted <= resolution) & (algebra.abs(actual) <= resolution)
    optimality = _optimality(algebra, task.box, x, there, columns)
    better = better | (same & (optimality < state.optimality))
    accepted = running & finite & better
    new_x = tuple(where(accepted, new, old) for new, old in zip(x, state.x, strict=True))
    here = there.select(algebra, accepted, state.here)
    optimality = where(accepted, optimality, state.optimality)
    norms = tuple(
        where(accepted, algebra.maximum(old, new), old) for new, old in zip(columns, state.column_norms, strict=True)
    )
    iterations = state.iterations + (running & ~fresh)

    flat = (optimality <= tolerances.gradient) | (here.cost <= task.rounding)
    flat = flat & finite & (fresh | (actual > 0))
    status = where(flat, int(Status.GRADIENT), RUNNING)
    settled = _settled(algebra, task, state, tolerances, trial, actual, ratio, grows)
    # steps that shrink to nothing because the model ends here, while the cost still falls, lead to no minimum
    stuck = ~finite & (settled != RUNNING) & (state.optimality > 1e-4)
    settled = where(stuck, int(Status.NON_FINITE_MODEL), settled)
    status = where((settled != RUNNING) & ~fresh, settled, status)
    status = where(fresh & ~finite, int(Status.NON_FINITE_MODEL), status)
    status = where((status == RUNNING) & (iterations >= limit), int(Status.ITERATION_LIMIT), status)
    return State(
        x=new_x,
        here=here,
        column_norms=norms,
        radius=where(running, radius, state.radius),
        alpha=where(running, where(fresh, 0.0, algebra.over(trial.alpha * state.radius, radius)), state.alpha),
        status=where(running, status, state.status),
        iterations=iterations,
        gain=where(accepted & ~fresh, actual, state.gain),
        optimality=optimality,
    )


def stay(state: State) -> Trial:
    """Return the first trial: the starts, which have not been evaluated."""
    nothing = tuple(0.0 * v for v in state.x)
    none = 0.0 * state.radius
    return Trial(state.x, nothing, nothing, none, none, none)


class Subproblem(NamedTuple):
    """Subproblem of a step: the quadratic model in scaled variables."""

    scale: Rows
    quadratic: Quadratic
    theta: Array  # (B,): the part of the way to a bound that a step may go


def _subproblem(algebra: Algebra, task: Task, state: State) -> Subproblem:
    """Return the quadratic model around a point, scaled by the columns of J and the distances to the bounds."""
    where, here, box = algebra.where, state.here, task.box
    norms = state.column_norms if task.norms is None else task.norms
    norms = tuple(where(v > 0, v, 1.0) for v in norms)
    scale, added = [], []
    distances, signs = box.distance(algebra, state.x, here.gradient) if box.lower else ((), ())
    if not box.lower:
        scale = [algebra.over(1.0, size) for size in norms]
    for v, dv, size, g in zip(distances, signs, norms, here.gradient, strict=False):
        # the distance to a bound is measured by what the model changes on the way, as a part of what there is to
        # explain: any unit would make the trust region, and in single precision the rounding, depend on the data's
        distance = where(dv == 0, 1.0, algebra.over(v * size, task.size))
        scale.append(algebra.over(algebra.sqrt(distance), size))
        # Coleman and Li's term keeps the quadratic model convex towards a bound
        added.append(algebra.over(g * dv, size * task.size))
    matrix = here.matrix.scaled(tuple(scale), tuple(added))
    gradient = tuple(d * g for d, g in zip(scale, here.gradient, strict=True))
    # fits that have ended, or are about to begin, must not keep the search for a damping busy
    sane = matrix.finite(algebra) & algebra.every([algebra.isfinite(g) for g in gradient])
    sane = sane & (state.status == RUNNING)
    quadratic = Quadratic(matrix.identity_unless(algebra, sane), tuple(where(sane, g, 0.0) for g in gradient))
    return Subproblem(tuple(scale), quadratic, algebra.maximum(0.995, 1 - state.optimality))


def propose(algebra: Algebra, task: Task, state: State) -> Trial:
    """Return the next step to try; a fit whose start has not been evaluated stays there."""

    def begin(task: Task, state: State) -> tuple[Subproblem, Any]:
        sub = _subproblem(algebra, task, state)
        matrix, gradient = sub.quadratic
        return sub, matrix.begin_search(algebra, gradient, state.radius, state.alpha)

    def end(task: Task, state: State, sub: Subproblem, search: Any) -> tuple[Trial, Rows, Array]:
        matrix, gradient = sub.quadratic
        p, alpha = matrix.end_search(algebra, search, gradient, state.radius)
        value = sub.quadratic.value(algebra, p)
        trial = _trial(algebra, task, state, sub, p, value, -value, alpha)
        if not task.lower:
            return trial, p, alpha
        there = tuple(v + d * s for v, d, s in zip(state.x, sub.scale, p, strict=True))
        return trial, p, task.box.contains(algebra, there)

    def cut(task: Task, state: State, sub: Subproblem, p: Rows) -> Rows:
        best, value = cut_step(algebra, task.box, state.x, p, sub.scale, sub.quadratic, state.radius, sub.theta)
        return *best, value

    def end_again(task: Task, state: State, sub: Subproblem, best: Rows, value: Array, trial: Trial) -> Trial:
        return _trial(algebra, task, state, sub, best, value, trial.hoped, trial.alpha)

    sub, search = algebra.at_once(begin, task, state)
    matrix, gradient = sub.quadratic
    search = matrix.go_on(algebra, search, gradient, state.radius)
    whole, p, inside = algebra.at_once(end, task, state, sub, search)
    if not task.lower:
        found: Trial = whole
        return found

    def with_cut(rows: Rows) -> Any:
        return algebra.at_once(end_again, task, state, sub, rows[:-1], rows[-1], whole)

    # most often no step of the whole batch is too long
    rows = (*p, -whole.hoped)
    trial: Trial = algebra.unless(inside, whole, rows, cut, task, state, sub, p, then=with_cut)
    return trial


def _trial(
    algebra: Algebra,
    task: Task,
    state: State,
    sub: Subproblem,
    scaled_step: Rows,
    value: Array,
    hoped: Array,
    alpha: Array,
) -> Trial:
    """Return a step in scaled variables, and where it leads."""
    where, box = algebra.where, task.box
    step = tuple(d * s for d, s in zip(sub.scale, scaled_step, strict=True))
    there = box.strictly_inside(algebra, tuple(algebra.rounded(v + s) for v, s in zip(state.x, step, strict=True)))
    fresh = state.status == UNEVALUATED
    still = tuple(fresh | h for h in task.held) if box.lower else (fresh,) * len(there)
    x = tuple(where(s, old, new) for s, old, new in zip(still, state.x, there, strict=True))
    return Trial(x, step, tuple(scaled_step), -value, hoped, alpha)


def _left_to_gain(algebra: Algebra, last_gain: Array, trial: Trial, actual: Array, ratio: Array) -> Array:
    """Return what this step gained, or what is left to gain by one of three signs if that is more, ``(B,)``.

    A fit is not at its end if gains do not decline from step to step (it creeps along a valley), if it gained more than
    the model foretold (the cost curves less than the model, or down: a saddle), or if a bound has cut the step short.
    """
    where, divide = algebra.where, algebra.divide
    decline = algebra.over(actual, last_gain)
    following = where(decline < 1, divide(decline, 1 - decline), math.inf)
    # from a ratio of 1 − c/2 : 1/2 follows a curvature c = 2 − ratio in units of the model's
    curved = where(ratio < 2, divide(trial.predicted, 2 - ratio), math.inf)
    cut = actual * divide(trial.hoped, trial.predicted)
    return algebra.maximum(algebra.maximum(actual, actual * following), algebra.maximum(curved, cut))


def _settled(
    algebra: Algebra,
    task: Task,
    state: State,
    tolerances: Tolerances,
    trial: Trial,
    actual: Array,
    ratio: Array,
    grows: Array,
) -> Array:
    """SciPy's tests of cost and step after a trial, the step measured in the parameters' own scale as in MINPACK.

    Beside the parameters it is compared with what there is to explain: next to a frequency of 1e10 every step is small,
    though it may change the model as much as anything. A step that is small because the region is proves nothing while
    the region `grows`.
    """
    cost = state.here.cost
    little = _left_to_gain(algebra, state.gain, trial, actual, ratio) < tolerances.cost * cost
    little = little & (ratio > 0.25) & ~grows
    # what is left to gain is below what the cost can resolve
    resolution = 10 * algebra.eps * cost
    little = little | ((trial.predicted <= resolution) & (algebra.abs(actual) <= resolution))
    # in the scale of here and now: the largest norms so far may be those of a bad start
    norms = _norms(algebra, state.here.matrix)
    length = algebra.norm([n * s for n, s in zip(norms, trial.step, strict=True)])
    all_of_it = algebra.norm([n * v for n, v in zip(norms, state.x, strict=True)])
    still = ~grows & (length < tolerances.step * algebra.minimum(all_of_it, task.size))
    unmoved = [algebra.rounded(v + s) == v for v, s in zip(state.x, trial.step, strict=True)]
    still = still | algebra.every(unmoved)
    status = algebra.where(still, int(Status.STEP), RUNNING)
    return algebra.where(little, algebra.where(still, int(Status.COST_AND_STEP), int(Status.COST)), status)
