"""The language of formulas: their text is parsed, never executed, and the whole tree checked before it is used.

A formula may hold numbers, names, parentheses, ``+ - * / **``, calls of `FUNCTIONS`, ``where(condition, a, b)`` with a
comparison (``< <= > >=``) as its condition, and the constants of `CONSTANTS`; at most `MOST_CHARACTERS`, nested at most
`MOST_LEVELS` deep.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..core.errors import FitInputError

MOST_CHARACTERS = 1000
MOST_LEVELS = 100  # of nesting; a sum of n terms has n levels

FUNCTIONS = {
    "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log2": 1, "log10": 1, "log1p": 1, "sqrt": 1, "square": 1, "pow": 2,
    "abs": 1, "sign": 1, "floor": 1, "erf": 1, "erfc": 1, "sinc": 1, "heaviside": 2, "hypot": 2,
    "sin": 1, "cos": 1, "tan": 1, "arcsin": 1, "arccos": 1, "arctan": 1, "arctan2": 2,
    "asin": 1, "acos": 1, "atan": 1, "atan2": 2,
    "sinh": 1, "cosh": 1, "tanh": 1, "minimum": 2, "maximum": 2, "min": 2, "max": 2, "where": 3,
}  # fmt: skip
"""The functions that a formula may call, with the number of their arguments."""

# What NumPy and JAX call them, where that is another name.
CALLED = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "min": "minimum",
    "max": "maximum",
    "pow": "power",
}
SPECIAL = frozenset({"erf", "erfc"})
# Numbers that a formula cannot hold, and that no one means as a parameter.
_NO_NUMBERS = frozenset({"nan", "inf", "infinity"})

CONSTANTS = {"pi": math.pi, "e": math.e}

OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
LANGUAGE = "use numbers, names, parentheses, + - * / ** and calls of " + ", ".join(FUNCTIONS)


def names_in(tree: ast.expr) -> list[str]:
    """Return the names that are neither function nor constant, in the order of the text."""
    found = dict.fromkeys(node.id for node in _walk(tree) if isinstance(node, ast.Name))
    return [name for name in found if name not in FUNCTIONS and name not in CONSTANTS]


def parse(text: str) -> ast.expr:
    """Return the tree of a formula, after every part of it was found on the list of what is allowed.

    Raises
    ------
    FitInputError
        Otherwise; the message names the piece that is not.
    """
    if type(text) is not str:
        raise FitInputError(f"an expression is a text, not a {type(text).__name__}; write it as a*exp(-t/tau) + c")
    if len(text) > MOST_CHARACTERS:
        raise FitInputError(
            f"the expression has {len(text)} characters; shorten it to {MOST_CHARACTERS}, or write a Model"
        )
    line = " ".join(text.split())
    if "#" in line:
        raise FitInputError("'#' is not part of an expression; leave comments out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about spellings that are refused below
            tree = ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as error:
        place = getattr(error, "offset", None)
        rest = f" at {short(line[place - 1 :])}" if place and 0 < place <= len(line) else ""
        raise FitInputError(
            f"the expression {short(line)} cannot be read{rest}; write it as a*exp(-t/tau) + c"
        ) from None
    check = _Check(line)
    check.visit(tree, 1)
    check.numbers(tree)
    return tree


def _walk(tree: ast.expr) -> list[ast.expr]:
    """All nodes in the order of the text; `ast.walk` goes level by level."""
    found = [tree]
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr):
            found += _walk(child)
    return found


def short(text: str) -> str:
    """Return the beginning of a text, for messages."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


class _Check:
    """Compares a tree with the list of what is allowed; it shows nothing but pieces of the text."""

    def __init__(self, line: str) -> None:
        self.bytes = line.encode()

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        piece = self.bytes[getattr(node, "col_offset", 0) : getattr(node, "end_col_offset", None)]
        text = piece.decode(errors="replace")
        raise FitInputError(f"'{text if len(text) <= 40 else text[:39] + '…'}' {why}")

    def visit(self, node: ast.expr, level: int) -> None:
        if level > MOST_LEVELS:
            raise FitInputError(f"the expression is nested more than {MOST_LEVELS} deep; simplify it, or write a Model")
        match node:
            case ast.Constant(value=literal):
                self.number(node, literal)
            case ast.Name(id=name):
                self.name(node, name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self.visit(operand, level + 1)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow(), left=left, right=right):
                self.visit(left, level + 1)
                self.visit(right, level + 1)
            case ast.BinOp(op=ast.BitXor()):
                self.refuse(node, "holds '^', which is not a power; write a**b")
            case ast.Call():
                self.call(node, level)
            case ast.Compare():
                self.refuse(node, "is a comparison; it may only be the first argument of where(condition, a, b)")
            case _:
                self.refuse(node, f"is not part of an expression; {LANGUAGE}")

    def numbers(self, tree: ast.expr) -> None:
        """Work out the parts of a checked tree that hold no names, inner ones first."""
        for node in reversed(_walk(tree)):
            value = folded(node)
            if value is not None and not math.isfinite(value):
                self.refuse(node, "is no finite number; write one that is")

    def number(self, node: ast.expr, value: object) -> None:
        if type(value) not in (int, float):
            self.refuse(node, f"is not a real number; {LANGUAGE}")

    def name(self, node: ast.expr, name: str) -> None:
        if name in FUNCTIONS:
            self.refuse(node, f"is a function; call it as {name}({', '.join('abc'[: FUNCTIONS[name]])})")
        if name.lower() in _NO_NUMBERS:
            self.refuse(node, "is no finite number; write one that is")
        if name.startswith("_"):
            self.refuse(node, "begins with _, which no name in an expression may; give it another name")

    def call(self, node: ast.Call, level: int) -> None:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            self.refuse(node.func, f"is not a function that an expression may use; use one of {', '.join(FUNCTIONS)}")
        name = node.func.id
        if node.keywords or len(node.args) != FUNCTIONS[name]:
            arguments = ", ".join("abc"[: FUNCTIONS[name]])
            self.refuse(node, f"does not give {name} what it takes; write {name}({arguments})")
        values = list(node.args)
        if name == "where":
            condition = values.pop(0)
            match condition:
                case ast.Compare(left=left, ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()], comparators=[right]):
                    values += [left, right]
                case _:
                    self.refuse(condition, "is not a condition for where; write one comparison with <, <=, > or >=")
        for value in values:
            self.visit(value, level + 1)


def folded(node: ast.expr) -> float | None:
    """Return the value of an expression without names, None where there are some; not finite where there is none.

    It stays on the node as `folded`. Of a checked tree only.
    """
    if hasattr(node, "folded"):
        known: float | None = node.folded
        return known
    value: Any = None
    with np.errstate(all="ignore"):
        match node:
            case ast.Constant(value=int() | float() as number):
                value = _as_float(number)
            case ast.Name(id=name) if name in CONSTANTS:
                value = CONSTANTS[name]
            case ast.UnaryOp(op=op, operand=operand):
                a = folded(operand)
                value = None if a is None else SIGNS[type(op)](a)
            case ast.BinOp(op=op, left=left, right=right):
                a, b = folded(left), folded(right)
                if a is not None and b is not None:
                    value = OPERATORS[type(op)](np.float64(a), np.float64(b))
            case ast.Call(func=ast.Name(id=name), args=args) if name != "where":
                arguments = [folded(argument) for argument in args]
                numbers = [np.float64(a) for a in arguments if a is not None]
                if len(numbers) == len(arguments):
                    value = getattr(math if name in SPECIAL else np, CALLED.get(name, name))(*numbers)
    found = None if value is None else float(value)
    node.folded = found  # type: ignore[attr-defined]
    return found


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
