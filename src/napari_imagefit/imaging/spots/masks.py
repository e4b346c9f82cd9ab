"""Masks of the pixels in spots' windows: of the image or of each window, and below saturation."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import in_memory
from .windows import Windows


def with_mask(windows: Windows, mask: ArrayLike | None, most: int = 1) -> tuple[Windows, NDArray[np.bool_] | None]:
    """Windows that know which of their pixels to use, and the mask of the image, if it is one.

    Raises
    ------
    FitInputError
        If it is a mask of neither the image nor the windows, or of windows that are fitted together.
    """
    if mask is None:
        return windows, None
    used, of_windows = np.asarray(in_memory(mask, "the mask")), (windows.count, *windows.size)
    if used.shape not in {windows.plane, windows.shape, of_windows}:
        raise FitInputError(
            f"the mask has shape {used.shape}, the image {windows.shape}; give a mask of the image's plane "
            f"{windows.plane}, one of its full shape, or one for each window, {of_windows}"
        )
    if used.shape in {windows.plane, windows.shape}:
        return windows, as_mask(used, windows.shape)
    if most > 1:
        raise FitInputError(
            "each window has a mask of its own, and spots that are fitted together have pixels in common; leave groups "
            "out, or give a mask of the image"
        )
    return replace(windows, allowed=as_mask(used, of_windows).reshape(windows.count, -1)), None


def check_saturation(saturation: Any) -> float | None:
    """Return the saturation as a number.

    Raises
    ------
    FitInputError
        If it is none.
    """
    if saturation is None:
        return None
    if isinstance(saturation, bool) or not isinstance(saturation, Real) or not np.isfinite(float(saturation)):
        raise FitInputError(f"saturation={saturation!r} is no value of a pixel; give a number, or None")
    return float(saturation)


def unsaturated(
    data: NDArray[Any], saturation: float | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Return the mask, less the pixels that are saturated."""
    if saturation is None:
        return mask
    below: NDArray[np.bool_] = ~(data >= saturation)
    return below if mask is None else mask & below


def as_mask(used: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask in a shape.

    Raises
    ------
    FitInputError
        If it is not boolean, or selects nothing.
    """
    if used.dtype != bool:
        raise FitInputError(f"the mask has type {used.dtype}; give a boolean one, True for each pixel to use")
    if not used.any():
        raise FitInputError("the mask selects no pixel; set at least one")
    return np.broadcast_to(used, shape)
