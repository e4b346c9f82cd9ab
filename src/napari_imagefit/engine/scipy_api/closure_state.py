"""What a Python function can see besides its arguments, by content, so that its trace can serve until that changes.

Whatever has no content that can be compared makes the function one that is traced anew: a stale number would be worse
than the time.
"""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..models.model import Array
from ..models.trace import Traced, _Itself, fingerprint, trace

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Packages whose functions are taken to be always the same.
CONSTANT = frozenset({"jax", "jaxlib", "numpy", "scipy", "math", "cmath", "builtins", "operator"})
# What is reached through these is not seen in the code: files, random numbers, settings, anything at all.
OPAQUE = frozenset(
    """
    random load loadtxt genfromtxt fromfile memmap config debug pure_callback io_callback getattr globals locals vars
    eval exec open input __import__ __dict__ __globals__ __class__ __closure__ __code__ __defaults__ __subclasses__
    """.split()  # noqa: SIM905 - many lines
)
# What every class has.
USUAL = frozenset({"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__"})
# Arrays that are too large to be looked at before every fit.
MOST_BYTES = 1 << 24
# Functions of which a trace is kept.
KEPT = 16


class _UnknownError(Exception):
    """Something that cannot be compared."""


class Traces:
    """Traces of functions, each as long as nothing that the function can see has changed since."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Hashable, dict[Hashable, Traced | None]]] = OrderedDict()

    def of(self, f: Callable[..., Any]) -> TracesOf:
        """Those of one function that still hold."""
        name = (_Itself(f.__func__), _Itself(f.__self__)) if isinstance(f, types.MethodType) else _Itself(f)
        state, found = self._kept.get(name, (None, {}))
        if state is None or state != seen_state(f):
            found = {}
        return TracesOf(self, name, f, found)

    def keep(self, name: Hashable, state: Hashable | None, found: dict[Hashable, Traced | None]) -> None:
        """Replace what was kept of a function; without a state nothing is."""
        self._kept.pop(name, None)
        if state is not None:
            self._kept[name] = state, found
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


class TracesOf:
    """Traces of one function during one call."""

    def __init__(
        self, all_traces: Traces, name: Hashable, f: Callable[..., Any], found: dict[Hashable, Traced | None]
    ) -> None:
        self._all, self._name, self._f, self._found = all_traces, name, f, found

    def __contains__(self, key: tuple[Any, int]) -> bool:
        return self._key(*key) in self._found

    def trace(self, x: Any, n: int) -> Traced | None:
        """As `tracing.trace` in double precision, or what it returned before."""
        return self._traced(self._f, x, n, None)

    def columns(self, x: Any, n: int) -> list[Traced | None]:
        """The same of each column of what a function returns that gives derivatives, ``(data, parameters)``."""

        def column(i: int) -> Callable[..., Array]:
            return lambda *args: jax.lax.index_in_dim(jnp.asarray(self._f(*args)), i, axis=1, keepdims=False)

        return [self._traced(column(i), x, n, i) for i in range(n)]

    def _traced(self, f: Callable[..., Any], x: Any, n: int, column: int | None) -> Traced | None:
        key = self._key(x, n, column)
        if key is None:
            return trace(f, x, n, np.float64)
        if key not in self._found:
            self._found[key] = trace(f, x, n, np.float64)
            # what the function itself changes while it is traced is no change
            self._all.keep(self._name, seen_state(self._f), self._found)
        return self._found[key]

    @staticmethod
    def _key(x: Any, n: int, column: int | None = None) -> Hashable | None:
        # anything but an array of numbers is part of the trace
        return (x.shape, x.dtype.kind, n, column) if isinstance(x, np.ndarray) else None


def seen_state(f: Any) -> Hashable | None:
    """The content of everything that `f` can see: globals, closures, defaults, attributes; None if it cannot be known.

    Examples
    --------
    >>> scale = [2.0]
    >>> def f(x, a):
    ...     return scale[0] * a * x
    >>> before = seen_state(f)
    >>> scale[0] = 3.0
    >>> before is None, before == seen_state(f)
    (False, False)
    """
    try:
        return _Look().at(f)
    except (_UnknownError, RecursionError):
        return None


class _Look:
    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.alive: list[Any] = []

    def at(self, value: Any) -> Hashable:
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes):
            return fingerprint(value)
        if kind is types.ModuleType:
            return self._constant(value, value.__name__)
        if isinstance(value, np.ndarray | np.generic) or _is_jax_array(value):
            return self._array(value)
        if id(value) in self.places:
            return ("again", self.places[id(value)])
        self.places[id(value)] = len(self.places)
        self.alive.append(value)
        if kind in (tuple, list):
            return kind, tuple(self.at(v) for v in value)
        if kind in (set, frozenset):
            # their order is that of iteration; another one only costs a trace
            return kind, tuple(self.at(v) for v in value)
        if kind is dict:
            return kind, tuple((self.at(k), self.at(v)) for k, v in value.items())
        if kind is functools.partial:
            return kind, self.at(value.func), self.at(value.args), self.at(value.keywords)
        if kind is types.MethodType:
            return kind, self.at(value.__func__), self.at(value.__self__)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is types.BuiltinFunctionType:
            owner = value.__self__
            return self._constant(value, owner.__name__ if isinstance(owner, types.ModuleType) else value.__module__)
        if isinstance(value, type):
            return self._class(value)
        if kind is property:
            return kind, self.at(value.fget)
        if kind in (staticmethod, classmethod):
            return kind, self.at(value.__func__)
        return self._instance(value)

    def _constant(self, value: Any, module: str | None) -> Hashable:
        if str(module).partition(".")[0] not in CONSTANT:
            raise _UnknownError
        return _Itself(value)

    def _array(self, value: Any) -> Hashable:
        if type(value).__module__.partition(".")[0] not in CONSTANT or value.nbytes > MOST_BYTES:
            raise _UnknownError
        found = fingerprint(value)
        if isinstance(found, _Itself):
            raise _UnknownError
        return found

    def _function(self, f: types.FunctionType) -> Hashable:
        if str(f.__globals__.get("__name__")).partition(".")[0] in CONSTANT:
            return _Itself(f)
        try:
            cells = tuple(self.at(cell.cell_contents) for cell in f.__closure__ or ())
        except ValueError:
            raise _UnknownError from None
        names = dict.fromkeys(_globals_of(f.__code__))
        seen = tuple((name, self._global(f.__globals__, name)) for name in names)
        return f.__code__, cells, seen, self.at(f.__defaults__), self.at(f.__kwdefaults__), self.at(vars(f))

    def _global(self, values: dict[str, Any], name: str) -> Hashable:
        if name in values:
            return self.at(values[name])
        if name in OPAQUE:
            raise _UnknownError
        return "builtin" if hasattr(builtins, name) else "missing"

    def _class(self, cls: type) -> Hashable:
        if cls.__module__.partition(".")[0] in CONSTANT:
            return _Itself(cls)
        if type(cls) is not type or "__getattribute__" in vars(cls) or "__getattr__" in vars(cls):
            raise _UnknownError
        own = tuple((name, self.at(value)) for name, value in vars(cls).items() if name not in USUAL)
        return _Itself(cls), own, tuple(self.at(base) for base in cls.__bases__)

    def _instance(self, value: Any) -> Hashable:
        cls = type(value)
        if cls.__module__.partition(".")[0] in CONSTANT:
            wrapped = getattr(value, "__wrapped__", None)
            if cls.__name__ == "PjitFunction" and wrapped is not None:
                return _Itself(value), self.at(wrapped)
            name = str(getattr(value, "__name__", ""))
            named = any(getattr(package, name, None) is value for package in (jnp, np))
            if named or isinstance(value, np.ufunc | np.dtype):
                return _Itself(value)
            raise _UnknownError
        # a container or the like of the user's own holds what is not among its attributes
        if any(base.__module__ == "builtins" and base is not object for base in cls.__mro__):
            raise _UnknownError
        if not hasattr(value, "__dict__") or any("__slots__" in vars(base) for base in cls.__mro__):
            raise _UnknownError
        return self.at(cls), self.at(vars(value))


def _is_jax_array(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("jax", "jaxlib") and hasattr(value, "nbytes")


def _globals_of(code: types.CodeType) -> Iterator[str]:
    """Names that the code and the code within look up as globals.

    Raises
    ------
    _UnknownError
        If it imports what may hold state, or reaches for what hides state.
    """
    if OPAQUE.intersection(code.co_names):
        raise _UnknownError
    for instruction in dis.get_instructions(code):
        name = str(instruction.argval)
        if instruction.opname == "IMPORT_NAME" and name.partition(".")[0] not in CONSTANT:
            raise _UnknownError
        if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME"):
            yield name
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant)
