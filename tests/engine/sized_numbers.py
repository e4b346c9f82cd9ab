"""Numbers of 40 digits that know what rounding can do to them, and compiled values beside them.

What rounding may do to a result follows from its formula: about one unit in the last place (ulp) of the largest of the
intermediate results, each as it reaches the result. ``a·exp(-u) + c`` with a u of 40 is good to 40 ulp of its first
part, and ``1 − 0.999`` to one of 1, not of 0.001. `Sized` finds this largest term beside every value and derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import numpy as np
import pytest

from napari_imagefit.engine.core.programs import compile_lowered

mpmath = pytest.importorskip("mpmath", reason="mpmath has the digits that this is measured with")
mp = mpmath.mp

ULPS = 4
DTYPES = ["float64", "float32"]


@dataclass(frozen=True)
class Sized:
    """A number, and the largest of what it was made from: rounding there changes it by an ulp of that size.

    `off` is by how much it may be wrong besides, as it is made from approximations.
    """

    value: Any
    size: Any
    off: Any

    @classmethod
    def of(cls, number: Any) -> Self:
        return number if isinstance(number, cls) else cls(mp.mpf(number), mp.mpf(0), mp.mpf(0))

    @classmethod
    def made(cls, value: Any, *causes: tuple[Any, Self], inner: Any = 0, off: Any = 0) -> Self:
        """A result, and with what derivatives it follows from others; `inner` is the size of what is inside."""
        size = max(abs(value), abs(inner), *(abs(slope) * cause.size for slope, cause in causes))
        return cls(value, size, off + sum(abs(slope) * cause.off for slope, cause in causes))

    def __add__(self, other: Any) -> Self:
        other = self.of(other)
        return self.made(self.value + other.value, (1, self), (1, other))

    def __mul__(self, other: Any) -> Self:
        other = self.of(other)
        return self.made(self.value * other.value, (other.value, self), (self.value, other))

    def __truediv__(self, other: Any) -> Self:
        other = self.of(other)
        value = self.value / other.value
        return self.made(value, (1 / other.value, self), (value / other.value, other))

    def __neg__(self) -> Self:
        return type(self)(-self.value, self.size, self.off)


@dataclass(frozen=True)
class Dual:
    """A value and its derivative by one of the parameters."""

    value: Sized
    slope: Sized

    @classmethod
    def of(cls, number: Any, slope: float = 0) -> Self:
        return number if isinstance(number, cls) else cls(Sized.of(number), Sized.of(slope))

    def __add__(self, other: Any) -> Self:
        other = self.of(other)
        return type(self)(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: Any) -> Self:
        other = self.of(other)
        return type(self)(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __truediv__(self, other: Any) -> Self:
        other = self.of(other)
        value = self.value / other.value
        return type(self)(value, self.slope / other.value + -(value * (other.slope / other.value)))

    def __neg__(self) -> Self:
        return type(self)(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Self:
        return self + -self.of(other)

    def __rsub__(self, other: Any) -> Self:
        return self.of(other) + -self

    def __rtruediv__(self, other: Any) -> Self:
        return self.of(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __gt__(self, other: float) -> bool:
        return bool(self.value.value > other)

    def under(
        self, *derivatives: Callable[[Any], Any], inner: Sequence[Any] = (0, 0), off: Sequence[Any] = (0, 0)
    ) -> Self:
        """A function of it, given with its first and second derivatives.

        `inner` and `off` are those of the function and of its derivative.
        """
        f, g, h = (derivative(self.value.value) for derivative in derivatives)
        value = Sized.made(f, (g, self.value), inner=inner[0], off=off[0])
        return type(self)(value, Sized.made(g, (h, self.value), inner=inner[1], off=off[1]) * self.slope)


Number = Any  # Dual, or mpmath's


def exp(x: Number) -> Number:
    return x.under(mp.exp, mp.exp, mp.exp) if isinstance(x, Dual) else mp.exp(x)


def log(x: Number) -> Number:
    return x.under(mp.log, lambda v: 1 / v, lambda v: -1 / v**2) if isinstance(x, Dual) else mp.log(x)


def sqrt(x: Number) -> Number:
    if not isinstance(x, Dual):
        return mp.sqrt(x)
    return x.under(mp.sqrt, lambda v: 0.5 / mp.sqrt(v), lambda v: -0.25 / mp.sqrt(v) ** 3)


def sin(x: Number) -> Number:
    return x.under(mp.sin, mp.cos, lambda v: -mp.sin(v)) if isinstance(x, Dual) else mp.sin(x)


def cos(x: Number) -> Number:
    return x.under(mp.cos, lambda v: -mp.sin(v), lambda v: -mp.cos(v)) if isinstance(x, Dual) else mp.cos(x)


def one_less_exp(x: Number) -> Number:
    """``1 − exp(x)``, which nobody has to compute as a difference."""
    if not isinstance(x, Dual):
        return -mp.expm1(x)
    # JAX's derivative is expm1(x) + 1
    return x.under(lambda v: -mp.expm1(v), lambda v: -mp.exp(v), lambda v: -mp.exp(v), inner=(0, 1))


def square(x: Number) -> Number:
    return x * x


def numbers(sized: np.ndarray, what: str) -> np.ndarray:
    return np.frompyfunc(lambda s: getattr(s, what), 1, 1)(sized)


def worst(found: np.ndarray, truth: np.ndarray, dtype: str) -> float:
    """By how many ulp of the largest terms it is wrong at most."""
    info = np.finfo(dtype)
    error = abs(np.frompyfunc(lambda v: mp.mpf(float(v)), 1, 1)(found) - numbers(truth, "value"))
    error = error - numbers(truth, "off")
    # what is below the least normal number may become 0
    allowed = numbers(truth, "size") * float(info.eps) + float(info.tiny)
    return float((error / allowed).max())


def compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    lowered = jax.jit(function).lower(*arguments)
    return compile_lowered(lowered, "cpu", "reassociated")(*arguments)
