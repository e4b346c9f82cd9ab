"""osipy's batch fitter, with a decay that follows its protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import DECAY_BOUNDS, DECAY_PARAMETERS, ECHOES, Problem, log_linear
from .base import Peer


class _Decay:
    """`osipy.common.models.fittable.FittableModel` for one exponential."""

    name = "exponential decay"
    reference = ""
    parameters = list(DECAY_PARAMETERS)  # noqa: RUF012 -- as the protocol has it
    parameter_units = dict.fromkeys(DECAY_PARAMETERS, "")

    def __init__(self, *, analytic: bool) -> None:
        self._analytic = analytic

    def get_bounds(self) -> dict[str, tuple[float, float]]:
        return dict(DECAY_BOUNDS)

    def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
        return log_linear(observed, xp)

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return params[0] * xp.exp(-xp.asarray(ECHOES)[:, None] / params[1]) + params[2]

    def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
        if not self._analytic:
            return None
        t = xp.asarray(ECHOES)[:, None]
        height = predicted - params[2]
        jacobian = xp.empty((3, *predicted.shape), dtype=predicted.dtype)
        jacobian[0] = height / params[0]
        jacobian[1] = height * t / params[1] ** 2
        jacobian[2] = 1
        return jacobian


class Analytic(Peer):
    name = "osipy, analytic Jacobian"
    module = package = "osipy"
    note = "computes the same starts itself, within the time; its own threads"
    analytic = True

    def prepare(self) -> None:
        import logging

        from osipy.common.fitting.least_squares import LevenbergMarquardtFitter

        logging.disable(logging.WARNING)
        self._fitter = LevenbergMarquardtFitter(max_iterations=100, tolerance=1e-8)
        self._model = _Decay(analytic=self.analytic)

    def load(self, problem: Problem) -> None:
        self._data = np.ascontiguousarray(problem.data.T).reshape(problem.n_fits, 1, 1, -1)

    def fit(self) -> Any:
        return self._fitter.fit_image(self._model, self._data)

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.stack([np.asarray(fitted[name].values, dtype=float).ravel() for name in DECAY_PARAMETERS])


class Numeric(Analytic):
    name = "osipy, numeric Jacobian"
    analytic = False
