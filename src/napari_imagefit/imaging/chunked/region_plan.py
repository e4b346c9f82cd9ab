"""`fit_image` piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ..fitting.chunks import Argument, Sliceable, Slices, is_dask, iter_pieces
from ..fitting.run import Run, Settings
from ..regions.region import Region, find_regions, flat_coordinates
from ..regions.region_fits import ImageRequest, ImageSource
from .plan import FRAMES, MASK, Cut, Plan, check_lengths, dark, no_fits
from .split_settings import Key, join, split


@dataclass(frozen=True, eq=False, kw_only=True)
class ImagePlan(Plan):
    """`fit_image` piece by piece: some of the frames at a time.

    Attributes
    ----------
    mask : array or None
        One for the plane of all frames; one for each frame is an argument.
    regions : list of Region or None
        Instead of a mask.
    labels : int array or None
        Of the last axis of the grid.
    several : bool
        Whether there is more than one region in all: the last bit of a fit may depend on how it is batched.
    """

    coords: tuple[NDArray[np.float64], ...]
    mask: NDArray[Any] | None = None
    regions: list[Region] | None = None
    labels: NDArray[np.int64] | None = None
    several: bool = False

    @classmethod
    def of(cls, image: Sliceable, request: ImageRequest) -> ImagePlan:
        """Check everything that can be checked without the data; labels of all frames are looked through.

        Raises
        ------
        FitInputError
            As `fit_image` does.
        """
        _check_image(image, request)
        frames, plane = _apart(image, request.model)
        shape, labels, regions = tuple(image.shape), request.labels, request.regions
        several, flat = regions is not None and len(regions) > 1, None
        arguments: dict[Key, Argument] = {}
        if regions is not None:
            numbers = np.arange(int(np.prod(frames))).reshape(frames)
            arguments = {FRAMES: Argument(numbers, tuple(range(len(frames))))}
        elif request.mask is not None:
            chosen: Any = request.mask if is_dask(request.mask) else np.asarray(request.mask)
            if tuple(chosen.shape) == shape and frames and chosen.dtype.kind in "bui":
                found, several = _survey(chosen, len(frames))
                labels = None if chosen.dtype == bool else found
                arguments = {MASK: Argument.along(chosen, range(len(shape)))}
            else:
                flat = np.asarray(chosen)
                _, grid, found = find_regions(flat, (1,), plane)
                labels = found if len(grid) > 1 else None
        plan = cls(
            model=request.model,
            shape=shape,
            dtype=image.dtype,
            grid_axes=(*range(len(frames)), *(() if labels is None else (len(shape),))),
            whole=tuple(range(len(frames), len(shape))),
            coords=flat_coordinates(request.coords, plane),
            mask=flat,
            regions=regions,
            labels=labels,
            several=several,
        )
        return plan.with_settings(request.settings, arguments)

    @property
    def frames(self) -> tuple[int, ...]:
        """The shape of the frames."""
        return self.shape[: len(self.shape) - self.model.ndim]

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""
        return self._grid(self.frames)

    def _grid(self, frames: tuple[int, ...]) -> tuple[int, ...]:
        return frames if self.labels is None else (*frames, len(self.labels))

    def all_regions(self) -> list[Region]:
        """Return the regions of all frames; a mask of all frames is loaded."""
        if self.regions is not None:
            return self.regions
        each = self.arguments.get(MASK)
        mask = self.mask if each is None else np.asarray(each.values)
        return find_regions(mask, self.frames, self.shape[len(self.frames) :])[0]

    def _regions(self, frames: tuple[int, ...], cut: Cut) -> list[Region]:
        """Return the regions of a piece, on its own grid."""
        if self.regions is not None:
            found = _some_frames(self.regions, cut[FRAMES].ravel(), 1 if self.labels is None else len(self.labels))
        else:
            mask = cut.get(MASK, self.mask)
            if mask is not None and not mask.any():
                return []
            found, _, own = find_regions(mask, frames, self.shape[len(self.frames) :])
            if self.labels is not None and not np.array_equal(own, self.labels):
                found = [_among(region, len(own), self.labels) for region in found]
        if self.several and len(found) == 1:
            nowhere = np.zeros(0, np.intp)
            found = [*found, Region(0, found[0].pixels[:1], nowhere, nowhere)]
        return found

    def n_fits(self, where: Slices) -> int:
        """Return how many fits there are in a piece."""
        frames = tuple(part.stop - part.start for part in where[: len(self.frames)])
        return sum(region.frames.size for region in self._regions(frames, self.places(where)))

    def needed(self, where: Slices) -> Slices:
        """Return the part of a piece that holds all of its fits: regions may be in few frames."""
        if self.regions is None or not self.frames:
            return where
        numbers = self.places(where)[FRAMES]
        has_some = np.isin(numbers, np.concatenate([region.frames for region in self.regions]))
        found = []
        for axis, part in enumerate(where[: len(self.frames)]):
            others = tuple(other for other in range(has_some.ndim) if other != axis)
            some = np.flatnonzero(has_some.any(axis=others))
            found.append(slice(part.start + int(some[0]), part.start + int(some[-1]) + 1))
        return (*found, *where[len(self.frames) :])

    def load(self, data: Any, where: Slices) -> NDArray[Any]:
        """Return the data of a piece, of whose planes no more is read than what is around the regions."""
        if self.regions is None:
            return super().load(data, where)
        frames = where[: len(self.frames)]
        numbers = self.places(where).get(FRAMES, np.zeros(1, np.intp))
        pixels = [region.pixels for region in self.regions if np.isin(region.frames, numbers).any()]
        places = np.unravel_index(np.concatenate(pixels), self.shape[len(self.frames) :])
        box: tuple[Any, ...] = tuple(slice(int(along.min()), int(along.max()) + 1) for along in places)
        inside = np.asarray(data[(*frames, *box)])
        whole = np.zeros((*inside.shape[: len(frames)], *self.shape[len(frames) :]), inside.dtype)
        whole[(slice(None),) * len(frames) + box] = inside
        return whole

    def steps(self, data: NDArray[Any], cut: Cut, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit a piece; yields `Progress` and returns a `FitResult`."""
        frames = data.shape[: len(self.frames)]
        settings, regions = join(self.settings, cut), self._regions(frames, cut)
        if not regions:
            return no_fits(self, self._grid(frames), self.source(data, cut), settings)
        request = replace(self.request(settings), coords=self.coords, regions=regions, labels=self.labels)
        return request.steps(data, should_stop)

    def request(self, settings: Settings) -> ImageRequest:
        """Return the request of a piece, or of the whole, without regions and coordinates."""
        return ImageRequest(self.model, settings=settings)

    def source(self, data: NDArray[Any], cut: Cut) -> ImageSource:
        """Return how the fits of a piece lie in its data."""
        settings = join(self.settings, cut)
        regions = self._regions(data.shape[: len(self.frames)], cut)
        return ImageSource(settings.level(data), self.coords, regions, self.labels, self.request(settings))

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: ``n_fits`` values per axis of the grid."""
        nothing = self.nothing(self.shape)
        return ImageSource(nothing, self.coords, [], self.labels, self.request(self.settings)).index_columns()

    def data_shape(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the data that has this grid of fits."""
        return (*grid[: len(self.frames)], *self.shape[len(self.frames) :])


def _apart(image: Sliceable, model: Model) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of frames and plane."""
    first = len(image.shape) - model.ndim
    return tuple(image.shape[:first]), tuple(image.shape[first:])


def _check_image(image: Sliceable, request: ImageRequest) -> None:
    """Check an image of one frame instead of all."""
    check_lengths(image)
    frames, plane = _apart(image, request.model) if len(image.shape) >= request.model.ndim else ((), tuple(image.shape))
    own = split(request.settings, (), ())[0]
    one = dark(image.dtype, (*(min(n, 1) for n in frames), *plane), own)
    ImageRequest(request.model, coords=request.coords, settings=own).steps(one)


def _survey(mask: Any, n_frame_axes: int) -> tuple[NDArray[np.int64], bool]:
    """Return the labels in all frames, and whether there is more than one region.

    The mask is looked at frame by frame.
    """
    labels: set[int] = set()
    regions = 0
    one = (*(1,) * n_frame_axes, *mask.shape[n_frame_axes:])
    for where in iter_pieces(mask.shape, one):
        own = np.unique(np.asarray(mask[where]))
        own = own[own > 0]
        labels.update(int(label) for label in own)
        regions += own.size
    if not labels:
        raise FitInputError("the mask selects no pixel; set at least one, or give a label above 0")
    return np.array(sorted(labels), dtype=mask.dtype if mask.dtype.kind in "ui" else np.int64), regions > 1


def _among(region: Region, n_own: int, labels: NDArray[np.int64]) -> Region:
    """Return a region on the grid of all labels, from the one of the labels in its piece."""
    column = int(np.searchsorted(labels, region.label))
    return replace(region, places=region.places // n_own * len(labels) + column)


def _some_frames(regions: Sequence[Region], frames: NDArray[np.intp], n_labels: int) -> list[Region]:
    """Return the regions in these frames, with frames and positions counted among them."""
    found = []
    for region in regions:
        own = np.searchsorted(frames, region.frames)
        kept = np.isin(region.frames, frames)
        if kept.any():
            places = own[kept] * n_labels + region.places[kept] % n_labels
            found.append(replace(region, frames=own[kept], places=places))
    return found
