"""Beads for the control of a microscope: their average, and cuts through the middle with widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._lazy import LazyModule
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.status import Flag
from ...engine.core.types import Floats
from ...engine.core.validation import real_array
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult
from ..fitting.positions import find_positions
from ..spots.windows import Windows
from .photometry import pixel_sizes

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = LazyModule("scipy.ndimage")


# Points of a fitted curve: the error of a width by linear interpolation between them is below 10⁻⁵ of it.
PROFILE_POINTS = 1001
# Spots that are no picture of a single whole bead.
DOUBTFUL = Flag.CENTRE_OUTSIDE | Flag.NEIGHBOUR_OVERLAP


@dataclass(frozen=True, eq=False)
class AverageBead:
    """Many spots laid on top of each other.

    Attributes
    ----------
    mean : array, ``((size − 1)·upsample + 1, …)``
        The mean of (data − background)/amplitude around the fitted position, which is in the middle; NaN where no spot
        has data.
    count : int array, of that shape
        How many spots each value is the mean of.
    n_beads : int
    upsample : int
        Samples per pixel.
    """

    mean: Floats
    count: NDArray[np.int64]
    n_beads: int
    upsample: int


@dataclass(frozen=True, eq=False)
class BeadCut:
    """A cut through the middle along one axis, in the units of `pixel_size`.

    Attributes
    ----------
    axis : {"z", "y", "x"}
    at, data : arrays, ``(n,)``
        Distance from the middle, and the data there, interpolated between the rows next to it; NaN where there are
        none. The light of other spots that were fitted together with it is taken out.
    fitted_at, fitted : arrays
        The model on a finer grid; empty for an average.
    fwhm_fit : float
        Full width at half maximum of the fitted curve above its background; NaN for an average.
    fwhm_data : float
        The same of the data, by straight lines between them; NaN where they do not fall to half on both sides.
    """

    axis: str
    at: Floats
    data: Floats
    fitted_at: Floats
    fitted: Floats
    fwhm_fit: float
    fwhm_data: float


def average_bead(image: ArrayLike, result: FitResult, keep: ArrayLike | None = None, upsample: int = 1) -> AverageBead:
    """Return the average of spots, each moved to a common centre by its fitted position and normalised by its fit.

    Between pixels cubic splines interpolate. Pixels that are not finite, and beyond the image, count for none. Of spots
    that were fitted together the light of the others, as it was fitted, is taken out.

    Parameters
    ----------
    image : array
        That which was fitted.
    result : FitResult
        Of `fit_spots`, computed, with a model that has a position and an amplitude.
    keep : boolean array, ``(N,)``, optional
        The spots to average. Without it those that converged inside of their window, with no other spot in it but those
        that were fitted with them.
    upsample : int
        Samples per pixel: with many beads the average is known between pixels.

    Raises
    ------
    FitInputError
        If no spot is left, the model lacks a position or an amplitude, or the image is not that which was fitted.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:30, 0:60]
    >>> image = sum(9 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8) for cy, cx in [(14.2, 14.7), (15.1, 44.4)]) + 2
    >>> bead = average_bead(image, fit_spots(image, [[14, 15], [15, 44]], "gaussian_2d"))
    >>> bead.n_beads, bead.mean.shape, bool(abs(bead.mean[5, 5] - 1) < 0.01)
    (2, (11, 11), True)
    """
    windows, positions = _of_spots(result)
    if "amplitude" not in result.model.names:
        raise FitInputError(f"model {result.model.name!r} has no amplitude to normalise beads by; fit one that has")
    if not isinstance(upsample, (int, np.integer)) or isinstance(upsample, bool) or upsample < 1:
        raise FitInputError(f"upsample={upsample!r} is no number of samples per pixel; give a whole one from 1 on")
    chosen = _chosen(result, keep)
    if not chosen.size:
        raise FitInputError("no spot is left to average; widen the filters, or fit spots that converge")
    data = _fitted_image(image, windows)
    size = tuple((n - 1) * upsample + 1 for n in windows.size)
    steps = np.stack(np.meshgrid(*(np.arange(n) / upsample for n in size), indexing="ij"))
    total, count = np.zeros(size), np.zeros(size, np.int64)
    for rows in np.array_split(chosen, -(-chosen.size // 1024)):
        under = _background(result, windows, rows)
        pixels = _fitted_pixels(result, data, rows) - _of_others(result, rows)
        every = np.stack([result.params[name][rows] for name in result.model.names])
        curved = predict(result.model, windows.coordinates(rows), every, _options(result)).T
        heights = result.params["amplitude"][rows, None]
        values, curves = (((v - under) / heights).reshape(-1, *windows.size) for v in (pixels, curved))
        for row, own, curve in zip(rows, values, curves, strict=True):
            away = [result.params[name][row] - c for name, c in zip(positions, windows.centres[row], strict=True)]
            moved = _sampled(own, steps + np.array(away).reshape(-1, *[1] * len(size)), order=3, fill=curve)
            there = np.isfinite(moved)
            total[there] += moved[there]
            count += there
    mean = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return AverageBead(mean, count, int(chosen.size), int(upsample))


def orthogonal_cuts(
    image: ArrayLike, result: FitResult, row: int, pixel_size: float | Sequence[float] = 1.0
) -> tuple[BeadCut, ...]:
    """Cuts through the fitted middle of one spot along each axis, with their widths.

    Parameters
    ----------
    image : array
        That which was fitted.
    result : FitResult
        Of `fit_spots`, computed, with a model that has a position.
    row : int
        Which spot.
    pixel_size : float or sequence of float
        One or one per axis of the model; widths and distances are in its unit.

    Returns
    -------
    tuple of BeadCut
        In the order of the axes; empty where the fit has no result, or one outside of its window.

    Raises
    ------
    FitInputError
        If there is no such spot, the model has no position, or the image is not that which was fitted.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:21, 0:21]
    >>> image = 50 * np.exp(-((y - 10.2) ** 2 + (x - 9.7) ** 2) / (2 * 2**2)) + 3
    >>> cuts = orthogonal_cuts(image, fit_spots(image, [[10, 10]], "gaussian_2d"), 0, pixel_size=0.1)
    >>> [(cut.axis, round(cut.fwhm_fit, 4)) for cut in cuts], bool(abs(cuts[0].fwhm_data - 0.471) < 0.01)
    ([('y', 0.471), ('x', 0.471)], True)
    """
    windows, positions = _of_spots(result)
    sizes = pixel_sizes(pixel_size, result.model.ndim)
    data = _fitted_image(image, windows)
    if not 0 <= row < windows.count:
        raise FitInputError(f"there is no spot {row}; give one from 0 to {windows.count - 1}")
    middle = np.array([result.params[name][row] for name in positions])
    if not (np.abs(middle - windows.centres[row]) <= windows.reach).all():
        return ()
    rows = np.array([row])
    pixels = _fitted_pixels(result, data, rows)
    own = (pixels - _of_others(result, rows)).reshape(windows.size)
    background = _background(result, windows, rows).reshape(windows.size)
    corner = windows.centres[row] - windows.reach
    params = np.array([result.params[name][row] for name in result.model.names])[:, None]
    options = _options(result)
    cuts = []
    for axis, (name, size, n) in enumerate(zip(positions, sizes, windows.size, strict=True)):
        line = np.arange(n, dtype=float)
        where = [line if a == axis else np.full(n, m) for a, m in enumerate(middle - corner)]
        profile = _sampled(own, np.stack(where), order=1)
        under = _sampled(background, np.stack(where), order=1)
        fine = np.linspace(0, n - 1, PROFILE_POINTS)
        places = tuple(corner[a] + fine if a == axis else np.full(PROFILE_POINTS, m) for a, m in enumerate(middle))
        curve = predict(result.model, places, params, options)[:, 0]
        fine_under = np.interp(fine, line[np.isfinite(under)], under[np.isfinite(under)])
        at, fine_at = (size * (p + corner[axis] - middle[axis]) for p in (line, fine))
        cuts.append(
            BeadCut(
                name, at, profile, fine_at, curve,
                full_width(fine_at, curve - fine_under), full_width(at, profile - under),
            )
        )  # fmt: skip
    return tuple(cuts)


def bead_cuts(bead: AverageBead, pixel_size: float | Sequence[float] = 1.0) -> tuple[BeadCut, ...]:
    """Cuts through the middle of an average bead along each axis."""
    sizes = pixel_sizes(pixel_size, bead.mean.ndim)
    nothing = np.empty(0)
    cuts = []
    for axis, (name, size) in enumerate(zip("zyx"[-bead.mean.ndim :], sizes, strict=True)):
        line: Any = tuple(slice(None) if a == axis else n // 2 for a, n in enumerate(bead.mean.shape))
        data = bead.mean[line]
        at = size * (np.arange(data.size) - data.size // 2) / bead.upsample
        cuts.append(BeadCut(name, at, data, nothing, nothing, float("nan"), full_width(at, data)))
    return tuple(cuts)


def full_width(at: Floats, values: Floats) -> float:
    """Full width at half maximum of a profile above 0 (or below, for a dip), by straight lines between its samples.

    From the largest value outwards to the first that is below half of it; NaN where there is none on one side.
    """
    if not np.isfinite(values).any():
        return float("nan")
    top = int(np.nanargmax(np.abs(values)))
    ratio = values / values[top] if values[top] else np.full(values.shape, np.nan)
    ends = []
    for step in (-1, 1):
        place = top
        while 0 <= place + step < values.size and ratio[place + step] >= 0.5:
            place += step
        beyond = place + step
        if not 0 <= beyond < values.size or not np.isfinite(ratio[beyond]):
            return float("nan")
        share = (ratio[place] - 0.5) / (ratio[place] - ratio[beyond])
        ends.append(at[place] + share * (at[beyond] - at[place]))
    return float(ends[1] - ends[0])


def _of_spots(result: FitResult) -> tuple[Windows, tuple[str, ...]]:
    windows = getattr(result.source, "windows", None)
    positions = find_positions(result.model)
    if not isinstance(windows, Windows) or not positions:
        raise FitInputError("beads are spots with a position; give a result of fit_spots with a model that has one")
    return windows, positions


def _chosen(result: FitResult, keep: ArrayLike | None) -> NDArray[np.intp]:
    good = np.asarray(result.converged)
    if keep is None:
        return np.flatnonzero(good & ((result.flags & np.uint16(DOUBTFUL)) == 0))
    wanted = np.asarray(keep)
    if wanted.dtype != bool or wanted.shape != result.shape:
        raise FitInputError(f"keep has shape {wanted.shape}; give True or False for each of {result.shape[0]} spots")
    return np.flatnonzero(good & wanted)


def _fitted_image(image: ArrayLike, windows: Windows) -> NDArray[Any]:
    data = real_array(np.asarray(image), "the image")
    if data.shape != tuple(windows.shape):
        raise FitInputError(f"the image has shape {data.shape}, that which was fitted {windows.shape}; give that one")
    return data


def _of_others(result: FitResult, rows: NDArray[np.intp]) -> Floats:
    """Return the light of the other spots of each group in the windows of some spots, ``(n_rows, m)``."""
    source: Any = result.source
    if source.groups is None:
        return np.zeros((rows.size, 1))
    params = source.solution(result)
    return np.asarray(np.nan_to_num(source.of_others(result, params, rows))) + np.zeros((rows.size, 1))


def _background(result: FitResult, windows: Windows, rows: NDArray[np.intp]) -> Floats:
    """Return the constant and the slope under some spots, ``(n_rows, m)``."""
    under = np.zeros((rows.size, windows.n_samples))
    if "offset" in result.params:
        under += result.params["offset"][rows, None]
    for axis, name in zip(windows.coordinates(rows), find_positions(result.model), strict=True):
        if f"slope_{name}" in result.params:
            under += (result.params[f"slope_{name}"][rows] * (axis - result.params[name][rows])).T
    return under


def _fitted_pixels(result: FitResult, data: NDArray[Any], rows: NDArray[np.intp]) -> Floats:
    """Return the pixels of some windows that were to be fitted, ``(n_rows, m)``; NaN elsewhere."""
    source: Any = result.source
    used = source.used(rows)
    return np.where(used, source.windows.gather(data, rows), np.nan).astype(float)


def _options(result: FitResult) -> Options:
    return result.source.settings.options


def _sampled(values: Floats, places: Floats, order: int, fill: Floats | float = 0.0) -> Floats:
    """Values between pixels; NaN beyond the array and next to what is not finite.

    A spline sees that through `fill`, which is to be near to what would be there: it swings where it jumps.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, fill)
    found = ndimage.map_coordinates(filled, places, order=order, mode="nearest")
    inside = np.ones(found.shape, bool)
    for place, n in zip(places, values.shape, strict=True):
        inside &= (place >= -1e-9) & (place <= n - 1 + 1e-9)
    if not known.all():
        inside &= ndimage.map_coordinates(known.astype(float), places, order=1, mode="nearest") > 1 - 1e-9
    return np.where(inside, found, np.nan)
