"""What formulas on separate arrays need beside operators: NumPy's, JAX's, or that of single numbers.

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
        """Their sum, in order."""
        first, *others = rows
        for row in others:
            first = first + row
        return first

    def largest(self, rows: Iterable[Array]) -> Array:
        first, *others = rows
        for row in others:
            first = self.maximum(first, row)
        return first

    def least(self, rows: Iterable[Array]) -> Array:
        first, *others = rows
        for row in others:
            first = self.minimum(first, row)
        return first

    def every(self, rows: Iterable[Array]) -> Array:
        first, *others = rows
        for row in others:
            first = first & row
        return first

    def norm(self, rows: Iterable[Array]) -> Array:
        """Euclidean norm."""
        return self.sqrt(self.total([row * row for row in rows]))

    def dot(self, one: Sequence[Array], other: Sequence[Array]) -> Array:
        return self.total([a * b for a, b in zip(one, other, strict=True)])

    def divide(self, numerator: Array, denominator: Array) -> Array:
        """Quotient, 0 where the denominator is 0."""
        zero = denominator == 0
        return self.where(zero, 0.0, numerator / self.where(zero, 1.0, denominator))

    def clip(self, x: Array, low: Array, high: Array) -> Array:
        return self.minimum(self.maximum(x, low), high)

    def rounded(self, x: Array) -> Array:
        """In the precision of the model's values."""
        return x if self.eps < 1e-10 else x.astype(np.float32).astype(np.float64)

    def next_to(self, x: Array, towards: Array) -> Array:
        """The next number of the model's precision."""
        if self.eps < 1e-10:
            return self.module.nextafter(x, towards)
        return self.module.nextafter(x.astype(np.float32), towards.astype(np.float32)).astype(np.float64)

    def loop(self, unfinished: Callable[[Any], Array], update: Callable[[Any], Any], state: Any, most: int) -> Any:
        """Repeat ``state = update(state)`` up to `most` times, while any fit is unfinished."""
        for _ in range(most):
            if not np.any(unfinished(state)):
                break
            state = update(state)
        return state

    def any(self, mask: Array) -> bool:
        """Whether a mask holds for any fit, as far as that can be known before it is computed."""
        return bool(np.any(mask))

    def branch(self, condition: Array, usual: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """``usual()`` where the condition holds for all fits, else ``otherwise()``, which serves those too."""
        return usual() if np.all(condition) else otherwise()


class NumpyAlgebra(Algebra):
    """For arrays of NumPy."""

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(np, dtype)


class JaxAlgebra(Algebra):
    """Under `jax.jit`, in double precision."""

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(jnp, dtype)

    def loop(self, unfinished: Callable[[Any], Array], update: Callable[[Any], Any], state: Any, most: int) -> Any:
        def go_on(carry: tuple[Array, Any]) -> Array:
            return (carry[0] < most) & jnp.any(unfinished(carry[1]))

        return jax.lax.while_loop(go_on, lambda carry: (carry[0] + 1, update(carry[1])), (0, state))[1]

    def any(self, mask: Array) -> bool:
        del mask
        return True

    def branch(self, condition: Array, usual: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        return jax.lax.cond(jnp.all(condition), usual, otherwise)


class _Numbers:
    """The same functions of single numbers, ten times as fast as those of arrays with one element."""

    @staticmethod
    def where(condition: Any, one: Any, other: Any) -> Any:
        value = one if condition else other
        # an operator of a plain number raises where it cannot be computed
        return np.float64(value) if type(value) is float else value

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
    """For a single fit, whose rows are numbers (``numpy.float64``); bits are those of arrays."""

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(_Numbers, dtype)

    def loop(self, unfinished: Callable[[Any], Array], update: Callable[[Any], Any], state: Any, most: int) -> Any:
        for _ in range(most):
            if not unfinished(state):
                break
            state = update(state)
        return state

    def any(self, mask: Array) -> bool:
        return bool(mask)

    def branch(self, condition: Array, usual: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        return usual() if condition else otherwise()


class Joint(Algebra):
    """For one problem in the unknowns of many fits, in NumPy: what sums up rows sums up fits as well."""

    joint = True

    def __init__(self, dtype: DType = "float64") -> None:
        super().__init__(np, dtype)

    def total(self, rows: Iterable[Array]) -> Array:
        return np.array([np.sum([np.sum(row) for row in rows])])

    def largest(self, rows: Iterable[Array]) -> Array:
        return np.array([np.max([np.max(row, initial=-np.inf) for row in rows])])

    def least(self, rows: Iterable[Array]) -> Array:
        return np.array([np.min([np.min(row, initial=np.inf) for row in rows])])

    def every(self, rows: Iterable[Array]) -> Array:
        return np.array([all(bool(np.all(row)) for row in rows)])


class Matrix(Protocol):
    """A symmetric matrix in the unknowns, in whatever form it is kept."""

    def diagonal(self) -> Rows:
        """Its diagonal."""

    def finite(self, algebra: Algebra) -> Array:
        """Whether all elements are."""

    def product(self, algebra: Algebra, vector: Rows) -> Rows:
        """The matrix times a vector."""

    def scaled(self, scale: Rows, added: Rows) -> Any:
        """D·M·D + E, with D and E diagonal; nothing is added where there is no row of E."""

    def without(self, algebra: Algebra, held: Rows) -> Any:
        """With the rows and columns of held unknowns set to 0."""

    def select(self, algebra: Algebra, mask: Array, other: Any) -> Any:
        """This matrix where `mask`, else the other."""

    def identity_unless(self, algebra: Algebra, sane: Array) -> Any:
        """The unit matrix instead where it is not sane."""

    def step(self, algebra: Algebra, gradient: Rows, radius: Array, alpha: Array) -> tuple[Rows, Array]:
        """See `trust_region_subproblem.trust_region_step`."""
