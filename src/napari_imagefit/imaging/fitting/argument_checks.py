"""Checks of arguments that several verbs take: axes and coordinates, images, callbacks, and fields of recipes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import check_callable, float_array
from ...engine.models.model import Model


def check_surface(model: Model, n_axes: int, verb: str) -> None:
    """Refuse models that do not go with an image of so many axes.

    Raises
    ------
    FitInputError
    """
    if model.ndim < 2:
        raise FitInputError(f"model {model.name!r} is a curve; {verb} takes surfaces, use fit_voxels for curves")
    if n_axes < model.ndim:
        raise FitInputError(
            f"the image has {n_axes} axes, but model {model.name!r} needs {model.ndim}; give an image with as many"
        )


def check_axis(
    shape: tuple[int, ...], axis: int, x: ArrayLike | None
) -> tuple[int, NDArray[np.float64], tuple[int, ...]]:
    """Return the axis counted from the front, the coordinates along it, and the shape of the grid of fits.

    Raises
    ------
    FitInputError
        If there is no such axis, or not a coordinate for each sample.

    Examples
    --------
    >>> check_axis((2, 3), -1, None)
    (1, array([0., 1., 2.]), (2,))
    """
    count = len(shape)
    try:
        axis = operator.index(axis)
    except TypeError:
        raise FitInputError(f"axis must be a whole number, got {axis!r}; choose from 0 to {count - 1}") from None
    if not -count <= axis < count:
        raise FitInputError(f"axis {axis} does not exist in a stack of {count} axes; choose from 0 to {count - 1}")
    axis %= count
    length = shape[axis]
    coordinate = np.arange(length, dtype=float) if x is None else float_array(x, "x")
    if coordinate.shape != (length,):
        raise FitInputError(
            f"x has shape {coordinate.shape}, but the stack has {length} samples along axis {axis}; give one value each"
        )
    return axis, coordinate, tuple(n for a, n in enumerate(shape) if a != axis)


# napari takes an array for one of colours by the same rule.
CHANNELS, LARGE = (3, 4), 30


def refuse_colours(image: Any, ndim: int) -> None:
    """Refuse an array that looks like RGB or RGBA where surfaces over two axes are to be fitted or found.

    Its channels would be taken for the axis x, and its rows for frames.

    Raises
    ------
    FitInputError

    Examples
    --------
    >>> import numpy as np
    >>> refuse_colours(np.zeros((48, 64, 3)), 2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    napari_imagefit.engine.core.errors.FitInputError: the image has shape (48, 64, 3), ...
    """
    shape = tuple(getattr(image, "shape", ()))
    if ndim == 2 and len(shape) > 2 and shape[-1] in CHANNELS and min(shape[-3:-1]) > LARGE:
        raise FitInputError(
            f"the image has shape {shape}, as one of colours has; give one channel of it (image[..., 0]) or their "
            "mean, or turn the last two axes (image.swapaxes(-1, -2)) if it is none"
        )


def checked_progress(progress: Callable[[int, int], object] | None) -> Callable[[int, int], object] | None:
    """Return `progress`, which is called with the fits done and their total.

    Raises
    ------
    FitInputError
        If it cannot be.
    """
    if progress is not None:
        check_callable(progress, "progress", "progress(done, total)", 2)
    return progress


def checked_stop(should_stop: Callable[[], Any] | None) -> Callable[[], bool] | None:
    """Return a function whether to stop, called under NumPy's settings of now.

    Raises
    ------
    FitInputError
        If it cannot be called, and when it is called if what it returns is neither true nor false.
    """
    if should_stop is None:
        return None
    check_callable(should_stop, "should_stop", "should_stop()", 0)
    wanted, errors = should_stop, np.geterr()

    def stop() -> bool:
        with np.errstate(**errors):
            found = wanted()
        try:
            return bool(found)
        except (TypeError, ValueError):
            raise FitInputError(f"should_stop must return True or False, got {found!r}; return one of them") from None

    return stop


def check_said(cls: type[Any], said: Any, what: str, such_as: str) -> None:
    """Refuse what is no object, or has names that are no fields of a dataclass.

    Parameters
    ----------
    what : str
        The thing in words, such as ``"the detection in the recipe"``.
    such_as : str
        An example, as JSON.

    Raises
    ------
    FitInputError
        One sentence about the first thing that is wrong.
    """
    if not isinstance(said, dict):
        raise FitInputError(f"{what} is {said!r}; give an object, such as {such_as}")
    known = {f.name for f in fields(cls)}
    for name in said:
        if name not in known:
            raise FitInputError(f"{what} has {name!r}; it may have {', '.join(sorted(known))}")
