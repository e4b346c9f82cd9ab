"""This project."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import (
    DECAY_BOUNDS,
    DECAY_PARAMETERS,
    ECHOES,
    IMAGE_PARAMETERS,
    SPOT_PARAMETERS,
    WINDOW,
    Problem,
)
from .base import Peer
from .functions import flat_coordinates, jax_gaussian

PLATE = 93  # windows along the side of a frame that holds spots


class _Own(Peer):
    module = package = "napari-imagefit"
    compiles = True
    parameters: tuple[str, ...] = ()
    dtype: Any = "float64"
    device: str | None = None  # JAX's first choice

    def missing(self) -> str | None:
        return None

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.stack([np.asarray(fitted.params[name], dtype=float).ravel() for name in self.parameters])


class FitImage(_Own):
    name = "fit_image"
    parameters = IMAGE_PARAMETERS

    def load(self, problem: Problem) -> None:
        self._image = np.array(problem.data)
        self._init = dict(zip(self.parameters, problem.start[:, 0].tolist(), strict=True))

    def fit(self) -> Any:
        import napari_imagefit as nif

        return nif.fit_image(self._image, "gaussian_2d_rotated", init=self._init, dtype=self.dtype, device=self.device)


class CurveFit(_Own):
    name = "curve_fit"

    def load(self, problem: Problem) -> None:
        self._x, self._y = flat_coordinates(problem.data.shape), np.array(problem.data).ravel()
        self._start = np.array(problem.start[:, 0])

    def fit(self) -> Any:
        import napari_imagefit as nif

        return nif.curve_fit(jax_gaussian, self._x, self._y, p0=self._start)

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        return np.asarray(fitted[0], dtype=float)[:, None]


class Voxels(_Own):
    name = "fit_voxels"
    note = "guesses its own starts, within the time"
    parameters = DECAY_PARAMETERS
    given = False

    def load(self, problem: Problem) -> None:
        self._stack = np.array(problem.data)
        self._init = dict(zip(self.parameters, np.array(problem.start), strict=True)) if self.given else None

    def fit(self) -> Any:
        import napari_imagefit as nif

        return nif.fit_voxels(
            self._stack,
            "exponential_decay",
            x=ECHOES,
            bounds=DECAY_BOUNDS,
            init=self._init,
            dtype=self.dtype,
            device=self.device,
        )


class VoxelsFromStarts(Voxels):
    name = "fit_voxels, given starts"
    note = ""
    given = True


class Voxels32(Voxels):
    name = "fit_voxels, float32"
    dtype = "float32"


class _FitSpots(_Own):
    parameters = SPOT_PARAMETERS
    noise: Any = "gaussian"
    given = False

    def missing(self) -> str | None:
        import napari_imagefit as nif

        return None if hasattr(nif, "fit_spots") else "this version of napari-imagefit has no fit_spots"

    def load(self, problem: Problem) -> None:
        """Windows side by side in frames, so that each point's window is its own."""
        n, per = problem.n_fits, PLATE**2
        frames = -(-n // per)
        tiles = np.zeros((frames * per, WINDOW, WINDOW), np.float32)
        tiles[:n] = problem.data
        plates = tiles.reshape(frames, PLATE, PLATE, WINDOW, WINDOW).swapaxes(2, 3)
        self._image = np.ascontiguousarray(plates.reshape(frames, PLATE * WINDOW, PLATE * WINDOW))
        frame, row, column = np.unravel_index(np.arange(n), (frames, PLATE, PLATE))
        self._corner = WINDOW * np.stack([row, column])
        middle = self._corner + WINDOW // 2
        self._points = np.stack([frame, *middle], axis=1).astype(float)
        self._init = None
        if self.given:
            start = np.array(problem.start)
            start[1:3] += self._corner
            self._init = dict(zip(self.parameters, start, strict=True))

    def fit(self) -> Any:
        import napari_imagefit as nif

        return nif.fit_spots(  # type: ignore[attr-defined]
            self._image,
            self._points,
            "gaussian_2d",
            window=WINDOW,
            noise=self.noise,
            init=self._init,
            dtype=self.dtype,
            device=self.device,
        )

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        params = super().answer(fitted)
        params[1:3] -= self._corner
        return params


class Spots(_FitSpots):
    name = "fit_spots"
    note = "guesses its own starts and cuts its windows, within the time"


class SpotsFromStarts(_FitSpots):
    name = "fit_spots, given starts"
    note = "cuts its windows, within the time"
    given = True


class Spots32(_FitSpots):
    name = "fit_spots, float32"
    note = Spots.note
    dtype = "float32"


class Windows(_Own):
    name = "fit_image, given windows"
    note = "the windows as frames, given starts"
    parameters = SPOT_PARAMETERS
    noise = "gaussian"

    def load(self, problem: Problem) -> None:
        self._frames = np.array(problem.data)
        self._init = dict(zip(self.parameters, np.array(problem.start), strict=True))

    def fit(self) -> Any:
        import napari_imagefit as nif

        return nif.fit_image(
            self._frames, "gaussian_2d", noise=self.noise, init=self._init, dtype=self.dtype, device=self.device
        )


class PoissonSpots(Spots):
    noise = "poisson"


class PoissonSpotsFromStarts(SpotsFromStarts):
    noise = "poisson"


class PoissonSpots32(Spots32):
    noise = "poisson"


class PoissonWindows(Windows):
    noise = "poisson"
