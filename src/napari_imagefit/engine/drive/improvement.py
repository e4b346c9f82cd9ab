"""Whether an end is worth more than a constant: one that costs more than a constant that the model contains is none.

A fit never ends above its start, which a step that costs more does not leave; but a start may be far above, and a fit
that gets stuck on its way down, or runs into the limit of its steps, is no result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..core.types import Booleans, Floats, Positions
from ..models.model import roles_of
from .level import Level
from .loading import columns_of
from .problem import Problem


def costs_more_than_constant(
    problem: Problem,
    positions: Positions,
    ends: Floats,
    cost: Floats,
    level: Level,
    cost_of: Callable[[Floats], Floats],
) -> Booleans:
    """Return the fits ``(B,)`` that ended above a constant.

    The mean, with the other linear parameters 0, within the bounds.

    That point is evaluated as any other, where its level may be lower.

    Parameters
    ----------
    ends : array, ``(n_params, B)``
    cost : array, ``(B,)``
        Where the fits have ended.
    cost_of : callable
        The costs ``(B,)`` at parameters ``(n_params, B)``.
    """
    eps = problem.options.eps
    # differences below the rounding of the sums do not count
    margin = np.sqrt(eps) * np.asarray(cost) + level.rounding(problem.options.criterion, eps)
    suspect: Booleans = np.isfinite(cost) & (cost - margin > level.constant)
    if problem.alone or not suspect.any():
        return np.zeros(suspect.shape, bool)
    flat, possible = _constant(problem, positions, ends, level)
    suspect &= possible
    if suspect.any():
        suspect &= cost - margin > np.where(suspect, cost_of(np.where(suspect, flat, ends)), np.inf)
    return suspect


def _constant(problem: Problem, positions: Positions, ends: Floats, level: Level) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the parameters closest to a constant model within the bounds, and for which fits there are any."""
    roles = roles_of(problem.model)
    lower, upper = (np.broadcast_to(columns_of(a, positions), ends.shape) for a in (problem.lower, problem.upper))
    if roles.constant is None:
        return ends, np.zeros(ends.shape[1], bool)
    flat = ends.copy()
    for i in roles.linear:
        flat[i] = np.clip(np.asarray(level.mean) if i == roles.constant else 0.0, lower[i], upper[i])
    return flat, lower[roles.constant] < upper[roles.constant]
