"""`fit_image`: one surface over the pixels of each region and frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..catalogue import models
from ..engine.arrays import real_array
from ..engine.batch import predict
from ..engine.errors import FitInputError
from ..engine.model import Model
from ..engine.problem import Bounds, DType, Options, Values
from ..engine.result import FitResult, LayerTuple
from .maps import image_layers
from .regions import Region, find_regions, flat_coordinates, iter_jobs, take
from .run import Run, Wishes, as_weights, drain, plain, run


@dataclass(frozen=True, eq=False)
class ImageSource:
    """How the fits of an image lie in it; see `napari_imagefit.engine.result.Source`."""

    image: NDArray[Any]  # (*frames, *plane)
    coords: tuple[NDArray[np.float64], ...]  # one of the plane's shape per axis
    regions: list[Region]
    labels: NDArray[np.int64] | None  # of the last axis of the grid
    options: Options
    wishes: dict[str, Any]

    @property
    def frames(self) -> tuple[int, ...]:
        """The shape of the frames."""
        return self.image.shape[: self.image.ndim - len(self.coords)]

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        plane = self.coords[0].shape
        values = np.full((int(np.prod(self.frames)), int(np.prod(plane))), np.nan)
        params = np.stack([result.solution[name].ravel() for name in result.model.names])
        for region in self.regions:
            own = predict(result.model, take(self.coords, region.pixels), params[:, region.places], self.options)
            values[region.frames[:, None], region.pixels] = own.T
        return values.reshape(self.image.shape)

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        residual = self.image - self.fitted(result)
        residual[~np.isfinite(residual)] = np.nan
        return residual

    def index_columns(self) -> dict[str, NDArray[Any]]:
        grid = self.frames if self.labels is None else (*self.frames, len(self.labels))
        places = np.indices(grid).reshape(len(grid), int(np.prod(grid)))
        names = ["frame"] if len(self.frames) == 1 else [f"frame_{axis}" for axis in range(len(self.frames))]
        columns: dict[str, NDArray[Any]] = dict(zip(names, places, strict=False))
        if self.labels is not None:
            columns["label"] = self.labels[places[-1]]
        return columns

    def layers(self, result: FitResult) -> list[LayerTuple]:
        return image_layers(result, self)

    def recipe(self) -> dict[str, Any]:
        return {"verb": "fit_image", **self.wishes}


def iter_fit_image(
    image: ArrayLike,
    model: str | Model,
    *,
    mask: ArrayLike | None = None,
    coords: Sequence[ArrayLike] | None = None,
    init: Values | None = None,
    bounds: Bounds | None = None,
    fixed: Values | None = None,
    sigma: ArrayLike | None = None,
    options: Options | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`fit_image` as a generator: it yields `Progress` several times a second and returns the `FitResult`."""
    model = models.find(model)
    data = real_array(image, "the image")
    if model.ndim < 2:
        raise FitInputError(f"model {model.name!r} is a curve; fit_image takes surfaces, use fit_voxels for curves")
    if data.ndim < model.ndim:
        raise FitInputError(
            f"the image has {data.ndim} axes, but model {model.name!r} needs {model.ndim}; give an image with as many"
        )
    frames, plane = data.shape[: data.ndim - model.ndim], data.shape[data.ndim - model.ndim :]
    regions, grid, labels = find_regions(mask, frames, plane)
    return iter_fit_regions(
        data,
        model,
        regions,
        grid,
        labels=None if grid == frames else labels,
        coords=coords,
        init=init,
        bounds=bounds,
        fixed=fixed,
        sigma=sigma,
        options=options,
        should_stop=should_stop,
    )


def iter_fit_regions(
    image: NDArray[Any],
    model: Model,
    regions: list[Region],
    grid: tuple[int, ...],
    *,
    labels: NDArray[np.int64] | None,
    coords: Sequence[ArrayLike] | None = None,
    init: Values | None = None,
    bounds: Bounds | None = None,
    fixed: Values | None = None,
    sigma: ArrayLike | None = None,
    options: Options | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """The same for regions that may overlap, or differ from frame to frame."""
    options = options or Options()
    plane = image.shape[image.ndim - model.ndim :]
    full = flat_coordinates(coords, plane)
    places = np.concatenate([region.places for region in regions])
    wishes = Wishes.of(model, grid, places, init, bounds, fixed)
    weights = as_weights(sigma, image.shape)
    n_frames = int(np.prod(image.shape[: image.ndim - model.ndim]))
    flat = None if weights is None else weights.reshape(n_frames, -1)
    said = {"init": init or {}, "bounds": bounds or {}, "fixed": fixed or {}}
    source = ImageSource(image, full, regions, labels, options, plain(said | {"options": vars(options)}))
    jobs = iter_jobs(regions, image.reshape(n_frames, -1), flat, full, model, wishes, options)
    return run(jobs, grid, places, model, source, options, known_sigma=weights is not None, should_stop=should_stop)


def fit_image(
    image: ArrayLike,
    model: str | Model,
    *,
    mask: ArrayLike | None = None,
    coords: Sequence[ArrayLike] | None = None,
    init: Values | None = None,
    bounds: Bounds | None = None,
    fixed: Values | None = None,
    sigma: ArrayLike | None = None,
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    max_iterations: int = 100,
    device: str | None = None,
    dtype: DType | None = None,
    progress: Callable[[int, int], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Fit one surface to the pixels of each region and frame.

    Minimises ½Σ((data − model)/σ)² within the bounds by a trust-region method.

    Parameters
    ----------
    image : array, ``(*frames, Y, X)``, or ``(*frames, Z, Y, X)`` for a 3-D model
        Any real dtype. Pixels that are NaN or infinite are left out, and counted in ``n_left_out``.
    model : str or Model
        Such as ``"gaussian_2d_rotated"``; see `napari_imagefit.models`.
    mask : array, optional
        Boolean: the pixels to use. Integer: one fit for each label above 0. Of the plane's or the image's shape.
    coords : sequence of arrays, optional
        Coordinates along each axis of the plane, ``(y, x)``: values along the axis, or arrays of the plane's shape.
        Pixel indices if not given. Positions and widths come back in their unit.
    init, fixed : dict, optional
        Starts, and values to hold, by parameter name: a number, or an array that broadcasts to the grid of fits.
    bounds : dict, optional
        ``(lower, upper)`` by parameter name, likewise; equal bounds hold the parameter.
    sigma : array, optional
        Standard deviations of the data, broadcastable to the image. Standard errors are then absolute, otherwise scaled
        by √(reduced χ²).
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    progress : callable, optional
        Called with fits done and fits in all, several times a second.
    should_stop : callable, optional
        Asked several times a second; once true, what is fitted so far is returned.

    Returns
    -------
    FitResult
        On the grid ``(*frames,)``, or ``(*frames, n_labels)`` with labels in ascending order.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = 2 * np.exp(-((y - 15) ** 2 + (x - 21) ** 2) / (2 * 4**2)) + 1
    >>> result = fit_image(image, "gaussian_2d")
    >>> round(float(result.params["x"]), 6), round(float(result.params["sigma"]), 6)
    (21.0, 4.0)
    """
    steps = iter_fit_image(
        image,
        model,
        mask=mask,
        coords=coords,
        init=init,
        bounds=bounds,
        fixed=fixed,
        sigma=sigma,
        options=Options(ftol, xtol, gtol, max_iterations, dtype or "float64", device),
        should_stop=should_stop,
    )
    return drain(steps, progress)
