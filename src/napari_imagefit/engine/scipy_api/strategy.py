"""Choice of how `curve_fit` computes a function: compiled and padded, compiled as it is, or on the host."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.device import find_device, has_device, in_precision
from ..core.types import Array, Floats, Loss, LossFunction
from ..core.validation import with_values
from ..noise.samples import TILE, bucket
from ..tracing.trace import Traced, trace
from .arguments import CurveInput
from .backends import Plan, check_jacobian, compiled, length_of, on_host, samplewise
from .traces import TracesOf

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Functions of which it is kept whether they can be differentiated.
KEPT_SMOOTHNESS = 128


def padded_length(length: int, flength: int | None) -> int:
    """Return the length to which data are padded."""
    if flength is None or length > flength:
        return bucket(length)
    # long ones are looked at in tiles, of which there must be a whole number
    return flength if flength <= TILE else -(-flength // TILE) * TILE


def plan_for(
    f: Callable[..., Any],
    given: CurveInput,
    jac: Callable[..., Any] | str | None,
    loss: Loss | LossFunction,
    flength: int | None,
    traces: TracesOf,
    traces_of_jac: TracesOf | None,
) -> Plan:
    """Choose: padded if `f` is proved to compute each sample by itself, compiled if JAX can trace it, else on the host.

    Raises
    ------
    FitInputError
        If what `f` returns does not go with ydata.
    """
    named = modules_named(f)
    if "jax" not in named and ("numpy" in named or not has_device()):
        # it would be traced in vain
        return on_host(f, given, jac, loss if callable(loss) else None, None)
    find_device(None)
    given = _as_f_takes_it(f, given)
    x, n = given.xdata, given.p0.size
    # a function that keeps what it is called with must not be traced in vain: it would meet JAX's tracers later
    early = None
    rows, padded = _padded(x, flength)
    if "jax" not in named and (padded, n) not in traces:
        # as NumPy itself would: a number that is too small is not worth a word
        with in_precision("float64"), np.errstate(all="warn", under="ignore"), with_values("what f computes"):
            early = np.asarray(f(x, *given.p0))
    if callable(loss) and not _is_traceable_loss(loss):
        return on_host(f, given, jac, loss, early)
    plan = None
    if padded is not None and given.ydata.size in (1, x.shape[-1]):
        plan = _samplewise(x, rows, padded, n, traces, traces_of_jac)
    return plan or _as_it_is(given, traces, traces_of_jac) or on_host(f, given, jac, None, early)


def _as_f_takes_it(f: Callable[..., Any], given: CurveInput) -> CurveInput:
    """Replace a table's column as xdata by its numbers, if `f` takes these alone.

    A function of NumPy takes a column as it is, and may use more of it than its numbers; one of JAX refuses it.
    """
    x = given.xdata
    if isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "__array__"):
        return given
    with in_precision("float64") if "jax" in sys.modules else contextlib.nullcontext(), np.errstate(all="ignore"):
        try:
            f(x, *given.p0)
        except Exception:  # noqa: BLE001 - whatever it is, the function may take numbers, or raises an error itself
            with contextlib.suppress(TypeError, ValueError):
                return replace(given, xdata=np.asarray(x, float))
    return given


def _samplewise(
    x: Floats, rows: int, padded: Floats, n: int, traces: TracesOf, traces_of_jac: TracesOf | None
) -> Plan | None:
    """Return a plan if each value, and each row of derivatives, is proved to depend on its own sample alone."""
    found = traces.trace(padded, n)
    if found is None or not found.samplewise:
        return None
    if traces_of_jac is None:
        return samplewise(found, None, x, rows, n) if _is_smooth(found, padded, n) else None
    slopes = _columns(traces_of_jac, padded, n)
    return None if slopes is None else samplewise(found, slopes, x, rows, n)


def _as_it_is(given: CurveInput, traces: TracesOf, traces_of_jac: TracesOf | None) -> Plan | None:
    """Return a plan if JAX can trace `f`, and its derivatives or the function that gives them."""
    x, n = given.xdata, given.p0.size
    found = traces.trace(x, n)
    if found is None:
        return None
    if traces_of_jac is None:
        return compiled(found, None, given) if _is_smooth(found, x, n) else None
    slopes = traces_of_jac.trace(x, n)
    if slopes is None:
        return None
    check_jacobian(slopes.out_shape, (length_of(found.out_shape, given), n))
    return compiled(found, slopes, given)


def _columns(traces: TracesOf, x: Floats, n: int) -> tuple[Traced, ...] | None:
    """Return the derivatives, column by column, if they are proved to keep samples apart."""
    whole = traces.trace(x, n)
    # another shape is refused later, where it is clear which one is expected
    if whole is None or whole.out_shape != (x.shape[-1], n):
        return None
    columns = tuple(one for one in traces.columns(x, n) if one is not None and one.samplewise)
    return columns if len(columns) == n else None


def _padded(x: Any, flength: int | None) -> tuple[int, Floats | None]:
    """Return how many samples a function is to see at once, and xdata of so many; None if it has no axis of samples."""
    if not isinstance(x, np.ndarray) or not x.ndim or not x.shape[-1]:
        return 0, None
    length = x.shape[-1]
    rows = min(padded_length(length, flength), TILE)
    return rows, np.concatenate([x, np.repeat(x[..., -1:], max(0, rows - length), axis=-1)], axis=-1)[..., :rows]


def modules_named(f: Callable[..., Any]) -> set[str]:
    """Return what the code of a function names: ``"jax"`` for anything of JAX, ``"numpy"`` for what cannot be traced.

    The latter are functions of NumPy, SciPy and ``math``; constants such as ``np.pi`` are not among them.
    """
    f = inspect.unwrap(f)
    f = getattr(f, "__func__", f)
    code = getattr(f, "__code__", None)
    if code is None:
        return {"numpy"} if isinstance(f, np.ufunc) else set()
    names = [f.__globals__[name] for name in code.co_names if name in f.__globals__]
    cells = [cell.cell_contents for cell in f.__closure__ or () if _is_filled(cell)]
    found = set()
    for value in names + cells:
        module = inspect.ismodule(value)
        owner = str(getattr(value, "__name__", "") if module else getattr(value, "__module__", "")).split(".")[0]
        if owner in ("jax", "jaxlib"):
            found.add("jax")
        elif owner in ("numpy", "scipy", "math"):
            called = [getattr(value, name, None) for name in code.co_names] if module else [value]
            if any(callable(one) and not isinstance(one, type) for one in called):
                found.add("numpy")
        elif isinstance(value, np.ufunc):
            found.add("numpy")
    return found


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_traceable_loss(loss: LossFunction) -> bool:
    """Whether it is JAX's, and looks at each sample by itself: others are not to meet samples that only pad."""
    with in_precision("float64"):
        try:
            out = jax.eval_shape(loss, jax.ShapeDtypeStruct((5, 1), np.float64))
        except Exception:  # noqa: BLE001 - what is wrong with it shows where it is run in NumPy
            return False
    if getattr(out, "shape", None) != (3, 5, 1):
        return False
    rows = [trace(lambda z, k=k: loss(z)[k], np.ones(16), 0, np.float64) for k in range(3)]
    return all(row is not None and row.samplewise for row in rows)


_smooth: OrderedDict[Hashable, bool] = OrderedDict()


def _is_smooth(found: Traced, x: Any, n: int) -> bool:
    """Whether JAX can differentiate it forwards."""
    key = found.key, n
    if key not in _smooth:
        _smooth[key] = _can_differentiate(found, x, n)
        if len(_smooth) > KEPT_SMOOTHNESS:
            _smooth.popitem(last=False)
    return _smooth[key]


def _can_differentiate(found: Traced, x: Any, n: int) -> bool:
    with in_precision("float64"):
        number = jax.ShapeDtypeStruct((), np.float64)
        where = jax.ShapeDtypeStruct(x.shape, np.float64) if isinstance(x, np.ndarray) else None

        def slope(x: Array, params: tuple[Array, ...]) -> Array:
            return jax.jvp(lambda *p: found.evaluate(x, p), params, params)[1]

        try:
            jax.eval_shape(slope, where, (number,) * n)
        except Exception:  # noqa: BLE001 - the host can differentiate anything
            return False
    return True
