"""One surface beside its fit: profiles along both axes, means or cuts through its centre, and the residual."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from ...engine.core.types import Floats
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import Place, solution_at
from ..regions.region import Region
from .curves import CURVE_POINTS, Curve, line_through

# Pixels along each side of a drawn patch; of a larger region every second, third… pixel is drawn.
PATCH = 96
# Values of the model that a profile takes at most; of a larger region every second, third… line is averaged.
MOST_SAMPLES = 500_000
# A picture of so many drawn pixels is smoothed by one of them; a smaller one by less, which would else be blurred away.
SMOOTHED = 32
# The colours' limit to either side, in standard deviations of the smoothed residual.
REACH = 3
Profile = Literal["mean", "cut"]


@dataclass(frozen=True, eq=False)
class Cuts:
    """A surface and its fit.

    Attributes
    ----------
    along : tuple of Curve
        The profile along y and the one along x.
    at_centre : bool
        Whether the fitted centre is inside of the region; without one cuts go through the region's middle.
    patch : array, ``(h, w)``
        Data − fitted over the region, smoothed; NaN outside of it and where there is no result.
    limit : float
        The colours' limit to either side: three robust standard deviations of the patch.
    extent : tuple of float
        Coordinates of the patch's outer edges: first and last y, first and last x.
    """

    along: tuple[Curve, Curve]
    at_centre: bool
    patch: Floats
    limit: float
    extent: tuple[float, float, float, float]


def surface_cuts(result: FitResult, place: Place, sigma: ArrayLike | None = None, profile: Profile = "cut") -> Cuts:
    """Profiles and residual patch of one fit.

    Parameters
    ----------
    result : FitResult
        Of `fit_image` with a model of two coordinates.
    place : tuple of int
        On the grid of fits.
    sigma : array, optional
        Standard deviations, broadcastable to the image.
    profile : {"cut", "mean"}
        Along each axis the line of pixels through the fitted centre, or the mean of all such lines of the region.

    Examples
    --------
    >>> from napari_imagefit import fit_image
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = 2 * np.exp(-((y - 15) ** 2 + (x - 21) ** 2) / (2 * 4**2)) + 1
    >>> cuts = surface_cuts(fit_image(image, "gaussian_2d"), ())
    >>> [round(curve.centre, 6) for curve in cuts.along]
    [15.0, 21.0]
    """
    image = _image_of(result)
    region, frame = _region(image, result, place)
    plane = image.coords[0].shape
    rows, columns = np.unravel_index(region.pixels, plane)
    box = slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
    leading = np.unravel_index(frame, image.frames) if image.frames else ()
    where: Any = (*leading, *box)
    data: Floats = np.asarray(image.image[where], dtype=np.float64)
    inside = np.zeros(data.shape, bool)
    inside[rows - box[0].start, columns - box[1].start] = True
    coords = (image.coords[0][box], image.coords[1][box])
    spread = None
    if sigma is not None:
        spread = np.broadcast_to(np.asarray(sigma, dtype=float), image.image.shape)[where]

    centre = _centre(result, place)
    at = None if centre is None else _nearest(coords, inside, centre)
    middle = at or (data.shape[0] // 2, data.shape[1] // 2)
    curves = []
    for axis in range(2):
        if profile == "mean":
            curve = _mean_profile(result, place, image, axis, coords, data, inside, spread)
        else:
            line: Any = (slice(None), middle[1]) if axis == 0 else (middle[0], slice(None))
            curve = _cut(result, place, image, [c[line] for c in coords], axis, data[line], inside[line])
            curve = replace(curve, sigma=None if spread is None else spread[line])
        curves.append(replace(curve, centre=None if at is None or centre is None else centre[axis]))
    patch, kept = _patch(result, place, image, data, inside, coords)
    patch = smoothed(patch)
    return Cuts((curves[0], curves[1]), at is not None, patch, _limit(patch), _extent(kept))


def smoothed(patch: Floats) -> Floats:
    """Return a picture smoothed by about a pixel, as its size warrants; NaN stays, and takes no part.

    Examples
    --------
    >>> smoothed(np.ones((40, 40)))[3, 7].round(12)
    np.float64(1.0)
    """
    width = min(1.0, min(patch.shape) / SMOOTHED)
    known = np.isfinite(patch)
    weight = gaussian_filter(known.astype(float), width, mode="constant")
    total = gaussian_filter(np.where(known, patch, 0.0), width, mode="constant")
    return np.where(known, total / np.where(known, weight, 1.0), np.nan)


def _limit(patch: Floats) -> float:
    """Return the limit of the colours; of more than half zeros that of what is largest."""
    finite = np.abs(patch[np.isfinite(patch)])
    if not finite.size:
        return 1.0
    return float(REACH * 1.4826 * np.median(finite)) or float(finite.max()) or 1.0


def thinned(length: int) -> slice:
    """Return which of so many rows or columns are drawn."""
    return slice(None, None, -(-length // PATCH))


def _image_of(result: FitResult) -> Any:
    source = result.source
    if source.job != "region":
        raise TypeError(f"a result of {type(source).__name__} has no surfaces")
    return source


def _region(image: Any, result: FitResult, place: Place) -> tuple[Region, int]:
    flat = int(np.ravel_multi_index(place, result.shape)) if place else 0
    for region in image.regions:
        at = np.flatnonzero(region.places == flat)
        if at.size:
            return region, int(region.frames[at[0]])
    raise LookupError(f"no region was fitted at {place}")


def _centre(result: FitResult, place: Place) -> tuple[float, float] | None:
    if not {"y", "x"} <= set(result.model.names):
        return None
    y, x = (float(result.solution[name][place]) for name in ("y", "x"))
    return (y, x) if np.isfinite([y, x]).all() else None


def _nearest(
    coords: tuple[Floats, Floats], inside: NDArray[np.bool_], centre: tuple[float, float]
) -> tuple[int, int] | None:
    """Return the pixel next to the centre; None if the centre lies outside of the region's rectangle."""
    if any(not c.min() <= value <= c.max() for c, value in zip(coords, centre, strict=True)):
        return None
    distance = (coords[0] - centre[0]) ** 2 + (coords[1] - centre[1]) ** 2
    row, column = np.unravel_index(int(np.argmin(distance)), inside.shape)
    return int(row), int(column)


def _cut(
    result: FitResult,
    place: Place,
    image: Any,
    coords: list[Floats],
    axis: int,
    data: Floats,
    inside: NDArray[np.bool_],
) -> Curve:
    """Return the samples along one row or column; coordinates may bend, the fine grid follows them."""
    step = np.linspace(0, data.size - 1, CURVE_POINTS)
    fine = tuple(np.interp(step, np.arange(data.size), c) for c in coords)
    fitted, line, error = line_through(result, place, (tuple(coords), fine), image.settings.options)
    used = inside & np.isfinite(data)
    residual = np.where(used, data - fitted, np.nan)
    return Curve(coords[axis], data, used, None, residual, fine[axis], line, error)


def _mean_profile(
    result: FitResult,
    place: Place,
    image: Any,
    axis: int,
    coords: tuple[Floats, Floats],
    data: Floats,
    inside: NDArray[np.bool_],
    spread: Any,
) -> Curve:
    """Return the mean over the lines of the region along an axis, of samples and model at the same pixels."""
    if axis == 1:
        coords, data, inside = (coords[1].T, coords[0].T), data.T, inside.T
        spread = None if spread is None else spread.T
    n = data.shape[0]
    # so that every `fine`-th step of the drawn curve is a row of pixels
    fine = max(1, -(-CURVE_POINTS // n))
    steps = np.arange(0, fine * (n - 1) + 1) / fine
    thin = slice(None, None, -(-steps.size * data.shape[1] // MOST_SAMPLES))
    data = data[:, thin]
    counted = inside[:, thin] & np.isfinite(data)
    nearest = counted[np.rint(steps).astype(np.intp)]
    where = tuple(_interpolated(c[:, thin], steps) for c in coords)
    params = solution_at(result, place)
    fitted = np.full(steps.shape, np.nan)
    if params is not None:
        along = where if axis == 0 else where[::-1]
        model = predict(result.model, tuple(c.ravel() for c in along), params[:, None], image.settings.options)
        fitted = _mean(model.reshape(nearest.shape), nearest)
    number, mean = counted.sum(axis=1), _mean(data, counted)
    if spread is not None:
        spread = np.sqrt((np.where(counted, spread[:, thin], 0.0) ** 2).sum(axis=1)) / np.maximum(number, 1)
    fine_x = where[0].mean(axis=1)
    unknown = np.full(steps.shape, np.nan)
    return Curve(fine_x[::fine], mean, number > 0, spread, mean - fitted[::fine], fine_x, fitted, unknown)


def _interpolated(lines: Floats, steps: Floats) -> Floats:
    """Return rows between rows."""
    below = np.minimum(steps.astype(np.intp), max(lines.shape[0] - 2, 0))
    above = np.minimum(below + 1, lines.shape[0] - 1)
    share = (steps - below)[:, None]
    return np.asarray((1 - share) * lines[below] + share * lines[above])


def _mean(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Return the mean of each row's values that count; NaN where none does."""
    number = counted.sum(axis=1)
    total = np.where(counted, values, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _patch(
    result: FitResult,
    place: Place,
    image: Any,
    data: Floats,
    inside: NDArray[np.bool_],
    coords: tuple[Floats, Floats],
) -> tuple[Floats, tuple[Floats, Floats]]:
    thin = tuple(thinned(n) for n in data.shape)
    params = solution_at(result, place)
    kept = coords[0][thin], coords[1][thin]
    if params is None:
        return np.full(data[thin].shape, np.nan), kept
    fitted = predict(result.model, tuple(c.ravel() for c in kept), params[:, None], image.settings.options)
    patch: Any = np.where(inside[thin], data[thin] - fitted.reshape(kept[0].shape), np.nan)
    patch[~np.isfinite(patch)] = np.nan
    return patch, kept


def _extent(coords: tuple[Floats, Floats]) -> tuple[float, float, float, float]:
    """Half a pixel beyond the outermost centres."""
    edges: list[float] = []
    for line in (coords[0][:, 0], coords[1][0]):
        step = (line[-1] - line[0]) / (line.size - 1) if line.size > 1 else 1.0
        edges += [float(line[0] - step / 2), float(line[-1] + step / 2)]
    return edges[0], edges[1], edges[2], edges[3]
