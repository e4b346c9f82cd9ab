"""Fits that have parameters in common: the stages of solving them as one problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..._lazy import LazyModule
from ..core.status import Status
from ..drive import stages
from ..drive.stages import Limits, Statistics
from ..linalg.arrowhead_matrix import Arrow, Solver, join
from ..linalg.normal_matrix import Dense
from ..linalg.trust_region_subproblem import divide
from ..models.model import Array
from ..solver import trust_region
from ..solver.covariance import VANISHED, Answer, nearness, robust_factor
from ..solver.trust_region import RUNNING, State, Task, Tolerances
from ..sums.normal_equations import Expansion, Kernel, Samples, expand
from ..sums.residual_sums import RobustSums, residuals

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


class Layout(NamedTuple):
    """Where the own and the shared ones are among the free parameters."""

    own: tuple[int, ...]
    shared: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Kernel) -> Layout:
        positions = range(len(kernel.free))
        return cls(
            tuple(i for i in positions if kernel.free[i] not in kernel.shared),
            tuple(i for i in positions if kernel.free[i] in kernel.shared),
        )

    def spread(self, x: Array, fits: int) -> Array:
        """Free parameters ``(n_free, N)`` of unknowns ``(K, 1)``."""
        n = len(self.own)
        rows = jnp.zeros((n + len(self.shared), fits), x.dtype)
        rows = rows.at[jnp.asarray(self.shared)].set(jnp.broadcast_to(x[n * fits :], (len(self.shared), fits)))
        return rows.at[jnp.asarray(self.own, int)].set(x[: n * fits, 0].reshape(n, fits)) if n else rows

    def gather(self, rows: Array, first: Array) -> Array:
        """Unknowns ``(K, 1)`` of rows ``(n_free, N)``; the shared ones from the fit `first`."""
        own = rows[jnp.asarray(self.own, int)] if self.own else rows[:0]
        return join(own, rows[jnp.asarray(self.shared)][:, first])

    def arrow(self, there: Expansion) -> Expansion:
        """All fits' expansions as one."""
        own, shared = jnp.asarray(self.own, int), jnp.asarray(self.shared)
        assert isinstance(there.gram, Dense)
        matrix = there.gram.matrix
        return Expansion(
            jnp.sum(there.cost)[None],
            join(there.gradient[own], jnp.sum(there.gradient[shared], axis=1)),
            Arrow(
                matrix[own[:, None], own],
                matrix[own[:, None], shared],
                jnp.sum(matrix[shared[:, None], shared], axis=2),
            ),
        )


def _landscape(kernel: Kernel) -> trust_region.Landscape:
    layout = Layout.of(kernel)

    def landscape(task: Task, x: Array) -> Expansion:
        rows = layout.spread(x, task.params.shape[1])
        params = task.params.at[jnp.asarray(kernel.free)].set(rows)
        assert task.samples is not None
        there = expand(kernel, task.samples, params)
        return trust_region.hold(task, layout.arrow(there))

    return landscape


def begin(
    kernel: Kernel, samples: Samples, limits: Limits, found: Array | None
) -> tuple[Task, State, Statistics, Array, Array]:
    """Stage: the joint task; fits that cannot take part are left out, with the reason, and where each one starts."""
    layout = Layout.of(kernel)
    task, _, statistics = stages.begin(kernel._replace(shared=()), samples, limits, found)
    params = task.params
    own = jnp.asarray([kernel.free[i] for i in layout.own], int)
    enough = statistics.n_used >= jnp.maximum(
        jnp.sum(task.lower[jnp.asarray(layout.own, int)] < task.upper[jnp.asarray(layout.own, int)], axis=0), 1
    )
    # the middle of what the fits would start from, each by itself
    rows = params[jnp.asarray(kernel.free)]
    shared = jnp.asarray(layout.shared)
    usual = jnp.nanmedian(jnp.where(enough & jnp.isfinite(rows[shared]), rows[shared], jnp.nan), axis=1)
    rows = rows.at[shared].set(usual[:, None])
    params = params.at[jnp.asarray(kernel.free)].set(rows)
    finite = trust_region.is_finite(expand(kernel, samples, params))
    reason = jnp.where(~enough, Status.TOO_FEW_SAMPLES, jnp.where(~finite, Status.NON_FINITE_MODEL, RUNNING))
    takes_part = reason == RUNNING
    samples = samples._replace(data=jnp.where(takes_part, samples.data, jnp.nan))
    first = jnp.argmax(takes_part)
    lower, upper = layout.gather(task.lower, first), layout.gather(task.upper, first)
    x = layout.gather(rows, first)
    # what a fit that is left out would have as its own does not move
    out = join(jnp.broadcast_to(~takes_part, (len(own), takes_part.size)), jnp.zeros(len(layout.shared), bool))
    still = jnp.where(jnp.isfinite(x), x, 0)
    lower, upper = jnp.where(out, still, lower), jnp.where(out, still, upper)
    rounding = jnp.sum(jnp.where(takes_part, task.rounding, 0))[None]
    size = jnp.sqrt(jnp.sum(jnp.where(takes_part, task.size**2, 0)))[None]
    size = jnp.where(size > 0, size, 1)
    joint = Task(samples, jnp.where(jnp.isfinite(params), params, 0), lower, upper, rounding, size)
    blank = _landscape(kernel)(joint, jnp.where(jnp.isfinite(x), x, 0))
    any_left = jnp.any(takes_part)[None]
    state = trust_region.begin(joint, jnp.where(out, still, x), blank, any_left)
    return joint, state, statistics, reason, params


def advance(kernel: Kernel, task: Task, state: State, tolerances: Tolerances, limit: Array, steps: Array) -> State:
    """Stage: more steps."""
    return trust_region.advance(_landscape(kernel), task, tolerances, limit, state, steps)


class Ends(NamedTuple):
    """What is known at the end, fit by fit."""

    x: Array  # (n_free, N)
    cost: Array  # (N,)
    answer: Answer


def where_they_are(kernel: Kernel, task: Task, state: State) -> Array:
    """Stage: the free parameters of all fits ``(n_free, N)``."""
    return Layout.of(kernel).spread(state.x, task.params.shape[1])


def expansions(kernel: Kernel, samples: Samples, params: Array) -> tuple[Array, Array]:
    """Stage: each fit's gradient ``(n_free, N)`` and matrix ``(n_free, n_free, N)`` at parameters ``(n_params, N)``."""
    there = expand(kernel, samples, params)
    assert isinstance(there.gram, Dense)
    return there.gradient, there.gram.matrix


def answer(kernel: Kernel, task: Task, state: State, rows: Array, kept: Array, sides: Array | None) -> Ends:
    """Stage: covariances of each fit's free parameters, the shared ones included; see `covariance.answer`.

    `rows` are the free parameters ``(n_free, N)``, and `kept` the fits ``(N,)`` that have a say; of the others nothing
    is told. `sides` says where own parameters are at a bound ``(n_own, N)``, if that has been asked of each fit: the
    gradient of a dim one is little beside the residuals of all.
    """
    layout = Layout.of(kernel)
    x = layout.gather(rows, jnp.argmax(kept))
    out = join(jnp.broadcast_to(~kept, (len(layout.own), kept.size)), jnp.zeros(len(layout.shared), bool))
    lower, upper = jnp.where(out, x, task.lower), jnp.where(out, x, task.upper)
    assert task.samples is not None
    samples = task.samples._replace(data=jnp.where(kept, task.samples.data, jnp.nan))
    task, state = task._replace(lower=lower, upper=upper), state._replace(x=x)
    fits = task.params.shape[1]
    params = task.params.at[jnp.asarray(kernel.free)].set(rows)
    there = expand(kernel, samples, params)
    sums = residuals(kernel, samples, params)
    joint = trust_region.hold(task, layout.arrow(there))
    columns, length = jnp.sqrt(joint.gram.diagonal()), jnp.sqrt(2 * joint.cost)
    held = task.lower == task.upper
    used = jnp.maximum(jnp.sum(samples.usable()), 1)
    pull = divide(joint.gradient, columns * length)
    near = nearness(kernel.criterion, length, used)
    gone = columns <= VANISHED * state.column_norms
    reach = jnp.where(gone, state.column_norms, columns)
    at_lower = ~held & (pull > 1e-6) & (reach * (state.x - task.lower) < near)
    at_upper = ~held & (pull < -1e-6) & (reach * (task.upper - state.x) < near)
    if sides is not None:
        count = sides.size
        at_lower = at_lower.at[:count, 0].set(sides.reshape(-1) < 0)
        at_upper = at_upper.at[:count, 0].set(sides.reshape(-1) > 0)
    out = held | at_lower | at_upper | gone

    gram, factor = joint.gram, 1.0
    if (robust := sums.robust) is not None:
        gram = layout.arrow(Expansion(there.cost, there.gradient, robust.gram)).gram
        columns = jnp.sqrt(gram.diagonal())
        psi, slope, squared = (jnp.sum(part) for part in (robust.psi, robust.slope, robust.slope_squared))
        factor = robust_factor(RobustSums(psi, slope, squared, robust.gram), used, jnp.sum(~out))
    scale = jnp.where(out, 1, divide(jnp.ones_like(columns), columns))
    scaled = gram.without(out).scaled(scale, jnp.where(out, 1.0, 0.0))
    assert isinstance(scaled, Arrow)
    covariance, vague = _inverse(scaled)
    covariance = _permuted(covariance, layout)
    scales = layout.spread(scale, fits)
    vagueness = jnp.sqrt(jnp.abs(jnp.diagonal(covariance).T))
    covariance = factor * covariance * scales[:, None] * scales[None]
    undetermined = ~held & ~at_lower & ~at_upper & (gone | vague)
    blank = layout.spread(undetermined | out, fits)
    covariance = jnp.where(blank[:, None] | blank[None], jnp.nan, covariance)
    lower, upper, unknown = (layout.spread(a, fits) for a in (at_lower, at_upper, undetermined))
    return Ends(rows, there.cost, Answer(covariance, unknown, lower, upper, vagueness, sums._replace(robust=None)))


def _inverse(arrow: Arrow) -> tuple[Array, Array]:
    """Each fit's block of the inverse ``(n + k, n + k, N)``, own parameters first, and what is undetermined."""
    solver = Solver.of(arrow)
    zero = jnp.zeros((), arrow.local.dtype)
    values, vectors = solver.complement(zero)
    floor = 10 * solver.floor
    null, common_null = solver.values <= floor, values <= floor
    inverse = jnp.where(null, 0, 1 / solver.values)
    shared = (vectors * jnp.where(common_null, 0, 1 / values)) @ vectors.T
    blocks = jnp.einsum("iaN,aN,jaN->ijN", solver.vectors, inverse, solver.vectors)
    reach = jnp.einsum("iaN,aN,akN->ikN", solver.vectors, inverse, solver.border)
    crossed = jnp.einsum("ikN,kl->ilN", reach, shared)
    own = blocks + jnp.einsum("ilN,jlN->ijN", crossed, reach)
    fits = own.shape[2]
    whole = jnp.concatenate(
        [
            jnp.concatenate([own, -crossed], axis=1),
            jnp.concatenate(
                [-jnp.swapaxes(crossed, 0, 1), jnp.broadcast_to(shared[:, :, None], (*shared.shape, fits))], axis=1
            ),
        ]
    )
    vague = jnp.sqrt(jnp.sum((solver.vectors * null[None]) ** 2, axis=1)) > 1e-4
    vague_shared = jnp.sqrt(jnp.sum((vectors * common_null) ** 2, axis=1)) > 1e-4
    # own parameters that can only be told where a shared one can
    lost = jnp.einsum("ikN,kl->ilN", reach, vectors * common_null)
    return whole, join(vague | jnp.any(jnp.abs(lost) > 1e-4, axis=1), vague_shared)


def _permuted(covariance: Array, layout: Layout) -> Array:
    """From own parameters first to the order of the free ones."""
    order = np.argsort(np.array(layout.own + layout.shared))
    return covariance[order[:, None], order]
