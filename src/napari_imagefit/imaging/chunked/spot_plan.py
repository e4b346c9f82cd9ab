"""`fit_spots` piece by piece: the spots whose middle lies in a piece, with the pixels of all their windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import real_array
from ..fitting.argument_checks import check_surface
from ..fitting.chunks import Argument, Sliceable, Slices, is_dask, piece_shape
from ..fitting.run import ParameterSettings, Run, Settings
from ..fitting.sigma import as_weights
from ..spots.background import with_background
from ..spots.masks import as_mask, unsaturated, with_mask
from ..spots.source import SpotSource
from ..spots.spot_fits import SpotRequest, iter_fit_windows, moved_positions
from ..spots.windows import Windows, find_windows, nearest_pixels, split_pixels
from .plan import MASK, Cut, Plan, check_lengths
from .split_settings import Key, join

POINTS: Key = ("points",)
BEGIN: Key = ("begin",)
CROWDED: Key = ("crowded",)
ALLOWED: Key = ("allowed",)
SIGMA: Key = ("sigma",)
READ_NOISE: Key = ("camera", "read_noise")

# Spots in a chunk of a stored map: those of a piece are seldom next to each other in the list.
STORED_TOGETHER = 1 << 14


@dataclass(frozen=True, eq=False, kw_only=True)
class SpotPlan(Plan):
    """`fit_spots` piece by piece.

    A piece is what is read of the image, a slice for each axis, and the rows of its points behind them. Pieces overlap
    where windows do: nothing has to be known of the neighbours, save whether there is one, which the points tell.

    Attributes
    ----------
    windows : Windows
        Of all points.
    varied : frozenset
        Which arguments hold more than one value: such a one is of the pixels' own where it has one value in a piece,
        too, for the last bit of a result may depend on it.
    """

    windows: Windows
    saturation: float | None = None
    varied: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, image: Sliceable, request: SpotRequest) -> SpotPlan:
        """Check everything that can be checked without the data. Points and values for each of them are loaded.

        Raises
        ------
        FitInputError
            As `fit_spots` does.
        """
        model, settings = with_background(request.model, request.background), _loaded(request.settings)
        mask: Any = request.mask
        if request.groups is not None:
            raise FitInputError(
                "spots that are fitted together may lie in several chunks, which are fitted one by one; leave groups "
                "out, or load the array into memory (array.compute()) where it fits"
            )
        check_lengths(image)
        shape = tuple(int(n) for n in image.shape)
        real_array(np.zeros([min(n, 1) for n in shape], image.dtype), "the image")
        check_surface(model, len(shape), "fit_spots")
        windows = find_windows(request.points, shape, model.ndim, request.window)
        plan = cls(
            model=model,
            shape=shape,
            dtype=image.dtype,
            grid_axes=(len(shape),),
            whole=(),
            windows=replace(windows, crowded=windows.have_neighbours()),
            saturation=request.saturation,
        )
        if mask is not None and not is_dask(mask):
            windows, of_image = with_mask(windows, mask)
            plan = replace(plan, windows=replace(plan.windows, allowed=windows.allowed))
            mask = None if of_image is None else np.asarray(mask)
        plan = plan.with_settings(settings, {} if mask is None else {MASK: plan._mask(mask)})
        varied = frozenset(key for key, argument in plan.arguments.items() if argument.values.size > 1)
        plan = replace(plan, varied=varied)
        ParameterSettings.of(settings.model(model)[0], plan.grid, np.arange(windows.count), settings)
        if settings.sigma is not None and np.ndim(settings.sigma) == 0:
            as_weights(settings.sigma, shape)
        return plan

    def _mask(self, mask: Any) -> Argument:
        if is_dask(mask):  # its type and shape are checked, and it need not be in memory to have a pixel
            if mask.shape not in {self.windows.plane, self.shape}:
                raise FitInputError(
                    f"the mask is a Dask array of shape {mask.shape}, the image has {self.shape}; give a mask of the "
                    f"image's plane {self.windows.plane}, or one of its full shape, or load it (mask.compute())"
                )
            as_mask(np.ones((1,) * mask.ndim, mask.dtype), self.shape)
        return Argument.along(mask, range(len(self.shape)))

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""
        return (self.windows.count,)

    def piece_shape(self, data: Sliceable, most_fits: int | None = None) -> tuple[int, ...]:
        """Return the shape of pieces of the image that are neither large nor tiny, if points are spread evenly."""
        return piece_shape(data, (), most_fits, prod(self.shape) / self.windows.count)

    def pieces(self, piece: tuple[int, ...]) -> tuple[Slices, ...]:
        """All pieces of this shape in which points lie, each with its points."""
        return self.groups([np.arange(0, n, size) for n, size in zip(self.shape, piece, strict=True)])

    def groups(self, firsts: Sequence[NDArray[np.intp]]) -> tuple[Slices, ...]:
        """Return the pieces of chunks that begin at these pixels along each axis, in C order.

        Those without points are not.
        """
        windows = self.windows
        pixels = np.concatenate([windows.frames, windows.centres], axis=1).T
        places = [np.searchsorted(first, own, "right") - 1 for first, own in zip(firsts, pixels, strict=True)]
        chunk = np.ravel_multi_index(places, [len(first) for first in firsts])
        order = np.argsort(chunk, kind="stable")
        _, starts = np.unique(chunk[order], return_index=True)
        low = np.concatenate([windows.frames, windows.limits[0]], axis=1)
        high = np.concatenate([windows.frames, windows.limits[1]], axis=1)
        found = []
        for rows in np.split(order, starts[1:]):
            ends = zip(low[rows].min(axis=0), high[rows].max(axis=0), strict=True)
            found.append((*(slice(int(a), int(b) + 1) for a, b in ends), rows))
        return tuple(found)

    def map_chunks(self, piece: tuple[int, ...]) -> tuple[int, ...]:
        """Return how long the chunks are in which the maps, which are lists of spots, are stored."""
        del piece
        return (min(self.windows.count, STORED_TOGETHER),)

    def bare(self) -> Self:
        """Return the plan without its windows, which are not the same in every piece."""
        return replace(super().bare(), windows=self.windows.some(slice(0)))

    def parts(self, where: Slices) -> dict[Key, Any]:
        """Return what a piece is fitted with; of Dask arrays the parts are Dask arrays."""
        rows, begin = where[-1], [part.start for part in self.on_data(where)]
        assert self.windows.crowded is not None
        allowed = self.windows.allowed
        return {
            **{key: argument.part(where) for key, argument in self.arguments.items()},
            POINTS: self.windows.points[rows],
            BEGIN: np.array(begin, np.intp),
            CROWDED: self.windows.crowded[rows],
            **({} if allowed is None else {ALLOWED: allowed[rows]}),
        }

    def cut(self, where: Slices) -> dict[Key, NDArray[Any]]:
        """Return the parts of all arguments for a piece."""
        return {key: np.asarray(values) for key, values in self.parts(where).items()}

    def n_fits(self, where: Slices) -> int:
        """Return how many fits there are in a piece."""
        return len(where[-1])

    @property
    def points(self) -> NDArray[np.float64]:
        """The points around which windows lie, as they were given."""
        return self.windows.points

    def n_requested(self) -> int:
        """Return the number of spots in all."""
        return int(np.prod(self.grid))

    def steps(self, data: NDArray[Any], cut: Cut, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit a piece; yields `Progress` and returns a `FitResult`."""
        request = self.request(join(self.settings, self._of_pixels(cut, data.shape)))
        return iter_fit_windows(data, self._windows(cut), _among(cut, data.shape), request, should_stop)

    def request(self, settings: Settings) -> SpotRequest:
        """Return the request of a piece, or of the whole, without points."""
        mask = self.arguments[MASK].values if MASK in self.arguments else self.windows.allowed
        size, saturation = self.windows.size, self.saturation
        return SpotRequest(self.model, window=size, mask=mask, saturation=saturation, settings=settings)

    def _of_pixels(self, cut: Cut, shape: tuple[int, ...]) -> Cut:
        """Return σ and read noise for each pixel where they vary in the image."""
        alike = [key for key in (SIGMA, READ_NOISE) if key in self.varied and cut[key].size == 1]
        return {**cut, **{key: np.full(shape, cut[key].item()) for key in alike}}

    def source(self, data: NDArray[Any], cut: Cut) -> SpotSource:
        """Return how the fits of a piece lie in its part of the image."""
        settings = join(self.settings, cut)
        return replace(
            self.source_of(self._windows(cut)),
            image=settings.level(data),
            request=self.request(settings),
            mask=unsaturated(data, self.saturation, _among(cut, data.shape)),
        )

    def source_of(self, windows: Windows) -> SpotSource:
        """Return the source of the fits of some windows, without an image and a mask."""
        positions = moved_positions(self.model, self.settings)
        return SpotSource(self.nothing(self.shape), None, windows, positions, self.request(self.settings))

    def _windows(self, cut: Cut) -> Windows:
        """Return the windows of a piece, in pixel indices of the whole image."""
        points = cut[POINTS]
        frames, centres = split_pixels(nearest_pixels(points).astype(np.intp), self.model.ndim)
        return Windows(
            self.shape, points, frames, centres, self.windows.size, cut[BEGIN], cut[CROWDED], cut.get(ALLOWED)
        )

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: the frame and the point around which the window lies."""
        return self.source_of(self.windows).index_columns()

    def data_shape(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the windows of a list of spots."""
        return (*grid, *self.windows.size)


def _among(cut: Cut, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a piece."""
    mask = cut.get(MASK)
    return None if mask is None else np.broadcast_to(mask, shape)


def _loaded(settings: Settings) -> Settings:
    """Load what was given for each point, as the points are in memory."""

    def load(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(load(v) for v in value)
        return np.asarray(value) if is_dask(value) else value

    parameter_settings: dict[str, Any] = {
        what: {name: load(value) for name, value in said.items()}
        for what in ("init", "bounds", "fixed")
        if isinstance(said := getattr(settings, what), dict)
    }
    return replace(settings, **parameter_settings)
