"""Layout of the fits of spots in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...engine.core.types import Floats
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.run import Settings
from ..layer_data.spot_layers import spot_layers
from .columns import spot_columns
from .group_model import common_names
from .grouping import Groups
from .noise_line import NoiseLine
from .windows import Windows

if TYPE_CHECKING:
    from .spot_fits import SpotRequest


@dataclass(frozen=True, eq=False)
class SpotSource:
    """Layout of the fits of spots in an image; see `napari_imagefit.engine.results.fit_result.Source`.

    Attributes
    ----------
    image : array
    mask : boolean array of the image's shape, or None
        Which pixels to use.
    given : boolean array of the image's shape, or None
        The same as it was given, saturated pixels included.
    windows : Windows
    positions : tuple of str
        The parameters to which each window's middle is added, in the order of the axes: coordinates then count from
        there, and all fits share them. Empty where coordinates are pixel indices of the image.
    request : SpotRequest
        With the size of the windows along each axis.
    groups : Groups or None
        Which spots were fitted together.
    noise : NoiseLine or None
        The noise that the errors of the result suppose, where it is not what the fit supposed; see
        `napari_imagefit.imaging.spot_analysis.signal_dependent_noise`.
    """

    job: ClassVar[str] = "spots"
    in_memory: ClassVar[bool] = True

    image: NDArray[Any]
    mask: NDArray[np.bool_] | None
    windows: Windows
    positions: tuple[str, ...]
    request: SpotRequest
    groups: Groups | None = None
    noise: NoiseLine | None = None
    given: NDArray[np.bool_] | None = None

    @property
    def settings(self) -> Settings:
        """Settings beside data and model."""
        return self.request.settings

    def coords(self, rows: NDArray[np.intp]) -> tuple[Floats, ...]:
        """Coordinates of some windows, ``(m,)`` or ``(m, n_rows)`` along each axis."""
        return self.windows.offsets() if self.positions else self.windows.coordinates(rows)

    def samples(self, rows: NDArray[np.intp], *, padded: bool) -> NDArray[Any]:
        """Return the pixels of some windows, ``(n_rows, m)``."""
        return self.windows.samples(self.image, self.mask, rows, padded=padded)

    def used(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which pixels of some windows were to be fitted, ``(n_rows, m)``."""
        return self.windows.used(self.mask, rows)

    def origin(self, name: str) -> NDArray[np.intp] | int:
        """Return the origin of a parameter in each window: the middle for a position, otherwise 0."""
        return self.windows.centres[:, self.positions.index(name)] if name in self.positions else 0

    def fitted(self, result: FitResult) -> Floats:
        """Return the model's values in each window, ``(N, *size)``, NaN where there is no result."""
        values = np.empty((self.windows.count, self.windows.n_samples))
        params = self.solution(result)
        for rows, _ in self.windows.portions():
            values[rows] = self.fitted_at(result, params, rows)
        return values.reshape(-1, *self.windows.size)

    def solution(self, result: FitResult) -> Floats:
        """Return the ends of the fits ``(n_params, N)``, positions as `coords` counts them; NaN where there is none."""
        return np.stack([values - self.origin(name) for name, values in result.answers.items()])

    def fitted_at(self, result: FitResult, params: Floats, rows: NDArray[np.intp]) -> Floats:
        """Return the fitted windows of some spots, ``(n_rows, m)``; `params` are the `solution`."""
        own = predict(result.model, self.coords(rows), params[:, rows], self.settings.options).T
        own += self.of_others(result, params, rows)
        whole = self.mask is None and self.windows.allowed is None and not self.windows.is_cut[rows].any()
        return own if whole else np.where(self.used(rows), own, np.nan)

    def of_others(
        self,
        result: FitResult,
        params: Floats,
        rows: NDArray[np.intp],
        coords: tuple[Floats, ...] | None = None,
    ) -> Floats | float:
        """Return what the other spots of each group add to the windows of some spots, ``(n_rows, m)``.

        `params` are as `coords` counts them: from the middle of each window; `coords` are its pixels if not given.
        """
        total: Floats | float = 0.0
        for other in self.groups.others[rows].T if self.groups is not None else ():
            there = np.flatnonzero(other >= 0)
            if not there.size:
                continue
            light = params[:, other[there]].copy()
            for name in common_names(result.model):
                light[result.model.index(name)] = 0.0
            for axis, name in enumerate(self.positions):
                away = self.windows.centres[other[there], axis] - self.windows.centres[rows[there], axis]
                light[result.model.index(name)] += away
            where = self.coords(rows[there]) if coords is None else coords
            added = np.zeros((rows.size, where[0].shape[0]))
            added[there] = predict(result.model, where, light, self.settings.options).T
            total = total + added
        return total

    def residual(self, result: FitResult) -> Floats:
        """Return data − fitted in each window, ``(N, *size)``, NaN where either has no value."""
        residual = self.fitted(result)
        flat = residual.reshape(self.windows.count, -1)
        for rows, _ in self.windows.portions():
            flat[rows] = self.windows.gather(self.image, rows) - flat[rows]
        residual[~np.isfinite(residual)] = np.nan
        return residual

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: the frame and the point around which the window lies."""
        frames, n_axes = self.windows.frames.T, len(self.windows.size)
        points = self.windows.points.T[len(frames) :]
        return dict(zip(spot_columns(len(frames), n_axes), [*frames, *points], strict=True))

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return the result as napari layer data tuples."""
        return spot_layers(result, self)

    def remarks(self, result: FitResult) -> list[str]:
        """Return nothing: there are no remarks on these fits as a whole."""
        del result
        return []

    def recipe(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return self.request.to_json()
