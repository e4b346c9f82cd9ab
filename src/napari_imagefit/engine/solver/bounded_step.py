"""Bounds: Coleman and Li's scaling, and steps that stay strictly inside, as in SciPy's ``trf``.

The first-order conditions of a bounded minimum are v(x)·g(x) = 0, where v is the distance to the bound towards which
−g points (1 where there is none). In variables scaled by √v the trust region keeps off the bounds by itself.

References
----------
M. A. Branch, T. F. Coleman, Y. Li, A subspace, interior, and conjugate gradient method for large-scale
bound-constrained minimization problems, SIAM J. Sci. Comput. 21 (1999).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..core.types import Array
from ..linalg.algebra import Algebra, Matrix, Rows


class Box(NamedTuple):
    """Lower and upper bounds, rows, infinite where there are none; no rows where no fit has any."""

    lower: Rows
    upper: Rows

    def contains(self, algebra: Algebra, x: Rows) -> Array:
        """Whether each fit's parameters lie inside, ``(B,)``."""
        return algebra.every([(v >= lo) & (v <= hi) for v, lo, hi in zip(x, self.lower, self.upper, strict=True)])

    def strictly_inside(self, algebra: Algebra, x: Rows, margin: float = 0.0) -> Rows:
        """Move points on or outside a bound inside it, by `margin` relative to the bound or the width."""
        if not self.lower:
            return x
        return tuple(
            _inside(algebra, v, low, high, margin) for v, low, high in zip(x, self.lower, self.upper, strict=True)
        )

    def distance(self, algebra: Algebra, x: Rows, gradient: Rows) -> tuple[Rows, Rows]:
        """Coleman and Li's v and dv/dx: dv is ±1 where a bound matters, else 0."""
        distances, signs = [], []
        for v, g, low, high in zip(x, gradient, self.lower, self.upper, strict=True):
            up = (g < 0) & (high < math.inf)
            down = (g > 0) & (low > -math.inf)
            distances.append(algebra.where(up, high - v, algebra.where(down, v - low, 1.0)))
            signs.append(algebra.where(up, -1.0, algebra.where(down, 1.0, 0.0)))
        return tuple(distances), tuple(signs)

    def stride(self, algebra: Algebra, x: Rows, step: Rows) -> tuple[Array, Rows]:
        """Return how many times `step` fits between `x` and the first bound ``(B,)``, and which bounds it meets."""
        strides = []
        for v, s, low, high in zip(x, step, self.lower, self.upper, strict=True):
            ahead = algebra.where(s > 0, high - v, low - v)
            strides.append(algebra.where(s == 0, math.inf, ahead / algebra.where(s == 0, 1.0, s)))
        least = algebra.least(strides)
        return least, tuple((own == least) & (s != 0) for own, s in zip(strides, step, strict=True))


def _inside(algebra: Algebra, x: Array, lower: Array, upper: Array, margin: float) -> Array:
    low, high = algebra.next_to(lower, upper), algebra.next_to(upper, lower)
    if margin:
        width = upper - lower
        size = algebra.where(algebra.isfinite(width), width, algebra.maximum(algebra.abs(x), 1e-30))
        low = algebra.maximum(lower + margin * size, low)
        high = algebra.minimum(upper - margin * size, high)
    # bounds so close that no number lies between them
    return algebra.where(low > high, 0.5 * (lower + upper), algebra.clip(x, low, high))


def to_sphere(algebra: Algebra, inside: Rows, direction: Rows, radius: Array) -> Array:
    """Return the positive stride along `direction` from a point inside a ball to its surface, ``(B,)``."""
    a = algebra.dot(direction, direction)
    b = algebra.dot(inside, direction)
    c = algebra.dot(inside, inside) - radius * radius
    root = algebra.sqrt(algebra.maximum(b * b - a * c, 0.0))
    # the form that does not cancel, for either sign of b
    q = -(b + algebra.where(b < 0, -root, root))
    return algebra.maximum(algebra.divide(q, a), algebra.divide(c, q))


class Quadratic(NamedTuple):
    """gᵀs + ½sᵀBs, for a batch."""

    matrix: Matrix
    gradient: Rows

    def value(self, algebra: Algebra, s: Rows) -> Array:
        """Return gᵀs + ½sᵀBs of steps s, ``(B,)``."""
        bent = self.matrix.product(algebra, s)
        return algebra.total([v * (g + 0.5 * b) for v, g, b in zip(s, self.gradient, bent, strict=True)])

    def along(
        self, algebra: Algebra, direction: Rows, low: Array, high: Array, origin: Rows | None = None
    ) -> tuple[Array, Array]:
        """Stride in [low, high] along `direction` from `origin` that is best, and the value there."""
        a = 0.5 * algebra.dot(direction, self.matrix.product(algebra, direction))
        b = algebra.dot(self.gradient, direction)
        c = 0.0 * b
        if origin is not None:
            b = b + algebra.dot(self.matrix.product(algebra, origin), direction)
            c = self.value(algebra, origin)

        def at(t: Array) -> Array:
            return t * (a * t + b) + c

        best, least = low, at(low)
        inner = algebra.clip(algebra.divide(-0.5 * b, a), low, high)
        for candidate, allowed in ((high, b == b), (inner, a > 0)):
            value = at(candidate)
            better = (value < least) & allowed
            best, least = algebra.where(better, candidate, best), algebra.where(better, value, least)
        return best, least


def cut_step(
    algebra: Algebra, box: Box, x: Rows, step: Rows, scale: Rows, model: Quadratic, radius: Array, theta: Array
) -> tuple[Rows, Array]:
    """Return the best of three steps that stay inside the bounds, instead of one that does not.

    They are the trust-region step cut at the first bound, its reflection there, and the scaled steepest descent. In a
    problem of many fits there is a fourth, cut at each bound by itself: else one fit's bound would stop all others.

    Parameters
    ----------
    step : rows
        The trust-region step in scaled variables.
    scale : rows
        From scaled to true variables.
    theta : array, ``(B,)``
        The fraction of the way to a bound that a step may go.

    Returns
    -------
    step : rows
        In scaled variables.
    value : array, ``(B,)``
        Of the quadratic model there.
    """
    where, divide = algebra.where, algebra.divide

    def unscaled(rows: Rows) -> Rows:
        return tuple(d * s for d, s in zip(scale, rows, strict=True))

    to_bound, hits = box.stride(algebra, x, unscaled(step))
    to_bound = where(algebra.isfinite(to_bound), to_bound, 1.0)
    reflected = tuple(where(hit, -s, s) for hit, s in zip(hits, step, strict=True))
    on_bound = tuple(to_bound * s for s in step)
    beyond = to_sphere(algebra, on_bound, reflected, radius)
    there = tuple(v + s for v, s in zip(x, unscaled(on_bound), strict=True))
    next_bound, _ = box.stride(algebra, there, unscaled(reflected))
    reach = algebra.minimum(next_bound, beyond)
    low = divide((1 - theta) * to_bound, reach)
    high = where(next_bound <= beyond, theta * next_bound, beyond)
    stride, value = model.along(algebra, reflected, low, high, origin=on_bound)
    reflected_step = tuple(s + stride * r for s, r in zip(on_bound, reflected, strict=True))
    reflected_value = where((reach > 0) & (low <= high), value, math.inf)

    best = tuple(theta * s for s in on_bound)
    value = model.value(algebra, best)

    descent = tuple(-g for g in model.gradient)
    to_edge = divide(radius, algebra.norm(descent))
    descent_bound, _ = box.stride(algebra, x, unscaled(descent))
    longest = where(descent_bound < to_edge, theta * descent_bound, to_edge)
    stride, descent_value = model.along(algebra, descent, 0.0 * longest, longest)

    candidates = [(reflected_step, reflected_value), (tuple(stride * s for s in descent), descent_value)]
    if algebra.joint:
        clipped = []
        for v, s, d, lower, upper in zip(x, step, scale, box.lower, box.upper, strict=True):
            ahead = where(s > 0, upper - v, lower - v) / d
            clipped.append(where(s > 0, algebra.minimum(s, theta * ahead), algebra.maximum(s, theta * ahead)))
        candidates.append((tuple(clipped), model.value(algebra, tuple(clipped))))
    for candidate, its_value in candidates:
        better = its_value < value
        best = tuple(where(better, c, b) for c, b in zip(candidate, best, strict=True))
        value = where(better, its_value, value)
    return best, value
