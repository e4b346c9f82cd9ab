"""The stages of one large fit, whose samples come in parts of one shape.

Only sums leave a part; they are added up on the host, always in the order of the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..models.model import Array
from ..solver import covariance, trust_region
from ..solver.trust_region import State, Task, Tolerances, Trial
from ..sums.noise_and_loss import counts
from ..sums.normal_equations import Expansion, Kernel, Samples, add_up, expand
from ..sums.residual_sums import Residuals, residuals
from .stages import level_of, start_of

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


class PartStatistics(NamedTuple):
    """Of the samples of one part, each ``(1,)``."""

    n_used: Array
    n_wanted: Array  # with those that are not finite
    weight: Array  # Σw²
    mean: Array  # weighted
    spread: Array  # Σw²(d − mean)²
    norm: Array  # Σw²d²
    counts: Array  # Σ counts
    usual: Array  # median of w²d²


def _widened(samples: Samples, dtype: jnp.dtype) -> Samples:
    """In the precision in which is computed: parts are kept in the narrowest that holds them exactly."""

    def widen(array: Array | None) -> Array | None:
        return None if array is None else array.astype(dtype)

    coords = tuple(c.astype(dtype) for c in samples.coords)
    data, weights, shift = samples.data.astype(dtype), widen(samples.weights), widen(samples.shift)
    return samples._replace(coords=coords, data=data, weights=weights, shift=shift)


def statistics(kernel: Kernel, samples: Samples, params: Array) -> PartStatistics:
    """Stage: what does not depend on the fit; `params` tell the precision."""
    samples = _widened(samples, params.dtype)
    wanted = samples.length if samples.weights is None else jnp.sum(samples.weights > 0, axis=0)

    level = level_of(samples)
    count, usual = jnp.zeros_like(level.mean), jnp.zeros_like(level.mean)
    used = samples.usable()
    if kernel.criterion.noise == "poisson":
        (count,) = add_up(jnp.where(used, counts(samples.data, samples)[1], 0))
    if kernel.criterion.is_robust:
        square = jnp.where(used, samples.weighted(samples.data) ** 2, jnp.nan)
        usual = jnp.nan_to_num(jnp.nanmedian(square, axis=0))
    n_used = level.n_used.astype(jnp.int32)
    return PartStatistics(n_used, wanted, level.weight, level.mean, level.spread, level.norm, count, usual)


def part_expansion(kernel: Kernel, samples: Samples, params: Array) -> Expansion:
    """Stage: what one part adds to cost, gradient and matrix."""
    return expand(kernel, _widened(samples, params.dtype), params)


def part_residuals(kernel: Kernel, samples: Samples, params: Array) -> Residuals:
    """Stage: what one part adds to the sums over residuals."""
    return residuals(kernel, _widened(samples, params.dtype), params)


def first(kernel: Kernel, task: Task, n_used: Array) -> tuple[State, Trial]:
    """Stage: the start, to be evaluated."""
    state = start_of(task, kernel, n_used)
    return state, trust_region.stay(state)


def following(
    kernel: Kernel, task: Task, state: State, trial: Trial, there: Expansion, tolerances: Tolerances, limit: Array
) -> tuple[State, Trial]:
    """Stage: judge a trial, and propose the next."""
    del kernel
    state = trust_region.judge(task, tolerances, limit, state, trial, trust_region.hold(task, there))
    return state, trust_region.propose(task, state)


def ending(kernel: Kernel, task: Task, state: State, sums: Residuals, n_used: Array) -> covariance.Answer:
    """Stage: what is known at the end."""
    return covariance.answer(kernel.criterion, task, state, sums, n_used)
