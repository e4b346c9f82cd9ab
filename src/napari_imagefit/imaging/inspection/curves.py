"""One curve of a stack beside its fit: all that a plot of it needs, computed from the result on request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.types import Floats
from ...engine.models.prediction import predict_with_error
from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import Place, covariance_at, solution_at
from ..fitting.selection import Selection

# Points of a drawn curve.
CURVE_POINTS = 200


@dataclass(frozen=True, eq=False)
class Curve:
    """The samples along one line and the model there.

    Attributes
    ----------
    x, data : array, ``(n,)``
        Coordinates and samples, those that were left out included.
    used : bool array, ``(n,)``
        Which samples count.
    sigma : array, ``(n,)``, or None
        Their standard deviations, where they are known.
    residual : array, ``(n,)``
        Data − model; NaN where a sample was left out or there is no result.
    fine_x, fine, error : array, ``(CURVE_POINTS,)``
        The model on a fine grid, and its standard error. NaN where there is no result; the error also where the
        covariance is not known.
    centre : float or None
        Of a cut: the coordinate of the fitted centre.
    fitted : array, ``(n,)``, or None
        Of a voxel: the model at the samples, those that were left out included.
    """

    x: Floats
    data: Floats
    used: NDArray[np.bool_]
    sigma: Floats | None
    residual: Floats
    fine_x: Floats
    fine: Floats
    error: Floats
    centre: float | None = None
    fitted: Floats | None = None

    @property
    def has_fit(self) -> bool:
        """Whether there is a model to be drawn."""
        return bool(np.isfinite(self.fine).any())


def voxel_curve(result: FitResult, place: Place, raw: Any = None, sigma: ArrayLike | None = None) -> Curve:
    """Return the curve of one voxel.

    Parameters
    ----------
    result : FitResult
        Of `fit_voxels`.
    place : tuple of int
        On the grid of fits.
    raw : array, optional
        The stack before samples were excluded from it, so that these are shown as well.
    sigma : array, optional
        Standard deviations, broadcastable to the stack.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> result = fit_voxels((3 * t + 1)[:, None], "linear", x=t)
    >>> curve = voxel_curve(result, (0,))
    >>> curve.used.all(), curve.fine[[0, -1]].round(6)
    (np.True_, array([ 1., 22.]))
    """
    stack, axis, x, options, select = _stack_of(result)
    line: Any = (*place[:axis], slice(None), *place[axis:])
    samples = np.asarray(stack[line], dtype=float)
    used = (select or Selection()).usable(samples, x)
    data = samples
    if raw is not None and raw is not stack and raw.shape == stack.shape:
        data = np.where(used, samples, np.asarray(raw[line], dtype=float))
    spread = None if sigma is None else np.broadcast_to(np.asarray(sigma, dtype=float), stack.shape)[line]
    if spread is not None:
        used = used & np.isfinite(spread)
    fine_x = np.linspace(x.min(), x.max(), CURVE_POINTS)
    fitted, fine, error = line_through(result, place, ((x,), (fine_x,)), options)
    if spread is None and result.criterion.noise == "poisson" and result.source.settings.camera is None:
        spread = np.sqrt(np.maximum(fitted, 0))
    return Curve(x, data, used, spread, np.where(used, data - fitted, np.nan), fine_x, fine, error, None, fitted)


def counted_now(curve: Curve, select: Selection) -> Curve:
    """Return the curve of a voxel with the samples that count by another selection: as the next fit takes them.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> curve = voxel_curve(fit_voxels(np.arange(6.0)[:, None], "linear"), (0,))
    >>> counted_now(curve, Selection(exclude=[(1.5, 3)])).used
    array([ True,  True, False, False,  True,  True])
    """
    try:
        used = select.usable(curve.data, curve.x)
    except FitInputError:  # none is left
        used = np.zeros(curve.x.size, bool)
    if curve.sigma is not None:
        used &= np.isfinite(curve.sigma)
    model = np.nan if curve.fitted is None else curve.fitted
    return replace(curve, used=used, residual=np.where(used, curve.data - model, np.nan))


def line_through(
    result: FitResult,
    place: Place,
    coords: tuple[tuple[Floats, ...], tuple[Floats, ...]],
    options: Options,
) -> tuple[Floats, Floats, Floats]:
    """Return the model at the samples' coordinates, on the fine grid, and its error there.

    NaN where there is no result.
    """
    samples, fine = coords
    n, m = samples[0].size, fine[0].size
    params = solution_at(result, place)
    if params is None:
        return np.full(n, np.nan), np.full(m, np.nan), np.full(m, np.nan)
    both = tuple(np.concatenate(pair) for pair in zip(samples, fine, strict=True))
    values, error = predict_with_error(result.model, both, params, covariance_at(result, place), options)
    return values[:n], values[n:], error[n:]


def _stack_of(result: FitResult) -> tuple[Any, int, Floats, Options, Selection | None]:
    source: Any = result.source
    if source.job != "voxels":
        raise TypeError(f"a result of {type(source).__name__} has no curves")
    return source.stack, source.axis, source.x, source.settings.options, source.select
