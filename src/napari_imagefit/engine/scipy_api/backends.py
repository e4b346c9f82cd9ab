"""The ways to compute a user's function: padded and compiled, compiled as it is, or called on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.errors import FitInputError, FitInputTypeError
from ..core.options import Options
from ..core.types import Array, Floats
from ..core.validation import refuse_traced
from ..functions.parameter import Parameter
from ..models.model import Model, WholeModel
from ..models.numpy_model import NumpyModel
from ..models.prediction import linearise, values_of
from ..tracing.trace import Traced
from .arguments import CurveInput

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


@dataclass(frozen=True)
class Plan:
    """Way in which a function of the user's is computed.

    `strategy.plan_for` chooses it once for a call of `curve_fit`: samples padded to a common length, so that a program
    serves many lengths, where the function is element-wise; a program for just this length where JAX can trace it; or
    the function as it is, in NumPy with finite differences. The fit sees nothing of the difference: it is given a
    `Model` and its coordinates. `values` and `slopes` are the function and its derivatives where the fit is over.
    """

    model: Model
    coords: tuple[Floats, ...]  # (m,) each
    length: int  # of the residuals
    whole: bool  # whether all samples are looked at together
    values: Callable[[Floats], Floats]  # parameters (n,) → (m,), outside of the fit
    slopes: Callable[[Floats], Floats]  # → (n, m)
    exact: bool = True  # whether the slopes are good to rounding


def _no_guess(_coords: Any, data: Array, _weights: Any) -> Array:
    """Return ones: starts are always given, and the number of parameters is not known here."""
    return jnp.ones((1, data.shape[1]))


def samplewise(found: Traced, slopes: tuple[Traced, ...] | None, x: Floats, rows: int, n: int) -> Plan:
    """Return the plan of a function that was traced for so many samples, perhaps with derivatives by column."""
    leading = x.shape[:-1]
    flat = tuple(x.reshape(-1, x.shape[-1]))

    def evaluated(traced: Traced, coords: tuple[Array, ...], params: tuple[Array, ...]) -> Array:
        def piece(some: Array) -> Array:
            return traced.evaluate(some.reshape(*leading, rows), params)

        m = coords[0].shape[0]
        every = jnp.stack(coords)
        if m == rows:
            return piece(every)
        padded = jnp.pad(every, ((0, 0), (0, -m % rows)), mode="edge")
        pieces = jnp.moveaxis(padded.reshape(len(coords), -1, rows), 1, 0)
        return jax.lax.map(piece, pieces).reshape(-1)[:m]

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        return evaluated(found, coords, params)

    def given_jacobian(coords: tuple[Array, ...], *params: Array) -> Array:
        assert slopes is not None
        return jnp.stack([evaluated(column, coords, params) for column in slopes])

    model = Model(
        "f", function, _parameters(n), len(flat), _no_guess, jacobian=None if slopes is None else given_jacobian
    )
    key = ("samplewise", found.key, () if slopes is None else tuple(column.key for column in slopes), n)
    return _compiled(model.made_of(key, broadcasts=False), flat, x.shape[-1])


def _compiled(model: Model, coords: tuple[Floats, ...], length: int) -> Plan:
    columns = tuple(c[:, None] for c in coords)

    def values(popt: Floats) -> Floats:
        return values_of(model, columns, popt[:, None], Options())[:, 0]

    def slopes(popt: Floats) -> Floats:
        return linearise(model, columns, popt[:, None])[1][:, :, 0]

    return Plan(model, coords, length, model.exact, values, slopes)


def length_of(shape: tuple[int, ...], given: CurveInput) -> int:
    """Return the number of residuals when `f` returns values of a shape."""
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
    """Refuse derivatives of another shape; raises `FitInputTypeError`."""
    if shape != expected:
        raise FitInputTypeError(f"`jac` returns derivatives of shape {shape}; give (data, parameters) = {expected}")


def compiled(found: Traced, slopes: Traced | None, given: CurveInput) -> Plan:
    """Return the samples as they are, in a program for this length."""
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
    model = WholeModel(
        "f", function, _parameters(n), len(coords), _no_guess, jacobian=None if slopes is None else given_jacobian
    )
    return _compiled(model.made_of(key, broadcasts=False), coords, length)


def _parameters(n: int) -> list[Parameter]:
    return [Parameter(f"p{i}") for i in range(n)]


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
        # a context of its own would take as long as a short function
        try:
            # a copy: it may be an array of the function's own, which the next call fills anew
            return np.array(f(x, *params))
        except TypeError as error:
            refuse_traced(error, "what f computes")
            raise

    last: list[tuple[bytes, Any]] = [(given.p0.tobytes(), call(given.p0) if early is None else early.copy())]
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
        kind = complex if column.dtype.kind == "c" else float
        found = np.asarray(found, kind)
        return (found if found.shape == (length,) else np.broadcast_to(found, (length,)))[:, None]

    def slopes(params: NDArray[Any], _values: NDArray[Any]) -> NDArray[Any] | None:
        if not callable(jac):
            return None
        found = np.asarray(jac(x, *params[:, 0]), float)
        check_jacobian(found.shape, (length, n))
        return found.T[:, :, None]

    model = NumpyModel(
        "f",
        _never,
        _parameters(n),
        1,
        _no_guess,
        values=values,
        slopes=slopes,
        complex_steps=complex_steps,
        rho=rho,
    )

    def derivatives(popt: Floats) -> Floats:
        column, bounds = popt[:, None], (given.lower[:, None], given.upper[:, None])
        return model.derivatives(column, values(column), tuple(range(n)), *bounds)[:, :, 0]

    one = (np.arange(float(length)),)
    exact = callable(jac) or complex_steps
    return Plan(model, one, length, False, lambda popt: values(popt[:, None])[:, 0], derivatives, exact)


def _never(*_: Any) -> Any:
    raise AssertionError("a model on the host is not traced")
