"""The mean curve of a region: fitted first, its result gives starts, and bounds if wished, for the map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.progress import drain
from ...engine.core.validation import float_array, real_array
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ..fitting.argument_checks import check_axis
from ..fitting.chunks import is_dask
from ..fitting.run import Settings
from ..fitting.selection import Selection
from .voxel_fits import VoxelRequest


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """The mean over the voxels of a region, sample by sample; each array is ``(n_samples,)``.

    Attributes
    ----------
    x : array
    mean : array
        NaN where no voxel has a sample that counts.
    sem : array
        Standard error of the mean, from the scatter of the voxels. NaN of fewer than two.
    n : int array
        Voxels whose sample counts.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    sem: NDArray[np.float64]
    n: NDArray[np.int64]


def mean_curve(
    stack: Any,
    x: ArrayLike | None = None,
    axis: int = 0,
    mask: Any = None,
    select: Selection | None = None,
) -> MeanCurve:
    """Return the mean curve of a region, of exactly the samples and voxels that a map of it would be fitted to.

    Samples that the selection leaves out of a voxel's curve do not count in the mean, and neither do voxels that it
    leaves out as too weak. Where values decide (noise floor, saturation), fewer voxels count in some samples than in
    others, and the mean is that of the rest.

    Parameters
    ----------
    stack : array
        NumPy or Dask, of any real dtype. Of a Dask array only what lies around the region is loaded.
    x : array, ``(n_samples,)``, optional
        The coordinate along the axis; indices if not given.
    axis : int
        Along which the curves run.
    mask : boolean or integer array, optional
        The region, of the stack's shape without `axis`: True or not 0. All voxels if not given.
    select : Selection, optional

    Raises
    ------
    FitInputError
        If shapes do not agree, the region is empty, or no voxel of it counts.

    Examples
    --------
    >>> curve = mean_curve(np.array([[4.0, 6.0], [1.0, np.nan], [0.0, 2.0]]))
    >>> curve.mean, curve.sem, curve.n
    (array([5., 1., 1.]), array([ 1., nan,  1.]), array([2, 1, 2]))
    """
    data = stack if is_dask(stack) else real_array(stack, "the stack")
    axis, coordinate, grid = check_axis(data.shape, axis, x)
    length = data.shape[axis]
    region = np.ones(grid, bool) if mask is None else np.asarray(mask) != 0
    if region.shape != grid:
        raise FitInputError(
            f"the mask has shape {region.shape}; give one of the stack's shape without the axis, {grid}"
        )
    if not region.any():
        raise FitInputError("the region holds no voxel; draw one over the data")

    # no more than the box around the region
    box = tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(region))
    inside = np.asarray(data[(*box[:axis], slice(None), *box[axis:])])
    counted, strong = (select or Selection()).apply(inside, coordinate, axis)
    chosen = region[box] & strong
    if not chosen.any():
        raise FitInputError("every voxel of the region is below min_signal; lower it, or draw another region")
    curves = np.moveaxis(counted, axis, 0).reshape(length, -1)[:, chosen.ravel()].astype(float)
    n = np.count_nonzero(np.isfinite(curves), axis=1)
    total = np.nansum(curves, axis=1)
    mean = np.divide(total, n, out=np.full(length, np.nan), where=n > 0)
    scatter = np.nansum((curves - mean[:, None]) ** 2, axis=1)
    sem = np.sqrt(np.divide(scatter, n * (n - 1.0), out=np.full(length, np.nan), where=n > 1))
    return MeanCurve(coordinate, mean, sem, n)


def fit_mean_curve(
    stack: Any,
    model: str | Model,
    *,
    x: ArrayLike | None = None,
    axis: int = 0,
    mask: Any = None,
    select: Selection | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Fit the mean curve of a region, with the settings of its map.

    Numbers in `settings` hold for the mean as they stand; of arrays over the map (a start, bounds or a fixed value per
    voxel) the mean over the region is taken. A σ is not handed on: the mean of many voxels has less noise than one, and
    its errors are measured by the residuals. The mean of magnitudes or counts is fitted by least squares, for it is
    neither.

    Returns
    -------
    FitResult
        On the grid ``()``.

    Raises
    ------
    FitInputError
        As `mean_curve` and `napari_imagefit.fit_voxels` do.

    Examples
    --------
    >>> t = np.arange(16.0)
    >>> stack = np.array([1.0, 3.0]) * np.exp(-t[:, None] / 5)
    >>> result = fit_mean_curve(stack, "exponential_decay", x=t)
    >>> result.params["amplitude"].round(6), result.params["tau"].round(6)
    (np.float64(2.0), np.float64(5.0))
    """
    curve = mean_curve(stack, x, axis, mask, select)
    shape = tuple(n for a, n in enumerate(stack.shape) if a != axis % stack.ndim) if hasattr(stack, "shape") else ()
    region = np.ones(shape, bool) if mask is None else np.asarray(mask) != 0
    settings = _of_one(settings or Settings(), region)
    by_place = None if select is None else select.by_place()
    request = VoxelRequest(models.find(model), x=curve.x, select=by_place, settings=settings)
    return drain(request.steps(curve.mean, should_stop))


def _of_one(settings: Settings, region: NDArray[np.bool_]) -> Settings:
    """Return the settings for the mean of a region."""

    def mean(value: Any) -> Any:
        array = float_array(np.asarray(value), "what was given")
        if array.ndim == 0:
            return float(array)
        try:
            inside = np.broadcast_to(array, region.shape)[region]
        except ValueError:
            raise FitInputError(
                f"an array of shape {array.shape} was given for a map of shape {region.shape}, to which it does not "
                "broadcast; give one number or one value per voxel"
            ) from None
        finite = inside[np.isfinite(inside)]
        # bounds may be infinite everywhere
        return float(finite.mean()) if finite.size else float(inside.flat[0])

    return replace(
        settings,
        init={name: mean(value) for name, value in (settings.init or {}).items()},
        bounds={name: (mean(low), mean(high)) for name, (low, high) in (settings.bounds or {}).items()},
        fixed={name: mean(value) for name, value in (settings.fixed or {}).items()},
        shared=(),
        sigma=None,
        camera=None,
        options=replace(settings.options, noise="gaussian"),
    )


def seed(
    settings: Settings, result: FitResult, *, bounds_factor: float | None = None, model: str | Model | None = None
) -> Settings:
    """Return the settings of a map that starts from the fit of a mean curve.

    Parameters
    ----------
    settings : Settings
        Of the map. Starts, bounds and values that are given there stay as they are.
    result : FitResult
        Of `fit_mean_curve`, on the grid ``()`` or ``(1,)``.
    bounds_factor : float, optional
        Above 1: each parameter is bound between its value divided and multiplied by this, within the model's bounds; a
        parameter that is 0 stays free. A negative one lies between its multiple and its part.
    model : str or Model, optional
        The map's, where it has not the same parameters as the mean's: only those in common are seeded.

    Raises
    ------
    FitInputError
        If the mean curve has no result, or the factor is not above 1.

    Examples
    --------
    >>> t, settings = np.arange(16.0), Settings(fixed={"offset": 0})
    >>> mean = fit_mean_curve(2 * np.exp(-t[:, None] / 5), "exponential_decay", x=t, settings=settings)
    >>> seeded = seed(settings, mean, bounds_factor=2)
    >>> sorted(seeded.init), tuple(round(float(end), 6) for end in seeded.bounds["tau"])
    (['amplitude', 'tau'], (2.5, 10.0))
    """
    if bounds_factor is not None and not bounds_factor > 1:
        raise FitInputError(f"bounds_factor={bounds_factor:g} leaves no room; give a number above 1, such as 3")
    if not result.converged.all():
        raise FitInputError(
            "the fit of the mean curve has not converged, so that nothing can start from it; "
            "fit it with other starts or another region first"
        )
    init, bounds = dict(settings.init or {}), dict(settings.bounds or {})
    names = result.model.names if model is None else models.find(model).names
    for parameter in result.model.parameters:
        name = parameter.name
        value = float(result.params[name].reshape(-1)[0])
        said = {*init, *(settings.fixed or {}), *(settings.tied or {})}
        if name in said or name not in names or not np.isfinite(value):
            continue
        if bounds_factor is not None and name not in bounds and value != 0:
            ends = sorted((value / bounds_factor, value * bounds_factor))
            bounds[name] = (max(ends[0], parameter.lower), min(ends[1], parameter.upper))
        low, high = bounds.get(name, (-np.inf, np.inf))
        # bounds of the map that leave the mean's value out win
        init[name] = np.clip(value, low, high) if np.ndim(low) or np.ndim(high) else float(np.clip(value, low, high))
    return replace(settings, init=init, bounds=bounds)
