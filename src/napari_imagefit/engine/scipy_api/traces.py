"""Traces of a user's functions, as long as they may be kept."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.types import Array
from ..tracing.jaxprs import Itself
from ..tracing.trace import Traced, trace

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Functions of which traces are kept.
MOST_FUNCTIONS = 16


class Traces:
    """Traces of functions by their identity: what a function reads besides its arguments is read once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, dict[Hashable, Traced | None]] = OrderedDict()

    def of(self, f: Callable[..., Any]) -> TracesOf:
        """Return those of one function."""
        name = (Itself(f.__func__), Itself(f.__self__)) if isinstance(f, types.MethodType) else Itself(f)
        found = self._kept.pop(name, {})
        self._kept[name] = found
        while len(self._kept) > MOST_FUNCTIONS:
            self._kept.popitem(last=False)
        return TracesOf(f, found)


class TracesOf:
    """Traces of one function."""

    def __init__(self, f: Callable[..., Any], found: dict[Hashable, Traced | None]) -> None:
        self._f, self._found = f, found

    def __contains__(self, key: tuple[Any, int]) -> bool:
        return self._key(*key) in self._found

    def trace(self, x: Any, n: int) -> Traced | None:
        """Return what `trace` finds in double precision, now or before."""
        return self._traced(self._f, x, n, None)

    def columns(self, x: Any, n: int) -> list[Traced | None]:
        """Return the same of each column of a function that gives derivatives, ``(data, parameters)``."""

        def column(i: int) -> Callable[..., Array]:
            return lambda *args: jax.lax.index_in_dim(jnp.asarray(self._f(*args)), i, axis=1, keepdims=False)

        return [self._traced(column(i), x, n, i) for i in range(n)]

    def _traced(self, f: Callable[..., Any], x: Any, n: int, column: int | None) -> Traced | None:
        key = self._key(x, n, column)
        if key is None:
            return trace(f, x, n, np.float64)
        if key not in self._found:
            self._found[key] = trace(f, x, n, np.float64)
        return self._found[key]

    @staticmethod
    def _key(x: Any, n: int, column: int | None = None) -> Hashable | None:
        # anything but an array of numbers is part of the trace
        return (x.shape, x.dtype.kind, n, column) if isinstance(x, np.ndarray) else None
