"""Pictures of colours, which are not what fits of surfaces take."""

from __future__ import annotations

from typing import Any

from ...engine.core.errors import FitInputError

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
