"""Traced functions compared by value: a jaxpr's fingerprint, its operations and its constants."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.types import Array

if TYPE_CHECKING:
    import jax
    import jax.extend.core as core
    import jax.numpy as jnp
else:
    jax, jnp, core = LazyModule("jax"), LazyModule("jax.numpy"), LazyModule("jax.extend.core")

# JAX's own classes moved and merged between versions
Jaxpr = Any
Equation = Any

# A custom derivative may be defined by itself, as that of sinc is; fits take first derivatives only.
ORDERS = 2


class Itself:
    """Equal to nothing but the same object, which it keeps alive."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def fingerprint(value: Any, order: int = 0) -> Hashable:
    """Something hashable that is equal for equal values only, down to the last bit and the type.

    What has no value that is known here, as a function, stands for itself.
    """
    if is_jaxpr(value):
        return _of_jaxpr(value, order)
    if isinstance(value, float | complex):
        return type(value), np.asarray(value, complex).tobytes(), getattr(value, "dtype", None)
    if value is None or isinstance(value, bool | int | str | bytes):
        return type(value), value, getattr(value, "dtype", None)
    if isinstance(value, tuple | list | set | frozenset):
        return type(value), tuple(fingerprint(v, order) for v in value)
    if isinstance(value, dict):
        return type(value), tuple((fingerprint(k), fingerprint(v, order)) for k, v in value.items())
    if isinstance(value, np.dtype):
        return np.dtype, value
    kind = type(value)
    ours = kind.__module__.partition(".")[0] in ("jax", "jaxlib")
    if isinstance(value, np.ndarray | np.generic) or (ours and hasattr(value, "__array__")):
        return _of_array(value)
    if ours and hasattr(value, "expand") and hasattr(value, "in_avals"):
        # a primitive of JAX's own with an instance for each use, such as searchsorted
        return kind, fingerprint(vars(value), order)
    # a callable, even a wrapped one, may be equal to another and yet compute something else
    opaque = callable(value) or hasattr(value, "call_wrapped")
    if (
        ours
        and not opaque
        and vars(kind).get("__hash__", True)
        and any("__eq__" in vars(base) for base in kind.__mro__[:-1])
    ):
        return kind, value
    return Itself(value)


def is_jaxpr(value: Any) -> bool:
    """Whether it is a jaxpr, with its constants or without."""
    return isinstance(value, core.ClosedJaxpr | core.Jaxpr)


def _of_array(value: Any) -> Hashable:
    try:
        array = np.asarray(value)
    except Exception:  # noqa: BLE001 - random keys, and tracers of someone around us, have no bytes
        return Itself(value)
    return Itself(value) if array.dtype.hasobject else ("array", array.shape, array.dtype, array.tobytes())


def _of_jaxpr(jaxpr: Jaxpr, order: int) -> Hashable:
    inner: Jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    numbers: dict[Any, int] = {}

    def define(variables: Iterable[Any]) -> Hashable:
        numbers.update((v, len(numbers) + i) for i, v in enumerate(variables))
        return tuple(v.aval for v in variables)

    def use(atoms: Iterable[Any]) -> Hashable:
        return tuple((fingerprint(a.val), a.aval) if isinstance(a, core.Literal) else numbers[a] for a in atoms)

    head = define(inner.constvars), fingerprint(constants(jaxpr)), define(inner.invars)
    body = tuple((operation(e, order), use(e.invars), define(e.outvars)) for e in inner.eqns)
    return head, body, use(inner.outvars)


def constants(jaxpr: Jaxpr) -> tuple[Any, ...]:
    """Return the constants of a jaxpr, none if it comes without."""
    return tuple(getattr(jaxpr, "consts", ()))


def operation(equation: Equation, order: int = 0, without: Iterable[str] = ()) -> Hashable:
    """Return what an equation does, whatever its operands; parameters may be left out."""
    params = {name: value for name, value in sorted(equation.params.items()) if name not in without}
    if "jvp_jaxpr_fun" in params:
        rule = custom_rule(equation) if order < ORDERS else ()
        params["jvp_jaxpr_fun"] = params["jvp_jaxpr_fun"] if rule is None else rule
        order += 1
    # contexts are equal by what they hold: JAX 0.10.0 makes one for each equation
    return equation.primitive.name, Itself(equation.primitive), equation.ctx, fingerprint(params, order)


def custom_rule(equation: Equation) -> Jaxpr | None:
    """Return the rule of a ``custom_jvp`` as a jaxpr; None if it cannot be known for all uses."""
    if equation.params.get("symbolic_zeros"):
        return None
    avals = [v.aval for v in equation.invars]
    smooth = [jnp.issubdtype(a.dtype, np.inexact) for a in avals]
    primals = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals]

    def apply(*args: Array) -> Any:
        return equation.primitive.bind(*args, **equation.primitive.get_bind_params(equation.params))

    def rule(primals: list[Array], tangents: list[Array]) -> Any:
        given = iter(tangents)
        along = [next(given) if s else np.zeros(a.shape, jax.dtypes.float0) for s, a in zip(smooth, avals, strict=True)]
        return jax.jvp(apply, primals, along)

    try:
        return jax.make_jaxpr(rule)(primals, [p for p, s in zip(primals, smooth, strict=True) if s])
    except Exception:  # noqa: BLE001 - it is the user's
        return None
