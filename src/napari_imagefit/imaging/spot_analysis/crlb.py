"""The Cramér–Rao bound: what the noise allows at best, for each parameter of each spot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ...engine.core.validation import float_array
from ...engine.models.prediction import linearise
from ...engine.noise.camera import Camera
from ...engine.results.fit_result import FitResult
from ..fitting.held_parameters import certain
from ..spots.windows import Windows


def crlb(result: FitResult, noise: str | float | ArrayLike | Camera | None = None) -> dict[str, Floats]:
    """Return the smallest standard deviation that an unbiased estimate of each parameter can have.

    √(F⁻¹)ᵢᵢ of Fisher's information ``F = Σ (∂μ/∂pᵢ)(∂μ/∂pⱼ)/variance`` at the fitted parameters, summed over the
    pixels of the window that were used. The variance of a pixel is μ for counts, ``gain²·(electrons + read noise²)``
    for a camera, σ² for Gaussian noise.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed, with a model of the catalogue or your own. What was fixed, or is at a bound, counts as
        known.
    noise : {"poisson"}, Camera, or σ (number or array that broadcasts to the image), optional
        That which the data have. Without it, that which was fitted with; for least squares without σ the variance is
        the reduced χ² of each fit.

    Returns
    -------
    dict of str to array, ``(N,)``
        By parameter name; NaN where a parameter was fixed, or the fit has no result.

    Raises
    ------
    FitInputError
        If the result is not one of spots fitted each by itself with nothing tied, or has no known noise.

    References
    ----------
    R. J. Ober, S. Ram, E. S. Ward, Localization accuracy in single-molecule microscopy, Biophys. J. 86, 1185 (2004).

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:21, 0:21]
    >>> image = 50 * np.exp(-((y - 10.2) ** 2 + (x - 9.7) ** 2) / (2 * 1.5**2)) + 3
    >>> found = fit_spots(image, [[10, 10]], "gaussian_2d", noise="poisson")
    >>> crlb(found)["x"].round(4), found.stderr["x"].round(4)
    (array([0.0691]), array([0.0691]))
    """
    windows = getattr(result.source, "windows", None)
    if not isinstance(windows, Windows):
        raise FitInputError("the bound is for results of fit_spots; give one of them")
    said = result.source.settings
    together = {"tied": said.tied, "shared": said.shared, "groups": getattr(result.source, "groups", None)}
    for what, given in together.items():
        if given:
            raise FitInputError(f"the bound is of spots that were fitted each by itself; fit them without {what}")
    if noise is None:
        noise = _noise_of(result)
    elif isinstance(noise, str) and noise != "poisson":
        raise FitInputError(f"noise={noise!r} is not known; give 'poisson', a Camera, or sigma")
    used = np.isfinite(np.asarray(result.residual())).reshape(windows.count, -1)
    names = result.model.names
    params = np.stack([np.asarray(result.solution[name], float) for name in names])
    held = certain(result)
    free = np.stack([~np.asarray(held[name]) for name in names], axis=1)
    bounds = np.full((windows.count, len(names)), np.nan)
    for rows, _ in windows.portions():
        values, slopes = linearise(result.model, windows.coordinates(rows), params[:, rows])
        variance = _variance(noise, values.T, windows, rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.where(used[rows] & (variance > 0), 1 / variance, 0.0)
        information = np.einsum("imn,jmn,nm->nij", slopes, slopes, weights)
        bounds[rows] = _roots(information, free[rows])
    answered = np.asarray(result.converged)
    return {name: np.where(answered, column, np.nan) for name, column in zip(names, bounds.T, strict=True)}


def _noise_of(result: FitResult) -> Any:
    said = result.source.settings
    if said.camera is not None:
        return said.camera
    if result.criterion.noise == "poisson":
        return "poisson"
    if said.sigma is not None and np.ndim(said.sigma) == 0:
        return float(np.asarray(said.sigma))
    if result.known_sigma or result.criterion.noise != "gaussian":
        raise FitInputError("the result does not say its sigma, which was an array; give it as noise")
    return np.sqrt(result.reduced_chi2)[:, None]


def _variance(noise: Any, values: Floats, windows: Windows, rows: NDArray[np.intp]) -> Floats:
    if isinstance(noise, str):
        return values
    if isinstance(noise, Camera):
        gain, offset, read = (np.asarray(a, float) for a in (noise.gain, noise.offset, noise.read_noise))
        # parameters are in the units of a mean pixel
        electrons = (values - offset.mean()) / gain.mean()
        return np.asarray(gain.mean() ** 2 * (electrons + _in_windows(read, windows, rows) ** 2))
    sigma = float_array(noise, "sigma")
    if sigma.shape == (windows.count, 1):
        return np.broadcast_to(sigma[rows] ** 2, values.shape)
    return np.broadcast_to(_in_windows(sigma, windows, rows) ** 2, values.shape)


def _in_windows(array: Floats, windows: Windows, rows: NDArray[np.intp]) -> Floats:
    if array.ndim == 0:
        return array
    try:
        return windows.gather(np.broadcast_to(array, windows.shape), rows)
    except ValueError:
        raise FitInputError(
            f"the noise has shape {array.shape}, which does not broadcast to the image's {windows.shape}; "
            "give one number or one per pixel"
        ) from None


def _roots(information: Floats, free: NDArray[np.bool_]) -> Floats:
    """√ of the diagonal of the inverse over what is free."""
    both = free[:, :, None] & free[:, None, :]
    ones = np.eye(free.shape[1])
    # a scale for each parameter keeps the inverse of matrices good whose entries differ by orders
    scale = np.sqrt(np.einsum("nii->ni", information))
    known = (np.isfinite(scale) & (scale > 0)) | ~free
    scale = np.where(known & free, scale, 1.0)
    with np.errstate(invalid="ignore"):
        scaled = np.where(both, information / (scale[:, :, None] * scale[:, None, :]), ones)
    good = known.all(axis=1) & np.isfinite(scaled).all(axis=(1, 2))
    scaled[~good] = ones
    good &= np.linalg.cond(scaled) < 1e12
    scaled[~good] = ones
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(np.einsum("nii->ni", np.linalg.inv(scaled))) / scale
    return np.where(free & good[:, None], roots, np.nan)
