"""How `curve_fit` computes a function: compiled and padded, compiled as it is, or on the host."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..drive.coarse_problem import LENGTHS as COARSE_LENGTHS
from ..models.model import Array
from ..models.trace import Traced, trace
from ..sums.noise_and_loss import Loss, LossFunction
from ..sums.normal_equations import TILE, bucket, rows_of
from .arguments import CurveInput
from .backends import Plan, Real, check_jacobian, compiled, length_of, on_host, samplewise
from .closure_state import TracesOf

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Functions of which it is kept whether they can be differentiated.
KEPT = 128


def padded_length(length: int, flength: int | None) -> int:
    """The length to which data are padded."""
    if flength is None or length > flength:
        return bucket(length)
    # large ones are looked at in tiles, of which there must be a whole number
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
    """Padded if `f` is proved to compute each sample by itself, compiled if JAX can trace it, else on the host.

    Raises
    ------
    FitInputError
        If what `f` returns does not go with ydata.
    """
    x, n = given.xdata, given.p0.size
    # a function that keeps what it is called with must not be traced in vain: it would meet JAX's tracers later
    early = None
    rows, padded = _padded(x, flength)
    if not mentions_jax(f) and (padded, n) not in traces:
        with jax.enable_x64(True):
            early = np.asarray(f(x, *given.p0))
    if callable(loss) and not _is_traceable_loss(loss):
        return on_host(f, given, jac, loss, early)
    if padded is not None:
        fits = given.ydata.size in (1, x.shape[-1])
        # the start of a fit of many samples comes from fewer
        sizes = [rows] if rows < TILE else [rows, *COARSE_LENGTHS]
        every = _every_length(traces, padded, n, sizes) if fits else None
        if every is not None and (traces_of_jac is not None or _is_smooth(every[rows], padded, n)):
            slopes_of = None if traces_of_jac is None else _slopes_of_every_length(traces_of_jac, padded, n, sizes)
            if traces_of_jac is None or slopes_of is not None:
                return samplewise(every, slopes_of, x, n)
    found = traces.trace(x, n)
    if found is None:
        return on_host(f, given, jac, None, early)
    slopes = None if traces_of_jac is None else traces_of_jac.trace(x, n)
    if slopes is not None:
        check_jacobian(slopes.out_shape, (length_of(found.out_shape, given), n))
    if slopes is None if callable(jac) else not _is_smooth(found, x, n):
        return on_host(f, given, jac, None, early)
    return compiled(found, slopes, given)


def _every_length(traces: TracesOf, x: Real, n: int, sizes: list[int]) -> dict[int, Traced] | None:
    """The function at every number of samples that will be needed, if it is proved to keep them apart."""
    found: dict[int, Traced] = {}
    for size in sizes:
        one = traces.trace(x[..., :size], n)
        if one is None or not one.samplewise:
            return None
        found[size] = one
    return found


def _slopes_of_every_length(
    traces: TracesOf, x: Real, n: int, sizes: list[int]
) -> dict[int, tuple[Traced, ...]] | None:
    """The same of derivatives, column by column."""
    found: dict[int, tuple[Traced, ...]] = {}
    for size in sizes:
        part = x[..., :size]
        whole = traces.trace(part, n)
        # another shape is refused later, where it is clear which one is expected
        if whole is None or whole.out_shape != (size, n):
            return None
        columns = tuple(one for one in traces.columns(part, n) if one is not None and one.samplewise)
        if len(columns) < n:
            return None
        found[size] = columns
    return found


def _padded(x: Any, flength: int | None) -> tuple[int, Real | None]:
    """How many samples a function is to see at once, and xdata of so many; None if it has no axis of samples."""
    if not isinstance(x, np.ndarray) or not x.ndim or not x.shape[-1]:
        return 0, None
    length = x.shape[-1]
    rows = rows_of(padded_length(length, flength))
    return rows, np.concatenate([x, np.repeat(x[..., -1:], max(0, rows - length), axis=-1)], axis=-1)[..., :rows]


def mentions_jax(f: Callable[..., Any]) -> bool:
    """Whether the code of a function names something of JAX."""
    f = inspect.unwrap(f)
    f = getattr(f, "__func__", f)
    code = getattr(f, "__code__", None)
    if code is None:
        return False
    names = [f.__globals__[name] for name in code.co_names if name in f.__globals__]
    cells = [cell.cell_contents for cell in f.__closure__ or () if _is_filled(cell)]
    owners = (
        getattr(v, "__name__", "") if inspect.ismodule(v) else getattr(v, "__module__", "") for v in names + cells
    )
    return any(str(owner).split(".")[0] in ("jax", "jaxlib") for owner in owners)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_traceable_loss(loss: LossFunction) -> bool:
    """Whether it is JAX's, and looks at each sample by itself: others are not to meet samples that only pad."""
    with jax.enable_x64(True):
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
        if len(_smooth) > KEPT:
            _smooth.popitem(last=False)
    return _smooth[key]


def _can_differentiate(found: Traced, x: Any, n: int) -> bool:
    with jax.enable_x64(True):
        number = jax.ShapeDtypeStruct((), np.float64)
        where = jax.ShapeDtypeStruct(x.shape, np.float64) if isinstance(x, np.ndarray) else None

        def slope(x: Array, params: tuple[Array, ...]) -> Array:
            return jax.jvp(lambda *p: found.evaluate(x, p), params, params)[1]

        try:
            jax.eval_shape(slope, where, (number,) * n)
        except Exception:  # noqa: BLE001 - the host can differentiate anything
            return False
    return True
