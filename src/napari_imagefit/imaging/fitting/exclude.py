"""Discard results of voxels excluded after the fit."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult

# entries whose value is not NaN or 0 where nothing was fitted
BLANK = {"status": Status.NOT_FITTED}


def without(result: FitResult, places: ArrayLike) -> FitResult:
    """Return a result without values at some positions: NaN, and `Status.NOT_FITTED`.

    Parameters
    ----------
    result : FitResult
    places : bool array
        Of the grid's shape; True for each fit to discard.

    Returns
    -------
    FitResult
        Of copies; `result` stays as it is.

    Raises
    ------
    FitInputError
        If `places` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> result = fit_voxels(np.exp(-t[:, None] / np.array([2.0, 3.0])), "exponential_decay")
    >>> without(result, [True, False]).params["tau"].round(6)
    array([nan,  3.])
    """
    chosen = np.asarray(places, dtype=bool)
    if chosen.shape != result.shape:
        raise FitInputError(
            f"the places to leave out have shape {chosen.shape}; give one value for each fit, {result.shape}"
        )

    def emptied(name: str, values: NDArray[Any]) -> NDArray[Any]:
        empty = BLANK.get(name, np.nan if values.dtype.kind == "f" else 0)
        values = values.copy()
        values[chosen] = empty
        return values

    changed: dict[str, Any] = {}
    for entry in fields(result):
        value = getattr(result, entry.name)
        if isinstance(value, np.ndarray):
            changed[entry.name] = emptied(entry.name, value)
        elif isinstance(value, dict) and all(isinstance(v, np.ndarray) for v in value.values()):
            changed[entry.name] = {name: emptied(entry.name, v) for name, v in value.items()}
    return replace(result, **changed)
