"""Spots in Dask arrays: a task for each chunk that holds points, and their results in the order of the points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting import chunks as lazy_arrays
from ..fitting.records import record_type
from ..layer_data.spot_layers import spot_layers
from ..spots.windows import Windows
from .dask_sources import LazySource
from .dask_tasks import ONE_AT_A_TIME, FitBlock, Solved
from .plan import MASK
from .split_settings import Key
from .spot_plan import SpotPlan


@dataclass(frozen=True, eq=False)
class LazySpotSource(LazySource):
    """Layout of the fits of spots in an image that is not in memory, a `Source`."""

    job: ClassVar[str] = "spots"
    groups: ClassVar[None] = None  # each is fitted by itself

    plan: SpotPlan

    @property
    def image(self) -> Any:
        """The data, a Dask array, without the differences between a camera's pixels."""
        return self.settings.level(self.data)

    @property
    def windows(self) -> Windows:
        """The windows of all spots."""
        return self.plan.windows

    @property
    def given(self) -> NDArray[np.bool_] | None:
        """Mask of pixels as it was given, of the image's shape and loaded; None for all."""
        mask = self.plan.arguments.get(MASK)
        return None if mask is None else np.broadcast_to(np.asarray(mask.values), self.windows.shape)

    @property
    def mask(self) -> Any:
        """The same without saturated pixels: a Dask array where there may be some."""
        if self.plan.saturation is None:
            return self.given
        below = ~(self.data >= self.plan.saturation)
        return below if self.given is None else below & self.given

    def used(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which pixels of some windows were to be fitted, ``(n_rows, m)``; masks and saturation are loaded."""
        mask = self.mask
        return self.windows.used(None if mask is None else np.asarray(mask), rows)

    def records(self) -> Any:
        """Return all that is known of each fit, in the order of the points."""
        return self._by_chunk(FitBlock, record_type(len(self.plan.model.names)))

    def fitted(self, result: FitResult) -> Any:
        """Return the model's values in each window, ``(N, *size)``, lazily; NaN where there is no result."""
        plan, answers = self.plan, list(result.answers.values())
        size, step = self.windows.size, rows_at_once(8 * self.windows.n_samples)
        parts = []
        for start in range(0, self.windows.count, step):
            rows = slice(start, start + step)
            windows = self.windows.some(rows)
            block = _delayed(FittedSpots(plan.bare(), windows))
            own = block(*(values[rows] for values in answers))
            parts.append(_from_delayed(own, (windows.count, *size), np.dtype(np.float64)))
        values = _concatenated(parts)
        if MASK not in plan.arguments and plan.saturation is None:
            return values
        from dask import array

        da: Any = array
        return da.where(self._by_chunk(MaskedPixels, np.dtype(bool), *size), values, np.nan)

    def residual(self, result: FitResult) -> Any:
        """Return data − fitted in each window, ``(N, *size)``, lazily; NaN where either has no value."""
        from dask import array

        da: Any = array
        values = self._by_chunk(Pixels, np.dtype(np.float64), *self.windows.size) - self.fitted(result)
        return da.where(da.isfinite(values), values, np.nan)

    def _by_chunk(self, kind: Callable[[SpotPlan, tuple[Key, ...]], Any], dtype: np.dtype[Any], *of_each: int) -> Any:
        """Return what a task finds out about the spots of each chunk, ``(N, *of_each)``, in the order of the points.

        A task reads no more than the pixels of its windows; where these cross the edge of a chunk, it reads from the
        next one, too.
        """
        plan = self.plan
        pieces = plan.groups([np.cumsum([0, *own[:-1]]) for own in self.data.chunks])
        keys = tuple(plan.parts(pieces[0]))
        block = _delayed(kind(plan.bare(), keys))
        done = [block(self.data[plan.on_data(where)], *plan.parts(where).values()) for where in pieces]
        rows = [where[-1] for where in pieces]
        count, step = self.windows.count, rows_at_once(dtype.itemsize * prod(of_each))
        takers: dict[int, list[int]] = {}
        for number, own in enumerate(rows):
            for place in np.unique(own // step):
                takers.setdefault(int(place), []).append(number)
        parts = []
        for place in range(len(takers)):
            start, stop = place * step, min(count, (place + 1) * step)
            gather = _delayed(Gather(start, stop, tuple(rows[number] for number in takers[place])))
            values = gather(*(done[number] for number in takers[place]))
            parts.append(_from_delayed(values, (stop - start, *of_each), dtype))
        return _concatenated(parts)

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return the result as napari layer data tuples."""
        return spot_layers(result, self)


@dataclass(frozen=True, eq=False)
class Pixels(FitBlock):
    """Task from a part of the image to the windows in it, ``(n, *size)``."""

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return the data in the windows of one part of the image, ``(n, *size)``."""
        source: Any = self.plan.source(np.asarray(data), self._cut(arguments))
        return np.asarray(self._gather(source.windows, source.image), float)

    def _gather(self, windows: Windows, array: NDArray[Any]) -> NDArray[Any]:
        return windows.gather(array, np.arange(windows.count)).reshape(-1, *windows.size)


@dataclass(frozen=True, eq=False)
class MaskedPixels(Pixels):
    """The same of the mask: which pixels to use."""

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return the mask in the windows of one part of the image, ``(n, *size)``."""
        source: Any = self.plan.source(np.asarray(data), self._cut(arguments))
        return self._gather(source.windows, source.mask)


@dataclass(frozen=True, eq=False)
class FittedSpots:
    """Task from the ends of the fits of some windows to the model's values."""

    plan: SpotPlan
    windows: Windows

    def __call__(self, *solution: Any) -> NDArray[Any]:
        """Return the model's values in the windows, ``(n, *size)``, from an array of each parameter's values."""
        solved: Any = Solved(self.plan.model, [np.asarray(values) for values in solution])
        with ONE_AT_A_TIME:
            return self.plan.source_of(self.windows).fitted(solved)


@dataclass(frozen=True, eq=False)
class Gather:
    """Task from the results of chunks to a stretch of the list of points."""

    start: int
    stop: int
    rows: tuple[NDArray[np.intp], ...]

    def __call__(self, *found: NDArray[Any]) -> NDArray[Any]:
        """Return the values of the stretch, in the order of the points."""
        whole = np.empty((self.stop - self.start, *found[0].shape[1:]), found[0].dtype)
        for rows, values in zip(self.rows, found, strict=True):
            own = (rows >= self.start) & (rows < self.stop)
            whole[rows[own] - self.start] = values[own]
        return whole


def rows_at_once(size: int) -> int:
    """Return how many spots a chunk of a list has, by the bytes of each."""
    return max(1, min(lazy_arrays.MOST_FITS, lazy_arrays.MOST_BYTES // size))


def _delayed(block: Callable[..., NDArray[Any]]) -> Any:
    from dask.delayed import delayed

    make: Any = delayed
    return make(block, pure=False, traverse=False)


def _from_delayed(values: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    from dask import array

    da: Any = array
    return da.from_delayed(values, shape, meta=np.empty((0,) * len(shape), dtype))


def _concatenated(parts: Sequence[Any]) -> Any:
    from dask import array

    da: Any = array
    return parts[0] if len(parts) == 1 else da.concatenate(parts)
