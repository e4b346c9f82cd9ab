"""`fit_voxels`: one curve per voxel along an axis of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from numpy.typing import ArrayLike

from ...catalogue import models
from ...engine.core.progress import drain
from ...engine.core.types import Bounds, DType, Loss, Noise, Values
from ...engine.models.model import Model
from ...engine.noise.camera import Camera
from ...engine.results.fit_result import FitResult
from ..chunked.dispatch import fit
from ..fitting.argument_checks import checked_progress, checked_stop
from ..fitting.chunks import is_dask
from ..fitting.run import Settings
from ..fitting.selection import Selection
from ..voxels.coarse_to_fine import iter_fit_voxels_progressively
from ..voxels.voxel_fits import VoxelRequest


def fit_voxels(
    stack: ArrayLike,
    model: str | Model,
    *,
    x: ArrayLike | None = None,
    axis: int = 0,
    mask: ArrayLike | None = None,
    select: Selection | None = None,
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
    coarse_to_fine: bool = False,
    progress: Callable[[int, int], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Fit one curve per voxel along an axis of a stack.

    Minimises ½Σ((data − model)/σ)² within the bounds by a trust-region method, or a robust loss of the residuals, or
    the deviance of counts or magnitudes.

    Parameters
    ----------
    stack : array
        Any real dtype and number of axes. Samples that are NaN or infinite are left out, and counted in ``n_left_out``.
        Of a Dask array the result is lazy: Dask arrays, and each chunk is fitted when Dask computes it.
        Colours, like any other axis, make curves of their own.
    model : str or Model
        A curve, such as ``"exponential_decay"``; see `napari_imagefit.models`.
    x : array, ``(n,)``, optional
        The coordinate of the samples along the axis (times, b-values…); their indices if not given.
    axis : int
        The axis along which the curves run.
    mask : boolean array, optional
        Which voxels to fit, of the stack's shape without `axis`. The others are NaN with `Status.NOT_FITTED`.
    select : Selection, optional
        Which samples count, by position or value, and how bright a curve has to be to be fitted.
    init, bounds, fixed : dict, optional
        As in `fit_image`; arrays broadcast to the stack's shape without `axis`.
    sigma : array, optional
        Standard deviations, broadcastable to the stack.
    tied, noise, loss, f_scale, shared
        As in `fit_image`.
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    coarse_to_fine : bool
        Fit a sparse grid of voxels first, and the others from starts between them, see
        `imaging.voxels.coarse_to_fine`; of a Dask array each chunk is fitted as usual.
    progress, should_stop : callable, optional
        As in `fit_image`.

    Returns
    -------
    FitResult
        On a grid of the stack's shape without `axis`.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.

    See Also
    --------
    napari_imagefit.fit_image : fits a surface to each region and frame.
    napari_imagefit.Selection : which samples count.
    napari_imagefit.models : the models by name.

    Notes
    -----
    Unless `shared` or `coarse_to_fine` connect them, each voxel is fitted by itself: chunks, threads and what is in
    other voxels change no bit of a result.

    Examples
    --------
    >>> import numpy as np
    >>> echo_times = np.linspace(5, 160, 32)
    >>> stack = np.array([1.0, 3.0]) * np.exp(-echo_times[:, None] / np.array([40.0, 80.0]))
    >>> result = fit_voxels(stack, "exponential_decay", x=echo_times, fixed={"offset": 0})
    >>> result.params["tau"].round(6)
    array([40., 80.])
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
    request = VoxelRequest(models.find(model), x, axis, mask, select, settings=settings)
    if coarse_to_fine and not is_dask(stack):
        steps = iter_fit_voxels_progressively(stack, request, checked_stop(should_stop))
        return drain(steps, checked_progress(progress))
    return fit(stack, request, progress, should_stop)
