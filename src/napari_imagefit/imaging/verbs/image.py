"""`fit_image`: one surface over the pixels of each region and frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from numpy.typing import ArrayLike

from ...catalogue import models
from ...engine.core.types import Bounds, DType, Loss, Noise, Values
from ...engine.models.model import Model
from ...engine.noise.camera import Camera
from ...engine.results.fit_result import FitResult
from ..chunked.dispatch import fit
from ..fitting.argument_checks import refuse_colours
from ..fitting.run import Settings
from ..regions.region_fits import ImageRequest


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
        A shape as pictures in colours have it, such as ``(480, 640, 3)``, is refused.
    model : str or Model
        Such as ``"gaussian_2d_rotated"``; see `napari_imagefit.models`.
    mask : array, optional
        Boolean: the pixels to use. Integer: one fit for each label above 0. Of the plane's or the image's shape.
    coords : sequence of arrays, optional
        Coordinates along each axis of the plane, ``(y, x)``: values along the axis, or arrays of the plane's shape.
        Pixel indices if not given. Positions and widths come back in their unit.
    init, fixed : dict, optional
        Starts, and values to hold, by parameter name: a number, or an array that broadcasts to the grid of fits. What a
        fit cannot use of an array, NaN or a value outside the bounds, costs that fit: `Status.BAD_SETTINGS`. Of
        equal answers (widths exchanged and the angle turned by 90°) the one nearest to the starts is returned.
    bounds : dict, optional
        ``(lower, upper)`` by parameter name, likewise; equal bounds hold the parameter.
    tied : dict, optional
        Expressions by parameter name: ``{"sigma_y": "1.5*sigma_x"}``. A tied parameter is computed from others.
    sigma : array, optional
        Standard deviations of the data, broadcastable to the image. Standard errors are then absolute, otherwise scaled
        by √(reduced χ²). Of an array, NaN leaves its sample out, and 0 or less costs the fit.
    noise : {"gaussian", "poisson", "rician"} or Camera
        ``"poisson"`` takes the data for counts and finds the maximum of their likelihood, a `Camera` turns them into
        counts. Rates cannot be negative: parameters in the data's unit are then kept from 0 on unless `bounds` give
        otherwise. ``"rician"`` takes the data for magnitudes of a complex signal, as MRI has them; `sigma` is then the
        noise of one channel, and the model the signal without noise, by its magnitude where it is negative.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
        How much outliers count, as in `scipy.optimize.least_squares`; for Gaussian noise only.
    f_scale : float
        The residual at which a robust loss begins to bend: in units of σ where it is given, otherwise of the data.
    shared : sequence of str
        Parameters that all fits of the call have in common: they are fitted as one problem. Fits that do not
        converge are left out of it.
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    progress : callable, optional
        Called with fits done and fits in all, several times a second.
    should_stop : callable, optional
        Called several times a second; once true, what is fitted so far is returned.

    Returns
    -------
    FitResult
        On the grid ``(*frames,)``, or ``(*frames, n_labels)`` with labels in ascending order.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.

    See Also
    --------
    napari_imagefit.fit_voxels : fits a curve in each voxel.
    napari_imagefit.fit_spots : fits a surface around each of many points.
    napari_imagefit.models : the models by name.

    Notes
    -----
    Unless `shared` makes one problem of all, each region is fitted by itself: chunks, threads and what is in other
    regions change no bit of a result.

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
    request = ImageRequest(models.find(model), mask, coords, settings=settings)
    refuse_colours(image, request.model.ndim)
    return fit(image, request, progress, should_stop)
