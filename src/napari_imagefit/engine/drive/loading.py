"""Samples of some of the fits of a problem, as arrays that programs take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..._lazy import LazyModule
from ..core.columns import Table
from ..core.device import computing, find_device, pool
from ..core.grid_coordinates import LatticeCoordinate
from ..core.trees import tree_map
from ..core.types import Positions
from ..noise.samples import TILE, Samples
from .problem import Problem

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Bytes at a multiple of which an array begins that JAX's CPU can use without a copy.
ALIGNMENT = 64
LARGEST_INDEX = np.iinfo(np.uint16).max
EXACT_IN_SINGLE = (np.float32, np.float16, np.uint8, np.int8, np.uint16, np.int16)


def columns_of(array: Table, positions: Positions) -> NDArray[Any]:
    """Return the columns of an array ``(m, N)``, or the one ``(m, 1)`` that all fits have in common."""
    return array if isinstance(array, np.ndarray) and array.shape[1] == 1 else array[:, positions]


def rounded_to(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Values in double precision, rounded to the requested one; what does not fit becomes infinite."""
    with np.errstate(over="ignore"):
        # sums down columns add up in another order where samples lie behind each other in memory
        return np.asarray(array).astype(dtype, order="C").astype(np.float64, copy=False)


def samples_of(problem: Problem, positions: Positions) -> Samples:
    """Return the samples ``(m, B)`` of some fits in NumPy, in double precision, as they are."""
    dtype = problem.options.dtype

    def own(array: Table | None) -> NDArray[Any] | None:
        return None if array is None else rounded_to(columns_of(array, positions), dtype)

    coords = tuple(rounded_to(c[:, None] if c.ndim == 1 else c[:, positions], dtype) for c in problem.coords)
    data = rounded_to(problem.data[:, positions], dtype)
    f_scale = np.asarray(problem.options.f_scale) if problem.options.criterion.is_robust else None
    return Samples(coords, data, own(problem.weights), own(problem.shift), f_scale)


def lengths_of(problem: Problem, positions: Positions) -> NDArray[np.int64]:
    """Return how many samples of each fit are not padding."""
    count = np.arange(problem.n_fits)[positions].size
    if problem.lengths is None:
        return np.full(count, problem.n_samples)
    return np.asarray(problem.lengths[positions], np.int64)


def fill(target: NDArray[Any], array: NDArray[Any], pad: float | None) -> None:
    """Copy samples ``(m, B)`` to a target that is larger, whose rest is `pad`, or the last sample and the first fit."""
    m, fits = array.shape
    with np.errstate(over="ignore"):
        target[:m, :fits] = array
    # guesses look at all coordinates, those of padding too
    target[m:, :fits] = target[m - 1 : m, :fits] if pad is None else pad
    target[:, fits:] = target[:, :1] if pad is None else pad


def across(samples: Samples, rows: int, fits: int, dtype: DTypeLike, each: Samples | None = None) -> Samples:
    """Return samples with one row for each fit, ``(fits, rows)``, of which those that are added do not count.

    What all fits have in common stays one row, as `each` says, or else the samples themselves.
    """
    if each is None:
        each = tree_map(lambda array: array.shape[1] > 1, samples._replace(f_scale=None))

    def turned(array: NDArray[Any] | None, pad: float | None, each: Any) -> NDArray[Any] | None:
        if array is None:
            return None
        target = _aligned((fits if each else 1, rows), np.dtype(dtype))
        fill(target.T, array, pad)
        return target

    return Samples(
        tuple(turned(c, None, own) for c, own in zip(samples.coords, each.coords, strict=True)),
        turned(samples.data, np.nan, True),
        turned(samples.weights, 0.0, each.weights),
        turned(samples.shift, 1.0, each.shift),
        None if samples.f_scale is None else np.asarray(samples.f_scale, dtype),
    )


def _aligned(shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an empty array that begins where JAX takes it as it is; it copies others at each call."""
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    return room[first : first + size].view(dtype).reshape(shape)


def tiles_of(problem: Problem, position: int) -> tuple[list[Samples], list[int]]:
    """One large fit's samples in tiles ``(1, TILE)``, in the narrowest precision that holds them exactly.

    On the device, which for a CPU are arrays of NumPy that it takes as they are.

    Returns
    -------
    tiles : list of Samples
    lengths : list of int
        How many samples of each tile are not padding.
    """
    dtype = np.dtype(problem.options.dtype)
    m = problem.n_samples if problem.lengths is None else int(problem.lengths[position])
    device = find_device(problem.options.device)

    def column(array: Table | None) -> NDArray[Any] | None:
        if array is None:
            return None
        return np.broadcast_to(array[:, position if array.shape[1] > 1 else 0], problem.n_samples)

    data, weights, shift = problem.data[:, position], column(problem.weights), column(problem.shift)
    coords = tuple(_narrowed(c if c.ndim == 1 else c[:, position], dtype) for c in problem.coords)
    precision = {id(a): _precision(a, dtype) for a in (*coords, data, weights, shift) if a is not None}
    f_scale = np.asarray(problem.options.f_scale, dtype) if problem.options.criterion.is_robust else None

    def tile(first: int) -> Samples:
        last = min(first + TILE, m)

        def fill(array: Any, pad: float) -> Any:
            if array is None:
                return None
            part = _aligned((1, TILE), np.dtype(precision[id(array)]))
            with np.errstate(over="ignore"):
                part[0, : last - first] = array[first:last]
            part[0, last - first :] = pad
            return part if device.platform == "cpu" else jax.device_put(part, device)

        # precision is chosen thread by thread
        with computing(problem.options):
            return Samples(
                tuple(fill(c, 1.0) for c in coords), fill(data, np.nan), fill(weights, 0.0), fill(shift, 1.0), f_scale
            )

    firsts = range(0, m, TILE)
    return list(pool().map(tile, firsts)), [min(TILE, m - first) for first in firsts]


def _narrowed(coordinate: Any, dtype: np.dtype[Any]) -> Any:
    """Return a coordinate whose axis is converted once, instead of all that is made of it."""
    if not isinstance(coordinate, LatticeCoordinate):
        return coordinate
    return replace(coordinate, values=coordinate.values.astype(_precision(coordinate, dtype)))


def _precision(array: Any, dtype: np.dtype[Any]) -> Any:
    values = array.values if isinstance(array, LatticeCoordinate) else array
    lattice = isinstance(array, LatticeCoordinate) and array.min() >= 0 and array.max() <= LARGEST_INDEX
    if lattice and np.array_equal(values, np.rint(values)):
        # pixel indices take a quarter of the room that numbers do
        return np.uint16
    single = dtype == np.float32 or values.dtype.type in EXACT_IN_SINGLE
    return np.float32 if single or (_is_exact(values[:1024]) and _is_exact(values)) else np.float64


def _is_exact(array: NDArray[Any]) -> bool:
    """Whether single precision holds all values, as it does pixel indices."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array.astype(np.float32), array, equal_nan=True))
