"""Picasso's Gaussian fitters: two older ones that Picasso 1.0 will remove, and the one that replaces them."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine import cores
from ..problems import WINDOW, Problem
from .base import Peer

MIDDLE = WINDOW // 2
N = cores()
EACH = 4096  # spots that a process is handed at a time


def _lq(windows: NDArray[Any], tolerance: float | None) -> NDArray[Any]:
    from picasso import gausslq

    return gausslq._fit_spots(windows, spherical=True, tolerance=tolerance)


def _mle(windows: NDArray[Any]) -> NDArray[Any]:
    from picasso import gaussmle

    return gaussmle._gaussmle(windows, 1e-8, 100, method="sigma")[0]


class _Processes(Peer):
    module, package = "picasso", "picassosr"
    compiles = True

    def prepare(self) -> None:
        # Picasso's own pool takes three quarters of the cores: one of two
        self._pool = ProcessPoolExecutor(N, mp_context=get_context("spawn"))

    def close(self) -> None:
        self._pool.shutdown()

    def load(self, problem: Problem) -> None:
        self._windows = np.array(problem.data)

    def submit(self, windows: NDArray[Any]) -> Future[NDArray[Any]]:
        raise NotImplementedError

    def fit(self) -> Any:
        n = len(self._windows)
        each = min(EACH, -(-n // N))
        futures = [self.submit(self._windows[at : at + each]) for at in range(0, n, each)]
        return np.concatenate([future.result() for future in futures])


class Lq(_Processes):
    name = f"Picasso gausslq, {N} processes"
    note = "its own starts; float32, so with tolerance 1e-6"
    tolerance: float | None = 1e-6

    def submit(self, windows: NDArray[Any]) -> Future[NDArray[Any]]:
        return self._pool.submit(_lq, windows, self.tolerance)

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        x, y, photons, background, sigma = np.asarray(fitted, dtype=float).T[:5]
        return np.stack([photons / (2 * np.pi * sigma**2), y + MIDDLE, x + MIDDLE, sigma, background])


class LqLoose(Lq):
    name = f"Picasso gausslq as it comes, {N} processes"
    note = "its own starts and its own tolerance, 1e-2"
    tolerance = None


class Mle(_Processes):
    name = f"Picasso gaussmle, {N} processes"
    note = (
        "its own starts; stops when the position moves less than 1e-8 px; integrates over pixels, and its cost is that "
        "of this other model"
    )
    integrated = True

    def submit(self, windows: NDArray[Any]) -> Future[NDArray[Any]]:
        return self._pool.submit(_mle, windows)

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        x, y, photons, background, sigma = np.asarray(fitted, dtype=float).T[:5]
        return np.stack([photons / (2 * np.pi * sigma**2), y, x, sigma, background])


class Lsq(Peer):
    name = f"Picasso gaussfit, {N} threads"
    module, package = "picasso", "picassosr"
    note = "given starts; float64, with answers in float32"
    compiles = True
    likelihood = False

    def prepare(self) -> None:
        from picasso.fitting import gaussfit

        self._library = gaussfit

    def load(self, problem: Problem) -> None:
        self._windows = np.array(problem.data)
        self._starts = np.ascontiguousarray(problem.start[[0, 2, 1, 3, 4]].T)

    def fit(self) -> Any:
        running = self._library.fit_spots_async(
            self._library.SPHERICAL,
            self._windows,
            self._starts,
            mle=self.likelihood,
            tolerance=1e-8,
            max_iterations=100,
            n_threads=N,
        )
        for future in running.futures:
            future.result()
        return running.theta

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.asarray(fitted, dtype=float).T[[0, 2, 1, 3, 4]]


class LmMle(Lsq):
    likelihood = True


class LsqCuda(Lsq):
    name = "Picasso gaussfit_cuda"
    note = "given starts; on the GPU"

    def missing(self) -> str | None:
        reason = super().missing()
        if reason is None:
            from numba import cuda

            if not cuda.is_available():
                reason = "Numba finds no CUDA GPU"
        return reason

    def prepare(self) -> None:
        from picasso.fitting import gaussfit_cuda

        self._library = gaussfit_cuda

    def fit(self) -> Any:
        from picasso.fitting.gaussfit import SPHERICAL

        return self._library.fit_spots(
            SPHERICAL, self._windows, self._starts, mle=self.likelihood, tolerance=1e-8, max_iterations=100
        )[0]


class LmMleCuda(LsqCuda):
    likelihood = True
