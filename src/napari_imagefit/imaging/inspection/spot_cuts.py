"""One spot beside its fit: its window, the fitted one, what is left over, and cuts through the centre."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...engine.core.options import Options
from ...engine.core.types import Floats
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import Place, covariance_at, solution_at
from ..fitting.positions import find_positions
from ..spots.windows import Windows
from .curves import CURVE_POINTS, Curve


@dataclass(frozen=True, eq=False)
class SpotPicture:
    """The window of a spot and its fit.

    Attributes
    ----------
    window, fitted, residual : arrays of the window's shape
        NaN outside of the image and the mask; `fitted` and `residual` also where there is no answer.
    first : tuple of int
        Pixel indices of the window's first pixel.
    centre : tuple of float or None
        Of the fit, in pixel indices; None where it has none in the window.
    middle : tuple of int
        The pixel of the window through which the cuts go: the one next to the centre.
    along : tuple of Curve
        A cut along each axis, in pixel indices.
    limit : float
        The largest size of a residual.
    """

    window: Floats
    fitted: Floats
    residual: Floats
    first: tuple[int, ...]
    centre: tuple[float, ...] | None
    middle: tuple[int, ...]
    along: tuple[Curve, ...]
    limit: float

    def planes(self, which: str) -> list[tuple[tuple[int, int], Floats]]:
        """Planes through the middle, with their two axes: of a surface one, of a volume (y, x), (z, x) and (z, y)."""
        values: Floats = getattr(self, which)
        if values.ndim == 2:
            return [((0, 1), values)]
        z, y, x = self.middle
        return [((1, 2), values[z]), ((0, 2), values[:, y]), ((0, 1), values[:, :, x])]


def spot_picture(result: FitResult, place: Place, sigma: ArrayLike | None = None) -> SpotPicture:
    """Return the window of one spot, its fit, and cuts through its centre.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`.
    place : tuple of int
        The spot's number.
    sigma : array, optional
        Standard deviations, broadcastable to the image.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = 9 * np.exp(-((y - 10.2) ** 2 + (x - 8.7) ** 2) / 4.5) + 2
    >>> picture = spot_picture(fit_spots(image, [[10, 9]], "gaussian_2d", window=9), (0,))
    >>> picture.window.shape, picture.middle, bool(picture.limit < 1e-6)
    ((9, 9), (4, 4), True)
    """
    source: Any = result.source
    windows: Windows = source.windows
    row = place[0]
    ndim = len(windows.size)
    middle_pixel = windows.centres[row]
    first_pixel = middle_pixel - windows.reach
    axes = [np.arange(n) + first for n, first in zip(windows.size, first_pixel, strict=True)]
    low, high = (limits[row] for limits in windows.limits)
    inside = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low - first_pixel, high - first_pixel, strict=True))
    frame = tuple(int(i) for i in windows.frames[row])

    def cut_out(values: Any) -> Floats:
        made = np.full(windows.size, np.nan)
        made[box] = np.asarray(values[(*frame, *inside)], dtype=float)
        return made

    window = cut_out(source.image)
    if (mask := source.mask) is not None:
        window[cut_out(mask) != 1] = np.nan
    if windows.allowed is not None:
        window[~windows.allowed[row].reshape(windows.size)] = np.nan
    spread = None if sigma is None else cut_out(np.broadcast_to(np.asarray(sigma, float), source.image.shape))

    options = source.settings.options
    centre = _centre(result, place)
    middle = tuple(int(n) for n in windows.reach)
    if centre is not None:
        nearest = [round(c) - int(first) for c, first in zip(centre, first_pixel, strict=True)]
        if all(0 <= i < n for i, n in zip(nearest, windows.size, strict=True)):
            middle = tuple(nearest)
        else:
            centre = None
    fitted = _model_in(result, place, axes, middle_pixel, options)
    fitted += _others(result, place, None).reshape(fitted.shape)
    fitted[np.isnan(window)] = np.nan
    residual = window - fitted
    curves = []
    for axis in range(ndim):
        line: Any = tuple(slice(None) if a == axis else middle[a] for a in range(ndim))
        fixed = [axes[a][middle[a]] for a in range(ndim)]
        curve = _cut(result, place, axes[axis], axis, fixed, middle_pixel, window[line], options)
        curves.append(
            replace(
                curve,
                sigma=None if spread is None else spread[line],
                centre=None if centre is None else centre[axis],
            )
        )
    finite = np.abs(residual[np.isfinite(residual)])
    limit = float(finite.max()) if finite.size else 1.0
    return SpotPicture(
        window,
        fitted,
        residual,
        tuple(int(i) for i in first_pixel),
        centre,
        middle,
        tuple(curves),
        limit or 1.0,
    )


def _centre(result: FitResult, place: Place) -> tuple[float, ...] | None:
    names = find_positions(result.model)
    found = tuple(float(result.solution[name][place]) for name in names)
    return found if names and np.isfinite(found).all() else None


def _local(result: FitResult, place: Place, middle: Any) -> tuple[Floats | None, Any]:
    """Return the fit's parameters with positions counted from the window's middle, and that middle.

    Else both as they are.
    """
    params = solution_at(result, place)
    names = find_positions(result.model)
    if params is None or not names:
        return params, np.zeros(len(middle))
    params = params.copy()
    for name, origin in zip(names, middle, strict=True):
        params[result.model.index(name)] -= origin
    return params, middle


def _model_in(result: FitResult, place: Place, axes: list[Any], middle: Any, options: Options) -> Floats:
    shape = tuple(len(axis) for axis in axes)
    params, origin = _local(result, place, middle)
    if params is None:
        return np.full(shape, np.nan)
    grid = np.meshgrid(*(axis - o for axis, o in zip(axes, origin, strict=True)), indexing="ij")
    return predict(result.model, tuple(g.ravel().astype(float) for g in grid), params[:, None], options).reshape(shape)


def _cut(
    result: FitResult,
    place: Place,
    x: Any,
    axis: int,
    fixed: list[Any],
    middle: Any,
    data: Floats,
    options: Options,
) -> Curve:
    """Return the samples along one line of the window, and the model there."""
    from ...engine.models.prediction import predict_with_error

    fine_x = np.linspace(x[0], x[-1], CURVE_POINTS)
    n, used = len(x), np.isfinite(data)
    params, origin = _local(result, place, middle)
    if params is None:
        nothing = np.full(n, np.nan)
        return Curve(
            x.astype(float),
            data,
            used,
            None,
            nothing,
            fine_x,
            np.full(CURVE_POINTS, np.nan),
            np.full(CURVE_POINTS, np.nan),
        )
    both = np.concatenate([x, fine_x]).astype(float)
    coords = tuple(
        both - origin[a] if a == axis else np.full(both.size, float(fixed[a] - origin[a])) for a in range(len(fixed))
    )
    values, error = predict_with_error(result.model, coords, params, covariance_at(result, place), options)
    values = values + _others(result, place, coords)
    residual = np.where(used, data - values[:n], np.nan)
    return Curve(x.astype(float), data, used, None, residual, fine_x, values[n:], error[n:])


def _others(result: FitResult, place: Place, coords: tuple[Floats, ...] | None) -> Floats:
    """Return what spots fitted together with this one add at coordinates from its window's middle, ``(m,)``."""
    source: Any = result.source
    if source.groups is None:
        return np.zeros(1) if coords is not None else np.zeros(source.windows.n_samples)
    found = source.of_others(result, source.solution(result), np.array([place[0]]), coords)
    n = source.windows.n_samples if coords is None else coords[0].size
    return np.broadcast_to(np.asarray(found, float).reshape(-1), (n,)) if np.ndim(found) == 0 else np.ravel(found)
