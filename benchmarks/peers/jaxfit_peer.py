"""JAXFit, the paper's program."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from .base import Peer
from .functions import flat_coordinates, jax_gaussian


class Image(Peer):
    name = "JAXFit"
    module = package = "jaxfit"
    note = "its import of jax.config, which JAX no longer has, is mended at run time"
    compiles = True

    def prepare(self) -> None:
        import jax

        mended = ModuleType("jax.config")
        mended.config = jax.config  # type: ignore[attr-defined]
        sys.modules.setdefault("jax.config", mended)
        from jaxfit import CurveFit

        self.fitter = CurveFit()

    def load(self, problem: Problem) -> None:
        self._x, self._y = flat_coordinates(problem.data.shape), np.array(problem.data).ravel()
        self._start = np.array(problem.start[:, 0])

    def fit(self) -> Any:
        return self.fitter.curve_fit(
            jax_gaussian, self._x, self._y, p0=self._start, method="trf", ftol=1e-8, xtol=1e-8, gtol=1e-8
        )

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.asarray(fitted[0], dtype=float)[:, None]
