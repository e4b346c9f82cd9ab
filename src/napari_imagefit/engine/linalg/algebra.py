"""Operations on separate arrays beside operators: NumPy's, JAX's, or those of single numbers.

`Algebra` is for a batch whose fits are independent: rows are arrays ``(B,)``, or numbers where there is one fit.
`Joint` is for one problem whose unknowns belong to many fits: rows are arrays ``(N,)``, or ``(1,)`` for what all have
in common, and sums over rows are sums over the fits, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import xp
from ..core.trees import Tree, tree_map
from ..core.types import Array, DType

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Rows = tuple[Array, ...]
TINY = float(np.finfo(np.float64).tiny)


class Algebra:
    """Elementwise functions, reductions over rows, and a loop.

    Parameters
    ----------
    module : module
        With the functions of ``numpy``.
    dtype : {"float64", "float32"}
        Precision of the model's values. Formulas are computed in double precision in any case; where this is single,
        parameters are rounded to it, and `eps` is its rounding.
    """

    joint = False

    def __init__(self, module: Any, dtype: DType = "float64") -> None:
        self.module = module
        self.dtype = np.dtype(dtype)
        self.eps = float(np.finfo(dtype).eps)
        self.where, self.sqrt, self.isfinite = module.where, module.sqrt, module.isfinite
        self.maximum, self.minimum, self.abs = module.maximum, module.minimum, module.abs

    def total(self, rows: Iterable[Array]) -> Array:
        """Sum of the rows, in order."""
        first, *others = rows
        for row in others:
            first = first + row
        return first

    def largest(self, rows: Iterable[Array]) -> Array:
        """Return the largest of several rows, element by element."""
        first, *others = rows
        for row in others:
            first = self.maximum(first, row)
        return first

    def least(self, rows: Iterable[Array]) -> Array:
        """Return the least of several rows, element by element."""
        first, *others = rows
        for row in others:
            first = self.minimum(first, row)
        return first

    def every(self, rows: Iterable[Array]) -> Array:
        """Whether all of several rows are true, element by element."""
        first, *others = rows
        for row in others:
            first = first & row
        return first

    def norm(self, rows: Iterable[Array]) -> Array:
        """Euclidean norm."""
        return self.sqrt(self.total([row * row for row in rows]))

    def dot(self, one: Sequence[Array], other: Sequence[Array]) -> Array:
        """Return Σaᵢbᵢ, element by element."""
        return self.total([a * b for a, b in zip(one, other, strict=True)])

    def over(self, numerator: Array, denominator: Array) -> Array:
        """Quotient."""
        return numerator / denominator

    def divide(self, numerator: Array, denominator: Array) -> Array:
        """Quotient, 0 where the denominator is 0."""
        zero = denominator == 0
        return self.where(zero, 0.0, numerator / self.where(zero, 1.0, denominator))

    def clip(self, x: Array, low: Array, high: Array) -> Array:
        """Return x within ``[low, high]``."""
        return self.minimum(self.maximum(x, low), high)

    def rounded(self, x: Array) -> Array:
        """Round to the precision of the model's values."""
        return x if self.eps < 1e-10 else x.astype(np.float32).astype(np.float64)

    def next_to(self, x: Array, towards: Array) -> Array:
        """Return the next number of the model's precision."""
        if self.eps < 1e-10:
            return self.module.nextafter(x, towards)
        return self.module.nextafter(x.astype(np.float32), towards.astype(np.float32)).astype(np.float64)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(algebra, *args)``, of a single fit perhaps as code: see `straight_line`."""
        return function(self, *args)

    def at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(*args)``, under JAX compiled into one loop over the fits.

        The function takes whatever it needs of arrays ``(B,)`` as arguments, and returns a pytree of such arrays.
        """
        return function(*args)

    def loop(
        self, unfinished: Callable[[Any], Array], update: Callable[..., Any], state: Any, most: int, *given: Any
    ) -> Any:
        """Repeat ``state = update(state, *given)`` up to `most` times, while any fit is unfinished."""
        for _ in range(most):
            if not np.any(unfinished(state)):
                break
            state = update(state, *given)
        return state

    def any(self, mask: Array) -> bool:
        """Whether a mask holds for any fit, as far as that can be known before it is computed."""
        return bool(np.any(mask))

    def unless(
        self, fine: Array, usual: Any, rows: Rows, otherwise: Callable[..., Rows], *given: Any, then: Any
    ) -> Any:
        """`usual` if all fits are fine, else ``then(rows)``, with rows ``otherwise(*given)`` for those that are not."""
        if self.all(fine):
            return usual
        return then(tuple(self.where(fine, row, other) for row, other in zip(rows, otherwise(*given), strict=True)))

    def all(self, mask: Array) -> bool:
        """Whether a mask holds for all fits."""
        return bool(np.all(mask))


class NumpyAlgebra(Algebra):
    """Algebra of arrays of NumPy."""

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(np, dtype)


class JaxAlgebra(Algebra):
    """Algebra under `jax.jit`, in double precision.

    Parameters
    ----------
    at_a_time : int, optional
        How many fits are worked on together, at least, where something is to be done for some of them; None for all.
    """

    def __init__(self, dtype: DType = "float64", at_a_time: int | None = None) -> None:
        super().__init__(jnp, dtype)
        self.at_a_time = at_a_time
        self.sqrt = lambda x: xp.in_one_loop(jnp.sqrt(x))
        self._within = False

    def over(self, numerator: Array, denominator: Array) -> Array:
        """Return the ratio of two rows."""
        return xp.in_one_loop(numerator / denominator)

    def at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        """One loop that keeps everything in registers.

        XLA would make dozens of loops, each of which reads and writes memory for a few operations. It makes one of what
        a reduction needs: here over an axis of two equal elements, of which the compiler computes one.
        """
        return function(*args) if self._within else self._in_one_loop(function, _twice, args)

    def _in_one_loop(self, function: Callable[..., Any], twice: Callable[[Array], Array], args: tuple[Any, ...]) -> Any:
        self._within = True
        try:
            leaves, tree = jax.tree.flatten(function(*(jax.tree.map(twice, args))))
        finally:
            self._within = False
        rows = jnp.broadcast_arrays(*leaves)
        zeros = tuple(jnp.zeros((), row.dtype) for row in rows)
        return jax.tree.unflatten(tree, jax.lax.reduce(tuple(rows), zeros, lambda _, last: last, (1,)))

    def loop(
        self, unfinished: Callable[[Any], Array], update: Callable[..., Any], state: Any, most: int, *given: Any
    ) -> Any:
        """Repeat ``state = update(state, *given)`` in a compiled loop, for the fits that are unfinished at first."""

        def finish(state: Any, *given: Any) -> Any:
            def go_on(carry: tuple[Array, Any]) -> Array:
                return (carry[0] < most) & jnp.any(unfinished(carry[1]))

            def once(carry: tuple[Array, Any]) -> tuple[Array, Any]:
                return carry[0] + 1, self._in_one_loop(update, _doubled, (carry[1], *given))

            return jax.lax.while_loop(go_on, once, (0, state))[1]

        some = unfinished(state)
        rows, tree = jax.tree.flatten(state)

        def of_some(*own: Any) -> Any:
            return tuple(jax.tree.leaves(finish(*own)))

        def merged() -> Any:
            return jax.tree.unflatten(tree, self._of_some(some, tuple(rows), of_some, (state, *given)))

        return jax.lax.cond(jnp.any(some), merged, lambda: state)

    def any(self, mask: Array) -> bool:
        """Return True: under JAX it is not known while the program is made."""
        del mask
        return True

    def unless(
        self, fine: Array, usual: Any, rows: Rows, otherwise: Callable[..., Rows], *given: Any, then: Any
    ) -> Any:
        """`usual` if all fits are fine, else ``then(rows)``: both are compiled, one is run."""

        def merged() -> Any:
            return then(self._of_some(~fine, rows, lambda *own: self.at_once(otherwise, *own), given))

        return jax.lax.cond(jnp.all(fine), lambda: usual, merged)

    def _of_some(self, some: Array, rows: Rows, function: Callable[..., Rows], given: tuple[Any, ...]) -> Rows:
        """Rows, of some fits those that a function gives: in small groups, as often few of thousands are meant."""
        width = some.shape[0]
        together = width if self.at_a_time is None else max(self.at_a_time, width // 16)
        if width <= together:
            return tuple(jnp.where(some, new, old) for new, old in zip(function(*given), rows, strict=True))
        # the how many-th of them a fit is
        order = jnp.cumsum(some.astype(np.int32), dtype=np.int32)

        def group(carry: tuple[Array, Rows]) -> tuple[Array, Rows]:
            first, found = carry
            places = jnp.searchsorted(order, first + jnp.arange(1, together + 1, dtype=np.int32))
            own = jax.tree.map(lambda a: jnp.take(a, places, mode="clip") if a.ndim else a, given)
            parts = zip(found, function(*own), strict=True)
            stored = (jax.lax.dynamic_update_slice_in_dim(whole, part, first, axis=0) for whole, part in parts)
            return first + together, tuple(stored)

        room = tuple(jnp.zeros(width + together, row.dtype) for row in rows)
        found = jax.lax.while_loop(lambda carry: carry[0] < order[-1], group, (np.int32(0), room))[1]
        pairs = zip(found, rows, strict=True)
        return tuple(jnp.where(some, jnp.take(new, order - 1, mode="clip"), old) for new, old in pairs)


def _doubled(array: Array) -> Array:
    array = jnp.asarray(array)
    return jnp.broadcast_to(array[:, None], (*array.shape, 2)) if array.ndim else array


def _twice(array: Array) -> Array:
    """Repeat like `_doubled`, hiding from XLA that both are the same: it would recompute what is made of one array."""
    array = jnp.asarray(array)
    if not array.ndim:
        return array
    always = jax.lax.broadcasted_iota(np.int32, (*array.shape, 2), 1) < 2
    return jnp.where(always, array[:, None], jnp.zeros((), array.dtype))


_NUMBERS = (float, int, np.generic)
_OF_PLAIN: dict[type, Any] = {float: np.float64, int: np.int64, bool: np.bool_}


class _Numbers:
    """The same functions of single numbers, ten times as fast as those of arrays with one element."""

    @staticmethod
    def where(condition: Any, one: Any, other: Any) -> Any:
        value = one if condition else other
        # an operator of a plain number raises where it cannot be computed, and `~` of a plain truth is a number
        kind = _OF_PLAIN.get(type(value))
        return value if kind is None else kind(value)

    @staticmethod
    def sqrt(x: Any) -> Any:
        return np.float64(math.sqrt(x) if x >= 0 else math.nan)

    @staticmethod
    def isfinite(x: Any) -> Any:
        return np.True_ if math.isfinite(x) else np.False_

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        return a if a >= b or a != a else np.float64(b)

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        return a if a <= b or a != a else np.float64(b)

    @staticmethod
    def abs(x: Any) -> Any:
        return abs(x)

    @staticmethod
    def nextafter(x: Any, towards: Any) -> Any:
        return np.nextafter(x, towards)


class NumberAlgebra(Algebra):
    """Algebra of a single fit, whose rows are numbers (``numpy.float64``); bits are those of arrays."""

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(_Numbers, dtype)

    def loop(
        self, unfinished: Callable[[Any], Array], update: Callable[..., Any], state: Any, most: int, *given: Any
    ) -> Any:
        """Repeat ``state = update(state, *given)`` up to `most` times, while the fit is unfinished."""
        for _ in range(most):
            if not unfinished(state):
                break
            state = update(state, *given)
        return state

    def any(self, mask: Array) -> bool:
        """Whether a mask holds for the fit."""
        return bool(mask)

    def all(self, mask: Array) -> bool:
        """Whether a mask holds for the fit."""
        return bool(mask)


def as_arrays(tree: Tree) -> Tree:
    """Return a tree of tuples with rows ``(B,)`` of NumPy where they were numbers or JAX's."""
    return tree_map(_as_array, tree)


def _as_array(value: Any) -> Any:
    return np.array([value]) if isinstance(value, _NUMBERS) else np.atleast_1d(np.asarray(value))


class Joint(Algebra):
    """Algebra of one problem in the unknowns of many fits, in NumPy: what sums up rows sums up fits as well."""

    joint = True

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(np, dtype)

    def total(self, rows: Iterable[Array]) -> Array:
        """Return the sum of all elements of all rows, ``(1,)``."""
        return np.array([np.sum([np.sum(row) for row in rows])])

    def largest(self, rows: Iterable[Array]) -> Array:
        """Return the largest element of all rows, ``(1,)``."""
        return np.array([np.max([np.max(row, initial=-np.inf) for row in rows])])

    def least(self, rows: Iterable[Array]) -> Array:
        """Return the least element of all rows, ``(1,)``."""
        return np.array([np.min([np.min(row, initial=np.inf) for row in rows])])

    def every(self, rows: Iterable[Array]) -> Array:
        """Whether all elements of all rows are true, ``(1,)``."""
        return np.array([all(bool(np.all(row)) for row in rows)])


class Matrix(Protocol):
    """A symmetric matrix in the unknowns, in whatever form it is kept."""

    def diagonal(self) -> Rows:
        """Its diagonal."""

    def finite(self, algebra: Algebra) -> Array:
        """Whether all elements are."""

    def product(self, algebra: Algebra, vector: Rows) -> Rows:
        """Return the matrix times a vector."""

    def scaled(self, scale: Rows, added: Rows) -> Any:
        """D·M·D + E, with D and E diagonal; nothing is added where there is no row of E."""

    def without(self, algebra: Algebra, held: Rows) -> Any:
        """Set the rows and columns of fixed unknowns to 0."""

    def select(self, algebra: Algebra, mask: Array, other: Any) -> Any:
        """Return this matrix where `mask`, else the other."""

    def identity_unless(self, algebra: Algebra, sane: Array) -> Any:
        """Return the unit matrix instead where it is not sane."""

    def begin_search(self, algebra: Algebra, gradient: Rows, radius: Array, alpha: Array) -> Any:
        """See `trust_region_subproblem`; what follows takes what this returns."""

    def go_on(self, algebra: Algebra, search: Any, gradient: Rows, radius: Array) -> Any:
        """See `trust_region_subproblem`."""

    def end_search(self, algebra: Algebra, search: Any, gradient: Rows, radius: Array) -> tuple[Rows, Array]:
        """See `trust_region_subproblem`: the step, and its damping."""
