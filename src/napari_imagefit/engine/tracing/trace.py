"""A user's ``f(xdata, *params)`` as a program of JAX, with a key by which equal programs are recognised.

Two lambdas written alike are two objects to Python. Their jaxprs show whether they compute the same, so that what was
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
from .jaxprs import Jaxpr, constants, fingerprint, is_jaxpr
from .sample_independence import is_samplewise

if TYPE_CHECKING:
    import jax
    import jax.extend.core as core
    import jax.numpy as jnp
else:
    jax, jnp, core = LazyModule("jax"), LazyModule("jax.numpy"), LazyModule("jax.extend.core")


@dataclass(frozen=True, eq=False)
class Traced:
    """Result of `trace`."""

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
