"""Names for what is passed around."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

# jax.Array or numpy.ndarray: formulas are written once and run on both
Array = Any
Function = Callable[..., Array]
Guess = Callable[[tuple[Array, ...], Array, Array], Array]
# the same with starts, NaN where there are none, and bounds, ``(n_params, n_fits)`` each
GuessWithin = Callable[[tuple[Array, ...], Array, Array, Array, Array, Array], Array]

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Indices = NDArray[np.intp]
# Asked between steps: whether to stop.
Stop = Callable[[], bool]
# Coordinates of samples, an array for each axis.
Coords = tuple[Array, ...]
# The positions of some of the fits of a problem.
Positions = slice | Indices

DType = Literal["float32", "float64"]
Noise = Literal["gaussian", "poisson", "rician"]
Loss = Literal["linear", "soft_l1", "huber", "cauchy", "arctan"]
# ρ(z), ρ'(z), ρ''(z) along the first axis, as SciPy wants it
LossFunction = Callable[[Array], Array]
NOISES: tuple[Noise, ...] = ("gaussian", "poisson", "rician")
LOSSES: tuple[Loss, ...] = ("linear", "soft_l1", "huber", "cauchy", "arctan")

Values = Mapping[str, ArrayLike]
Bounds = Mapping[str, tuple[ArrayLike, ArrayLike]]
