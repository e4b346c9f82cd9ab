"""From a problem to the arrays of one chunk, in shapes that many chunks share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .host import guess_starts, is_traceable
from .model import Array
from .objective import Samples, bucket
from .problem import Options, Problem
from .stages import Limits
from .trust_region import Tolerances


def padded_length(problem: Problem) -> int:
    """The samples of a problem's programs."""
    m = problem.n_samples
    if not problem.padded:
        return m
    return problem.pad_to if m <= problem.pad_to else bucket(m)


def fill_columns(
    array: NDArray[Any], part: slice, rows: int, columns: int, options: Options, pad: float = 1.0
) -> NDArray[Any]:
    """The part's columns of an array ``(m, N or 1)`` in the chosen precision, padded to ``(rows, columns or 1)``."""
    source = array if array.shape[1] == 1 else array[:, part]
    target = np.full((rows, 1 if array.shape[1] == 1 else columns), pad, options.dtype)
    with np.errstate(over="ignore"):
        target[: source.shape[0], : source.shape[1]] = source
    return target


def load(problem: Problem, part: slice, columns: int) -> tuple[Samples, Limits, Array | None]:
    """One chunk as arrays of a shape that many chunks share; padding is NaN and so left out.

    The third is the guess where it is not written for JAX; call this inside `computing`.
    """
    options = problem.options
    rows = padded_length(problem)

    def fill(array: NDArray[Any], pad: float = 1.0, rows: int = rows) -> NDArray[Any]:
        return fill_columns(array, part, rows, columns, options, pad)

    data = np.full((rows, columns), np.nan, options.dtype)
    with np.errstate(over="ignore"):  # what does not fit into single precision becomes infinite, and is left out
        data[: problem.n_samples, : part.stop - part.start] = problem.data[:, part]
    samples = Samples(
        coords=tuple(fill(c if c.ndim == 2 else c[:, None]) for c in problem.coords),
        data=data,
        weights=None if problem.weights is None else fill(problem.weights, pad=0.0),
        length=_lengths(problem, part, columns),
        shift=None if problem.shift is None else fill(problem.shift),
        f_scale=np.asarray(options.f_scale, options.dtype) if options.criterion.is_robust else None,
        root=None if problem.root is None else _pad_root(problem.root, rows).astype(options.dtype),
    )
    n = len(problem.model.names)
    limits = Limits(
        fill(problem.start, rows=n),
        fill(problem.lower, rows=n),
        fill(problem.upper, rows=n),
        None if problem.norms is None else problem.norms.astype(options.dtype),
    )
    return samples, limits, _guess_on_host(problem, samples, limits)


def _pad_root(root: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Padding is correlated with nothing."""
    padded = np.eye(rows)
    padded[: len(root), : len(root)] = root
    return padded


def _lengths(problem: Problem, part: slice, columns: int) -> NDArray[np.int32]:
    lengths = np.zeros(columns, np.int32)
    lengths[: part.stop - part.start] = problem.n_samples if problem.lengths is None else problem.lengths[part]
    return lengths


def _guess_on_host(problem: Problem, samples: Samples, limits: Limits) -> Array | None:
    """Guesses that are not written for JAX, ``(n_params, columns)``; None if a program is to find them."""
    if not np.isnan(limits.start).any():
        return limits.start + np.zeros_like(samples.data[:1])
    if is_traceable(problem.model):
        return None
    data_and_weights = samples.filled(problem.options.criterion.is_robust)
    with np.errstate(all="ignore"):
        return np.asarray(guess_starts(problem.model, samples.coords, *data_and_weights), problem.options.dtype)


def tolerances_of(options: Options) -> Tolerances:
    """As numbers of the right precision."""
    # in single precision a cost cannot be told from its neighbours below this
    floor = 0.0 if options.dtype == "float64" else 8 * float(np.finfo(np.float32).eps)
    return Tolerances(*(np.asarray(max(t, floor), options.dtype) for t in (options.ftol, options.xtol, options.gtol)))
