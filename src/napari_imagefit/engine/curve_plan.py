"""How `curve_fit` computes a function: compiled and padded, compiled as it is, or on the host."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from .batch import predict
from .coarse import LENGTHS as COARSE_LENGTHS
from .criterion import Loss, LossFunction
from .curve_input import CurveInput
from .errors import FitInputError, FitInputTypeError
from .host_model import HostModel
from .model import Array, Model, Parameter
from .objective import TILE, bucket, jacobian, rows_of
from .problem import Options
from .seen_state import TracesOf
from .tracing import Traced, trace

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Real = NDArray[np.float64]

# Functions that compute the same share one model, and with it what was compiled.
KEPT = 128
_models: OrderedDict[Hashable, Model] = OrderedDict()


@dataclass(frozen=True)
class Plan:
    """How a function is computed."""

    model: Model
    coords: tuple[Real, ...]  # (m,) each
    length: int  # of the residuals
    whole: bool  # whether all samples are looked at together
    values: Callable[[Real], Real]  # parameters (n,) → (m,), outside of the fit
    slopes: Callable[[Real], Real]  # → (n, m)
    exact: bool = True  # whether the slopes are good to rounding


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
        return _on_host(f, given, jac, loss, early)
    if padded is not None:
        fits = given.ydata.size in (1, x.shape[-1])
        # the start of a fit of many samples comes from fewer
        sizes = [rows] if rows < TILE else [rows, *COARSE_LENGTHS]
        every = _every_length(traces, padded, n, sizes) if fits else None
        if every is not None and (traces_of_jac is not None or _is_smooth(every[rows], padded, n)):
            slopes_of = None if traces_of_jac is None else _slopes_of_every_length(traces_of_jac, padded, n, sizes)
            if traces_of_jac is None or slopes_of is not None:
                return _samplewise(every, slopes_of, x, n)
    found = traces.trace(x, n)
    if found is None:
        return _on_host(f, given, jac, None, early)
    slopes = None if traces_of_jac is None else traces_of_jac.trace(x, n)
    if slopes is not None:
        _check_jacobian(slopes.out_shape, (_length_of(found.out_shape, given), n))
    if slopes is None if callable(jac) else not _is_smooth(found, x, n):
        return _on_host(f, given, jac, None, early)
    return _compiled(found, slopes, given)


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


def _model(key: Hashable, n: int, make: Callable[[list[Parameter]], Model]) -> Model:
    """The model of that key, made if there is none."""
    if key in _models:
        _models.move_to_end(key)
        return _models[key]
    model = _models[key] = make([Parameter(f"p{i}") for i in range(n)])
    while len(_models) > KEPT:
        _models.popitem(last=False)
    return model


def _no_guess(_coords: Any, data: Array, _weights: Any) -> Array:
    """Starts are always given; that the number of parameters is not known here does no harm."""
    return jnp.ones((1, data.shape[1]))


def _samplewise(traces: dict[int, Traced], slopes: dict[int, tuple[Traced, ...]] | None, x: Real, n: int) -> Plan:
    """The plan of a function that was traced at all lengths at which it will be needed, perhaps with derivatives."""
    rows = max(traces)
    leading = x.shape[:-1]
    flat = x.reshape(-1, x.shape[-1])

    def x_of(coords: tuple[Array, ...]) -> Array:
        return jnp.stack(coords).reshape(*leading, coords[0].shape[0])

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        return traces[coords[0].shape[0]].evaluate(x_of(coords), params)

    def given_jacobian(coords: tuple[Array, ...], *params: Array) -> Array:
        assert slopes is not None
        return jnp.stack([column.evaluate(x_of(coords), params) for column in slopes[coords[0].shape[0]]])

    keys = [(traces[size].key, () if slopes is None else tuple(c.key for c in slopes[size])) for size in sorted(traces)]
    model = _model(
        ("samplewise", *keys, n),
        n,
        lambda parameters: Model(
            "f",
            function,
            parameters,
            max(1, len(flat)),
            _no_guess,
            jacobian=None if slopes is None else given_jacobian,
        ),
    )

    def values(popt: Real) -> Real:
        length = x.shape[-1]
        if length > rows:
            return predict(model, tuple(flat), popt[:, None], Options())[:, 0]
        piece = np.concatenate([x, np.repeat(x[..., -1:], rows - length, axis=-1)], axis=-1)
        with jax.enable_x64(True):
            return np.asarray(traces[rows].evaluate(piece, popt))[:length]

    return Plan(model, tuple(flat), x.shape[-1], False, values, _by_jax(model, tuple(flat), rows))


def _length_of(shape: tuple[int, ...], given: CurveInput) -> int:
    """How many residuals there are when `f` returns values of a shape."""
    try:
        found = np.broadcast_shapes(shape, given.ydata.shape)
    except ValueError:
        raise FitInputError(
            f"f returns values of shape {shape}, which do not go with ydata of shape {given.ydata.shape}; "
            "let it return one value for each"
        ) from None
    if len(found) > 1:
        raise FitInputError(f"f returns values of shape {shape}; let it return a vector")
    return int(np.prod(found))


def _check_jacobian(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    if shape != expected:
        raise FitInputTypeError(f"`jac` returns derivatives of shape {shape}; give (data, parameters) = {expected}")


def _compiled(found: Traced, slopes: Traced | None, given: CurveInput) -> Plan:
    """The samples as they are, in a program for this length."""
    x, n = given.xdata, given.p0.size
    length = _length_of(found.out_shape, given)
    # what is not an array of samples is part of the program already
    numeric = isinstance(x, np.ndarray)
    sampled = numeric and x.ndim > 0 and x.shape[-1] == length
    shape = x.shape if numeric else ()
    constant = None if not numeric or sampled else np.array(x)

    def x_of(coords: tuple[Array, ...]) -> Array | None:
        return jnp.stack(coords).reshape(shape) if sampled else constant

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        return jnp.broadcast_to(found.evaluate(x_of(coords), params), (length,))

    def given_jacobian(coords: tuple[Array, ...], *params: Array) -> Array:
        assert slopes is not None
        return slopes.evaluate(x_of(coords), params).T

    coords = tuple(x.reshape(-1, length)) if sampled else (np.arange(float(length)),)
    key = (
        "whole",
        found.key,
        None if slopes is None else slopes.key,
        None if constant is None else (constant.shape, constant.tobytes()),
        length,
        n,
    )
    model = _model(
        key,
        n,
        lambda parameters: Model(
            "f", function, parameters, len(coords), _no_guess, jacobian=None if slopes is None else given_jacobian
        ),
    )

    def values(popt: Real) -> Real:
        with jax.enable_x64(True):
            return np.broadcast_to(np.asarray(found.evaluate(x if numeric else None, popt)), (length,))

    return Plan(model, coords, length, True, values, _by_jax(model, coords, length))


def _on_host(
    f: Callable[..., Any],
    given: CurveInput,
    jac: Callable[..., Any] | str | None,
    rho: Callable[..., Any] | None,
    early: NDArray[Any] | None,
) -> Plan:
    """`f` as it is, called with NumPy arrays and numbers; `early` is what it returns at the start, if that is known."""
    x, n = given.xdata, given.p0.size
    complex_steps = isinstance(jac, str) and jac == "cs"

    def call(params: Any) -> Any:
        # a function that mixes NumPy and JAX must not be rounded to single precision
        with jax.enable_x64(True):
            return np.asarray(f(x, *params))

    last: list[tuple[bytes, Any]] = [(given.p0.tobytes(), call(given.p0) if early is None else early)]
    length = _length_of(last[0][1].shape, given)
    kind = last[0][1].dtype.kind
    if kind not in "biuf":
        what = "complex numbers" if kind == "c" else f"type {last[0][1].dtype}"
        raise TypeError(f"f returns {what}; let it return real numbers")

    def values(params: NDArray[Any]) -> NDArray[Any]:
        column = params[:, 0]
        key, found = last[0]
        if key != column.tobytes():
            found = call(column)
            last[0] = column.tobytes(), found
        kind = complex if np.iscomplexobj(column) else float
        return np.broadcast_to(np.asarray(found, kind), (length,))[:, None]

    def slopes(params: NDArray[Any], _values: NDArray[Any]) -> NDArray[Any] | None:
        if not callable(jac):
            return None
        with jax.enable_x64(True):
            found = np.asarray(jac(x, *params[:, 0]), float)
        _check_jacobian(found.shape, (length, n))
        return found.T[:, :, None]

    model = HostModel(
        "f",
        _never,
        [Parameter(f"p{i}") for i in range(n)],
        1,
        _no_guess,
        values=values,
        slopes=slopes,
        complex_steps=complex_steps,
        rho=rho,
    )

    def derivatives(popt: Real) -> Real:
        column, bounds = popt[:, None], (given.lower[:, None], given.upper[:, None])
        return model.derivatives(column, values(column), tuple(range(n)), *bounds)[:, :, 0]

    one = (np.arange(float(length)),)
    exact = callable(jac) or complex_steps
    return Plan(model, one, length, False, lambda popt: values(popt[:, None])[:, 0], derivatives, exact)


def _by_jax(model: Model, coords: tuple[Real, ...], rows: int) -> Callable[[Real], Real]:
    """Derivatives ``(n, m)`` of a model that takes `rows` samples at a time."""

    def slopes(popt: Real) -> Real:
        pieces = []
        program = jax.jit(lambda c, p: jacobian(model, c, p, tuple(range(len(popt))))[1])
        for first in range(0, len(coords[0]), rows):
            parts = [c[first : first + rows] for c in coords]
            short = rows - len(parts[0])
            with jax.enable_x64(True):
                columns = tuple(np.pad(c, (0, short), mode="edge")[:, None] for c in parts)
                pieces.append(np.asarray(program(columns, popt[:, None]))[:, : rows - short, 0])
        return np.concatenate(pieces, axis=1)

    return slopes


def _never(*_: Any) -> Any:
    raise AssertionError("a model on the host is not traced")
