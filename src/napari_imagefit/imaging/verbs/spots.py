"""`fit_spots`: one surface in a small window around each of many points."""

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
from ..spots.background import Background
from ..spots.spot_fits import SpotRequest


def fit_spots(
    image: ArrayLike,
    points: ArrayLike,
    model: str | Model,
    *,
    window: int | Sequence[int] = 11,
    background: Background = "constant",
    groups: int | None = None,
    mask: ArrayLike | None = None,
    saturation: float | None = None,
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
    """Fit one surface in a small window around each of many points.

    Minimises ½Σ((data − model)/σ)² within the bounds by a trust-region method, or a robust loss of the residuals, or
    the deviance of counts or magnitudes.

    Parameters
    ----------
    image : array, ``(*frames, Y, X)``, or ``(*frames, Z, Y, X)`` for a 3-D model
        Any real dtype. Pixels that are NaN or infinite are left out, and counted in ``n_left_out``. Of a Dask array the
        result is lazy: Dask arrays, and the spots of each chunk are fitted when Dask computes them.
        A shape as pictures in colours have it, such as ``(480, 640, 3)``, is refused.
    points : array, ``(N, image.ndim)``
        In pixel indices, the frame first. They need not be whole numbers: a window lies around the nearest pixel.
    model : str or Model
        Such as ``"gaussian_2d"``; see `napari_imagefit.models`.
    window : int or sequence of int
        Pixels of a window along each axis of the model, odd: ``11``, or ``(7, 11, 11)``. A window that the edge cuts is
        fitted on the pixels that it has.
    background : {"constant", "sloping"}
        Whether the model's own constant ``offset`` is all, or the background slopes: then the parameters ``slope_y``,
        ``slope_x`` (and ``slope_z``) come after the model's, and ``offset`` is the background at the spot's centre.
    groups : int, optional
        Spots whose windows overlap are fitted together, on the pixels of all their windows and one background, the
        nearest first and at most so many in one fit. Status, χ² and ``n_used`` are the group's, and starts, bounds and
        values of ``offset`` those of its first spot. A spot that still has one of another group in its window has
        `Flag.NEIGHBOUR_OVERLAP`, as have those of a group without a result: they are fitted one by one.
    mask : boolean array, optional
        The pixels to use, of the plane's or the image's shape, or of shape ``(N, *window)`` for each window by itself
        (not with `groups`). Others in a window are counted in ``n_left_out``.
    saturation : float, optional
        Pixels at or above it are left out, as those that a mask leaves out are.
    init, bounds, fixed : dict, optional
        As in `fit_image`; arrays have one value per point. Positions are pixel indices of the image, and not bounded
        unless you say so: one that leaves its window has `Flag.CENTRE_OUTSIDE`.
    sigma : array, optional
        Standard deviations of the data, broadcastable to the image. Standard errors are then absolute, otherwise scaled
        by √(reduced χ²).
    tied, noise, loss, f_scale, shared
        As in `fit_image`.
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    progress, should_stop : callable, optional
        As in `fit_image`.

    Returns
    -------
    FitResult
        On the grid ``(N,)``, in the order of the points. ``fitted()`` and ``residual()`` are of shape
        ``(N, *window)``, NaN outside of the image and the mask.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.

    See Also
    --------
    napari_imagefit.find_spots : finds the points.
    napari_imagefit.fit_image : fits a surface to regions of any form.
    napari_imagefit.models : the models by name.

    Notes
    -----
    Without `groups` and `shared` each window is fitted by itself; the light of others in it is taken for its own, and
    `Flag.NEIGHBOUR_OVERLAP` marks them.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = sum(9 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5) for cy, cx in [(10.2, 8.7), (1.1, 30.4)]) + 2
    >>> result = fit_spots(image, [[10, 9], [1, 30]], "gaussian_2d", window=9)
    >>> np.column_stack([result.params["y"], result.params["x"], result.params["sigma"]]).round(5)
    array([[10.2,  8.7,  1.5],
           [ 1.1, 30.4,  1.5]])
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
    request = SpotRequest(models.find(model), points, window, background, groups, mask, saturation, settings=settings)
    refuse_colours(image, request.model.ndim)
    return fit(image, request, progress, should_stop)
