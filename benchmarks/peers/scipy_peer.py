"""SciPy's `curve_fit`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import DECAY_BOUNDS, ECHOES, WINDOW, Problem
from .base import Peer
from .functions import flat_coordinates, numpy_gaussian

TOLERANCE = {"ftol": 1e-8, "xtol": 1e-8, "gtol": 1e-8}


def _curve_fit(*args: Any, **kwargs: Any) -> NDArray[np.float64]:
    """One fit, NaN where SciPy gives up."""
    from scipy.optimize import curve_fit

    try:
        return np.asarray(curve_fit(*args, **kwargs, **TOLERANCE)[0])
    except RuntimeError:
        return np.full(len(kwargs["p0"]), np.nan)


class _SciPy(Peer):
    module = package = "scipy"
    method = "trf"

    def prepare(self) -> None:
        import scipy.optimize  # noqa: F401

        warnings.simplefilter("ignore")  # on covariances, which nobody asks for here

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.asarray(fitted, dtype=float)


class ImageTrf(_SciPy):
    name = "SciPy trf"

    def load(self, problem: Problem) -> None:
        self._x, self._y = flat_coordinates(problem.data.shape), np.array(problem.data).ravel()
        self._start = np.array(problem.start[:, 0])

    def fit(self) -> Any:
        return _curve_fit(numpy_gaussian, self._x, self._y, p0=self._start, method=self.method)[:, None]


class ImageLm(ImageTrf):
    name = "SciPy lm"
    method = "lm"


def _decay(t: Any, amplitude: float, tau: float, offset: float) -> Any:
    return amplitude * np.exp(-t / tau) + offset


class VoxelsTrf(_SciPy):
    name = "SciPy trf"
    note = "a loop over voxels"
    most = 2048
    bounds: Any = tuple(zip(*DECAY_BOUNDS.values(), strict=True))

    def load(self, problem: Problem) -> None:
        self._curves = np.array(problem.data.T, dtype=float)
        self._starts = np.array(problem.start.T)

    def fit(self) -> Any:
        pairs = zip(self._curves, self._starts, strict=True)
        kwargs = {"method": self.method, "bounds": self.bounds}
        return np.stack([_curve_fit(_decay, ECHOES, curve, p0=start, **kwargs) for curve, start in pairs], axis=1)


class VoxelsLm(VoxelsTrf):
    name = "SciPy lm"
    note = "a loop over voxels; no bounds"
    method = "lm"
    bounds = (-np.inf, np.inf)


def _spot(yx: Any, amplitude: float, y: float, x: float, sigma: float, offset: float) -> Any:
    return amplitude * np.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / (2 * sigma**2)) + offset


class SpotsLm(_SciPy):
    name = "SciPy lm"
    note = "a loop over windows"
    most = 2048

    def load(self, problem: Problem) -> None:
        self._x = flat_coordinates((WINDOW, WINDOW))
        self._windows = np.array(problem.data, dtype=float).reshape(problem.n_fits, -1)
        self._starts = np.array(problem.start.T)

    def fit(self) -> Any:
        pairs = zip(self._windows, self._starts, strict=True)
        return np.stack([_curve_fit(_spot, self._x, w, p0=start, method="lm") for w, start in pairs], axis=1)
