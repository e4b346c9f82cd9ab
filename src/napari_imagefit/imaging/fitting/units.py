"""The unit of an expression of numbers with units, found by going through its parts; nothing is guessed."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from typing import Any

from ...engine.functions.expression_syntax import CONSTANTS, parse

# Functions of pure numbers, and those whose value has the unit of their arguments.
PURE = {"exp", "log", "log10", "erf", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"}
SAME_UNIT = {"abs", "minimum", "maximum", "where"}


class _Underivable(Exception):
    """Failure of a derivation: the unit is then not given, whatever the reason."""


@functools.cache
def _registry() -> Any:
    import pint

    return pint.get_application_registry()  # type: ignore[no-untyped-call]


def unit_of(expression: str, units: Mapping[str, str]) -> str:
    """Return the unit of an expression, ``""`` where it has none or it does not follow from those of its names.

    Parameters
    ----------
    expression : str
        As `napari_imagefit.engine.functions.expression_syntax` takes it.
    units : dict
        A unit for each name, such as ``"ms"``; ``""`` for a pure number.

    Examples
    --------
    >>> unit_of("1/tau", {"tau": "ms"}), unit_of("2*pi*amplitude*tau", {"tau": "ms", "amplitude": ""})
    ('1/ms', 'ms')
    >>> unit_of("tau + amplitude", {"tau": "ms", "amplitude": ""})
    ''
    """
    import pint

    try:
        unit = _visit(parse(expression), units)
    except (_Underivable, pint.PintError, ValueError, AttributeError, TypeError, AssertionError):
        return ""
    return symbol(unit)


def symbol(unit: Any) -> str:
    """Return the short form of a unit of pint: ``"µm"``, ``"1/ms"``, ``"px"`` for pixel, ``""`` for none."""
    # versions of pint differ in which of Unicode's two µ they write
    return "px" if str(unit) == "pixel" else f"{unit:~P}".replace("\u03bc", "\u00b5")


def parse_unit(text: str) -> Any:
    """Return a unit of pint.

    Raises
    ------
    ValueError
        If there is no such unit.
    """
    import pint

    try:
        return _registry().Unit("pixel" if text == "px" else text)
    except (pint.PintError, ValueError, AttributeError, TypeError, AssertionError):
        raise ValueError(f"{text!r} is no unit") from None


def _visit(node: ast.expr, units: Mapping[str, str]) -> Any:
    match node:
        case ast.Constant():
            return _registry().Unit("")
        case ast.Name(id=name):
            return _of_name(name, units)
        case ast.UnaryOp(operand=operand):
            return _visit(operand, units)
        case ast.BinOp(op=op, left=left, right=right):
            return _of_operation(op, left, right, units)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _of_call(name, args, units)
    raise _Underivable


def _of_name(name: str, units: Mapping[str, str]) -> Any:
    if name in CONSTANTS:
        return _registry().Unit("")
    if name not in units:
        raise _Underivable
    return parse_unit(units[name])


def _of_operation(op: ast.operator, left: ast.expr, right: ast.expr, units: Mapping[str, str]) -> Any:
    if isinstance(op, ast.Mult):
        return _visit(left, units) * _visit(right, units)
    if isinstance(op, ast.Div):
        return _visit(left, units) / _visit(right, units)
    if isinstance(op, ast.Pow):
        return _power(_visit(left, units), right, units)
    return _same([left, right], units)


def _of_call(name: str, args: list[ast.expr], units: Mapping[str, str]) -> Any:
    if name == "sqrt":
        return _visit(args[0], units) ** 0.5
    if name in SAME_UNIT:
        return _same(args[1:] if name == "where" else args, units)
    if name == "arctan2":
        _same(args, units)
    elif name not in PURE or not _is_pure(_visit(args[0], units)):
        raise _Underivable
    return _registry().Unit("")


def _is_pure(unit: Any) -> bool:
    return bool(unit == _registry().Unit("")) or str(unit) == "radian"


def _same(nodes: list[ast.expr], units: Mapping[str, str]) -> Any:
    """Return the unit of all of them; numbers in different units, even of one kind, do not add up."""
    found = [_visit(node, units) for node in nodes]
    if any(str(unit) != str(found[0]) for unit in found):
        raise _Underivable
    return found[0]


def _power(base: Any, exponent: ast.expr, units: Mapping[str, str]) -> Any:
    number = getattr(exponent, "folded", None)  # by the check of the expression, where it holds no names
    if number is not None:
        return base**number
    if _is_pure(base) and _is_pure(_visit(exponent, units)):
        return base
    raise _Underivable
