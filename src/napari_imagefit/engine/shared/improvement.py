"""Whether the end of fits that share parameters is worth more than constants; see `drive.improvement`.

It is tested for all together, and for each with the shared values fixed: a height that is shared cannot be 0 for one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.fits import Fits
from ..core.types import Booleans, Floats
from ..drive.level import Level
from ..drive.problem import Problem
from ..models.model import roles_of


def cost_more_than_constants(
    problem: Problem, shared: tuple[int, ...], fits: Fits, level: Level, cost_of: Callable[[Floats], Floats]
) -> Booleans:
    """Return the fits ``(N,)`` that ended above a constant; `cost_of` gives costs at parameters ``(n_params, N)``."""
    roles, eps = roles_of(problem.model), problem.options.eps
    ends, ended = fits.solution, (fits.status >= 0) & np.isfinite(fits.solution).all(axis=0)
    # differences below the rounding of the sums do not count
    least = fits.cost * (1 - np.sqrt(eps)) - level.rounding(problem.options.criterion, eps)
    above: Booleans = ended & (least > level.constant)
    if roles.constant is None or not above.any():
        return np.zeros(above.shape, bool)
    lower, upper = (np.broadcast_to(a, ends.shape) for a in (problem.lower, problem.upper))

    def cost_at(*, moved: bool) -> Floats:
        """Return the cost where all linear parameters but the constant are 0, or all of these that no fit shares."""
        flat = np.where(ended, ends, 1.0)
        for i in roles.linear:
            if moved or i not in shared:
                value = np.asarray(level.mean) if i == roles.constant else np.zeros(ended.shape)
                if i in shared:
                    value = np.full(ended.shape, np.average(value[ended], weights=np.asarray(level.weight)[ended]))
                flat[i] = np.clip(value, lower[i], upper[i])
        return cost_of(flat)

    if np.sum(least[ended]) > np.sum(cost_at(moved=True)[ended]):
        return above
    return np.asarray(above & (least > cost_at(moved=False)))
