"""Fit one surface over the pixels of each region and frame of an image in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.validation import real_array
from ...engine.drive.problem import check_noise
from ...engine.models.model import Model
from ...engine.models.prediction import predict
from ...engine.models.ties import Ties
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.argument_checks import check_surface
from ..fitting.positions import SPATIAL_AXES
from ..fitting.refusals import Numbers, joined
from ..fitting.run import Job, ParameterSettings, Run, Settings, plain, run
from ..fitting.sigma import marks_of_sigma, refused_by_sigma
from ..layer_data.maps import image_layers
from ..requests.json_fields import numbers
from ..requests.python_script import Script
from ..requests.request import Request
from .region import Region, coordinates_along, find_regions, flat_coordinates, iter_jobs, take


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Layout of the fits of an image in it; see `napari_imagefit.engine.results.fit_result.Source`."""

    job: ClassVar[str] = "region"
    in_memory: ClassVar[bool] = True

    image: NDArray[Any]  # (*frames, *plane)
    coords: tuple[NDArray[np.float64], ...]  # one of the plane's shape per axis
    regions: list[Region]
    labels: NDArray[np.int64] | None  # of the last axis of the grid
    request: ImageRequest  # without its coordinates

    @property
    def settings(self) -> Settings:
        """Settings beside data and model."""
        return self.request.settings

    @property
    def frames(self) -> tuple[int, ...]:
        """The shape of the frames."""
        return self.image.shape[: self.image.ndim - len(self.coords)]

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        """Return the model's values in the data's shape, NaN where there is no answer."""
        return self.pictures(result, np.float64)[0]

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        """Return data − fitted, in the data's shape, NaN where either has no value."""
        return self.pictures(result, np.float64)[1]

    def pictures(self, result: FitResult, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fitted and residual image; nothing but the regions is computed, however large the image."""
        data = self.image.reshape(int(np.prod(self.frames)), int(np.prod(self.coords[0].shape)))
        fitted, residual = (np.full(data.shape, np.nan, dtype) for _ in range(2))
        params = np.stack([values.ravel() for values in result.answers.values()])
        for region in self.regions:
            own = predict(
                result.model, take(self.coords, region.pixels), params[:, region.places], self.settings.options
            ).T
            where = region.frames[:, None], region.pixels
            rest = data[where] - own
            rest[~np.isfinite(rest)] = np.nan
            fitted[where], residual[where] = own, rest
        return fitted.reshape(self.image.shape), residual.reshape(self.image.shape)

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: one per frame axis, and the label where regions have one."""
        grid = self.frames if self.labels is None else (*self.frames, len(self.labels))
        places = np.indices(grid).reshape(len(grid), int(np.prod(grid)))
        names = ["frame"] if len(self.frames) == 1 else [f"frame_{axis}" for axis in range(len(self.frames))]
        columns: dict[str, NDArray[Any]] = dict(zip(names, places, strict=False))
        if self.labels is not None:
            columns["label"] = self.labels[places[-1]]
        return columns

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return the result as napari layer data tuples."""
        return image_layers(result, self)

    def remarks(self, result: FitResult) -> list[str]:
        """Return nothing: these fits say nothing together that none says by itself."""
        del result
        return []

    def recipe(self) -> dict[str, Any]:
        """Return what was asked for, as JSON, but for the coordinates."""
        return self.request.to_json()


@dataclass(frozen=True, eq=False)
class RegionCall:
    """Fits of regions, checked and ready to be run.

    Attributes
    ----------
    jobs : iterable of Job
        Gathered when their turn comes.
    grid : tuple of int
        The shape of the grid of fits.
    places : int array
        The flat places on the grid that the fits fill.
    ties : Ties or None
        What makes the whole model of the one that is fitted.
    refused : int array or None
        Which setting of which place of the flat grid cannot be used.
    """

    jobs: Iterable[Job]
    grid: tuple[int, ...]
    places: NDArray[np.intp]
    model: Model
    source: ImageSource
    settings: Settings
    ties: Ties | None
    refused: Numbers | None


@dataclass(frozen=True, eq=False)
class ImageRequest(Request):
    """Arguments of `fit_image` but for the image: those of these names, and all others as settings.

    Attributes
    ----------
    model, mask, coords
        As in `fit_image`.
    regions : list of Region or None
        In the place of a mask; they may overlap, or differ from frame to frame.
    labels : int array or None
        Of the regions: the last axis of the grid of fits. None for one region, whose grid is the frames'.
    """

    verb: ClassVar[str] = "fit_image"
    own_fields: ClassVar[set[str]] = {"coords"}

    mask: ArrayLike | None = None
    coords: Sequence[ArrayLike] | None = None
    regions: list[Region] | None = None
    labels: NDArray[np.int64] | None = None

    @unheeded
    def steps(self, image: ArrayLike, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit an image in memory; the generator yields `Progress` and returns the `FitResult`."""
        call = self.prepare(image)
        return run(
            call.jobs,
            call.grid,
            call.places,
            call.model,
            call.source,
            call.settings,
            call.ties,
            refused=call.refused,
            should_stop=should_stop,
        )

    def _found(
        self, frames: tuple[int, ...], plane: tuple[int, ...]
    ) -> tuple[list[Region], tuple[int, ...], NDArray[np.int64] | None]:
        """Return the regions, the grid of fits, and the labels of its last axis."""
        if self.regions is not None:
            return self.regions, frames if self.labels is None else (*frames, len(self.labels)), self.labels
        regions, grid, labels = find_regions(self.mask, frames, plane)
        return regions, grid, None if grid == frames else labels

    def prepare(self, image: ArrayLike) -> RegionCall:
        """Check everything that can be wrong, for an image in memory, and make problems of it.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        model, settings = self.model, self.settings
        data = real_array(image, "the image")
        check_surface(model, data.ndim, "fit_image")
        frames, plane = data.shape[: data.ndim - model.ndim], data.shape[data.ndim - model.ndim :]
        regions, grid, labels = self._found(frames, plane)
        data = settings.level(data)
        full = flat_coordinates(self.coords, plane)
        places = np.concatenate([region.places for region in regions])
        fitted, ties = settings.model(model)
        parameter_settings = ParameterSettings.of(fitted, grid, places, settings)
        n_frames = int(np.prod(frames))
        flat = data.reshape(n_frames, -1)
        weights, shifts = (None if a is None else a.reshape(n_frames, -1) for a in settings.noise(data.shape))
        if settings.options.noise == "poisson" and shifts is None:
            for region in regions:
                check_noise("poisson", flat[region.frames[:, None], region.pixels], weights, shifts)
        settings.check_camera(flat, (flat[region.frames[:, None], region.pixels] for region in regions))
        source = ImageSource(data, full, regions, labels, replace(self, coords=None))
        marks = marks_of_sigma(settings.sigma, data.shape)
        bad_sigma = None if marks is None else _bad_sigma(regions, flat, marks.reshape(n_frames, -1), grid)
        refused = joined(parameter_settings.refused, bad_sigma)
        fitting = regions if refused is None else [own for region in regions if (own := region.without(refused > 0))]
        together = bool(settings.shared)
        jobs = iter_jobs(
            fitting, flat, weights, shifts, full, fitted, parameter_settings, settings.options, together=together
        )
        return RegionCall(jobs, grid, places, model, source, settings, ties, refused)

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, see `Request.to_json`; coordinates are left out where they are pixel indices."""
        coords = None if self.coords is None else coordinates_along(self.coords)
        return super().to_json() | ({} if coords is None else plain({"coords": coords}))

    def _own(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _own_of(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        coords = said.get("coords")
        if coords is not None and not isinstance(coords, list):
            raise FitInputError(f"the recipe's coords are {coords!r}; give a list of values for each axis")
        return {"coords": None if coords is None else [numbers(c, "coords") for c in coords]}

    def _own_in(self, script: Script) -> dict[str, str]:
        assert self.regions is None, "as a mask, see `with_mask`"
        own = {}
        if self.coords is not None:
            axes = zip(SPATIAL_AXES[-len(self.coords) :], self.coords, strict=True)
            own["coords"] = f"({', '.join(script.value(name, np.asarray(c)) for name, c in axes)})"
        if self.mask is not None:
            own["mask"] = script.mask("mask", np.asarray(self.mask))
        return own

    def with_mask(self, shape: tuple[int, ...]) -> ImageRequest:
        """Return the same with a mask of labels in the place of regions, for an image of this shape.

        The mask is of the plane's shape where the regions are the same in all frames; for the whole image there is
        none.

        Raises
        ------
        FitInputError
            If regions overlap.
        """
        if self.regions is None:
            return self
        frames, plane = shape[: len(shape) - self.model.ndim], shape[len(shape) - self.model.ndim :]
        labels = np.zeros((int(np.prod(frames)), int(np.prod(plane))), np.uint16)
        for region in self.regions:
            where = (region.frames[:, None], region.pixels)
            if labels[where].any():
                raise FitInputError("Regions that overlap do not go into one script; copy one for each of them.")
            labels[where] = 1 + region.places[0] % (1 if self.labels is None else len(self.labels))
        mask = labels[0].reshape(plane) if (labels == labels[0]).all() else labels.reshape(shape)
        return replace(self, mask=None if (labels == 1).all() else mask, regions=None, labels=None)


def _bad_sigma(
    regions: list[Region], images: NDArray[Any], marks: NDArray[np.int8], grid: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Fits of the flat grid whose σ cannot be used, by marks of the images' shape ``(n_frames, n_pixels)``."""
    found = np.zeros(int(np.prod(grid)), bool)
    for region in regions:
        for frame, place in zip(region.frames, region.places, strict=True):
            counted = np.isfinite(images[frame, region.pixels])
            found[place] = refused_by_sigma(marks[frame, region.pixels][:, None], counted[:, None])[0]
    return found
