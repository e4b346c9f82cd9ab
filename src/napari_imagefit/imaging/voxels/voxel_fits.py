"""Fit one curve per voxel along an axis of a stack in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.validation import in_memory, real_array
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.argument_checks import check_axis
from ..fitting.chunks import is_dask
from ..fitting.run import Run, Settings
from ..fitting.selection import Selection
from ..layer_data.maps import voxel_layers
from ..requests.json_fields import numbers
from ..requests.python_script import Script
from ..requests.request import Request
from .call import VoxelCall
from .common_residual import CommonResidual, looked_at


@dataclass(frozen=True, eq=False)
class VoxelSource:
    """Layout of the fits of a stack in it; see `napari_imagefit.engine.results.fit_result.Source`."""

    job: ClassVar[str] = "voxels"
    in_memory: ClassVar[bool] = True

    stack: NDArray[Any]
    request: VoxelRequest  # with the coordinates of the samples, and the axis counted from the front
    call: VoxelCall | None = None  # by which voxels can be fitted again
    mask: NDArray[np.bool_] | None = None  # the voxels that were asked for, where not all were

    @property
    def axis(self) -> int:
        """The axis along which the curves run."""
        return self.request.axis

    @property
    def x(self) -> NDArray[np.float64]:
        """The coordinates along it."""
        return np.asarray(self.request.x)

    @property
    def select(self) -> Selection | None:
        """Selection of samples."""
        return self.request.select

    @property
    def settings(self) -> Settings:
        """Settings beside data and model."""
        return self.request.settings

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        """Return the model's values in the data's shape, NaN where there is no answer."""
        params = np.stack([values.ravel() for values in result.answers.values()])
        values = np.full((self.x.size, params.shape[1]), np.nan)
        answered = np.flatnonzero(np.isfinite(params).all(axis=0))
        if answered.size:
            values[:, answered] = predict(result.model, (self.x,), params[:, answered], self.settings.options)
        return np.moveaxis(values.reshape(self.x.size, *result.shape), 0, self.axis)

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        """Return data − fitted, in the data's shape, NaN where either has no value."""
        residual = self.stack - self.fitted(result)
        residual[~np.isfinite(residual)] = np.nan
        return residual

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits: ``n_fits`` values per axis of the grid."""
        grid = tuple(np.delete(self.stack.shape, self.axis))
        places = np.indices(grid).reshape(len(grid), int(np.prod(grid)))
        axes = [axis for axis in range(self.stack.ndim) if axis != self.axis]
        return {f"axis_{axis}": values for axis, values in zip(axes, places, strict=True)}

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return the result as napari layer data tuples."""
        return voxel_layers(result, self)

    def remarks(self, result: FitResult) -> list[str]:
        """Return what the residuals of all curves have in common as a sentence, if they have."""
        size = int(np.prod(result.shape))
        count = size if self.mask is None else int(np.count_nonzero(self.mask))
        found = self.common_residual(result, np.arange(size), count)
        remark = "" if found is None else found.sentence()
        return [remark] if remark else []

    def common_residual(self, result: FitResult, places: NDArray[np.intp], count: int) -> CommonResidual | None:
        """Return what the residuals have in common; None where that tells nothing.

        Parameters
        ----------
        places : array, ``(n_fits,)``
            The flat places of the fits on the grid of the whole, of which these may be a piece.
        count : int
            How many fits the whole has.
        """
        if self.settings.options.noise == "rician":
            # of a weak signal the mean magnitude lies above what is fitted
            return None
        some = np.flatnonzero(result.converged.ravel() & looked_at(places, count))
        if not some.size:
            return None
        params = np.stack([result.solution[name].ravel()[some] for name in result.model.names])
        along = np.moveaxis(self.stack, self.axis, 0).reshape(self.x.size, -1)[:, some]
        used = (self.select or Selection()).usable(along, self.x)
        fitted = predict(result.model, (self.x,), params, self.settings.options)
        with np.errstate(invalid="ignore"):
            return CommonResidual.of(np.where(used, along - fitted, np.nan))

    def recipe(self) -> dict[str, Any]:
        """Return what was asked for, as JSON."""
        return self.request.to_json()


@dataclass(frozen=True, eq=False)
class VoxelRequest(Request):
    """Arguments of `fit_voxels` but for the stack: those of these names, and all others as settings.

    Along `axis` of the stack lie the samples of a curve, at the coordinates `x`; all other axes are the grid of fits.
    `mask` chooses voxels, `select` samples. `steps` checks all of it against a stack and fits; `chunked.plan.VoxelPlan`
    does the same for a Dask array.

    Raises
    ------
    FitInputError
        If `select` is no `Selection`.
    """

    verb: ClassVar[str] = "fit_voxels"
    own_fields: ClassVar[set[str]] = {"axis", "x", "select"}

    x: ArrayLike | None = None
    axis: int = 0
    mask: ArrayLike | None = None
    select: Selection | None = None

    def __post_init__(self) -> None:
        if self.select is not None and not isinstance(self.select, Selection):
            raise FitInputError(
                f"select must be a Selection, got {self.select!r}; give nif.Selection(...), or leave it out"
            )

    @unheeded
    def steps(self, stack: ArrayLike, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit a stack in memory; the generator yields `Progress` and returns the `FitResult`."""
        source, call = self.prepare(stack)
        return call.all_steps(source, should_stop)

    def prepare(self, stack: ArrayLike) -> tuple[VoxelSource, VoxelCall]:
        """Check everything that can be wrong, for a stack in memory.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        data = real_array(stack, "the stack")
        if self.model.ndim != 1:
            raise FitInputError(
                f"model {self.model.name!r} takes {self.model.ndim} coordinates; fit_voxels takes curves, use fit_image"
            )
        axis, coordinate, grid = check_axis(data.shape, self.axis, self.x)
        if not np.isfinite(coordinate).all():
            raise FitInputError("x holds NaN or infinity; give a finite coordinate for every sample")

        chosen = None if self.mask is None else checked_mask(in_memory(self.mask, "the mask"), grid).astype(bool)
        places = np.arange(int(np.prod(grid))) if chosen is None else np.flatnonzero(chosen)
        call = VoxelCall.of(data, axis, coordinate, self.model, places, self.settings, self.select)
        return VoxelSource(call.data, replace(self, axis=axis, x=coordinate), call, chosen), call

    def _own(self) -> dict[str, Any]:
        selected = {} if self.select is None else {"select": self.select.recipe()}
        return {"axis": self.axis, "x": self.x, **selected}

    @classmethod
    def _own_of(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        axis, x, select = said.get("axis", 0), said.get("x"), said.get("select")
        if not isinstance(axis, int) or isinstance(axis, bool):
            raise FitInputError(f"the recipe's axis is {axis!r}; give a whole number")
        return {
            "axis": axis,
            "x": None if x is None else numbers(x, "x"),
            "select": None if select is None else Selection.of_recipe(select),
        }

    def _own_in(self, script: Script) -> dict[str, str]:
        own = {} if self.x is None else {"x": script.value("x", np.asarray(self.x))}
        if self.axis:
            own["axis"] = repr(self.axis)
        if self.mask is not None:
            own["mask"] = script.mask("mask", np.asarray(self.mask))
        if self.select is not None:
            parts = (f"{name}={value!r}" for name, value in vars(self.select).items() if value not in (None, 0, ()))
            own["select"] = f"nif.Selection({', '.join(parts)})"
        return own


def checked_mask(mask: Any, grid: tuple[int, ...]) -> Any:
    """Return a mask of voxels as an array, or a Dask array as it is.

    Raises
    ------
    FitInputError
        If it is of another type or shape, or selects nothing.
    """
    chosen = mask if is_dask(mask) else np.asarray(mask)
    if chosen.dtype.kind not in "bui":
        raise FitInputError(f"the mask has type {chosen.dtype}; give a boolean one, True for each voxel to fit")
    if chosen.shape != grid:
        raise FitInputError(
            f"the mask has shape {chosen.shape}; give one of the stack's shape without the axis, {grid}"
        )
    if not is_dask(chosen) and not chosen.any():
        raise FitInputError("the mask selects no voxel; set at least one")
    return chosen
