"""A fit that is done piece by piece: all its settings, and how one piece is fitted by the ordinary way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.fits import Fits
from ...engine.core.status import Status
from ...engine.core.validation import float_array
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult, Source
from ..fitting.chunks import Argument, Sliceable, Slices, is_dask, iter_pieces, piece_shape
from ..fitting.run import ParameterSettings, Run, Settings, run
from ..fitting.selection import Selection
from ..fitting.sigma import as_weights
from ..regions.region_fits import ImageSource
from ..requests.request import Request
from ..spots.source import SpotSource
from ..voxels.voxel_fits import VoxelRequest, VoxelSource, checked_mask
from .model_pickling import receive, send
from .split_settings import Key, join, split, without_dask

MASK: Key = ("mask",)
FRAMES: Key = ("frames",)
Cut = Mapping[Key, NDArray[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan(ABC):
    """Plan of a fit piece by piece. It can be sent to another process.

    Attributes
    ----------
    shape, dtype
        Of the data.
    grid_axes : tuple of int
        The axis of the data for each axis of the grid of fits; ``len(shape)`` for labels.
    whole : tuple of int
        The axes that are never cut.
    said : Settings
        All settings, as given.
    knows_noise : bool
        Whether standard errors are absolute.
    settings : Settings
        The part of it that is the same in every piece.
    arguments : dict
        The part that is cut: arrays.
    """

    model: Model
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    grid_axes: tuple[int, ...]
    whole: tuple[int, ...]
    said: Settings = field(default_factory=Settings)
    knows_noise: bool = False
    settings: Settings = field(default_factory=Settings)
    arguments: dict[Key, Argument] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"model": send(self.model)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, model=receive(state["model"]))

    @property
    @abstractmethod
    def grid(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""

    def piece_shape(self, data: Sliceable, most_fits: int | None = None) -> tuple[int, ...]:
        """Return the shape of pieces of these data that are neither large nor tiny."""
        return piece_shape(data, self.whole, most_fits)

    def pieces(self, piece: tuple[int, ...]) -> tuple[Slices, ...]:
        """All pieces of this shape."""
        return tuple(iter_pieces(self.shape, piece))

    def map_chunks(self, piece: tuple[int, ...]) -> tuple[int, ...]:
        """Return the chunks in which maps are well stored that are written piece by piece."""
        return tuple(piece[axis] if axis < len(piece) else self.grid[-1] for axis in self.grid_axes)

    def on_data(self, where: Slices) -> Slices:
        """Return what is read of the data for a piece."""
        return where[: len(self.shape)]

    def needed(self, where: Slices) -> Slices:
        """Return the part of a piece that holds all of its fits."""
        return where

    def load(self, data: Any, where: Slices) -> NDArray[Any]:
        """Return the data of a piece; what no fit of it reads may be 0."""
        return np.asarray(data[self.on_data(where)])

    def on_grid(self, where: Slices) -> Slices:
        """Return the slices of the grid that belong to a piece of the data."""
        return tuple(where[axis] if axis < len(where) else slice(None) for axis in self.grid_axes)

    def cut(self, where: Slices) -> dict[Key, NDArray[Any]]:
        """Return the parts of all arguments for a piece."""
        return {key: argument.cut(where) for key, argument in self.arguments.items()}

    def places(self, where: Slices) -> dict[Key, NDArray[Any]]:
        """Return the same for the arguments that select fits."""
        return {key: self.arguments[key].cut(where) for key in (MASK, FRAMES) if key in self.arguments}

    def bare(self) -> Self:
        """Return the plan without what is not the same in every piece."""
        return replace(self, arguments={}, said=Settings())

    def with_settings(self, settings: Settings, others: Mapping[Key, Argument]) -> Self:
        """Take the settings apart, and add other arguments.

        Raises
        ------
        FitInputError
            If an array has a shape that does not broadcast, or a value makes no sense.
        """
        if settings.shared:
            raise FitInputError(
                "shared parameters make one problem of all fits, which cannot be done chunk by chunk; "
                "leave shared out, or load the array into memory (array.compute()) where it fits"
            )
        same, arguments = split(settings, tuple(range(len(self.shape))), self.grid_axes)
        plan = replace(
            self, said=settings, knows_noise=settings.knows_noise, settings=same, arguments=arguments | dict(others)
        )
        plan.check_shapes()
        return replace(plan, settings=replace(same, requested=plan.n_requested()))

    @property
    def points(self) -> NDArray[np.float64] | None:
        """The points around which windows lie, as they were given; None where there are none."""
        return None

    def n_requested(self) -> int:
        """Return the number of fits in all; as many as there may be where a mask is not in memory."""
        if any(is_dask(self.arguments[key].values) for key in (MASK, FRAMES) if key in self.arguments):
            return int(np.prod(self.grid))
        return self.n_fits(tuple(slice(0, n) for n in self.shape))

    def check_shapes(self) -> None:
        """Refuse arrays that do not broadcast, and whatever else NumPy arrays show to be wrong."""
        whole = {"sigma": (self.shape, "data's"), "camera": (self.shape, "data's")}
        for key, argument in self.arguments.items():
            against, what = whole.get(key[0], (self.grid, "grid of fits"))
            shape = argument.values.shape
            if key in (MASK, FRAMES):
                continue
            try:
                fits = np.broadcast_shapes(shape, against) == against
            except ValueError:
                fits = False
            if not fits:
                name = "sigma" if key[0] == "sigma" else f"what was given for {key[1]!r}"
                raise FitInputError(
                    f"{name} has shape {shape}, which does not broadcast to the {what} {against}; "
                    "give one number, or one for each"
                )
        for key in self.arguments:
            if key[0] in ("init", "bounds", "fixed"):
                self.said.model(self.model)[0].index(key[1])
        sigma = self.arguments.get(("sigma",))
        if sigma is not None and not is_dask(sigma.values):
            as_weights(sigma.values, self.shape)
        known = without_dask(self.said)
        if any(key[0] in ("init", "bounds", "fixed") and not is_dask(a.values) for key, a in self.arguments.items()):
            mask = self.arguments.get(MASK)
            chosen = None if mask is None or is_dask(mask.values) else np.asarray(mask.values)
            size = int(np.prod(self.grid))
            flat = chosen is not None and chosen.shape == self.grid
            places = np.flatnonzero(chosen) if flat else np.arange(size)  # type: ignore[arg-type]
            ParameterSettings.of(self.said.model(self.model)[0], self.grid, places, known)

    @abstractmethod
    def n_fits(self, where: Slices) -> int:
        """Return how many fits a piece has, without its data."""

    @abstractmethod
    def steps(self, data: NDArray[Any], cut: Cut, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit a piece."""

    @abstractmethod
    def source(self, data: NDArray[Any], cut: Cut) -> VoxelSource | ImageSource | SpotSource:
        """Return the source of the fits of a piece."""

    @abstractmethod
    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits; see `Source`."""

    @abstractmethod
    def data_shape(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the data of a piece, by that of its grid."""

    @abstractmethod
    def request(self, settings: Settings) -> Request:
        """Return the request of a piece, or of the whole, without what is cut."""

    def nothing(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return data of which only shape and type matter."""
        return np.broadcast_to(np.zeros((), self.dtype), shape)

    def blank(self, grid: tuple[int, ...], source: Source, status: Status) -> FitResult:
        """Return a result without fits, all of one status."""
        return FitResult.on_grid(
            Fits.blank(len(self.model.names), int(np.prod(grid)), status),
            grid,
            self.model,
            source,
            known_sigma=self.knows_noise,
            criterion=self.settings.options.criterion,
            seconds=0.0,
            device="",
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class VoxelPlan(Plan):
    """Plan of `fit_voxels` on a Dask array.

    It is made from a `VoxelRequest` and what is known of the stack without its data: shape, type and chunks. The axis
    that is fitted is never cut, so that a piece holds whole curves, and a piece is a small stack with a request of its
    own. Settings by voxel are cut along with it. Each piece gives, to the last bit, what it gives in the whole.
    """

    axis: int
    x: NDArray[np.float64]
    select: Selection | None = None

    @classmethod
    def of(cls, stack: Sliceable, request: VoxelRequest) -> VoxelPlan:
        """Check everything that can be checked without the data.

        Raises
        ------
        FitInputError
            As `fit_voxels` does.
        """
        check_lengths(stack)
        ndim, axis, select = len(stack.shape), request.axis, request.select
        inside = -ndim <= axis < ndim
        one = tuple(n if inside and a == axis % ndim else min(n, 1) for a, n in enumerate(stack.shape))
        # a stack of one voxel goes through all checks, whatever the values of samples must be
        own = split(request.settings, (), ())[0]
        places = None if select is None else select.by_place()
        replace(request, mask=None, select=places, settings=own).steps(dark(stack.dtype, one, own))
        axis %= ndim
        plan = cls(
            model=request.model,
            shape=tuple(stack.shape),
            dtype=stack.dtype,
            grid_axes=tuple(a for a in range(ndim) if a != axis),
            whole=(axis,),
            axis=axis,
            x=np.arange(stack.shape[axis], dtype=float) if request.x is None else float_array(request.x, "x"),
            select=select,
        )
        mask = None if request.mask is None else checked_mask(request.mask, plan.grid)
        cut = {} if mask is None else {MASK: Argument.along(mask, plan.grid_axes)}
        return plan.with_settings(request.settings, cut)

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""
        return tuple(self.shape[a] for a in self.grid_axes)

    def n_fits(self, where: Slices) -> int:
        """Return how many fits there are in a piece."""
        if (mask := self.places(where).get(MASK)) is not None:
            return int(np.count_nonzero(mask))
        return int(np.prod([where[a].stop - where[a].start for a in self.grid_axes]))

    def steps(self, data: NDArray[Any], cut: Cut, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit a piece; yields `Progress` and returns a `FitResult`."""
        settings, mask = join(self.settings, cut), cut.get(MASK)
        if mask is not None and not mask.any():
            return no_fits(self, mask.shape, self.source(data, cut), settings)
        return replace(self.request(settings), mask=mask).steps(data, should_stop)

    def request(self, settings: Settings) -> VoxelRequest:
        """Return the request of a piece, or of the whole, without a mask."""
        return VoxelRequest(self.model, self.x, self.axis, select=self.select, settings=settings)

    def source(self, data: NDArray[Any], cut: Cut) -> VoxelSource:
        """Return how the fits of a piece lie in its data."""
        settings = join(self.settings, cut)
        return VoxelSource(settings.level(data), self.request(settings))

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: ``n_fits`` values per axis of the grid."""
        return VoxelSource(self.nothing(self.shape), self.request(self.settings)).index_columns()

    def data_shape(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the data that has this grid of fits."""
        return (*grid[: self.axis], self.x.size, *grid[self.axis :])


def dark(dtype: np.dtype[Any], shape: tuple[int, ...], settings: Settings) -> NDArray[Any]:
    """Return data without any light, as a view: what a check of everything but the values is tried with."""
    zero = 0.0 if settings.camera is None else float(np.mean(np.asarray(settings.camera.offset, float)))
    if dtype.kind in "iu":
        zero = min(zero, np.iinfo(dtype).max)
    return np.broadcast_to(np.asarray(zero).astype(dtype), shape)


def check_lengths(data: Sliceable) -> None:
    """Refuse a Dask array whose lengths are not known; raises `FitInputError`."""
    if np.isnan(data.shape).any():
        raise FitInputError(
            f"the Dask array has an unknown length (shape {data.shape}); call its compute_chunk_sizes() first"
        )


def no_fits(plan: Plan, grid: tuple[int, ...], source: Source, settings: Settings) -> Run:
    """Return the run of a piece in which nothing is fitted."""
    _, ties = settings.model(plan.model)
    return run([], grid, np.zeros(0, np.intp), plan.model, source, settings, ties)
