"""One surface beside its fit: cuts through its centre along both axes, and what is left over around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult
from ..chunked.dask_result import LazySource
from ..chunked.region_plan import ImagePlan
from ..fitting.fit_report import Place, solution_at
from ..regions.region import Region
from ..regions.region_fits import ImageSource
from .curves import FINE, Curve, FloatArray, line_through

# Pixels along each side of a drawn patch; of a larger region every second, third… pixel is drawn.
PATCH = 96


@dataclass(frozen=True, eq=False)
class Cuts:
    """A surface and its fit.

    Attributes
    ----------
    along : tuple of Curve
        The cut along y and the one along x, through the pixel next to the fitted centre.
    at_centre : bool
        Whether they go through the fitted centre; without one inside of the region they go through its middle.
    patch : array, ``(h, w)``
        Data − fitted over the region; NaN outside of it and where there is no answer.
    limit : float
        The largest size of a residual, without the 0.5 % that are larger; the colours' limit to either side.
    extent : tuple of float
        Coordinates of the patch's outer edges: first and last y, first and last x.
    """

    along: tuple[Curve, Curve]
    at_centre: bool
    patch: FloatArray
    limit: float
    extent: tuple[float, float, float, float]


def surface_cuts(result: FitResult, place: Place, sigma: ArrayLike | None = None) -> Cuts:
    """Cuts and residual patch of one fit.

    Parameters
    ----------
    result : FitResult
        Of `fit_image` with a model of two coordinates.
    place : tuple of int
        On the grid of fits.
    sigma : array, optional
        Standard deviations, broadcastable to the image.

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
    data: FloatArray = np.asarray(image.image[where], dtype=np.float64)
    inside = np.zeros(data.shape, bool)
    inside[rows - box[0].start, columns - box[1].start] = True
    coords = (image.coords[0][box], image.coords[1][box])
    spread = None
    if sigma is not None:
        spread = np.broadcast_to(np.asarray(sigma, dtype=float), image.image.shape)[where]

    centre = _centre(result, place)
    at = None if centre is None else _nearest(coords, inside, centre)
    middle = at or (data.shape[0] // 2, data.shape[1] // 2)
    lines = (slice(None), middle[1]), (middle[0], slice(None))
    curves = []
    for axis, line in enumerate(lines):
        curve = _cut(result, place, image, [c[line] for c in coords], axis, data[line], inside[line])
        curves.append(
            replace(
                curve,
                sigma=None if spread is None else spread[line],
                centre=None if at is None or centre is None else centre[axis],
            )
        )
    patch, kept = _patch(result, place, image, data, inside, coords)
    finite = np.abs(patch[np.isfinite(patch)])
    limit = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    return Cuts((curves[0], curves[1]), at is not None, patch, limit or 1.0, _extent(kept))


def thinned(length: int) -> slice:
    """Which of so many rows or columns are drawn."""
    return slice(None, None, -(-length // PATCH))


def _image_of(result: FitResult) -> ImageSource:
    source = result.source
    if isinstance(source, LazySource) and isinstance(source.plan, ImagePlan) and source.plan.regions is not None:
        plan = source.plan
        return ImageSource(source.data, plan.coords, list(plan.regions or ()), plan.labels, plan.settings.options, {})
    if not isinstance(source, ImageSource):
        raise TypeError(f"a result of {type(source).__name__} has no surfaces")
    return source


def _region(image: ImageSource, result: FitResult, place: Place) -> tuple[Region, int]:
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
    coords: tuple[FloatArray, FloatArray], inside: NDArray[np.bool_], centre: tuple[float, float]
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
    image: ImageSource,
    coords: list[FloatArray],
    axis: int,
    data: FloatArray,
    inside: NDArray[np.bool_],
) -> Curve:
    """Return the samples along one row or column; coordinates may bend, the fine grid follows them."""
    step = np.linspace(0, data.size - 1, FINE)
    fine = tuple(np.interp(step, np.arange(data.size), c) for c in coords)
    fitted, line, error = line_through(result, place, (tuple(coords), fine), image.options)
    used = inside & np.isfinite(data)
    residual = np.where(used, data - fitted, np.nan)
    return Curve(coords[axis], data, used, None, residual, fine[axis], line, error)


def _patch(
    result: FitResult,
    place: Place,
    image: ImageSource,
    data: FloatArray,
    inside: NDArray[np.bool_],
    coords: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    thin = tuple(thinned(n) for n in data.shape)
    params = solution_at(result, place)
    kept = coords[0][thin], coords[1][thin]
    if params is None:
        return np.full(data[thin].shape, np.nan), kept
    fitted = predict(result.model, tuple(c.ravel() for c in kept), params[:, None], image.options)
    patch: Any = np.where(inside[thin], data[thin] - fitted.reshape(kept[0].shape), np.nan)
    patch[~np.isfinite(patch)] = np.nan
    return patch, kept


def _extent(coords: tuple[FloatArray, FloatArray]) -> tuple[float, float, float, float]:
    """Half a pixel beyond the outermost centres."""
    edges: list[float] = []
    for line in (coords[0][:, 0], coords[1][0]):
        step = (line[-1] - line[0]) / (line.size - 1) if line.size > 1 else 1.0
        edges += [float(line[0] - step / 2), float(line[-1] + step / 2)]
    return edges[0], edges[1], edges[2], edges[3]
