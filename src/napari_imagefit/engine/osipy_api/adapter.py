"""Objects with osipy's protocol as models: compiled where that gives the same, else on the host."""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..models.model import Array, Model, Parameter
from ..models.numpy_model import HostModel
from ..models.trace import Traced, trace
from .protocol import Calls, FittableModel, Real

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Objects that compute the same share one model, and with it what was compiled.
KEPT = 64
_models: OrderedDict[Hashable, Model] = OrderedDict()

PROBES = 8  # columns of parameters near the starts, and as many anywhere between the bounds


@dataclass(frozen=True, eq=False, repr=False)
class ForeignModel(HostModel):
    """An object's NumPy code; columns whose parameters are not numbers never reach it."""

    precision: np.dtype[Any] = field(kw_only=True)

    def derivatives(
        self, params: NDArray[Any], values: NDArray[Any], free: tuple[int, ...], lower: Array, upper: Array
    ) -> NDArray[Any]:
        """As `HostModel.derivatives`; differences have steps that suit the precision of the object's values."""
        found = super().derivatives(params, values.astype(self.precision), free, lower, upper)
        return found.astype(np.float64)


def nameless(model: FittableModel) -> Model:
    """A model with the object's parameters, which computes nothing yet; their bounds are not in it."""
    name = getattr(model, "name", None)
    # names such as D*, which are no identifiers, are replaced
    parameters = [Parameter(p if p.isidentifier() else f"parameter_{i}") for i, p in enumerate(model.parameters)]
    return Model(name if isinstance(name, str) else type(model).__name__, _never, parameters, 1, _no_guess)


def inside(starts: Real, lower: Real, upper: Real) -> Real:
    """Starts moved off their bounds."""
    width = upper - lower
    margin = 1e-3 * np.where(np.isfinite(width), width, np.maximum(np.abs(starts), 1e-30))
    return np.clip(starts, lower + margin, upper - margin)


def to_model(model: FittableModel, calls: Calls, starts: Real, lower: Real, upper: Real) -> Model:
    """The object as a model: compiled if its code takes `jax.numpy` and then gives what it gives in NumPy.

    Parameters
    ----------
    starts : array, ``(n_params, N)``
        Places near which the two are compared.
    lower, upper : arrays, ``(n_params,)``

    Raises
    ------
    FitInputError
        If the object returns arrays of wrong shapes.
    """
    probes = _probes(starts, lower, upper)
    values = calls.predict(probes)
    slopes = calls.jacobian(probes, values)
    return _compiled(model, probes, values, slopes) or _on_host(model, calls, values.dtype)


def _probes(starts: Real, lower: Real, upper: Real) -> Real:
    rng = np.random.default_rng(0)
    low, high = lower[:, None], upper[:, None]
    usable = starts[:, np.isfinite(starts).all(axis=0)][:, :PROBES]
    near = np.resize(usable.T, (PROBES, len(starts))).T if usable.size else np.ones((len(starts), PROBES))
    near = near + np.where(near == 0, 1, near) * rng.uniform(-0.2, 0.2, near.shape)
    width = np.where(np.isfinite(high - low), high - low, 0)
    anywhere = np.where(width > 0, np.where(width > 0, low, 0) + width * rng.uniform(0, 1, near.shape), near)
    both = np.clip(np.concatenate([near, anywhere], axis=1), low, high)
    return inside(both, low, high)


def _compiled(model: FittableModel, probes: Real, values: NDArray[Any], slopes: NDArray[Any] | None) -> Model | None:
    """None if JAX cannot trace the object, or it does not compute each column by itself."""
    n, m = len(probes), len(values)
    with contextlib.suppress(Exception):
        model = copy.copy(model)  # tracers that it may keep are kept by the copy

    def predict(_: None, *params: Array) -> Array:
        return jnp.asarray(model.predict_array_batch(jnp.stack(params)[:, None], jnp))[:, 0]

    def differentiate(_: None, *params: Array) -> Array:
        column = jnp.stack(params)[:, None]
        found = model.compute_jacobian_batch(column, model.predict_array_batch(column, jnp), jnp)
        return jnp.asarray(found)[:, :, 0]

    function = trace(predict, None, n, np.float64)
    given = None if slopes is None else trace(differentiate, None, n, np.float64)
    if function is None or function.out_shape != (m,):
        return None
    if slopes is not None and (given is None or given.out_shape != (n, m)):
        return None
    blank = nameless(model)
    key = (function.key, None if given is None else given.key, blank.name, blank.names)
    if key in _models:
        _models.move_to_end(key)
        return _models[key]
    if not _agrees(function, given, probes, values, slopes):
        return None
    _models[key] = replace(
        blank,
        function=lambda _coords, *params: function.evaluate(None, params),
        jacobian=None if given is None else lambda _coords, *params: given.evaluate(None, params),
    )
    while len(_models) > KEPT:
        _models.popitem(last=False)
    return _models[key]


def _agrees(
    function: Traced, given: Traced | None, probes: Real, values: NDArray[Any], slopes: NDArray[Any] | None
) -> bool:
    """Whether one column at a time gives what the object gives for all at once, and derivatives that are numbers."""

    def one(params: Array) -> tuple[Array, Array]:
        derivatives = (
            given.evaluate(None, params) if given else jax.jacfwd(lambda p: function.evaluate(None, p))(params).T
        )
        return function.evaluate(None, params), derivatives

    try:
        with jax.enable_x64(True):
            found, derivatives = (np.asarray(a) for a in jax.jit(jax.vmap(one, -1, -1))(probes))
    except Exception:  # noqa: BLE001 - the object's code; NumPy runs it
        return False
    rtol = 1e-6 if values.dtype == np.float64 else 1e-4
    known = np.isfinite(values)
    if not known.any() or not np.isfinite(derivatives[:, known]).all():
        return False
    return _close(found, values, rtol) and (slopes is None or _close(derivatives, slopes, rtol))


def _close(found: NDArray[Any], expected: NDArray[Any], rtol: float) -> bool:
    """Compared with the largest of each curve: small differences of large numbers are rounded differently."""
    size = np.max(np.abs(np.where(np.isfinite(expected), expected, 0)), axis=-2, keepdims=True)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= rtol * np.maximum(np.abs(expected), 1e-3 * size)
    return bool((near | (found == expected) | (np.isnan(found) & np.isnan(expected))).all())


def _on_host(model: FittableModel, calls: Calls, dtype: np.dtype[Any]) -> Model:
    def values(params: NDArray[Any]) -> NDArray[Any]:
        bad = ~np.isfinite(params).all(axis=0)
        if bad.all():
            return np.full((calls.n_observations, params.shape[1]), np.nan)
        found = calls.predict(_patch(params, bad)).astype(np.float64)
        found[:, bad] = np.nan
        return found

    def slopes(params: NDArray[Any], known: NDArray[Any]) -> NDArray[Any] | None:
        bad = ~np.isfinite(params).all(axis=0)
        found = None if bad.all() else calls.jacobian(_patch(params, bad), _patch(known, bad))
        return None if found is None else np.where(bad, np.nan, found)

    blank = nameless(model)
    single = dtype.kind == "f" and dtype.itemsize < 8
    return ForeignModel(
        blank.name,
        _never,
        blank.parameters,
        1,
        _no_guess,
        values=values,
        slopes=slopes,
        precision=np.dtype(np.float32 if single else np.float64),
    )


def _patch(columns: NDArray[Any], bad: NDArray[np.bool_]) -> NDArray[Any]:
    """Bad columns replaced by the first good one."""
    return np.where(bad, columns[:, [int(np.argmin(bad))]], columns)


def _no_guess(_coords: Any, data: Array, _weights: Any) -> Array:
    """Starts are given; where the object knows none, there is no fit. In NumPy, as guesses of host models must be."""
    return np.full_like(np.asarray(data)[:1], np.nan)


def _never(*_: Any) -> Any:
    raise AssertionError("a model on the host is not traced")
