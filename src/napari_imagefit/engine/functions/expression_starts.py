"""Starts for a formula about which nothing is known but the formula itself.

The formula shows in which parameters it is linear: they are regressed. Its dimensions show how the others scale with
coordinates and data (``tau`` in ``exp(-t/tau)`` like ``t``, ``k`` in ``exp(-k*t)`` like ``1/t``), and which
are positions (``t0`` in ``t - t0``). Of 64 combinations that cover those scales evenly, within the bounds of the call
and beside what it gives, the best is taken.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.array_module import VALUES_AT_ONCE, is_numpy, xp
from ..core.types import Array, Function, Guess, GuessWithin
from ..linalg.linear_least_squares import solve_within
from .dimensions import powers_of
from .evaluation import evaluate
from .parameter import Parameter, Roles, unaware

COMBINATIONS = 64
# Powers that differ by less are the same.
POWER = 0.01
# Samples that suffice to distinguish a good start from a bad one.
START_SAMPLES = 4096


class Shape(NamedTuple):
    """Properties of the parameters that follow from a formula, in their order."""

    linear: tuple[int, ...]
    constant: int | None  # one of them, which is added to all the rest
    position: dict[int, tuple[int, int]]  # parameter → (coordinate, sign)
    powers: NDArray[np.float64]  # (n_params, 2): of the coordinates' and the data's scale

    @classmethod
    def of(cls, tree: ast.expr, coords: Sequence[str], names: Sequence[str]) -> Shape:
        """Return that of the formula that `tree` was checked to be."""
        linear = tuple(_linear(tree, names))
        terms = _terms(tree)
        uses = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        return cls(
            linear,
            next((i for i in linear if names[i] in terms and uses[names[i]] == 1), None),
            {i: p for i, name in enumerate(names) if (p := _position(tree, name, coords)) is not None},
            powers_of(tree, names, coords),
        )

    @property
    def roles(self) -> Roles:
        """The same as other models have it."""
        positions = tuple((i, axis) for i, (axis, sign) in self.position.items() if sign > 0)
        like = np.abs(self.powers - [1, 0]).max(axis=1) < POWER
        scales = tuple(i for i in np.flatnonzero(like).tolist() if i not in self.position)
        return Roles(self.linear, self.constant, positions, scales)


def generic_guess(
    function: Function, tree: ast.expr, coords: Sequence[str], parameters: Sequence[Parameter], starts: Sequence[float]
) -> tuple[Guess, GuessWithin, Roles]:
    """Return a guess for the formula that `tree` was checked to be; `starts` are NaN where none was given.

    It comes with one that takes the starts and bounds of a call as well, and with the roles of the parameters in the
    formula.
    """
    shape = Shape.of(tree, coords, [p.name for p in parameters])
    within = _guess_within(function, shape, starts)
    return unaware(within, parameters), within, shape.roles


def _guess_within(function: Function, shape: Shape, starts: Sequence[float]) -> GuessWithin:
    """Return the guess that takes the starts and bounds of a call.

    Starts and bounds of a call, ``(n_params, B)``, are used: parameters with a start are fixed there, the others are
    searched within their bounds, and the linear ones regressed beside the fixed ones.
    """
    linear = tuple(i for i in shape.linear if math.isnan(starts[i]))
    searched = [i for i in range(len(starts)) if i not in linear and math.isnan(starts[i])]
    points = _spread_evenly(len(searched))
    said = np.array(starts)[:, None]

    def guess(at: tuple[Array, ...], data: Array, weights: Array, start: Array, lower: Array, upper: Array) -> Array:
        step = data.shape[0] // START_SAMPLES | 1
        at, data, weights = tuple(c[::step] for c in at), data[::step], xp.broadcast_to(weights, data.shape)[::step]
        scales = _Scales.of(at, data, weights)
        start = xp.where(xp.isnan(start), said.astype(data.dtype), start)
        known = ~xp.isnan(start)
        within = _Regression(function, linear, known, lower, upper, at, data, weights)

        def attempt(point: Array) -> tuple[Array, Array]:
            """Return costs and all parameters at a point ``(n, 1)``, or at ``(n, K)`` side by side for a single fit."""
            one = xp.ones_like(data[0] + point[:1].sum(axis=0))
            rows = [one * xp.where(known[i], start[i], 0) for i in range(len(starts))]
            for place, i in enumerate(searched):
                found = _candidate(shape, i, lower[i], upper[i], scales, point[place])
                rows[i] = one * xp.where(known[i], start[i], found)
            cost, rows = within.regress(rows)
            params = xp.stack(rows)
            good = xp.isfinite(cost) & xp.all(xp.isfinite(params), axis=0)
            return xp.where(good, cost, xp.inf), params

        def compare(best: tuple[Array, Array], point: Array) -> tuple[Array, Array]:
            new = attempt(point)
            better = new[0] < best[0]
            return xp.where(better, new[0], best[0]), xp.where(better, new[1], best[1])

        one, table = xp.ones_like(data[0]), points.astype(data.dtype)[:, :, None]
        best = one * xp.inf, one * xp.where(known, start, 1)
        if data.shape[1] > 1 or not is_numpy(at, data, weights, start):
            compared: tuple[Array, Array] = xp.fold(compare, best, table)
            return compared[1]
        at_once = max(1, VALUES_AT_ONCE // data.shape[0])
        for first in range(0, len(table), at_once):
            costs, params = attempt(table[first : first + at_once, :, 0].T)
            place = np.argmin(costs)
            if costs[place] < best[0]:
                best = costs[place], params[:, place, None]
        return best[1]

    return guess


def _spread_evenly(n: int) -> NDArray[np.float64]:
    """Points ``(COMBINATIONS, n)`` in the unit cube: Roberts's sequence, even in any number of dimensions."""
    if n == 0:
        return np.zeros((1, 0))
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (n + 1))  # the root of x^(n+1) = x + 1
    points: NDArray[np.float64] = (0.5 + np.outer(np.arange(COMBINATIONS), ratio ** -np.arange(1.0, n + 1))) % 1
    return points


class _Scales(NamedTuple):
    """Scales of coordinates and data, each ``(B,)`` or ``(1,)``."""

    low: list[Array]  # of each coordinate
    span: list[Array]
    coordinate: Array  # geometric mean of the spans
    data: Array

    @classmethod
    def of(cls, at: tuple[Array, ...], data: Array, weights: Array) -> _Scales:
        used = weights > 0
        low, span = [], []
        for c in at:
            least = xp.min(xp.where(used, c, xp.inf), axis=0)
            width = xp.max(xp.where(used, c, -xp.inf), axis=0) - least
            low.append(xp.where(xp.isfinite(least), least, 0))
            span.append(xp.where(xp.isfinite(width) & (width > 0), width, 1))
        largest = xp.max(xp.where(used, xp.abs(data), 0), axis=0)
        mean = xp.exp(sum(xp.log(s) for s in span) / len(span))
        return cls(low, span, mean, xp.where(largest > 0, largest, 1))


def _candidate(shape: Shape, i: int, lower: Array, upper: Array, scales: _Scales, u: Array) -> Array:
    """Return the value of a parameter at `u` in (0, 1), within bounds ``(B,)``."""
    if i in shape.position:
        axis, sign = shape.position[i]
        ends = sign * scales.low[axis], sign * (scales.low[axis] + scales.span[axis])
        # what lies outside of the bounds is not looked at, unless that is all there is
        low, high = (xp.clip(end, lower, upper) for end in ends)
        value = low + u * (high - low)
    else:
        by_coordinate, by_data = map(float, shape.powers[i])
        # times from a hundredth to three times the span, and what goes with their powers; other numbers around 1
        decades = by_coordinate * (2.5 * u - 2) if abs(by_coordinate) > 0.1 else 2 * u - 1
        value = scales.coordinate**by_coordinate * scales.data**by_data * 10**decades
        value = xp.where(upper <= 0, -value, value)
        both = xp.isfinite(lower) & xp.isfinite(upper)
        low, high = xp.where(both, lower, 0), xp.where(both, upper, 1)
        ratio = (low > 0) & (10 * low < high)
        between = xp.where(ratio, low * (high / xp.where(ratio, low, 1)) ** u, low + u * (high - low))
        value = xp.where(both, between, value)
    return xp.clip(value, lower, upper)


class _Regression(NamedTuple):
    """The data of a guess, on which the linear parameters are regressed."""

    function: Function
    linear: Sequence[int]
    known: Array  # (n_params, B)
    lower: Array
    upper: Array
    at: tuple[Array, ...]
    data: Array
    weights: Array

    def _weighted(self, values: Array) -> Array:
        return xp.where(self.weights > 0, self.weights * values, 0)

    def regress(self, rows: list[Array]) -> tuple[Array, list[Array]]:
        """Return the cost, and the parameters with the linear ones at their least squares.

        Where these are not known they are 0.
        """

        def add_up(values: Array) -> Array:
            return xp.reduce_sums((values,), 0)[0] if is_numpy(values) else xp.sum(values, axis=0)

        linear = self.linear
        rest = evaluate(self.function, self.at, xp.stack(rows))
        target = self._weighted(self.data - rest)
        if not linear:
            return add_up(target * target), rows
        basis = []
        for i in linear:
            unit = [xp.ones_like(row) if k == i else row for k, row in enumerate(rows)]
            own = self._weighted(evaluate(self.function, self.at, xp.stack(unit)) - rest)
            basis.append(xp.where(self.known[i], 0, own))
        norms = [xp.sqrt(add_up(b * b)) for b in basis]
        norms = [xp.where(n > 0, n, 1) for n in norms]
        columns = [b / n for b, n in zip(basis, norms, strict=True)]
        gram = xp.stack([xp.stack([add_up(a * b) for b in columns]) for a in columns])
        right = xp.stack([add_up(a * target) for a in columns])
        # a little damping: terms that cannot be distinguished share what they explain
        eye = np.eye(len(linear), dtype=target.dtype)[:, :, None]
        gram = gram + 1e3 * xp.finfo(target.dtype).eps * eye
        gram = xp.where(xp.all(xp.isfinite(gram), axis=(0, 1)), gram, eye)
        rows, scale = list(rows), xp.stack(norms)
        lower, upper = (xp.stack([bound[i] for i in linear]) * scale for bound in (self.lower, self.upper))
        for i, value, norm, column in zip(linear, solve_within(gram, right, lower, upper), norms, basis, strict=True):
            rows[i] = xp.where(self.known[i], rows[i], value / norm)
            target = target - rows[i] * column
        return add_up(target * target), rows


def _linear(tree: ast.expr, names: Sequence[str]) -> list[int]:
    """Return a largest set of parameters in which the formula is jointly linear, the first ones first."""
    chosen: list[int] = []
    for i, _ in enumerate(names):
        if _degree(tree, {names[k] for k in (*chosen, i)}) <= 1:
            chosen.append(i)
    return chosen


def _terms(node: ast.expr) -> set[str]:
    """Return the names that are added as they are to all the rest of the formula."""
    match node:
        case ast.Name(id=name):
            return {name}
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _terms(operand)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _terms(left) | _terms(right)
        case ast.BinOp(op=ast.Sub(), left=left):
            return _terms(left)
    return set()


def _degree(node: ast.expr, names: set[str]) -> float:
    """Return the degree of the formula as a polynomial in some of its names; infinite where it is none."""
    match node:
        case ast.Name(id=name):
            return 1 if name in names else 0
        case ast.UnaryOp(operand=operand):
            return _degree(operand, names)
        case ast.BinOp(op=op, left=left, right=right):
            a, b = _degree(left, names), _degree(right, names)
            if isinstance(op, (ast.Add, ast.Sub)):
                return max(a, b)
            if isinstance(op, ast.Mult):
                return a + b
            return (a if isinstance(op, ast.Div) else math.inf if a else 0) if b == 0 else math.inf
        case ast.Call(func=ast.Name(id=name), args=[condition, first, second]) if name == "where":
            branches = max(_degree(first, names), _degree(second, names))
            return branches if _degree(condition, names) == 0 else math.inf
        case ast.Call(args=parts) | ast.Compare(left=_, comparators=parts):
            parts = [*parts, node.left] if isinstance(node, ast.Compare) else parts
            return math.inf if any(_degree(part, names) for part in parts) else 0
    return 0


def _position(tree: ast.expr, name: str, coords: Sequence[str]) -> tuple[int, int] | None:
    """Return the coordinate to which a parameter is added or compared, and the sign."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=ast.Name(id=a), right=ast.Name(id=b)):
                sign = -1 if isinstance(op, ast.Add) else 1
            case ast.Compare(left=ast.Name(id=a), comparators=[ast.Name(id=b)]):
                sign = 1
            case _:
                continue
        for one, other in ((a, b), (b, a)):
            if one == name and other in coords:
                return coords.index(other), sign
    return None
