"""One array module for formulas that run in NumPy and under JAX: `xp`.

``xp.exp(a)`` is NumPy's where every argument is NumPy's (or a plain number), and JAX's where one of them is a JAX array
or is being traced. A formula that is written with `xp` runs at once on a few arrays, with nothing to compile, and is
compiled where it is applied to many.

>>> import numpy as np
>>> xp.where(np.array([1.0, -1.0]) > 0, 1.0, 0.0)
array([1., 0.])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._lazy import imported

Array = Any

_PLAIN = frozenset(
    (np.ndarray, np.float64, np.bool_, float, int, bool, complex, str, type(None), slice, type(Ellipsis))
)
# Samples from which on fits are worked on one by one.
ALONE = 1024
# Values that are computed at once where candidates are tried side by side: few enough for a cache.
VALUES_AT_ONCE = 32768
# what NumPy lacks
_SPECIAL = frozenset(("erf", "erfc", "erfinv", "gammaln", "i0e", "i1e"))


def is_numpy(*values: Any) -> bool:
    """Return whether nothing in `values`, sequences searched, belongs to JAX."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if isinstance(value, (tuple, list)):
            if not is_numpy(*value):
                return False
        elif isinstance(value, dict):
            if not is_numpy(*value.values()):
                return False
        elif not (isinstance(value, (np.generic, np.ndarray, np.dtype, type)) or callable(value)):
            return False
    return True


class _ArrayModule:
    """The functions of ``numpy`` and ``jax.numpy`` that have the same name and meaning, found when first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        own = getattr(np, name, None)
        if isinstance(own, type) or (own is not None and not callable(own)):
            # constants, dtypes and finfo are the same in both
            return own
        found = _by_arguments(name)
        setattr(self, name, found)
        return found

    def matmul(self, a: Array, b: Array) -> Array:
        """Return the matrix product in full precision, on a GPU too.

        In NumPy each element is summed up by itself: BLAS computes a column otherwise among others than alone.
        """
        if is_numpy(a, b):
            return np.einsum("...ij,...jk->...ik", a, b)
        return _jax("jax.numpy").matmul(a, b, precision="highest")

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        """Return Einstein's sum in full precision, on a GPU too."""
        if is_numpy(*operands):
            return np.einsum(subscripts, *operands)
        return _jax("jax.numpy").einsum(subscripts, *operands, precision="highest")

    def larger(self, a: Array, b: Array) -> Array:
        """Return the larger one, NaN where one is NaN, for formulas that are differentiated.

        JAX differentiates ``maximum`` by asking whether an operand *equals* the larger one. In a compiled program that
        has computed the operand twice, with other roundings, neither does, and the derivative is 0.
        """
        if is_numpy(a, b):
            return np.maximum(a, b)
        jnp = _jax("jax.numpy")
        return jnp.where((a >= b) | jnp.isnan(a), a, b)

    def smaller(self, a: Array, b: Array) -> Array:
        """Return the smaller one; see `larger`."""
        return np.minimum(a, b) if is_numpy(a, b) else -self.larger(-a, -b)

    def distance(self, a: Array, b: Array) -> Array:
        """Return √(a² + b²) without overflow, for formulas that are differentiated; see `larger`."""
        if is_numpy(a, b):
            return np.hypot(a, b)
        jnp = _jax("jax.numpy")
        a, b = (jnp.abs(side) * 1.0 for side in (a, b))
        large, small = self.larger(a, b), self.smaller(a, b)
        known = (large >= np.finfo(large.dtype).tiny) & (large < math.inf)
        part = jnp.where(known, small, 0) / jnp.where(known, large, 1)
        return jnp.where(jnp.isinf(a) | jnp.isinf(b), math.inf, large * jnp.sqrt(1 + part * part))

    def reduce_sums(self, terms: tuple[Array, ...], axis: int | tuple[int, ...]) -> tuple[Array, ...]:
        """Return the sums of several arrays of one shape along one axis or several, under JAX in one loop."""
        if is_numpy(*terms):
            return tuple(_sum(term, axis) for term in terms)
        jax, jnp = _jax("jax"), _jax("jax.numpy")
        zero = jnp.zeros((), terms[0].dtype)
        axes = (axis % terms[0].ndim,) if isinstance(axis, int) else axis
        sums = jax.lax.reduce(terms, (zero,) * len(terms), lambda a, b: tuple(map(jnp.add, a, b)), axes)
        return tuple(sums)

    def fori_loop(self, lower: int, upper: int, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """Apply ``state = body(i, state)`` for each i, as `jax.lax.fori_loop` does."""
        if not is_numpy(state):
            return _jax("jax").lax.fori_loop(lower, upper, body, state)
        for i in range(lower, upper):
            state = body(i, state)
        return state

    def while_loop(self, unfinished: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        """Apply ``state = body(state)`` while ``unfinished(state)``, as `jax.lax.while_loop` does."""
        if not is_numpy(state):
            return _jax("jax").lax.while_loop(unfinished, body, state)
        while bool(unfinished(state)):
            state = body(state)
        return state

    def fold(self, body: Callable[[Any, Any], Any], state: Any, items: Array) -> Any:
        """Apply ``state = body(state, item)`` for each of the items along the first axis."""
        if not is_numpy(state, items):
            return _jax("jax").lax.scan(lambda s, item: (body(s, item), None), state, items)[0]
        for item in items:
            state = body(state, item)
        return state

    def optimization_barrier(self, value: Array) -> Array:
        """Keep XLA from computing `value` again inside of what uses it; NumPy never does."""
        return value if is_numpy(value) else _jax("jax").lax.optimization_barrier(value)

    def in_one_loop(self, value: Array) -> Array:
        """Keep XLA from writing a costly value that is used more than once to memory, to be read by a second loop."""
        return value if is_numpy(value) else _jax("jax").lax.clamp(-math.inf, value, math.inf)


def _sum(term: Array, axis: int | tuple[int, ...]) -> Array:
    if axis == 0 and term.ndim == 2 and term.shape[1] == 1 and 0 < len(term) < ALONE:
        # in the order in which NumPy adds up several columns: a fit's bits do not depend on the others
        return np.cumsum(term[:, 0])[-1:]
    return np.add.reduce(term, axis=axis)


def _by_arguments(name: str) -> Callable[..., Any]:
    """Return the function of that name that chooses the module by its arguments."""
    if name in _SPECIAL:
        import scipy.special

        host, home = getattr(scipy.special, name), "jax.scipy.special"
    else:
        host, home = getattr(np, name), "jax.numpy"

    def call(*args: Any, **options: Any) -> Any:
        for arg in args:
            if type(arg) not in _PLAIN and not is_numpy(arg):
                break
        else:
            return host(*args, **options)
        return getattr(_jax(home), name)(*args, **options)

    return call


def _jax(name: str) -> Any:
    return imported(name)


xp: Any = _ArrayModule()
