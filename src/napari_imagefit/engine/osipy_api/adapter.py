"""Objects with osipy's protocol as models, which are called in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Array, Floats
from ..functions.parameter import Parameter
from ..models.model import Model
from ..models.numpy_model import NumpyModel
from .protocol import Calls, FittableModel


@dataclass(frozen=True, eq=False, repr=False)
class ForeignModel(NumpyModel):
    """An object's NumPy code; columns whose parameters are not numbers never reach it."""

    precision: np.dtype[Any] = field(kw_only=True)

    def derivatives(
        self, params: NDArray[Any], values: NDArray[Any], free: tuple[int, ...], lower: Array, upper: Array
    ) -> NDArray[Any]:
        """Return what `NumpyModel.derivatives` does; steps of differences suit the precision of the object's values."""
        found = super().derivatives(params, values.astype(self.precision), free, lower, upper)
        return found.astype(np.float64)


def nameless(model: FittableModel) -> Model:
    """Return a model with the object's parameters, which computes nothing yet; their bounds are not in it."""
    name = getattr(model, "name", None)
    # names such as D*, which are no identifiers, are replaced
    parameters = [Parameter(p if p.isidentifier() else f"parameter_{i}") for i, p in enumerate(model.parameters)]
    return Model(name if isinstance(name, str) else type(model).__name__, _never, parameters, 1, _no_guess)


def inside(starts: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return starts moved off their bounds."""
    width = upper - lower
    margin = 1e-3 * np.where(np.isfinite(width), width, np.maximum(np.abs(starts), 1e-30))
    return np.clip(starts, lower + margin, upper - margin)


def to_model(model: FittableModel, calls: Calls, starts: Floats) -> Model:
    """Return the object as a model that is called in NumPy.

    Parameters
    ----------
    starts : array, ``(n_params, N)``
        Where it is called first, to see what it returns.

    Raises
    ------
    FitInputError
        If the object returns arrays of wrong shapes.
    """
    usable = starts[:, np.isfinite(starts).all(axis=0)][:, :1]
    # two columns: with one, rows and columns look alike
    probes = np.repeat(usable if usable.size else np.ones((len(starts), 1)), 2, axis=1)
    values = calls.predict(probes)
    calls.jacobian(probes, values)
    return _on_host(model, calls, values.dtype)


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
    """Return NaN, for starts are given.

    Where the object knows none, there is no fit. In NumPy, as guesses of host models must be.
    """
    return np.full_like(np.asarray(data)[:1], np.nan)


def _never(*_: Any) -> Any:
    raise AssertionError("a model on the host is not traced")
