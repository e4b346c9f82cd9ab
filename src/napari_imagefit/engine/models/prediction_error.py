"""The model's values with their standard errors: how well a fitted curve is known where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.programs import Runner, computing
from ..drive.loading import fill_columns
from ..drive.problem import Options
from ..sums.normal_equations import TILE, Kernel, bucket, jacobian
from .model import Array, Model

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")


def value_and_error(kernel: Kernel, coords: tuple[Array, ...], params: Array, covariance: Array) -> tuple[Array, Array]:
    """The model's values and √(∂μ C ∂μᵀ), each ``(m, B)``; the covariance is ``(n, n, B)``."""
    everything = tuple(range(len(kernel.model.names)))
    value, slopes = jacobian(kernel.model, coords, params, everything)
    variance = jnp.einsum("imb,ijb,jmb->mb", slopes, covariance, slopes)
    return value, jnp.sqrt(jnp.maximum(variance, 0))


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
    m, n = coords[0].shape[0], len(model.names)
    values, error = np.empty(m), np.empty(m)
    runner = Runner(Kernel(model, ()), options)
    everywhere = slice(0, 1)
    for first in range(0, m, TILE):
        part = slice(first, min(first + TILE, m))
        rows = bucket(part.stop - part.start)
        with computing(options):
            found = runner(
                value_and_error,
                tuple(fill_columns(c[part, None], everywhere, rows, 1, options) for c in coords),
                fill_columns(params[:, None], everywhere, n, 1, options),
                covariance[:, :, None].astype(options.dtype),
            )
            values[part], error[part] = (np.asarray(f)[: part.stop - part.start, 0] for f in found)
    return values, error
