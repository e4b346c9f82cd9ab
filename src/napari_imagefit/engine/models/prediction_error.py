"""The model's values with their standard errors: how well a fitted curve is known where it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.options import Options
from .model import Model
from .prediction import linearise


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
