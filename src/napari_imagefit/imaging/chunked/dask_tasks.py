"""Dask tasks for one chunk, and the graph that they form."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.device import check_process
from ...engine.core.options import Criterion
from ...engine.core.progress import drain
from ...engine.models.model import Model
from ..fitting.chunks import Argument, is_dask
from ..fitting.records import pack, unpack
from ..fitting.status_labels import status_labels
from ..voxels.common_residual import record_type
from .plan import Plan, VoxelPlan
from .region_plan import ImagePlan
from .split_settings import Key

Chunks = tuple[tuple[int, ...], ...]

# One fit uses all cores of its process; other tasks of the process read their data meanwhile.
ONE_AT_A_TIME = threading.Lock()


@np.errstate(all="ignore")
def fit_piece(plan: Plan, data: NDArray[Any], cut: Mapping[Key, NDArray[Any]]) -> NDArray[Any]:
    """Fit a piece and pack it into records."""
    # another thread may have held the lock when this process was forked
    check_process()
    with ONE_AT_A_TIME:
        return pack(drain(plan.steps(np.asarray(data), cut)))


@dataclass(frozen=True, eq=False)
class FitBlock:
    """Task from a chunk of the data, and of each argument, to records."""

    plan: Plan
    keys: tuple[Key, ...]

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Fit one chunk, and return a record for each fit."""
        return fit_piece(self.plan, _alone(data), self._cut(arguments))

    def _cut(self, arguments: Sequence[Any]) -> dict[Key, NDArray[Any]]:
        return {key: np.asarray(_alone(values)) for key, values in zip(self.keys, arguments, strict=True)}


@dataclass(frozen=True, eq=False)
class CommonBlock(FitBlock):
    """Task from a chunk of the data, its records and their flat positions to what its residuals have in common."""

    plan: VoxelPlan
    count: int
    known_sigma: bool
    criterion: Criterion

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return an array of one record, all 0 where nothing is in common."""
        records, places, *rest = arguments
        own = np.asarray(_alone(data))
        cut = self._cut(rest)
        with ONE_AT_A_TIME:
            source = self.plan.source(own, cut)
            result = unpack(
                _alone(records), self.plan.model, source, known_sigma=self.known_sigma, criterion=self.criterion
            )
            found = source.common_residual(result, np.ravel(_alone(places)), self.count)
        table = np.zeros((1,) * result.status.ndim, record_type(source.x.size))
        if found is not None:
            table[...] = tuple(found)
        return table


@dataclass(frozen=True, eq=False)
class FittedBlock(FitBlock):
    """Task from each parameter's values in a chunk to the model's."""

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return the model's values in one chunk of the data."""
        solved, cut = self._solved([data, *arguments])
        source = self.plan.source(self.plan.nothing(self.plan.data_shape(solved.shape)), cut)
        with ONE_AT_A_TIME:
            return source.fitted(solved)

    def _solved(self, inputs: Sequence[Any]) -> tuple[Any, dict[Key, NDArray[Any]]]:
        """Return the part of a result that a source needs, and the arguments of this chunk."""
        n = len(self.plan.model.names)
        return Solved(self.plan.model, [np.asarray(_alone(a)) for a in inputs[:n]]), self._cut(inputs[n:])


@dataclass(frozen=True, eq=False)
class ResidualBlock(FittedBlock):
    """The same with the data first, to data − fitted."""

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return data − fitted in one chunk of the data, NaN where either has no value."""
        solved, cut = self._solved(arguments)
        source = self.plan.source(np.asarray(_alone(data)), cut)
        with ONE_AT_A_TIME:
            return source.residual(solved)


@dataclass(frozen=True, eq=False)
class PaintedBlock(FitBlock):
    """Task from the status of each fit in a chunk to labels of its pixels."""

    plan: ImagePlan

    def __call__(self, data: Any, *arguments: Any) -> NDArray[Any]:
        """Return an image of labels for one chunk of the frames."""
        status = np.asarray(_alone(data))
        source = self.plan.source(self.plan.nothing(self.plan.data_shape(status.shape)), self._cut(arguments))
        labels = status_labels(status).ravel()
        canvas = np.zeros((int(np.prod(source.frames)), source.coords[0].size), np.uint8)
        for region in source.regions:
            canvas[region.frames[:, None], region.pixels] = labels[region.places][:, None]
        return canvas.reshape(source.image.shape)


class Solved:
    """Part of a result that `fitted` needs."""

    def __init__(self, model: Model, solution: Sequence[NDArray[np.float64]]) -> None:
        self.model = model
        self.answers = dict(zip(model.names, solution, strict=True))
        self.shape = solution[0].shape


@dataclass(frozen=True, eq=False)
class DeriveBlock:
    """Task from records to what a `FitResult` computes of them."""

    plan: Plan
    name: str
    known_sigma: bool
    criterion: Criterion

    def __call__(self, records: NDArray[Any]) -> NDArray[np.float64]:
        """Return the property of the result, such as reduced χ², for each record."""
        nowhere: Any = None
        result = unpack(records, self.plan.model, nowhere, known_sigma=self.known_sigma, criterion=self.criterion)
        return np.asarray(getattr(result, self.name))


def blockwise(
    block: Callable[..., NDArray[Any]],
    chunks: Chunks,
    axes: Sequence[int],
    arguments: Sequence[Argument],
    dtype: np.dtype[Any],
    new: Mapping[int, int] | None = None,
    *,
    one: bool = False,
) -> Any:
    """Return a Dask array with these axes, of a task per chunk; `chunks` are those of the data, and of labels.

    With `one` each task returns but one entry.
    """
    from dask import array

    da: Any = array
    pairs: list[Any] = []
    for argument in arguments:
        pairs += [_as_dask(argument, chunks), argument.axes]
    return da.blockwise(
        block,
        tuple(axes),
        *pairs,
        name=f"{type(block).__name__.lower()}-{uuid.uuid4().hex}",
        new_axes=dict(new or {}),
        adjust_chunks=dict.fromkeys(axes, 1) if one else None,
        dtype=dtype,
        meta=np.empty((0,) * len(axes), dtype),
        align_arrays=False,
    )


def _as_dask(argument: Argument, chunks: Chunks) -> Any:
    from dask import array

    da: Any = array
    values = argument.values
    wanted = tuple((n,) if n == 1 else chunks[axis] for n, axis in zip(values.shape, argument.axes, strict=True))
    if is_dask(values):
        return values if values.chunks == wanted else values.rechunk(wanted)
    return da.from_array(values, chunks=wanted, name=f"argument-{uuid.uuid4().hex}")


def _alone(block: Any) -> Any:
    """Return the only block along the axes that a task takes whole."""
    while isinstance(block, list):
        (block,) = block
    return block
