"""What a fit knows about its parameters: covariance, and which of them the data do not determine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._lazy import LazyModule
from .model import Array
from .subproblem import divide, eigen, norm
from .trust_region import State, Task

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

# A column of J that has shrunk by this much since its largest no longer says anything: rounding of √m sums.
VANISHED = 1e-14


class Answer(NamedTuple):
    """What is known at the end, for the free parameters."""

    covariance: Array  # (n, n, B): (JᵀJ)⁻¹, to be multiplied by the reduced χ² where σ is unknown
    undetermined: Array  # (n, B)
    at_lower: Array  # (n, B)
    at_upper: Array  # (n, B)


def answer(task: Task, state: State) -> Answer:
    """Invert the Gauss–Newton matrix over the parameters that are free, not at a bound, and determined.

    A parameter is *at a bound* if the cost still falls towards the bound and the bound is nearer than a hundredth of
    the parameter's own (conditional) standard deviation; it then counts as fixed there. A parameter is *undetermined*
    if the model does not depend on it at the solution, or only in a combination with others that JᵀJ, scaled to a unit
    diagonal, cannot tell from zero within rounding.
    """
    gram, gradient = state.here.gram, state.here.gradient
    n = gram.shape[0]
    eye = jnp.eye(n, dtype=gram.dtype)[:, :, None]
    columns = jnp.sqrt(jnp.diagonal(gram).T)
    length = jnp.sqrt(2 * state.here.cost)
    held = task.lower == task.upper

    pull = divide(gradient, columns * length)
    used = jnp.maximum(jnp.sum(task.samples.usable(), axis=0), 1)
    near = 0.01 * length / jnp.sqrt(used)
    at_lower = ~held & (pull > 1e-6) & (columns * (state.x - task.lower) < near)
    at_upper = ~held & (pull < -1e-6) & (columns * (task.upper - state.x) < near)

    gone = columns <= VANISHED * state.column_norms
    out = held | at_lower | at_upper | gone
    outside = out[:, None] | out[None]
    scale = jnp.where(out, 1, divide(jnp.ones_like(columns), columns))
    scaled = jnp.where(outside, eye, scale[:, None] * gram * scale[None])
    finite = jnp.all(jnp.isfinite(scaled), axis=(0, 1))
    values, vectors = eigen(jnp.where(finite, scaled, eye))
    floor = 10 * n * jnp.finfo(gram.dtype).eps * values[-1]
    null = values <= floor
    inverse = jnp.where(null, 0, divide(jnp.ones_like(values), values))
    covariance = jnp.sum(vectors[:, None] * inverse[None, None] * vectors[None], axis=2)
    covariance = covariance * scale[:, None] * scale[None]
    vague = norm(jnp.moveaxis(vectors * null[None], 1, 0)) > 1e-4
    undetermined = ~held & ~at_lower & ~at_upper & (gone | vague)
    blank = undetermined | out
    covariance = jnp.where(blank[:, None] | blank[None], jnp.nan, covariance)
    return Answer(covariance, undetermined, at_lower, at_upper)
