"""Bounds: Coleman and Li's scaling, and steps that stay strictly inside, as in SciPy's ``trf``.

The first-order conditions of a bounded minimum are v(x)·g(x) = 0, where v is the distance to the bound towards which
−g points (1 where there is none). In variables scaled by √v the trust region keeps off the bounds by itself.

References
----------
M. A. Branch, T. F. Coleman, Y. Li, A subspace, interior, and conjugate gradient method for large-scale
bound-constrained minimization problems, SIAM J. Sci. Comput. 21 (1999).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._lazy import LazyModule
from ..linalg.normal_matrix import Gram
from ..linalg.trust_region_subproblem import divide, norm
from ..models.model import Array

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


class Box(NamedTuple):
    """Lower and upper bounds, ``(n, B)``, infinite where there are none."""

    lower: Array
    upper: Array

    def contains(self, x: Array) -> Array:
        """Whether each fit's parameters lie inside, ``(B,)``."""
        return jnp.all((x >= self.lower) & (x <= self.upper), axis=0)

    def strictly_inside(self, x: Array, margin: float = 0.0) -> Array:
        """Move points on or outside a bound inside it, by `margin` relative to the bound or the width."""
        width = self.upper - self.lower
        size = jnp.where(jnp.isfinite(width), width, jnp.maximum(jnp.abs(x), 1e-30))
        low, high = self.lower + margin * size, self.upper - margin * size
        low = jnp.maximum(low, jnp.nextafter(self.lower, self.upper))
        high = jnp.minimum(high, jnp.nextafter(self.upper, self.lower))
        inside = jnp.clip(x, low, high)
        # bounds so close that no number lies between them
        return jnp.where(low > high, 0.5 * (self.lower + self.upper), inside)

    def distance(self, x: Array, gradient: Array) -> tuple[Array, Array]:
        """Coleman and Li's v and dv/dx, each ``(n, B)``: dv is ±1 where a bound matters, else 0."""
        up = (gradient < 0) & jnp.isfinite(self.upper)
        down = (gradient > 0) & jnp.isfinite(self.lower)
        v = jnp.where(up, self.upper - x, jnp.where(down, x - self.lower, 1))
        return v, jnp.where(up, -1, jnp.where(down, 1, 0)).astype(x.dtype)

    def stride(self, x: Array, step: Array) -> tuple[Array, Array]:
        """How many times `step` fits between `x` and the first bound ``(B,)``, and which bounds it meets ``(n, B)``."""
        ahead = jnp.where(step > 0, self.upper - x, self.lower - x)
        strides = jnp.where(step == 0, jnp.inf, ahead / jnp.where(step == 0, 1, step))
        least = jnp.min(strides, axis=0)
        return least, (strides == least) & (step != 0)


def to_sphere(inside: Array, direction: Array, radius: Array) -> Array:
    """The positive stride along `direction` from a point inside a ball to its surface, ``(B,)``."""
    a = jnp.sum(direction * direction, axis=0)
    b = jnp.sum(inside * direction, axis=0)
    c = jnp.sum(inside * inside, axis=0) - radius * radius
    root = jnp.sqrt(jnp.maximum(b * b - a * c, 0))
    # the form that does not cancel, for either sign of b
    q = -(b + jnp.where(b < 0, -root, root))
    return jnp.maximum(divide(q, a), divide(c, q))


class Quadratic(NamedTuple):
    """gᵀs + ½sᵀBs, for a batch."""

    matrix: Gram
    gradient: Array  # (n, B)

    def value(self, s: Array) -> Array:
        return jnp.sum(s * (self.gradient + 0.5 * self.matrix.product(s)), axis=0)

    def along(self, direction: Array, low: Array, high: Array, origin: Array | None = None) -> tuple[Array, Array]:
        """Stride in [low, high] along `direction` from `origin` that is best, and the value there."""
        a = 0.5 * jnp.sum(direction * self.matrix.product(direction), axis=0)
        b = jnp.sum(self.gradient * direction, axis=0)
        c = jnp.zeros_like(b)
        if origin is not None:
            b = b + jnp.sum(self.matrix.product(origin) * direction, axis=0)
            c = self.value(origin)

        def at(t: Array) -> Array:
            return t * (a * t + b) + c

        best, least = low, at(low)
        inner = jnp.clip(divide(-0.5 * b, a), low, high)
        for candidate, allowed in ((high, True), (inner, a > 0)):
            value = at(candidate)
            better = (value < least) & allowed
            best, least = jnp.where(better, candidate, best), jnp.where(better, value, least)
        return best, least


def bounded_step(
    box: Box, x: Array, step: Array, scale: Array, model: Quadratic, radius: Array, theta: Array
) -> tuple[Array, Array, Array]:
    """The best of three steps that stay inside the bounds.

    They are the trust-region step cut at the first bound, its reflection there, and the scaled steepest descent. In a
    problem of many fits there is a fourth, cut at each bound by itself: else one fit's bound would stop all others.

    Parameters
    ----------
    step : array, ``(n, B)``
        The trust-region step in scaled variables.
    scale : array, ``(n, B)``
        From scaled to true variables.
    theta : array, ``(B,)``
        The fraction of the way to a bound that a step may go.

    Returns
    -------
    step, scaled_step : arrays, ``(n, B)``
    predicted : array, ``(B,)``
        By how much the quadratic model falls.
    """
    free = box.contains(x + scale * step)

    whole = model.value(step)

    def cut() -> tuple[Array, Array]:
        best, value = _cut_step(box, x, step, scale, model, radius, theta)
        return jnp.where(free, step, best), jnp.where(free, whole, value)

    # most often no step of the whole batch is too long
    best, value = jax.lax.cond(jnp.all(free), lambda: (step, whole), cut)
    return scale * best, best, -value


def _cut_step(
    box: Box, x: Array, step: Array, scale: Array, model: Quadratic, radius: Array, theta: Array
) -> tuple[Array, Array]:
    """The best of the steps inside the bounds, and the quadratic model's value there."""
    to_bound, hits = box.stride(x, scale * step)
    to_bound = jnp.where(jnp.isfinite(to_bound), to_bound, 1)
    reflected = jnp.where(hits, -step, step)
    on_bound = to_bound * step
    beyond = to_sphere(on_bound, reflected, radius)
    next_bound, _ = box.stride(x + scale * on_bound, scale * reflected)
    reach = jnp.minimum(next_bound, beyond)
    low = divide((1 - theta) * to_bound, reach)
    high = jnp.where(next_bound <= beyond, theta * next_bound, beyond)
    stride, reflected_value = model.along(reflected, low, high, origin=on_bound)
    reflected_step = on_bound + stride * reflected
    reflected_value = jnp.where((reach > 0) & (low <= high), reflected_value, jnp.inf)

    cut_step = theta * on_bound
    cut_value = model.value(cut_step)

    descent = -model.gradient
    to_edge = divide(radius, norm(descent))
    descent_bound, _ = box.stride(x, scale * descent)
    longest = jnp.where(descent_bound < to_edge, theta * descent_bound, to_edge)
    stride, descent_value = model.along(descent, jnp.zeros_like(longest), longest)
    descent_step = stride * descent

    best, value = cut_step, cut_value
    candidates = [(reflected_step, reflected_value), (descent_step, descent_value)]
    if model.matrix.joint:
        ahead = jnp.where(step > 0, box.upper - x, box.lower - x) / scale
        clipped = jnp.where(step > 0, jnp.minimum(step, theta * ahead), jnp.maximum(step, theta * ahead))
        candidates.append((clipped, model.value(clipped)))
    for candidate, its_value in candidates:
        better = its_value < value
        best, value = jnp.where(better, candidate, best), jnp.where(better, its_value, value)
    return best, value
