"""Protocols of the sources that layers are made from, for the three jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...engine.results.fit_result import FitResult

Units = Mapping[str, str]  # of parameters, by name


class FittedRegion(Protocol):
    """Flat pixels of a plane, the frames in which they are fitted, and the position of each fit on the grid."""

    @property
    def pixels(self) -> Any:
        """Flat indices of the pixels in a plane."""

    @property
    def frames(self) -> NDArray[np.intp]:
        """Flat indices of the frames."""

    @property
    def places(self) -> NDArray[np.intp]:
        """Flat position on the grid of the fit in each frame."""


class RegionSource(Protocol):
    """An image ``(*frames, *plane)`` with its regions, `coords` of the plane's shape per axis, and labels."""

    @property
    def image(self) -> NDArray[Any]:
        """The data, ``(*frames, *plane)``."""

    @property
    def coords(self) -> tuple[NDArray[np.float64], ...]:
        """The coordinates of all pixels of a plane, one array per axis."""

    @property
    def regions(self) -> Sequence[FittedRegion]:
        """The regions that are fitted."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The label of each region; None where there is one region without a label."""

    @property
    def frames(self) -> tuple[int, ...]:
        """The shape of the frames."""

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return a column per axis of the grid of fits."""


class PicturedSource(RegionSource, Protocol):
    """The same in memory."""

    def pictures(self, result: FitResult, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the fitted and the residual image."""


class CurveSource(Protocol):
    """A stack of curves along one axis."""

    @property
    def stack(self) -> NDArray[Any]:
        """The data."""

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        """Return the fitted stack."""


class SpotWindows(Protocol):
    """Windows of one size around points ``(N, n_axes)``; see `imaging.spots.windows`."""

    @property
    def points(self) -> NDArray[np.float64]:
        """The points around which the windows lie, in pixel indices."""

    @property
    def frames(self) -> NDArray[np.intp]:
        """The frame of each window, an index per frame axis."""

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels along each axis of a window."""

    @property
    def count(self) -> int:
        """Number of windows."""

    @property
    def limits(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first and the last pixel of each window that the image has, ``(N, ndim)`` each."""


class WindowSource(Protocol):
    """An image, in memory or not, and the windows in it."""

    @property
    def image(self) -> Any:
        """The image."""

    @property
    def windows(self) -> SpotWindows:
        """The windows of all spots."""
