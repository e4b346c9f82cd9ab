"""Models from text: ``"a*exp(-t/tau) + c"``.

The text is parsed, never executed: Python's parser makes a tree of it, the whole tree is checked against the list of
what a formula may hold, and only then are closures over the functions of NumPy and JAX (`xp`) made of it. A formula may
hold numbers, names, parentheses, ``+ - * / **``, calls of `FUNCTIONS`, ``where(condition, a, b)`` with a comparison
(``< <= > >=``) as its condition, and the constants of `CONSTANTS`; at most `MOST_CHARACTERS`, nested at most
`MOST_LEVELS` deep.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import is_numpy, xp
from ..core.errors import FitInputError
from ..core.validation import float_array
from .expression_starts import generic_guess
from .model import Array, Model, Parameter

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

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
_CALLED = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "min": "minimum",
    "max": "maximum",
    "pow": "power",
}
_SPECIAL = frozenset({"erf", "erfc"})
# Numbers that a formula cannot hold, and that no one means as a parameter.
_NO_NUMBERS = frozenset({"nan", "inf", "infinity"})

CONSTANTS = {"pi": math.pi, "e": math.e}

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
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
_SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_LANGUAGE = "use numbers, names, parentheses, + - * / ** and calls of " + ", ".join(FUNCTIONS)

Values = Mapping[str, Array]
Term = Callable[[Values], Array]


def from_expression(
    text: str,
    coords: Sequence[str],
    *,
    name: str | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    init: Mapping[str, float] | None = None,
) -> Model:
    """`Model.from_expression`.

    Raises
    ------
    FitInputError
        If the formula holds what it may not, and for names or numbers that do not fit it.

    Examples
    --------
    >>> from_expression("a*exp(-t/tau) + c", ["t"]).names
    ('a', 'tau', 'c')
    >>> from_expression("a^2", ["t"])
    Traceback (most recent call last):
    napari_imagefit.engine.core.errors.FitInputError: 'a^2' holds '^', which is not a power; write a**b
    """
    axes = _coordinates(coords)
    tree = parse(text)
    names = [n for n in _names(tree) if n not in axes]
    if not names:
        raise FitInputError(f"{_short(text)} has no parameter to fit; give at least one name that is no coordinate")
    if name is not None and not (isinstance(name, str) and name):
        raise FitInputError("the name of a model is a text that is not empty; give one, or leave it out")
    parameters = _parameters(names, bounds or {})
    formula = _compile(tree)

    def function(at: tuple[Array, ...], *params: Array) -> Array:
        on_host = is_numpy(at, params)
        # floating point whatever is given: integers have no negative powers
        given = [(np if on_host else jnp).asarray(a) * 1.0 for a in (*at, *params)]
        shape = np.broadcast_shapes(*(a.shape for a in given))
        with np.errstate(all="ignore"):
            values = formula(dict(zip((*axes, *names), given, strict=True)))
        if on_host:
            # of two numbers, as in where(t < t0, 0, 1), NumPy makes double precision
            return np.broadcast_to(np.asarray(values, np.result_type(*given)), shape)
        return jnp.broadcast_to(values, shape)

    starts = _starts(parameters, init or {})
    guess, within, roles = generic_guess(function, tree, axes, parameters, starts)
    model = Model(name or text, function, parameters, len(axes), guess, formula=text)
    return model.knowing(within, roles).made_of(("expression", text, axes, tuple(parameters), repr(starts)))


def term(text: str) -> tuple[tuple[str, ...], Callable[[Values], Array]]:
    """Return a formula of parameters alone: the names in it, and a function of their values.

    Raises
    ------
    FitInputError
        If it holds what it may not.

    Examples
    --------
    >>> names, value = term("2*sigma_x")
    >>> names, value({"sigma_x": 1.5})
    (('sigma_x',), 3.0)
    """
    tree = parse(text)
    formula = _compile(tree)

    def value(values: Values) -> Array:
        with np.errstate(all="ignore"):
            return formula(values)

    return tuple(_names(tree)), value


def _names(tree: ast.expr) -> list[str]:
    """Of what is neither function nor constant, in the order of the text."""
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
        rest = f" at {_short(line[place - 1 :])}" if place and 0 < place <= len(line) else ""
        raise FitInputError(
            f"the expression {_short(line)} cannot be read{rest}; write it as a*exp(-t/tau) + c"
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


def _short(text: str) -> str:
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
                self.refuse(node, f"is not part of an expression; {_LANGUAGE}")

    def numbers(self, tree: ast.expr) -> None:
        """Work out the parts of a checked tree that hold no names, inner ones first."""
        for node in reversed(_walk(tree)):
            value = _fold(node)
            if value is not None and not math.isfinite(value):
                self.refuse(node, "is no finite number; write one that is")

    def number(self, node: ast.expr, value: object) -> None:
        if type(value) not in (int, float):
            self.refuse(node, f"is not a real number; {_LANGUAGE}")

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


def _fold(node: ast.expr) -> float | None:
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
                a = _fold(operand)
                value = None if a is None else _SIGNS[type(op)](a)
            case ast.BinOp(op=op, left=left, right=right):
                a, b = _fold(left), _fold(right)
                if a is not None and b is not None:
                    value = _OPERATORS[type(op)](np.float64(a), np.float64(b))
            case ast.Call(func=ast.Name(id=name), args=args) if name != "where":
                arguments = [_fold(argument) for argument in args]
                numbers = [np.float64(a) for a in arguments if a is not None]
                if len(numbers) == len(arguments):
                    value = getattr(math if name in _SPECIAL else np, _CALLED.get(name, name))(*numbers)
    folded = None if value is None else float(value)
    node.folded = folded  # type: ignore[attr-defined]
    return folded


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _compile(node: ast.expr) -> Term:
    """Return a checked tree as a function of the values of its names."""
    number = _fold(node)
    if number is not None:
        return lambda _values: number
    match node:
        case ast.Name(id=name):
            return lambda values: values[name]
        case ast.UnaryOp(op=op, operand=operand):
            sign, inner = _SIGNS[type(op)], _compile(operand)
            return lambda values: sign(inner(values))
        case ast.BinOp(op=ast.Pow(), left=left, right=right) if _is_whole(_fold(right)):
            base, exponent = _compile(left), int(_fold(right) or 0)
            return lambda values: base(values) ** exponent  # exact, and differentiable where the base is 0
        case ast.BinOp(op=op, left=left, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            apply, first, second = _OPERATORS[type(op)], _compile(left), _compile(right)
            return lambda values: apply(first(values), second(values))
        case ast.Call(func=ast.Name(id=name), args=args):
            terms = [_compile(argument) for argument in args]
            called = _CALLED.get(name, name)
            called_on = getattr(xp, called)
            return lambda values: called_on(*(t(values) for t in terms))
    raise FitInputError(f"an expression holds what it may not; {_LANGUAGE}")  # does not happen after `parse`


def _is_whole(exponent: float | None) -> bool:
    return exponent is not None and exponent == int(exponent) and abs(exponent) <= 64


def _coordinates(coords: Sequence[str]) -> tuple[str, ...]:
    if isinstance(coords, str) or not isinstance(coords, Sequence) or not coords:
        raise FitInputError("the coordinates are not a list of names; give one such as ['t'] or ['y', 'x']")
    names = []
    for name in coords:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise FitInputError(f"the coordinate name {name!r} cannot be used; use letters and digits, such as t")
        names.append(unicodedata.normalize("NFKC", name))  # as Python reads names
        if names[-1] in FUNCTIONS or names[-1] in CONSTANTS:
            raise FitInputError(f"the coordinate name {name!r} is a function or constant here; choose another")
    if len(set(names)) < len(names):
        raise FitInputError(f"two coordinates share a name in {', '.join(names)}; give each its own")
    return tuple(names)


def _parameters(names: Sequence[str], bounds: Mapping[str, tuple[float, float]]) -> list[Parameter]:
    _known(names, bounds, "bounds")
    parameters = []
    for name in names:
        pair: Any = bounds.get(name, (-math.inf, math.inf))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise FitInputError(f"the bounds of {name!r} are not a pair; give (lower, upper)")
        lower, upper = (_number(value, f"a bound of {name!r}") for value in pair)
        parameters.append(Parameter(name, lower=lower, upper=upper))
    return parameters


def _starts(parameters: Sequence[Parameter], init: Mapping[str, float]) -> list[float]:
    """One per parameter, NaN where none was given."""
    _known([p.name for p in parameters], init, "a start")
    starts = []
    for p in parameters:
        start = _number(init[p.name], f"the start of {p.name!r}") if p.name in init else math.nan
        if p.name in init and not (math.isfinite(start) and p.lower <= start <= p.upper):
            raise FitInputError(
                f"the start {start:g} of {p.name!r} is not a number within its bounds [{p.lower:g}, {p.upper:g}]; "
                "give one, or leave it out"
            )
        starts.append(start)
    return starts


def _known(names: Sequence[str], given: Mapping[str, object], what: str) -> None:
    for name in given:
        if name not in names:
            raise FitInputError(f"there is {what} for {name!r}, but the expression's parameters are {', '.join(names)}")


def _number(value: object, what: str) -> float:
    array = float_array(value, what)  # type: ignore[arg-type]
    if array.size != 1:
        raise FitInputError(f"{what} has {array.size} values; give one number")
    return float(array.reshape(()))
