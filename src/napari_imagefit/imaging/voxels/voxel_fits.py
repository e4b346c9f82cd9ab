"""`fit_voxels`: one curve per voxel along an axis of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.types import Bounds, DType, Loss, Noise, Values
from ...engine.core.validation import real_array
from ...engine.models.model import Model
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult, LayerTuple
from ...engine.sums.camera import Camera
from ..common_residual import MOST, find_common_residual
from ..fitting.callbacks import checked_progress, checked_stop
from ..fitting.chunks import is_dask
from ..fitting.curve_axis import check_axis
from ..fitting.run import Run, Settings, drain
from ..fitting.selection import Selection
from ..layer_data.maps import voxel_layers
from .call import VoxelCall


@dataclass(frozen=True, eq=False)
class VoxelSource:
    """How the fits of a stack lie in it; see `napari_imagefit.engine.results.fit_result.Source`."""

    stack: NDArray[Any]
    axis: int
    x: NDArray[np.float64]
    options: Options
    wishes: dict[str, Any]
    select: Selection | None = None
    call: VoxelCall | None = None  # by which voxels can be fitted again

    def usable(self) -> NDArray[np.bool_]:
        """Which samples counted, of the stack's shape."""
        return (self.select or Selection()).usable(self.stack, self.x, self.axis)

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        params = np.stack([result.solution[name].ravel() for name in result.model.names])
        values = np.full((self.x.size, params.shape[1]), np.nan)
        answered = np.flatnonzero(np.isfinite(params).all(axis=0))
        if answered.size:
            values[:, answered] = predict(result.model, (self.x,), params[:, answered], self.options)
        return np.moveaxis(values.reshape(self.x.size, *result.shape), 0, self.axis)

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        residual = self.stack - self.fitted(result)
        residual[~np.isfinite(residual)] = np.nan
        return residual

    def index_columns(self) -> dict[str, NDArray[Any]]:
        grid = tuple(np.delete(self.stack.shape, self.axis))
        places = np.indices(grid).reshape(len(grid), int(np.prod(grid)))
        axes = [axis for axis in range(self.stack.ndim) if axis != self.axis]
        return {f"axis_{axis}": values for axis, values in zip(axes, places, strict=True)}

    def layers(self, result: FitResult) -> list[LayerTuple]:
        return voxel_layers(result, self)

    def remarks(self, result: FitResult) -> list[str]:
        if self.options.noise == "rician":
            # of a weak signal the mean magnitude lies above what is fitted
            return []
        some = np.flatnonzero(result.converged)
        if not some.size:
            return []
        some = some[:: -(-some.size // MOST)]
        params = np.stack([result.solution[name].ravel()[some] for name in result.model.names])
        along = np.moveaxis(self.stack, self.axis, 0).reshape(self.x.size, -1)[:, some]
        used = (self.select or Selection()).usable(along, self.x)
        fitted = predict(result.model, (self.x,), params, self.options)
        with np.errstate(invalid="ignore"):
            remark = find_common_residual(np.where(used, along - fitted, np.nan))
        return [remark] if remark else []

    def recipe(self) -> dict[str, Any]:
        selected = {} if self.select is None else {"select": self.select.recipe()}
        return {"verb": "fit_voxels", "axis": self.axis, "x": self.x.tolist(), **selected, **self.wishes}


def iter_fit_voxels(
    stack: ArrayLike,
    model: str | Model,
    *,
    x: ArrayLike | None = None,
    axis: int = 0,
    mask: ArrayLike | None = None,
    select: Selection | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`fit_voxels` as a generator: it yields `Progress` several times a second and returns the `FitResult`."""
    if is_dask(stack):
        from ..chunked.iterate import iter_fit_voxels_lazily

        return iter_fit_voxels_lazily(
            stack, model, x=x, axis=axis, mask=mask, select=select, settings=settings, should_stop=should_stop
        )
    source, call = prepare(stack, model, x=x, axis=axis, mask=mask, select=select, settings=settings)
    return call.all_steps(source, should_stop)


def prepare(
    stack: ArrayLike,
    model: str | Model,
    *,
    x: ArrayLike | None = None,
    axis: int = 0,
    mask: ArrayLike | None = None,
    select: Selection | None = None,
    settings: Settings | None = None,
) -> tuple[VoxelSource, VoxelCall]:
    """Check everything that can be wrong with the arguments of `fit_voxels`, for a stack in memory.

    Raises
    ------
    FitInputError
        One sentence about the first thing that is wrong.
    """
    model = models.find(model)
    if select is not None and not isinstance(select, Selection):
        raise FitInputError(f"select must be a Selection, got {select!r}; give nif.Selection(...), or leave it out")
    settings = settings or Settings()
    data = real_array(stack, "the stack")
    if model.ndim != 1:
        raise FitInputError(
            f"model {model.name!r} takes {model.ndim} coordinates; fit_voxels takes curves, use fit_image"
        )
    axis, coordinate, grid = check_axis(data.shape, axis, x)
    if not np.isfinite(coordinate).all():
        raise FitInputError("x holds NaN or infinity; give a finite coordinate for every sample")

    size = int(np.prod(grid))
    places = np.arange(size)
    if mask is not None:
        chosen = np.asarray(mask)
        if chosen.dtype.kind not in "bui":
            raise FitInputError(f"the mask has type {chosen.dtype}; give a boolean one, True for each voxel to fit")
        if chosen.shape != grid:
            raise FitInputError(
                f"the mask has shape {chosen.shape}; give one of the stack's shape without the axis, {grid}"
            )
        places = np.flatnonzero(chosen)
        if not places.size:
            raise FitInputError("the mask selects no voxel; set at least one")

    call = VoxelCall.of(data, axis, coordinate, model, places, settings, select)
    source = VoxelSource(call.data, axis, coordinate, settings.options, settings.recipe(), select, call)
    return source, call


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
    model : str or Model
        A curve, such as ``"exponential_decay"``; see `napari_imagefit.models`.
    x : array, ``(n,)``, optional
        The coordinate of the samples along the axis (times, b-values…); their indices if not given.
    axis : int
        The axis along which the curves run.
    mask : boolean array, optional
        Which voxels to fit, of the stack's shape without `axis`. The others are NaN with `Status.NOT_FITTED`.
    select : Selection, optional
        Which samples count, by place or value, and how bright a curve has to be to be fitted.
    init, bounds, fixed : dict, optional
        As in `fit_image`; arrays broadcast to the stack's shape without `axis`.
    sigma : array, optional
        Standard deviations, broadcastable to the stack.
    tied, noise, loss, f_scale, shared
        As in `fit_image`.
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    coarse_to_fine : bool
        Fit a sparse grid of voxels first, and the others from starts between them, see `imaging.progressive`; of a
        Dask array each chunk is fitted as usual.
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
    where: dict[str, Any] = {"x": x, "axis": axis, "mask": mask, "select": select}
    if is_dask(stack):
        from ..chunked.dask_entry import lazy_fit_voxels

        return lazy_fit_voxels(stack, model, **where, settings=settings, progress=progress, should_stop=should_stop)
    progress, should_stop = checked_progress(progress), checked_stop(should_stop)
    iterate = iter_fit_voxels
    if coarse_to_fine:
        from .coarse_to_fine import iter_fit_voxels_progressively as iterate  # it imports this module
    return drain(iterate(stack, model, **where, settings=settings, should_stop=should_stop), progress)
