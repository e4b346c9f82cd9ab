"""Order of two parts of a signal that may be exchanged: in IVIM the faster one is perfusion."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from ...catalogue import models
from ...engine.core.fits import Fits
from ...engine.core.progress import Progress
from ...engine.core.types import Booleans
from ...engine.drive.problem import Problem
from ...engine.models.model import Model

FRACTION, FAST, SLOW = "f", "d_star", "d"


def has_parts(model: Model) -> bool:
    """Whether a model has two parts that are returned in an order."""
    return model is models["ivim"]


def iter_in_order(
    problem: Problem, fits: Fits, should_stop: Callable[[], bool] | None
) -> Generator[Progress, None, Fits]:
    """Exchange the parts where the first has come out as the slower one, and the bounds allow it.

    Everything that there is for each parameter goes with it; what ended at a bound, or was fixed, stays.
    """
    del should_stop
    yield from ()
    f, fast, slow = (problem.model.index(name) for name in (FRACTION, FAST, SLOW))
    with np.errstate(invalid="ignore"):
        wrong = fits.solution[fast] < fits.solution[slow]
        wrong &= _fits(problem, fast, fits.solution[slow]) & _fits(problem, slow, fits.solution[fast])
        wrong &= _fits(problem, f, 1 - fits.solution[f]) & (fits.at_bound[[f, fast, slow]] == 0).all(axis=0)
    where = np.flatnonzero(wrong)
    order, sign = np.arange(len(problem.model.names)), np.ones(len(problem.model.names))
    order[[fast, slow]], sign[f] = [slow, fast], -1
    for values in (fits.params, fits.solution):
        values[f, where] = 1 - values[f, where]
        values[:, where] = values[:, where][order]
    fits.covariance[where] = fits.covariance[where][:, order[:, None], order] * (sign[:, None] * sign)
    return fits


def _fits(problem: Problem, i: int, values: np.ndarray) -> Booleans:
    """Whether a parameter is free, and may have these values."""
    lower, upper = problem.lower[i], problem.upper[i]
    return np.asarray((lower < upper) & (values >= lower) & (values <= upper))
