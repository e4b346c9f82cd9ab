"""`fit_image`: one surface over the pixels of each region and frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.types import Bounds, DType, Loss, Noise, Values
from ...engine.core.validation import real_array
from ...engine.drive.problem import check_noise
from ...engine.models.model import Model
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult, LayerTuple
from ...engine.sums.camera import Camera
from ..fitting.callbacks import checked_progress, checked_stop
from ..fitting.chunks import is_dask
from ..fitting.run import Run, Settings, Wishes, drain, run
from ..layer_data.maps import image_layers
from .region import Region, find_regions, flat_coordinates, iter_jobs, take


@dataclass(frozen=True, eq=False)
class ImageSource:
    """How the fits of an image lie in it; see `napari_imagefit.engine.results.fit_result.Source`."""

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
        return self.pictures(result, np.float64)[0]

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        return self.pictures(result, np.float64)[1]

    def pictures(self, result: FitResult, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fitted and residual image; nothing but the regions is computed, however large the image."""
        data = self.image.reshape(int(np.prod(self.frames)), int(np.prod(self.coords[0].shape)))
        fitted, residual = (np.full(data.shape, np.nan, dtype) for _ in range(2))
        params = np.stack([result.solution[name].ravel() for name in result.model.names])
        for region in self.regions:
            own = predict(result.model, take(self.coords, region.pixels), params[:, region.places], self.options).T
            where = region.frames[:, None], region.pixels
            rest = data[where] - own
            rest[~np.isfinite(rest)] = np.nan
            fitted[where], residual[where] = own, rest
        return fitted.reshape(self.image.shape), residual.reshape(self.image.shape)

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

    def remarks(self, result: FitResult) -> list[str]:
        del result
        return []

    def recipe(self) -> dict[str, Any]:
        return {"verb": "fit_image", **self.wishes}


def iter_fit_image(
    image: ArrayLike,
    model: str | Model,
    *,
    mask: ArrayLike | None = None,
    coords: Sequence[ArrayLike] | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`fit_image` as a generator: it yields `Progress` several times a second and returns the `FitResult`."""
    if is_dask(image):
        from ..chunked.iterate import iter_fit_image_lazily

        return iter_fit_image_lazily(image, model, mask=mask, coords=coords, settings=settings, should_stop=should_stop)
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
        settings=settings,
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
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """The same for regions that may overlap, or differ from frame to frame."""
    settings = settings or Settings()
    image = settings.level(image)
    plane = image.shape[image.ndim - model.ndim :]
    full = flat_coordinates(coords, plane)
    places = np.concatenate([region.places for region in regions])
    fitted, ties = settings.model(model)
    wishes = Wishes.of(fitted, grid, places, settings)
    n_frames = int(np.prod(image.shape[: image.ndim - model.ndim]))
    flat = image.reshape(n_frames, -1)
    weights, shifts = (None if a is None else a.reshape(n_frames, -1) for a in settings.noise(image.shape))
    if settings.options.noise == "poisson" and shifts is None:
        for region in regions:
            check_noise("poisson", flat[region.frames[:, None], region.pixels], weights, shifts)
    settings.check_camera(flat, (flat[region.frames[:, None], region.pixels] for region in regions))
    source = ImageSource(image, full, regions, labels, settings.options, settings.recipe())
    together = bool(settings.shared)
    jobs = iter_jobs(regions, flat, weights, shifts, full, fitted, wishes, settings.options, together=together)
    return run(jobs, grid, places, model, source, settings, ties, should_stop=should_stop)


def fit_image(
    image: ArrayLike,
    model: str | Model,
    *,
    mask: ArrayLike | None = None,
    coords: Sequence[ArrayLike] | None = None,
    init: Values | None = None,
    bounds: Bounds | None = None,
    fixed: Values | None = None,
    tied: Mapping[str, str] | None = None,
    sigma: ArrayLike | None = None,
    noise: Noise | Camera = "gaussian",
    loss: Loss = "linear",
    f_scale: float = 1.0,
    shared: Sequence[str] = (),
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

    Minimises ½Σ((data − model)/σ)² within the bounds by a trust-region method, or a robust loss of the residuals, or
    the deviance of counts or magnitudes.

    Parameters
    ----------
    image : array, ``(*frames, Y, X)``, or ``(*frames, Z, Y, X)`` for a 3-D model
        Any real dtype. Pixels that are NaN or infinite are left out, and counted in ``n_left_out``. Of a Dask array the
        result is lazy: Dask arrays, and each chunk of frames is fitted when Dask computes it.
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
    tied : dict, optional
        Expressions by parameter name: ``{"sigma_y": "1.5*sigma_x"}``. A tied parameter is computed from others.
    sigma : array, optional
        Standard deviations of the data, broadcastable to the image. Standard errors are then absolute, otherwise scaled
        by √(reduced χ²).
    noise : {"gaussian", "poisson", "rician"} or Camera
        ``"poisson"`` takes the data for counts and finds the maximum of their likelihood, a `Camera` turns them into
        counts. Rates cannot be negative: parameters in the data's unit are then kept from 0 on unless `bounds` say
        otherwise. ``"rician"`` takes the data for magnitudes of a complex signal, as MRI has them; `sigma` is then the
        noise of one channel, and the model the signal without noise, by its magnitude where it is negative.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
        How much outliers count, as in `scipy.optimize.least_squares`; for Gaussian noise only.
    f_scale : float
        The residual at which a robust loss begins to bend: in units of σ where it is given, otherwise of the data.
    shared : sequence of str
        Parameters that all fits of the call have in common: they are fitted as one problem. Fits that come to no answer
        have no say in it.
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
    settings = Settings.of(
        init=init,
        bounds=bounds,
        fixed=fixed,
        tied=tied,
        shared=shared,
        sigma=sigma,
        noise=noise,
        loss=loss,
        f_scale=f_scale,
        ftol=ftol,
        xtol=xtol,
        gtol=gtol,
        max_iterations=max_iterations,
        device=device,
        dtype=dtype,
    )
    if is_dask(image):
        from ..chunked.dask_entry import lazy_fit_image

        return lazy_fit_image(
            image, model, mask=mask, coords=coords, settings=settings, progress=progress, should_stop=should_stop
        )
    progress, should_stop = checked_progress(progress), checked_stop(should_stop)
    steps = iter_fit_image(image, model, mask=mask, coords=coords, settings=settings, should_stop=should_stop)
    return drain(steps, progress)
