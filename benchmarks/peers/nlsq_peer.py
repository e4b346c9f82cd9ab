"""NLSQ, JAXFit's successor by other authors."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from .base import Peer
from .functions import flat_coordinates, jax_gaussian


class Image(Peer):
    name = "NLSQ"
    module = package = "nlsq"
    compiles = True

    def prepare(self) -> None:
        from nlsq import CurveFit

        logging.disable(logging.WARNING)
        self._fitter = CurveFit()

    def load(self, problem: Problem) -> None:
        self._x, self._y = flat_coordinates(problem.data.shape), np.array(problem.data).ravel()
        self._start = np.array(problem.start[:, 0])

    def fit(self) -> Any:
        fitted = self._fitter.curve_fit(
            jax_gaussian, self._x, self._y, p0=self._start, method="trf", ftol=1e-8, xtol=1e-8, gtol=1e-8
        )
        return fitted.popt if hasattr(fitted, "popt") else fitted[0]

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.asarray(fitted, dtype=float)[:, None]
