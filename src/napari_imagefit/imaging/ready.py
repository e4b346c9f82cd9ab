"""Compile what looking at single fits needs, so that the first look does not have to wait for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..engine.core.options import Options
from ..engine.models.model import Model
from ..engine.models.prediction import predict
from ..engine.models.prediction_error import predict_with_error
from ..engine.results.fit_result import FitResult
from .cuts import surface_cuts, thinned
from .facts import Place
from .inspect import FINE, voxel_curve
from .places import FitGrid


def make_ready(result: FitResult) -> None:
    """Look at one fit of a result of `fit_voxels` or `fit_image`; does nothing where there is no answer to look at.

    Meant for the worker thread that has just fitted.
    """
    answered = np.isfinite(result.solution[result.model.names[0]])
    if not answered.any() or result.model.ndim > 2:
        return
    place: Place = tuple(int(i) for i in np.unravel_index(int(np.argmax(answered)), result.shape))
    if FitGrid.of(result).axis is not None:
        voxel_curve(result, place)
    else:
        surface_cuts(result, place)


def compile_surface(model: Model, shape: tuple[int, ...], options: Options) -> None:
    """The same before there is a result, for regions that span that many pixels along y and x."""
    n = len(model.names)

    def somewhere(m: int) -> tuple[NDArray[np.float64], ...]:
        return (np.linspace(1, 2, m),) * model.ndim

    for length in shape:
        predict_with_error(model, somewhere(length + FINE), np.ones(n), np.zeros((n, n)), options)
    kept = [len(range(length)[thinned(length)]) for length in shape]
    predict(model, somewhere(int(np.prod(kept))), np.ones((n, 1)), options)


def compile_curve(model: Model, n_samples: int, options: Options) -> None:
    """The same before there is a result, for curves of that many samples."""
    n = len(model.names)
    predict_with_error(model, (np.linspace(1, 2, n_samples + FINE),), np.ones(n), np.zeros((n, n)), options)
