"""Expected correlation of neighbouring residuals under noise alone, for the fits of a problem that need it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats, Positions
from ..models.numpy_model import NumpyModel
from ..models.prediction import values_of
from ..solver.covariance import Answer
from ..solver.neighbour_test import Expected, expected_of
from ..solver.residual_flags import Expect
from .loading import samples_of
from .problem import Problem

# By which part of its error a parameter is moved to see what it does.
STEP = 0.01


def expectation(problem: Problem, part: Positions, solution: Floats, ends: Answer, variance: Floats) -> Expect | None:
    """Something that finds it for some fits of a part; None where that would have to be compiled.

    Parameters
    ----------
    solution : array, ``(n_params, B)``
    variance : array, ``(B,)``
        The mean square of the residuals.
    """
    model, options = problem.model, replace(problem.options, dtype="float64")
    if isinstance(model, NumpyModel) or not model.broadcasts or problem.whole or problem.root is not None:
        return None

    def expect(some: NDArray[np.intp]) -> Expected:
        samples = samples_of(problem, np.arange(problem.n_fits)[part][some])
        params = solution[:, some]
        scatter = np.diagonal(ends.covariance).T[:, some] * variance[some]
        # what counts as fixed has no error
        steps = STEP * np.sqrt(np.where(scatter > 0, scatter, 0))
        used = np.broadcast_to(samples.usable(), samples.data.shape)
        slopes = np.zeros((len(steps), *used.shape))
        for k, (i, step) in enumerate(zip(problem.free, steps, strict=True)):
            ends_of = []
            for sign in (-1, 1):
                moved = params.copy()
                moved[i] += sign * step
                ends_of.append(values_of(model, samples.coords, moved, options))
            difference = samples.weighted(ends_of[1] - ends_of[0])
            slopes[k] = np.where(used & np.isfinite(difference), difference, 0)
        return expected_of(slopes, used)

    return expect
