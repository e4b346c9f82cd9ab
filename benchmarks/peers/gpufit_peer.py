"""Gpufit 1.2 and its CPU twin, through their C interface; where the library is, two environment variables say."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine import cores
from ..problems import Problem
from .base import Peer

GAUSS_2D, GAUSS_2D_ROTATED = 1, 3
LSE, MLE = 0, 1
TOLERANCE, ITERATIONS = 1e-6, 100

_FLOATS, _INTS = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int)
_ARGUMENTS = [
    ctypes.c_size_t,  # n_fits
    ctypes.c_size_t,  # n_points
    _FLOATS,  # data
    _FLOATS,  # weights
    ctypes.c_int,  # model_id
    _FLOATS,  # initial_parameters
    ctypes.c_float,  # tolerance
    ctypes.c_int,  # max_n_iterations
    _INTS,  # parameters_to_fit
    ctypes.c_int,  # estimator_id
    ctypes.c_size_t,  # user_info_size
    ctypes.c_char_p,  # user_info
    _FLOATS,  # output_parameters
    _INTS,  # output_states
    _FLOATS,  # output_chi_squares
    _INTS,  # output_n_iterations
]


def _floats(values: NDArray[np.float32]) -> Any:
    return values.ctypes.data_as(_FLOATS)


class _Library(Peer):
    """Fits of one model; `order` says where our parameters stand in Gpufit's."""

    function = "gpufit"
    variable = "GPUFIT_LIBRARY"
    model, estimator = GAUSS_2D, LSE
    order = (0, 2, 1, 3, 4)
    threads = 1

    def missing(self) -> str | None:
        path = os.environ.get(self.variable)
        if not path:
            return f"{self.variable} does not name its shared library"
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            return f"{self.variable}: {error}"
        if not hasattr(library, self.function):
            return f"{self.variable}: {path} has no function {self.function}"
        if self.function == "gpufit" and hasattr(library, "gpufit_cuda_available"):
            return None if library.gpufit_cuda_available() else "Gpufit finds no CUDA GPU"
        return None

    def prepare(self) -> None:
        library = ctypes.CDLL(os.environ[self.variable])
        self._call = getattr(library, self.function)
        self._call.argtypes, self._call.restype = _ARGUMENTS, ctypes.c_int
        self._last_error = getattr(library, f"{self.function}_get_last_error")
        self._last_error.restype = ctypes.c_char_p

    def load(self, problem: Problem) -> None:
        n = problem.n_fits
        self._data = np.ascontiguousarray(problem.data, dtype=np.float32).reshape(n, -1)
        self._starts = np.ascontiguousarray(problem.start[list(self.order)].T, dtype=np.float32)

    def fit(self) -> Any:
        params = np.empty_like(self._starts)
        edges = np.linspace(0, len(params), self.threads + 1).astype(int)
        parts = [slice(a, b) for a, b in pairwise(edges) if b > a]
        if len(parts) == 1:
            self._part(params, parts[0])
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(lambda part: self._part(params, part), parts))
        return params

    def _part(self, params: NDArray[np.float32], part: slice) -> None:
        data, starts, out = self._data[part], self._starts[part], params[part]
        n = len(data)
        free = np.ones(starts.shape[1], np.int32)
        states, iterations = np.empty(n, np.int32), np.empty(n, np.int32)
        chi = np.empty(n, np.float32)
        code = self._call(
            n,
            data.shape[1],
            _floats(data),
            None,
            self.model,
            _floats(starts),
            TOLERANCE,
            ITERATIONS,
            free.ctypes.data_as(_INTS),
            self.estimator,
            0,
            None,
            _floats(out),
            states.ctypes.data_as(_INTS),
            _floats(chi),
            iterations.ctypes.data_as(_INTS),
        )
        if code:
            raise RuntimeError(f"{self.function}: {(self._last_error() or b'').decode(errors='replace')}")

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        params = np.empty(fitted.T.shape)
        params[list(self.order)] = np.asarray(fitted, dtype=float).T
        return params


_SINGLE = "given starts; float32, so with tolerance 1e-6"


class GpufitLsq(_Library):
    name = "Gpufit"
    note = _SINGLE


class GpufitMle(GpufitLsq):
    estimator = MLE


class CpufitLsq(_Library):
    name = f"Cpufit, {cores()} threads"
    note = _SINGLE
    function, variable = "cpufit", "CPUFIT_LIBRARY"
    threads = cores()


class CpufitMle(CpufitLsq):
    estimator = MLE


class GpufitImage(_Library):
    name = "Gpufit"
    note = _SINGLE
    model = GAUSS_2D_ROTATED
    order = (0, 2, 1, 4, 3, 6, 5)

    def load(self, problem: Problem) -> None:
        super().load(problem)
        self._data = self._data.reshape(1, -1)
        # it turns the other way round
        self._starts[:, 6] *= -1

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        params = super().answer(fitted)
        params[5] *= -1
        return params
