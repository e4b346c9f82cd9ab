"""The rotated Gaussian as the `curve_fit` of SciPy, JAXFit, NLSQ and this project take it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import gaussian_rotated


def flat_coordinates(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """y and x of every pixel, ``(2, pixel)``."""
    return np.indices(shape, dtype=float).reshape(2, -1)


def numpy_gaussian(yx: Any, a: float, y: float, x: float, sy: float, sx: float, th: float, c: float) -> Any:
    return gaussian_rotated(yx[0], yx[1], (a, y, x, sy, sx, th, c))  # type: ignore[arg-type]


def jax_gaussian(yx: Any, a: Any, y: Any, x: Any, sy: Any, sx: Any, th: Any, c: Any) -> Any:
    import jax.numpy as jnp

    cosine, sine = jnp.cos(th), jnp.sin(th)
    u = (yx[1] - x) * cosine + (yx[0] - y) * sine
    v = (yx[0] - y) * cosine - (yx[1] - x) * sine
    return a * jnp.exp(-0.5 * ((u / sx) ** 2 + (v / sy) ** 2)) + c
