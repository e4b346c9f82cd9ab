"""A user's ``f(xdata, *params)`` as a program of JAX, with a key by which equal programs are told.

Two lambdas written alike are two objects to Python. Their jaxprs tell whether they compute the same, so that what was
compiled for one serves the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..._lazy import LazyModule
from ..core.device import in_precision
from ..core.errors import FitInputError
from ..core.types import Array
from ..core.validation import TRACED

if TYPE_CHECKING:
    import jax
    import jax.extend.core as core
    import jax.numpy as jnp
else:
    jax, jnp, core = LazyModule("jax"), LazyModule("jax.numpy"), LazyModule("jax.extend.core")

# JAX's own classes changed places and merged between versions
Jaxpr = Any
Equation = Any

# A custom derivative may be defined by itself, as that of sinc is; fits take first derivatives only.
ORDERS = 2


@dataclass(frozen=True, eq=False)
class Traced:
    """What `trace` found."""

    key: Hashable  # equal for the same computation of values and derivatives, at the same shape and precision
    evaluate: Callable[..., Array]  # evaluate(x or None, params) → values
    samplewise: bool  # whether each value is proved to depend on its own sample only, alike for any number of samples
    out_shape: tuple[int, ...]


def trace(f: Callable[..., Any], xdata: Any, n_params: int, dtype: DTypeLike) -> Traced | None:
    """Trace ``f(xdata, *params)``, and find out whether samples may be added without a change to the others.

    `f` is called once, or twice if it returns one value for each sample.

    Parameters
    ----------
    f : callable
        Written with ``jax.numpy``, or with operators alone.
    xdata : array or object
        An array is traced; its last axis is that of the samples. Anything else is passed as it is.
    n_params : int
        Each is traced as a number.
    dtype : dtype
        Of `xdata`, the parameters and the values: ``float32`` or ``float64``.

    Returns
    -------
    Traced or None
        None if `f` cannot be traced, has side effects, or does not return one real array. Call `evaluate` only while
        JAX is in that precision; it takes `xdata` of the same shape, or None if `xdata` was not traced.

    Examples
    --------
    >>> def decay(tau):
    ...     return trace(lambda t, a: a * jnp.exp(-t / tau), np.arange(5.0), 1, "float32")
    >>> decay(2.0).key == decay(2.0).key, decay(2.0).key == decay(3.0).key
    (True, False)
    >>> decay(2.0).samplewise
    True
    >>> trace(lambda t, a: a * np.exp(t), np.arange(5.0), 1, "float32") is None
    True
    """
    dtype = np.dtype(dtype)
    shape = xdata.shape if isinstance(xdata, np.ndarray) else None
    if shape is not None and xdata.dtype.kind not in "biuf":
        return None

    def call(length: int | None) -> tuple[Jaxpr, tuple[int, ...]] | None:
        number = jax.ShapeDtypeStruct((), dtype)
        if shape is None:
            return _call(lambda *params: f(xdata, *params), [number] * n_params)
        # a new function every time: JAX remembers what it traced for a function, whatever globals that reads
        x = jax.ShapeDtypeStruct(shape if length is None else (*shape[:-1], length), dtype)
        return _call(lambda *args: f(*args), [x, *[number] * n_params])

    with in_precision("float64" if dtype == np.float64 else "float32"):
        found = call(None)
        if found is None:
            return None
        jaxpr, out_shape = found
        key = (dtype, shape, out_shape, fingerprint(jaxpr))
        samplewise = False
        if shape and shape[-1] and out_shape == shape[-1:]:
            from .sample_independence import is_samplewise

            # about twice as many, and even for odd: m // 2, m % 2 and the like differ too
            lengths = shape[-1], 2 * shape[-1] + (shape[-1] + 1) % 2
            other = call(lengths[1])
            samplewise = other is not None and is_samplewise(jaxpr, other[0], lengths)

    replay = core.jaxpr_as_fun(_own(jaxpr))

    def evaluate(x: Array | None, params: Iterable[Array]) -> Array:
        leaves = params if shape is None else (x, *params)
        return jnp.asarray(replay(*(jnp.asarray(leaf, dtype) for leaf in leaves))[0], dtype)

    return Traced(key, evaluate, samplewise, out_shape)


def _call(f: Callable[..., Any], arguments: list[Any]) -> tuple[Jaxpr, tuple[int, ...]] | None:
    try:
        jaxpr, out = jax.make_jaxpr(f, return_shape=True)(*arguments)
    except Exception:  # noqa: BLE001 - whatever is wrong with f shows again where it is run in NumPy
        return None
    if any(isinstance(constant, jax.core.Tracer) for constant in constants(jaxpr)):
        raise FitInputError(f"a value that the function reads {TRACED}")
    if not isinstance(out, jax.ShapeDtypeStruct) or jaxpr.effects:
        return None
    real = any(jnp.issubdtype(out.dtype, kind) for kind in (np.floating, np.integer, np.bool_))
    return (jaxpr, tuple(out.shape)) if real else None


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


def _own(jaxpr: Jaxpr) -> Jaxpr:
    """Return the jaxpr with constants of its own: JAX only refers to captured arrays, which may be written to later."""
    inner: Jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    consts = constants(jaxpr)
    equations = [e.replace(params={k: _own_value(v) for k, v in e.params.items()}) for e in inner.eqns]
    changed = any(a.params[k] is not b.params[k] for a, b in zip(inner.eqns, equations, strict=True) for k in a.params)
    if not consts and not changed:
        return jaxpr
    if changed:
        inner = inner.replace(eqns=equations)
    if inner is not jaxpr and not hasattr(jaxpr, "consts"):
        return inner
    return jaxpr.replace(jaxpr=inner, consts=[c if isinstance(c, jax.Array) else np.array(c) for c in consts])


def _own_value(value: Any) -> Any:
    if is_jaxpr(value):
        return _own(value)
    if isinstance(value, tuple) and any(map(is_jaxpr, value)):
        return tuple(map(_own_value, value))
    return value
