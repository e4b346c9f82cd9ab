"""Models from text: ``"a*exp(-t/tau) + c"``.

Of the tree that `expression_syntax.parse` has checked, closures over the functions of NumPy and JAX (`xp`) are made.
"""

from __future__ import annotations

import ast
import keyword
import math
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import is_numpy, xp
from ..core.errors import FitInputError
from ..core.types import Array, Function, Guess, GuessWithin
from ..core.validation import float_array
from .expression_starts import generic_guess
from .expression_syntax import CALLED, CONSTANTS, FUNCTIONS, LANGUAGE, OPERATORS, SIGNS, folded, names_in, parse, short
from .parameter import Parameter, Roles

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

Values = Mapping[str, Array]
Term = Callable[[Values], Array]
# What JAX differentiates otherwise than it should once it is compiled, see `xp.larger`.
DIFFERENTIATED = {"maximum": "larger", "minimum": "smaller", "hypot": "distance"}


class Formula(NamedTuple):
    """Parts of a model that is given by a formula."""

    name: str
    function: Function
    parameters: list[Parameter]
    guess: Guess
    guess_within: GuessWithin
    roles: Roles
    value: Hashable  # equal for formulas that compute the same


def read_formula(
    text: str,
    coords: Sequence[str],
    *,
    name: str | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    init: Mapping[str, float] | None = None,
) -> Formula:
    """Return what a model is made of; see `Model.from_expression` for the arguments.

    Raises
    ------
    FitInputError
        If the formula holds what it may not, and for names or numbers that do not fit it.

    Examples
    --------
    >>> read_formula("a^2", ["t"])
    Traceback (most recent call last):
    napari_imagefit.engine.core.errors.FitInputError: 'a^2' holds '^', which is not a power; write a**b
    """
    axes = _coordinates(coords)
    tree = parse(text)
    names = [n for n in names_in(tree) if n not in axes]
    if not names:
        raise FitInputError(f"{short(text)} has no parameter to fit; give at least one name that is no coordinate")
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
    value = ("expression", text, axes, tuple(parameters), repr(starts))
    return Formula(name or text, function, parameters, guess, within, roles, value)


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

    return tuple(names_in(tree)), value


def _compile(node: ast.expr) -> Term:
    """Return a checked tree as a function of the values of its names."""
    number = folded(node)
    if number is not None:
        return lambda _values: number
    match node:
        case ast.Name(id=name):
            return lambda values: values[name]
        case ast.UnaryOp(op=op, operand=operand):
            sign, inner = SIGNS[type(op)], _compile(operand)
            return lambda values: sign(inner(values))
        case ast.BinOp(op=ast.Pow(), left=left, right=right) if _is_whole(folded(right)):
            base, exponent = _compile(left), int(folded(right) or 0)
            return lambda values: base(values) ** exponent  # exact, and differentiable where the base is 0
        case ast.BinOp(op=op, left=left, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            apply, first, second = OPERATORS[type(op)], _compile(left), _compile(right)
            return lambda values: apply(first(values), second(values))
        case ast.Call(func=ast.Name(id=name), args=args):
            terms = [_compile(argument) for argument in args]
            called = CALLED.get(name, name)
            called = DIFFERENTIATED.get(called, called)
            called_on = getattr(xp, called)
            return lambda values: called_on(*(t(values) for t in terms))
    raise FitInputError(f"an expression holds what it may not; {LANGUAGE}")  # does not happen after `parse`


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
