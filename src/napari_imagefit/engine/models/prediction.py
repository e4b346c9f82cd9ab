"""The model's values and derivatives at given parameters, for many fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.programs import Runner, computing
from ..drive import stages
from ..drive.loading import fill_columns
from ..drive.problem import Options
from ..drive.run import fits_per_chunk
from ..sums.normal_equations import TILE, Kernel, bucket
from .model import Model

Floats = NDArray[np.float64]


def predict(model: Model, coords: tuple[NDArray[Any], ...], params: Floats, options: Options) -> Floats:
    """The model's values ``(m, N)`` for parameters ``(n_params, N)``; NaN where a parameter is NaN.

    ``coords`` are ``(m,)`` or ``(m, N)`` each.
    """
    m, n_fits = coords[0].shape[0], params.shape[1]
    values = np.empty((m, n_fits))
    if m > TILE:
        # all pieces alike: a traced function is known at certain lengths only
        for first in range(0, m, TILE):
            place = np.minimum(np.arange(first, first + TILE), m - 1)
            piece = tuple(c[first : first + TILE] if first + TILE <= m else c[place] for c in coords)
            values[first : first + TILE] = predict(model, piece, params, options)[: m - first]
        return values
    for part, found in _by_chunk(stages.predict, Kernel(model, ()), coords, params, options):
        values[:, part] = found[:m, : part.stop - part.start]
    return values


def linearise(model: Model, coords: tuple[NDArray[Any], ...], params: Floats) -> tuple[Floats, Floats]:
    """The model's values ``(m, N)`` and derivatives ``(n_params, m, N)`` by all its parameters, in double precision.

    ``coords`` are ``(m,)`` or ``(m, N)`` each, with few samples of many fits; parameters ``(n_params, N)``.
    """
    m = coords[0].shape[0]
    values, slopes = np.empty((m, params.shape[1])), np.empty((len(params), m, params.shape[1]))
    kernel = Kernel(model, tuple(range(len(params))))
    for part, (value, slope) in _by_chunk(stages.linearise, kernel, coords, params, Options()):
        width = part.stop - part.start
        values[:, part], slopes[:, :, part] = value[:m, :width], slope[:, :m, :width]
    return values, slopes


def sandwich(
    model: Model,
    coords: tuple[NDArray[Any], ...],
    params: Floats,
    data: NDArray[Any],
    others: Floats,
    line: tuple[float, float],
) -> stages.Sandwich:
    """What the covariance of many fits is made of where the variance of a sample grows with its value.

    ``coords`` are ``(m,)`` or ``(m, N)`` each; data and what is there beside the model are ``(m, N)``, the data NaN
    where they are not used; see `stages.sandwich`. By all parameters, in double precision; matrices are ``(n, n, N)``.
    """
    kernel = Kernel(model, tuple(range(len(params))))
    parts = []
    for part, found in _by_chunk(stages.sandwich, kernel, coords, params, Options(), (data, others), np.array(line)):
        width = part.stop - part.start
        parts.append([np.asarray(sums)[..., :width] for sums in found])
    return stages.Sandwich(*(np.concatenate(sums, axis=-1) for sums in zip(*parts, strict=True)))


def _by_chunk(
    stage: Any,
    kernel: Kernel,
    coords: tuple[NDArray[Any], ...],
    params: Floats,
    options: Options,
    samples: tuple[NDArray[Any], ...] = (),
    *more: Any,
) -> Iterator[tuple[slice, Any]]:
    """What a stage returns for some fits after the other, padded to shapes that it is compiled for.

    Samples are padded with NaN: those that count none of them.
    """
    n_fits = params.shape[1]
    rows = bucket(coords[0].shape[0])
    width = fits_per_chunk(rows)
    runner = Runner(kernel, options)
    for first in range(0, n_fits, width):
        part = slice(first, min(first + width, n_fits))
        columns = width if width == 1 else min(width, 1 << (part.stop - part.start - 1).bit_length())
        with computing(options):
            found = runner(
                stage,
                tuple(fill_columns(c if c.ndim == 2 else c[:, None], part, rows, columns, options) for c in coords),
                fill_columns(params, part, params.shape[0], columns, options),
                *(fill_columns(a, part, rows, columns, options, np.nan) for a in samples),
                *more,
            )
        yield part, found
