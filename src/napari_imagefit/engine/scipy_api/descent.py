"""A curve's fit, and fits that go on from its end where the data do not determine the parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..core.fits import Fits
from ..core.progress import drain
from ..core.status import Flag, Status
from ..drive.problem import Problem
from ..drive.run import iter_fit

# The tolerance at which a fit goes on that ended where the data do not determine the parameters.
FINE_TOLERANCE = 1e-10


def descend(problem: Problem) -> Fits:
    """Fit, and go on where that may not have been the end."""
    fits = _run(problem)
    if problem.norms is None and fits.ended[0] == Status.STEP and fits.flags[0] & Flag.POORLY_DETERMINED:
        fits = _by_size(problem, fits)
    if fits.status[0] == Status.SINGULAR and max(problem.options.ftol, problem.options.xtol) > FINE_TOLERANCE:
        # next to a saddle, or on the floor of a valley, a step that gains little is no sign of a minimum
        fits = _go_on(problem, fits)
    return fits


def _run(problem: Problem) -> Fits:
    return drain(iter_fit(problem))


def _go_on(problem: Problem, before: Fits, **changed: Any) -> Fits:
    """Go on from where a fit ended, with finer tolerances."""
    limit = problem.options.max_iterations - int(before.n_iterations[0])
    if limit < 1:
        return before
    options = replace(
        problem.options,
        ftol=min(problem.options.ftol, FINE_TOLERANCE),
        xtol=min(problem.options.xtol, FINE_TOLERANCE),
        max_iterations=limit,
    )
    fits = _run(replace(problem, start=before.solution, options=options, **changed))
    fits.n_iterations[:] += before.n_iterations
    return fits


def _by_size(problem: Problem, before: Fits) -> Fits:
    """Go on in units of the parameters' own size.

    A parameter on which the model does not depend there has no unit by the Jacobian. Its steps then go anywhere, and
    the region shrinks about them until the others cannot move, either.
    """
    size = np.abs(before.solution)
    found = _go_on(problem, before, norms=1 / np.where(size > 0, size, 1))
    return found if found.cost[0] < before.cost[0] else before
