"""The ways to compute a user's function: padded and compiled, compiled as it is, or called on the host."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.errors import FitInputError, FitInputTypeError
from ..drive.problem import Options
from ..models.model import Array, Model, Parameter
from ..models.numpy_model import HostModel
from ..models.prediction import predict
from ..models.trace import Traced
from ..sums.normal_equations import jacobian
from .arguments import CurveInput

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


def samplewise(traces: dict[int, Traced], slopes: dict[int, tuple[Traced, ...]] | None, x: Real, n: int) -> Plan:
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


def length_of(shape: tuple[int, ...], given: CurveInput) -> int:
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


def check_jacobian(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    if shape != expected:
        raise FitInputTypeError(f"`jac` returns derivatives of shape {shape}; give (data, parameters) = {expected}")


def compiled(found: Traced, slopes: Traced | None, given: CurveInput) -> Plan:
    """The samples as they are, in a program for this length."""
    x, n = given.xdata, given.p0.size
    length = length_of(found.out_shape, given)
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


def on_host(
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
    length = length_of(last[0][1].shape, given)
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
        check_jacobian(found.shape, (length, n))
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
