"""Settings of single fits that cannot be used: which fits they cost, and what the others are fitted with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.refusal import SIGMA, number_of
from ...engine.core.types import Bounds, Values
from ...engine.drive.parameter_arrays import own_lower
from ...engine.models.model import Model

Numbers = NDArray[np.uint16]


def refused_by_settings(
    model: Model, init: Values, bounds: Bounds, fixed: Values, *, counts: bool, n_fits: int
) -> Numbers | None:
    """Return which setting of each fit ``(n_fits,)`` cannot be used, the first; None where all can.

    Numbers are not looked at: wrong ones are so for all fits, and raise an error.
    """
    found = np.zeros(n_fits, np.uint16)

    def refuse(number: int, where: Any) -> None:
        found[(found == 0) & where] = number

    for i, parameter in enumerate(model.parameters):
        name = parameter.name
        if name in fixed:
            if np.ndim(value := fixed[name]):
                lower, upper = parameter.lower, parameter.upper
                refuse(number_of("fixed value", i), ~np.isfinite(value) | (value < lower) | (value > upper))  # type: ignore[operator]
            continue
        low, high = (
            np.asarray(end) for end in bounds.get(name, (own_lower(parameter, counts=counts), parameter.upper))
        )
        if low.ndim or high.ndim:
            refuse(number_of("bounds", i), ~(low <= high) | ((low == high) & np.isinf(low)))
        if name in init and (np.ndim(init[name]) or low.ndim or high.ndim):
            begin = np.where(low == high, low, init[name])
            refuse(number_of("start", i), ~np.isfinite(init[name]) | (begin < low) | (begin > high))
    return found if found.any() else None


def joined(refused: Numbers | None, sigma: NDArray[np.bool_] | None) -> Numbers | None:
    """Return what settings of parameters and σ cost together; None where it is nothing."""
    if sigma is None or not sigma.any():
        return refused
    nothing = np.zeros(sigma.size, np.uint16) if refused is None else refused
    return np.where((nothing == 0) & sigma, np.uint16(SIGMA), nothing)


def usable(places: NDArray[np.intp], refused: Numbers | None) -> NDArray[np.intp]:
    """Return those of some flat positions whose settings can be used."""
    return places if refused is None else places[refused[places] == 0]
