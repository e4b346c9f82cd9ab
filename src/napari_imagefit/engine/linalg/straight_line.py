"""Formulas of a single fit as Python code without calls: the operations they make, one line after the other.

A step of seven parameters makes some thousand operations on numbers; the functions, tuples and scalars of NumPy around
them take many times as long. So formulas are run once with names in place of numbers, as JAX traces a function, and
what they compute is written down. The code gives the bits of the formulas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from ..core.trees import Tree, tree_map
from ..core.types import Array, DType
from .algebra import Algebra, NumberAlgebra, Rows

Codes = dict[Callable[..., Any], Callable[..., Any]]


class CodeAlgebra(NumberAlgebra):
    """Algebra of a single fit that runs formulas as code; all numbers are Python's.

    Parameters
    ----------
    codes : dict, optional
        The code of each function so far, of fits of one kind.
    """

    def __init__(self, dtype: DType = "float64", codes: Codes | None = None) -> None:
        super().__init__(dtype)
        self._precision: DType = dtype
        self._codes: Codes = {} if codes is None else codes

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(algebra, *args)``; for one function the arguments are always of one structure."""
        code = self._codes.get(function)
        if code is None:
            code = self._codes[function] = written(function, self._precision, structure_of(args))
        return code(*args)


# Fits of a kind after which its code is written: that takes as long as some ten fits of three parameters save by it, or
# fifty of seven.
WRITE_AFTER = 16

_ended: dict[Hashable, int] = {}
_codes: dict[Hashable, Codes] = {}


def algebra_of_one(dtype: DType, kind: Hashable) -> NumberAlgebra:
    """Return the algebra of a single fit: one that runs code where so many of its kind have ended before that it pays.

    Parameters
    ----------
    kind
        What the structure of a fit's numbers follows from, beside the precision.
    """
    key = dtype, kind
    if _ended.get(key, 0) < WRITE_AFTER:
        return NumberAlgebra(dtype)
    return CodeAlgebra(dtype, _codes.setdefault(key, {}))


def fit_has_ended(dtype: DType, kind: Hashable) -> None:
    """Note that one more fit of the kind has ended."""
    _ended[dtype, kind] = _ended.get((dtype, kind), 0) + 1


# in the place of a number
_NUMBER = "number"
_KINDS = (float, int, bool, np.generic)


def structure_of(tree: Tree) -> Hashable:
    """Return the types of tuples and the number of their parts; what is neither tuple nor number stays."""
    if isinstance(tree, tuple):
        return (type(tree), *map(structure_of, tree))
    return _NUMBER if isinstance(tree, _KINDS) else (None, tree)


def written(function: Callable[..., Any], dtype: DType, structure: Any) -> Callable[..., Any]:
    """Return the code of ``function(algebra, *args)`` for arguments of that structure, without the algebra."""
    book = _Book()
    args = [book.open(f"a{i}", part) for i, part in enumerate(structure[1:])]
    result = function(_Writer(book, dtype), *args)
    code = book.close(", ".join(f"a{i}" for i in range(len(args))), result)
    scope: dict[str, Any] = {**HELPERS, **book.types}
    exec(compile(code, f"<{function.__name__} as straight-line code>", "exec"), scope)
    found: Callable[..., Any] = scope["code"]
    return found


def _by_zero(a: float, b: float) -> float:
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _single(x: float) -> float:
    return float(np.float32(x))


def _single_after(x: float, towards: float) -> float:
    return float(np.nextafter(np.float32(x), np.float32(towards)))


HELPERS = {
    "inf": math.inf,
    "nan": math.nan,
    "sqrt": math.sqrt,
    "nextafter": math.nextafter,
    "by_zero": _by_zero,
    "single": _single,
    "single_after": _single_after,
}


class _Name:
    """A number that is not known yet, by its name in the code."""

    __array_ufunc__ = None  # NumPy's scalars leave their operators to this one's
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, book: _Book, text: str) -> None:
        self.book, self.text = book, text

    def __bool__(self) -> bool:
        raise TypeError("which way a formula goes must not depend on a number")

    def __neg__(self) -> _Name:
        return self.book.let("-{}", self)

    def __invert__(self) -> _Name:
        return self.book.let("not {}", self)


def _operator(template: str, reflected: bool = False) -> Callable[[_Name, Any], _Name]:
    def operator(self: _Name, other: Any) -> _Name:
        return self.book.let(template, *((other, self) if reflected else (self, other)))

    return operator


QUOTIENT = "{0} / {1} if {1} else by_zero({0}, {1})"
for _name, _template in {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "truediv": QUOTIENT,
    "and": "{} and {}",
    "or": "{} or {}",
}.items():
    setattr(_Name, f"__{_name}__", _operator(_template))
    setattr(_Name, f"__r{_name}__", _operator(_template, reflected=True))
for _name, _template in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    setattr(_Name, f"__{_name}__", _operator(f"{{}} {_template} {{}}"))


class _Book:
    """The lines of a function."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None, set[str]]] = []  # code, the name that it gives, names that it reads
        self.types: dict[str, type] = {}
        self.indent = " "
        self._names = itertools.count()

    def new(self, _like: Any = None) -> _Name:
        """Return a new name."""
        return _Name(self, f"v{next(self._names)}")

    def let(self, template: str, *values: Any) -> _Name:
        """Write a line that computes a number, and return its name."""
        return self.give(self.new(), template, *values)

    def give(self, name: _Name, template: str, *values: Any) -> _Name:
        """Write a line that gives a name to what is computed."""
        text = template.format(*map(_text_of, values))
        self.lines.append((f"{self.indent}{name.text} = {text}", name.text, _names_in(values)))
        return name

    def say(self, template: str, *values: Any, reads: Tree = ()) -> None:
        """Write a line that computes nothing, and is never left out."""
        text = template.format(*map(_text_of, values))
        self.lines.append((f"{self.indent}{text}" if text else "", None, _names_in((*values, reads))))

    def give_all(self, names: Tree, values: Tree) -> None:
        """Give names to all numbers of a tree."""
        tree_map(lambda name, value: self.give(name, "{}", value), names, values)

    def open(self, argument: str, structure: Any) -> Tree:
        """Take an argument apart, and return names for its numbers."""
        text, tree = self._parts(structure)
        if text != "_":
            self.say(f"{text} = {argument}")
        return tree

    def _parts(self, structure: Any) -> tuple[str, Tree]:
        if structure == _NUMBER:
            name = self.new()
            return name.text, name
        kind, *parts = structure
        if kind is None:
            return "_", parts[0]
        texts, trees = zip(*map(self._parts, parts), strict=True) if parts else ((), ())
        return f"({''.join(f'{text}, ' for text in texts)})", kind(*trees) if hasattr(kind, "_fields") else trees

    def close(self, arguments: str, result: Tree) -> str:
        """Return the function, without the lines whose numbers nobody reads."""
        self.say("return " + self._built(result), reads=result)
        read: set[str] = set()
        kept = []
        for line, given, reads in reversed(self.lines):
            if given is None or given in read:
                read |= reads
                kept.append(line)
        return "\n".join([f"def code({arguments}):", *filter(None, reversed(kept))])

    def _built(self, tree: Tree) -> str:
        if not isinstance(tree, tuple):
            return _text_of(tree)
        inside = "".join(f"{self._built(part)}, " for part in tree)
        if not hasattr(tree, "_fields"):
            return f"({inside})"
        self.types[type(tree).__name__] = type(tree)
        return f"{type(tree).__name__}({inside})"


def _text_of(value: Any) -> str:
    if isinstance(value, _Name):
        return value.text
    if value is None:
        return "None"
    number = value.item() if isinstance(value, np.generic) else value
    # infinities and NaN by the names that they have among the helpers
    return f"({number!r})"


def _names_in(tree: Tree) -> set[str]:
    if isinstance(tree, tuple):
        return set().union(*map(_names_in, tree))
    return {tree.text} if isinstance(tree, _Name) else set()


class _Functions:
    """Functions of numbers that are not known yet, as an array module has them."""

    def __init__(self, book: _Book) -> None:
        self.book = book

    def where(self, condition: Any, one: Any, other: Any) -> Any:
        if not isinstance(condition, _Name):
            return one if condition else other
        return self.book.let("{1} if {0} else {2}", condition, one, other)

    def sqrt(self, x: Any) -> Any:
        return self.book.let("sqrt({0}) if {0} >= 0 else nan", x)

    def isfinite(self, x: Any) -> Any:
        return self.book.let("{0} - {0} == 0", x)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.book.let("{0} if {0} >= {1} or {0} != {0} else {1}", a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.book.let("{0} if {0} <= {1} or {0} != {0} else {1}", a, b)

    def abs(self, x: Any) -> Any:
        return self.book.let("abs({})", x)


class _Writer(Algebra):
    """Algebra that writes down what is computed."""

    def __init__(self, book: _Book, dtype: DType) -> None:
        super().__init__(_Functions(book), dtype)
        self.book = book

    def divide(self, numerator: Array, denominator: Array) -> Array:
        """Quotient, 0 where the denominator is 0."""
        return self.book.let("{0} / {1} if {1} else 0.0", numerator, denominator)

    def rounded(self, x: Array) -> Array:
        """Round to the precision of the model's values."""
        return x if self.eps < 1e-10 else self.book.let("single({})", x)

    def next_to(self, x: Array, towards: Array) -> Array:
        """Return the next number of the model's precision."""
        return self.book.let("nextafter({}, {})" if self.eps < 1e-10 else "single_after({}, {})", x, towards)

    def any(self, mask: Array) -> bool:
        """Return True: it is not known while the code is written."""
        del mask
        return True

    def all(self, mask: Array) -> bool:
        """Refuse: nothing may depend on it while the code is written."""
        raise TypeError(f"whether {mask} holds is not known while the code is written")

    def loop(
        self, unfinished: Callable[[Any], Array], update: Callable[..., Any], state: Any, most: int, *given: Any
    ) -> Any:
        """Write a loop."""
        book, outside = self.book, self.book.indent
        carried = tree_map(book.new, state)
        book.give_all(carried, state)
        book.say(f"for _ in range({most}):")
        book.indent += " "
        book.say("if not {}: break", unfinished(carried))
        book.give_all(carried, update(carried, *given))
        # the next turn reads them
        book.say("", reads=carried)
        book.indent = outside
        return carried

    def unless(
        self, fine: Array, usual: Any, rows: Rows, otherwise: Callable[..., Rows], *given: Any, then: Any
    ) -> Any:
        """Write two branches."""
        del rows
        book, outside = self.book, self.book.indent
        found = tree_map(book.new, usual)
        book.say("if {}:", fine)
        book.indent += " "
        book.say("pass")
        book.give_all(found, usual)
        book.indent = outside
        book.say("else:")
        book.indent += " "
        book.say("pass")
        book.give_all(found, then(tuple(otherwise(*given))))
        book.indent = outside
        return found
