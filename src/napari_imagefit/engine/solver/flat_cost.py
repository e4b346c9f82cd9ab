"""Whether the cost around an end rises as the standard errors predict: of a model with an edge it need not.

The edge of a paraboloid that is larger than its window comes to rest where it just cuts off a pixel in a corner. Beyond
that pixel the cost is flat: height, radii and background cannot be distinguished, but the derivatives do not see it. Or
it comes to rest where noise happens to bend the surface; then one without any edge is hardly worse.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..core.options import Criterion
from ..core.types import Floats
from .covariance import Answer
from .trust_region import State

# How far to look, in standard errors, and which part of the rise that they promise is enough.
FAR, ENOUGH = 5.0, 0.5
# By how much the variance of the constant is larger than if the other parameters were known, in a valley.
ENTANGLED = 20.0
# The same where a surface without an edge is tried, and by how many standard deviations it must be worse than the fit:
# chance makes it worse by less in 999 of 1 000.
LITTLE_ENTANGLED, WORSE = 2.0, 3.09


def unless_flat(
    found: Answer,
    criterion: Criterion,
    state: State,
    used: Floats,
    cost_at: Callable[[Floats], Floats],
    without_edge: Callable[[NDArray[np.intp]], Floats],
    constant: int | None,
) -> Answer:
    """Take back what is known of fits whose cost does not rise, to one side, along an axis of their errors.

    Fits that have not converged, are at a bound, or do not determine everything anyway, are not tested.

    Parameters
    ----------
    used : array, ``(B,)``
        How many samples each fit has.
    cost_at : callable
        The cost ``(B,)`` at other points ``(n_free, B)``.
    without_edge : callable
        The least cost ``(b,)`` of a surface without an edge for some of the fits ``(b,)``.
    constant : int or None
        Which of the free parameters is the background; without one there is no such valley.
    """
    if criterion.is_robust or constant is None:
        return found
    x, cost = np.stack(state.x), np.asarray(state.here.cost)
    variance = 2 * cost / np.maximum(used - len(x), 1) if criterion.noise == "gaussian" else np.ones(cost.shape)
    covariance = np.moveaxis(found.covariance, -1, 0)
    errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    asked = (state.status > 0) & np.isfinite(covariance).all(axis=(1, 2)) & (errors > 0).all(axis=1)
    unit = np.where(asked[:, None, None], covariance / (errors[:, :, None] * errors[:, None]), np.eye(len(x)))
    values, vectors = np.linalg.eigh(unit)
    # with its edge in sight a cloud leaves samples that know the constant from nothing else; only without them is there
    # a valley of height, radii and background, and elsewhere the edge makes the cost of a few pixels uneven
    inflation = (vectors[:, constant] ** 2 / np.maximum(values, np.finfo(float).tiny)).sum(axis=-1)
    flat = np.zeros(cost.shape, bool)
    some = np.flatnonzero(asked & (inflation > LITTLE_ENTANGLED))
    if some.size:
        flat[some] = without_edge(some) - cost[some] < 0.5 * WORSE**2 * variance[some]
    asked &= inflation > ENTANGLED
    # along each axis of the ellipsoid of errors: where the valley bends it is not the longest that is flat
    for axis in reversed(range(len(x))):
        size = FAR * np.sqrt(variance * np.maximum(values[:, axis], 0))
        step = np.where(asked & ~flat, size * (vectors[:, :, axis] * errors).T, 0.0)
        rise = np.minimum(cost_at(x + step), cost_at(x - step)) - cost
        flat |= asked & (rise < ENOUGH * 0.5 * FAR**2 * variance)
    return found._replace(undetermined=found.undetermined | flat)
