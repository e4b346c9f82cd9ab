"""All that is known of a fit in one row: what a task hands back, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.options import Criterion
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult, Source
from .chunks import Slices

# The attributes of a `FitResult` that hold a value per parameter and fit, and those that hold a number per fit.
BY_NAME: dict[str, Any] = {
    "params": np.float64,
    "solution": np.float64,
    "stderr": np.float64,
    "start": np.float64,
    "at_bound": np.int8,
}
NUMBERS: dict[str, Any] = {
    "status": np.int8,
    "flags": np.uint16,
    "cost": np.float64,
    "n_used": np.int64,
    "n_left_out": np.int64,
    "n_iterations": np.int32,
    "n_free": np.int64,
    "n_shared": np.int64,
    "spread": np.float64,
    "squares": np.float64,
    "chi2": np.float64,
    "attempt": np.int8,
    "refused": np.uint16,
}
DERIVED = ("reduced_chi2", "r2", "aicc", "bic")


def record_type(n_params: int) -> np.dtype[Any]:
    """One fit."""
    return np.dtype(
        [(name, kind, (n_params,)) for name, kind in BY_NAME.items()]
        + [("covariance", np.float64, (n_params, n_params))]
        + list(NUMBERS.items())
    )


def pack(result: FitResult) -> NDArray[Any]:
    """Return a result as records on its grid."""
    names = result.model.names
    records = np.empty(result.shape, record_type(len(names)))
    for field in BY_NAME:
        by_name = getattr(result, field)
        for i, name in enumerate(names):
            records[field][..., i] = by_name[name]
    for field in ("covariance", *NUMBERS):
        records[field] = getattr(result, field)
    return records


def unpack(
    records: NDArray[Any],
    model: Model,
    source: Source,
    /,
    *,
    known_sigma: bool,
    criterion: Criterion,
    seconds: float = 0.0,
    device: str = "",
    kind: Callable[..., FitResult] = FitResult,
    **more: Any,
) -> FitResult:
    """Return a result of records, NumPy's or Dask's; `more` goes to its class."""
    fields: dict[str, Any] = {field: records[field] for field in ("covariance", *NUMBERS)}
    for field in BY_NAME:
        values = records[field]
        fields[field] = {name: values[..., i] for i, name in enumerate(model.names)}
    return kind(
        **fields,
        model=model,
        source=source,
        known_sigma=known_sigma,
        criterion=criterion,
        seconds=seconds,
        device=device,
        **more,
    )


def stored_maps(result: FitResult) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array that a result holds with its name, ``"params/tau"`` for those of a parameter."""
    for field in BY_NAME:
        for name, values in getattr(result, field).items():
            yield f"{field}/{name}", values
    for field in ("covariance", *NUMBERS):
        yield field, getattr(result, field)


def all_maps(result: FitResult) -> Iterator[tuple[str, NDArray[Any]]]:
    """Return the same and those that are computed from them."""
    yield from stored_maps(result)
    for name in DERIVED:
        yield name, getattr(result, name)


def fill(target: FitResult, where: Slices, piece: FitResult) -> None:
    """Copy a piece to its position on the grid of the whole."""
    for (_, whole), (_, part) in zip(stored_maps(target), stored_maps(piece), strict=True):
        whole[where] = part
