"""What layers are made from: the attributes that the sources of the three jobs have for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...engine.results.fit_result import FitResult


class FittedRegion(Protocol):
    """Flat pixels of a plane, the frames in which they are fitted, and the position of each fit on the grid."""

    @property
    def pixels(self) -> Any: ...
    @property
    def frames(self) -> NDArray[np.intp]: ...
    @property
    def places(self) -> NDArray[np.intp]: ...


class RegionSource(Protocol):
    """An image ``(*frames, *plane)`` with its regions, `coords` of the plane's shape per axis, and labels."""

    @property
    def image(self) -> NDArray[Any]: ...
    @property
    def coords(self) -> tuple[NDArray[np.float64], ...]: ...
    @property
    def regions(self) -> Sequence[FittedRegion]: ...
    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def frames(self) -> tuple[int, ...]: ...
    def pictures(self, result: FitResult, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the fitted and the residual image."""

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return a column per axis of the grid of fits."""


class CurveSource(Protocol):
    """A stack of curves along one axis."""

    @property
    def stack(self) -> NDArray[Any]: ...
    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        """Return the fitted stack."""


class SpotWindows(Protocol):
    """Windows of one size around points ``(N, n_axes)``; see `imaging.spots.windows`."""

    @property
    def points(self) -> NDArray[np.float64]: ...
    @property
    def frames(self) -> NDArray[np.intp]: ...
    @property
    def size(self) -> tuple[int, ...]: ...
    @property
    def count(self) -> int: ...
    @property
    def limits(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]: ...


class WindowSource(Protocol):
    """An image, in memory or not, and the windows in it."""

    @property
    def image(self) -> Any: ...
    @property
    def windows(self) -> SpotWindows: ...
