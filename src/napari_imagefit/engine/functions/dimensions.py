"""Dimensional analysis of a formula: by which powers of the coordinates' and the data's scale its parameters scale."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .expression_syntax import folded

Row = NDArray[np.float64]
# functions of values of one dimension, which have it too
SAME_DIMENSION = ("abs", "minimum", "maximum", "min", "max", "hypot")


def powers_of(tree: ast.expr, names: Sequence[str], coords: Sequence[str]) -> NDArray[np.float64]:
    """Return the powers of the coordinates' and the data's scale by which each parameter scales, ``(n_params, 2)``.

    What is added or compared has one dimension, what a function is taken of has none, and the whole has that of data.
    Where this leaves a choice, or cannot be (``exp(-t)``), the powers are the least squares.
    """
    n = len(names)
    found = _Dimensions(names, coords)
    rows = [found.of(tree) - found.unit[n + 1], *found.rows]
    system = np.array(rows)
    powers = np.linalg.lstsq(system[:, :n], -system[:, n:], rcond=None)[0]
    return np.asarray(np.clip(powers, -4, 4), np.float64)


class _Dimensions:
    """Dimensions of parts of a formula as rows: how often each holds those of parameters, coordinates and data.

    `rows` are the equations of the formula: expressions that must have no dimension.
    """

    def __init__(self, names: Sequence[str], coords: Sequence[str]) -> None:
        self.names, self.coords = names, coords
        self.unit = np.eye(len(names) + 2)
        self.rows: list[Row] = []

    def of(self, node: ast.expr) -> Row:
        match node:
            case ast.Name(id=name) if name in self.names or name in self.coords:
                at = self.names.index(name) if name in self.names else len(self.names)
                return np.asarray(self.unit[at])
            case ast.UnaryOp(operand=operand):
                return self.of(operand)
            case ast.BinOp(op=op, left=left, right=right):
                return self._of_operation(op, left, right)
            case ast.Compare(left=left, comparators=[right]):
                self._equal(left, right)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._of_call(name, args)
        return self._none()

    def _of_operation(self, op: ast.operator, left: ast.expr, right: ast.expr) -> Row:
        if isinstance(op, (ast.Add, ast.Sub)):
            return self._equal(left, right)
        if isinstance(op, ast.Mult):
            return self.of(left) + self.of(right)
        if isinstance(op, ast.Div):
            return self.of(left) - self.of(right)
        exponent = folded(right)
        return self._none(left, right) if exponent is None else np.asarray(exponent * self.of(left))

    def _of_call(self, name: str, args: list[ast.expr]) -> Row:
        if name == "where" and len(args) == 3:
            self.of(args[0])
            return self._equal(*args[1:])
        if name == "sqrt" and len(args) == 1:
            return np.asarray(0.5 * self.of(args[0]))
        if name in SAME_DIMENSION:
            return self._equal(*args)
        if name == "arctan2":
            self._equal(*args)
            return self._none()
        return self._none(*args)

    def _none(self, *nodes: ast.expr) -> Row:
        self.rows.extend(self.of(node) for node in nodes)
        return np.zeros(len(self.names) + 2)

    def _equal(self, *nodes: ast.expr) -> Row:
        # a number is likely to have no dimension (1 + x²), but it may have one (t + 5)
        parts = sorted(((folded(node) is not None, self.of(node)) for node in nodes), key=lambda part: part[0])
        self.rows.extend((row - parts[0][1]) * (0.1 if number else 1) for number, row in parts[1:])
        return parts[0][1]
