"""The model's values and derivatives at given parameters, for many fits."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.device import computing, share_out
from ..core.options import Options
from ..core.programs import Arithmetic, obtain, request
from ..core.types import Array, Floats
from ..functions.evaluation import evaluate, jacobian
from .model import Model

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Values that are computed in one piece: they stay in cache.
VALUES_PER_PIECE = 65536
# The least number of samples that a program is compiled for.
SHORTEST = 16
# How many times as large as their range the least of coordinates must be to cost single precision digits.
FAR_FROM_ORIGIN = 16

Coords = tuple[NDArray[Any], ...]


def values_of(model: Model, coords: Coords, params: NDArray[Any], options: Options) -> NDArray[Any]:
    """Return the model's values ``(m, B)`` in the options' precision, in one piece.

    In NumPy where the model is written for it, else by a program for this number of samples and fits.
    ``coords`` are ``(m, 1)`` or ``(m, B)`` each, parameters ``(n_params, B)``.
    """
    coords = tuple(np.asarray(c, options.dtype) for c in coords)
    params = np.asarray(params, options.dtype)
    if model.broadcasts:
        with np.errstate(all="ignore"):
            return np.asarray(evaluate(model.function, coords, params), options.dtype)
    return _padded("values", _values, model, coords, params, options)


def predict(model: Model, coords: Coords, params: Floats, options: Options) -> Floats:
    """Return the model's values ``(m, N)`` for parameters ``(n_params, N)``; NaN where a parameter is NaN.

    ``coords`` are ``(m,)`` or ``(m, N)`` each. In double precision where that takes no program: a level may be so much
    larger than what is left beside it that single precision would show hardly anything of it. And always where the
    coordinates are far from 0: the fit has counted them from nearer by.
    """
    columns = tuple(c if c.ndim == 2 else c[:, None] for c in coords)
    if model.broadcasts or any(c.size and is_far(c.min(), c.max()) for c in columns):
        options = replace(options, dtype="float64")
    m, n_fits = columns[0].shape[0], params.shape[1]
    values = np.empty((m, n_fits))
    with np.errstate(over="ignore"):
        narrow = np.asarray(params, options.dtype)
    rows, width = m if model.exact else min(m, VALUES_PER_PIECE), max(1, VALUES_PER_PIECE // max(m, 1))
    pieces = [
        (slice(top, top + rows), slice(left, left + width))
        for left in range(0, n_fits, width)
        for top in range(0, m, max(rows, 1))
    ]

    def one(piece: tuple[slice, slice]) -> None:
        down, along = piece
        own = tuple(c[down] if c.shape[1] == 1 else c[down, along] for c in columns)
        values[down, along] = values_of(model, own, narrow[:, along], options)

    # the first and the last in this thread, which may not be willing to wait for their programs
    for piece in pieces[:: max(len(pieces) - 1, 1)]:
        one(piece)
    if len(pieces) > 2:
        share_out(one, pieces[1:-1])
    return values


def is_far(low: Array, high: Array) -> Array:
    """Whether coordinates from `low` to `high` lie far from 0, as seen from their range."""
    return (np.minimum(np.abs(low), np.abs(high)) > FAR_FROM_ORIGIN * (high - low)) & (low * high > 0) & (high > low)


def linearise(model: Model, coords: Coords, params: Floats, options: Options | None = None) -> tuple[Floats, Floats]:
    """Return the model's values ``(m, N)`` and derivatives ``(n_params, m, N)`` by all its parameters.

    ``coords`` are ``(m,)`` or ``(m, N)`` each; parameters ``(n_params, N)``. In double precision without options.
    """
    options = options or Options()
    columns = tuple(c if c.ndim == 2 else c[:, None] for c in coords)
    m, n_fits = columns[0].shape[0], params.shape[1]

    found = np.empty((1 + len(params), m, n_fits))
    rows, width = m if model.exact else min(m, VALUES_PER_PIECE), max(1, VALUES_PER_PIECE // max(m, 1))
    for left in range(0, n_fits, width):
        for top in range(0, m, max(rows, 1)):
            down, along = slice(top, top + rows), slice(left, left + width)
            own = tuple(c[down] if c.shape[1] == 1 else c[down, along] for c in columns)
            found[:, down, along] = _padded("linear", _linear, model, own, params[:, along], options)
    return found[0], found[1:]


def predict_with_error(
    model: Model,
    coords: tuple[NDArray[Any], ...],
    params: NDArray[np.float64],
    covariance: NDArray[np.float64],
    options: Options,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One fit's model at any coordinates, and its standard error to first order in the parameters' errors.

    Parameters
    ----------
    coords : tuple of arrays, each ``(m,)``
    params : array, ``(n_params,)``
    covariance : array, ``(n_params, n_params)``
        Rows and columns of 0 for parameters that are known exactly. NaN where something is not known: the error is then
        NaN, the values are not.

    Returns
    -------
    values, error : arrays, ``(m,)``

    Examples
    --------
    >>> from napari_imagefit import models
    >>> t = np.array([0.0, 3.0])
    >>> line, covariance = np.array([2.0, 1.0]), np.diag([0.01, 0.0])
    >>> values, error = predict_with_error(models["linear"], (t,), line, covariance, Options())
    >>> values, error.round(3)
    (array([1., 7.]), array([0. , 0.3]))
    """
    value, slopes = linearise(model, coords, params[:, None], options)
    variance = np.einsum("im,ij,jm->m", slopes[:, :, 0], covariance, slopes[:, :, 0])
    return value[:, 0], np.sqrt(np.maximum(variance, 0))


def prepare_values(model: Model, m: int, fits: int, options: Options) -> list[Future[Any]]:
    """Compile what `values_of` needs for coordinates ``(m, 1)`` and so many fits."""
    if model.broadcasts:
        return []
    coords = (np.zeros((m, 1)),) * model.ndim
    arguments = _fill(coords, np.zeros((len(model.names), fits)), options, model.exact)
    return [request(*_program("values", _values, model, arguments, options))]


def _values(model: Model, coords: tuple[Array, ...], params: Array) -> Array:
    return evaluate(model.function, coords, params, across=True)


def _linear(model: Model, coords: tuple[Array, ...], params: Array) -> Array:
    value, slopes = jacobian(model.function, model.jacobian, coords, params, across=True)
    return jnp.stack([value, *slopes])


def _padded(
    what: str, function: Any, model: Model, coords: Coords, params: NDArray[Any], options: Options
) -> NDArray[Any]:
    """Return what a program returns, ``(..., m, B)``, for samples and fits padded to shapes that it is compiled for.

    In the program samples are along the last axis, as they are in all sums: with fits there, a fit's last bits would
    tell how many others there are.
    """
    arguments = _fill(coords, params, options, model.exact)
    wanted = _program(what, function, model, arguments, options)
    program = obtain(*wanted)
    with computing(options):
        found = np.asarray(program(*arguments))[..., : params.shape[1], : coords[0].shape[0]]
    return np.ascontiguousarray(np.swapaxes(found, -1, -2))


def _fill(coords: Coords, params: NDArray[Any], options: Options, exact: bool) -> tuple[Coords, NDArray[Any]]:
    rows = coords[0].shape[0] if exact else max(SHORTEST, 1 << (coords[0].shape[0] - 1).bit_length())
    columns = 1 << (params.shape[1] - 1).bit_length()

    def fill(array: NDArray[Any], down: int) -> NDArray[Any]:
        along = columns if array.shape[1] > 1 else 1
        width = ((0, down - array.shape[0]), (0, along - array.shape[1]))
        with np.errstate(over="ignore"):
            return np.pad(np.asarray(array, options.dtype), width, mode="edge")

    return tuple(np.ascontiguousarray(fill(c, rows).T) for c in coords), fill(params, params.shape[0])


def _program(
    what: str, function: Any, model: Model, arguments: tuple[Coords, NDArray[Any]], options: Options
) -> tuple[Any, Any, Any, Options, Arithmetic]:
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arguments)
    own = tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes))
    arithmetic: Arithmetic = "plain" if model.reassociate else "as written"
    key = (what, model.key, arithmetic, options.dtype, options.device, own)
    return key, lambda *a: function(model, *a), shapes, options, arithmetic
