"""Objects of osipy's ``FittableModel`` protocol as models of this engine, in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.device import in_precision
from ..core.errors import FitInputError
from ..core.types import Array, Floats
from ..models.model import Model

Limit = tuple[Any, Any]
T = TypeVar("T")

PROTOCOL_METHODS = ("parameters", "get_bounds", "get_initial_guess_batch", "predict_array_batch")


class FittableModel(Protocol):
    """osipy's protocol: a model whose coordinates are bound, evaluated for a batch of voxels with NumPy or JAX as `xp`.

    Columns (voxels) are independent. ``compute_jacobian_batch`` may be missing or return None.
    """

    @property
    def parameters(self) -> Sequence[str]:
        """Names, in order."""

    def get_bounds(self) -> Mapping[str, Limit]:
        """Lower and upper bound by name; a parameter that is not named has none."""

    def get_initial_guess_batch(self, observed: Array, xp: Any) -> Array:
        """Return starts ``(n_params, n_voxels)`` for data ``(n_observations, n_voxels)``."""

    def predict_array_batch(self, params: Array, xp: Any) -> Array:
        """Return values ``(n_observations, n_voxels)`` at parameters ``(n_params, n_voxels)``."""

    def compute_jacobian_batch(self, params: Array, predicted: Array, xp: Any) -> Array | None:
        """Return derivatives ``(n_params, n_observations, n_voxels)``."""


def check_protocol(model: Any) -> None:
    """Refuse what is no such object.

    Raises
    ------
    FitInputError
        Naming what lacks.
    """
    if isinstance(model, Model):
        raise FitInputError(f"model {model.name!r} has no coordinates yet; give {model.name}.bind(x)")
    missing = [name for name in PROTOCOL_METHODS if not hasattr(model, name)]
    if missing:
        raise FitInputError(
            f"the model is a {type(model).__name__} without {', '.join(missing)}; "
            "give Model.bind(x), or an object with osipy's FittableModel protocol"
        )


@dataclass(frozen=True, eq=False)
class Calls:
    """The object's methods, called with NumPy, with what they return checked."""

    model: FittableModel
    n_observations: int

    def guess(self, observed: NDArray[Any]) -> Floats:
        """Return starts ``(n_params, N)`` for data ``(m, N)``; NaN where there is none.

        The object sees no NaN: gaps are filled from the samples beside them, and voxels without any are 0. It is given
        all voxels at once, as osipy does.
        """
        n, fits = len(self.model.parameters), observed.shape[1]
        some = np.isfinite(observed).any(axis=0)
        columns = _fill_gaps(np.where(some, observed, 0).astype(np.float64))
        found = _run(functools.partial(self.model.get_initial_guess_batch, columns, np))
        starts = np.where(some, _shaped(found, (n, fits), "get_initial_guess_batch"), np.nan).astype(np.float64)
        starts[~np.isfinite(starts)] = np.nan
        return starts

    def predict(self, params: NDArray[Any]) -> NDArray[Any]:
        """Values ``(m, B)``, in the object's precision."""
        found = _run(lambda: np.asarray(self.model.predict_array_batch(params, np)))
        if found.shape == (params.shape[1], self.n_observations) and found.shape[0] != found.shape[1]:
            raise FitInputError(
                f"predict_array_batch returns {found.shape}, one row per voxel; let it return its transpose, "
                f"(n_observations, n_voxels) = {found.shape[::-1]}"
            )
        if found.ndim == 2 and found.shape[0] != self.n_observations:
            raise FitInputError(
                f"the data have {self.n_observations} observations per voxel, but the model predicts {found.shape[0]}; "
                "give the data at the coordinates that the model was bound to"
            )
        return _shaped(found, (self.n_observations, params.shape[1]), "predict_array_batch")

    def jacobian(self, params: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any] | None:
        """Return derivatives ``(n_params, m, B)``, or None."""
        method = getattr(self.model, "compute_jacobian_batch", None)
        found = None if method is None else _run(lambda: method(params, predicted, np))
        if found is None:
            return None
        return _shaped(found, (params.shape[0], self.n_observations, params.shape[1]), "compute_jacobian_batch")


def _run(call: Callable[[], T]) -> T:
    # what mixes NumPy and JAX must not be rounded to single precision
    with in_precision("float64"):
        return call()


def _shaped(found: Any, shape: tuple[int, ...], method: str) -> NDArray[Any]:
    array = np.asarray(found)
    if array.shape != shape:
        raise FitInputError(f"{method} of the model returns shape {array.shape}; let it return {shape}")
    return array


def _fill_gaps(block: Floats) -> Floats:
    """Return samples that are not finite, from their neighbours in the same column."""
    finite = np.isfinite(block)
    places = np.arange(len(block))
    for column in np.flatnonzero(~finite.all(axis=0)):
        known = finite[:, column]
        block[~known, column] = np.interp(places[~known], places[known], block[known, column])
    return block
