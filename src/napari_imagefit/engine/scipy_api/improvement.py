"""Whether the end of a curve's fit is worth more than a constant that the function contains; see `drive.improvement`.

Nothing is known of a function's parameters: one whose derivative is 1 everywhere is a constant, and what makes the rest
vanish where it is 0, or where all others are, is found by trying. It is asked only where an end costs more than the
mean of the data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.fits import Fits
from ..core.options import Options
from ..core.types import Floats
from ..drive.level import LEVEL_ROUNDING
from ..noise.noise_and_loss import terms
from ..noise.samples import Samples
from .arguments import CurveInput
from .backends import Plan
from .noise import Noise

# Tolerances for being a constant, and equal to a cost; and to a derivative of 1, which may come from differences.
EQUAL_WITHIN, ROUGHLY = 1e-8, 1e-3


def costs_more_than_constant(
    fits: Fits, given: CurveInput, plan: Plan, y: Floats, noise: Noise, options: Options
) -> bool:
    """Return whether some constant costs less than where the fit has ended."""
    popt, reached = fits.solution[:, 0], float(fits.cost[0]) * (1 - EQUAL_WITHIN)
    plain = noise.root is None and not options.criterion.is_robust
    if callable(options.loss) or not np.isfinite(popt).all() or (plain and reached <= 0.5 * fits.spread[0]):
        return False

    def cost_of(values: Floats) -> float:
        residual = noise.standardise(values - y)[:, None]
        samples = Samples((), np.zeros_like(residual), f_scale=np.asarray(options.f_scale))
        return float(np.sum(terms(options.criterion, residual, samples).cost))

    with np.errstate(all="ignore"):
        one, data = noise.standardise(np.ones_like(y)), noise.standardise(y)
        mean = float(one @ data / (one @ one))
        reached -= LEVEL_ROUNDING * options.eps**2 * float(data @ data)
        if not reached > cost_of(np.full_like(y, mean)):
            return False
        return any(cost_of(values) < reached for values in _constants(given, plan, popt, mean))


def _constants(given: CurveInput, plan: Plan, popt: Floats, mean: float) -> Iterator[Floats]:
    """Values ``(m,)`` of the function that do not vary, as near to the mean as the bounds allow."""
    slopes = plan.slopes(popt)
    free = np.flatnonzero(given.lower < given.upper)
    level = next((i for i in free if (np.abs(slopes[i] - 1) <= ROUGHLY).all()), None)
    if level is None:
        return
    others = [i for i in free if i != level]
    lower, upper = given.lower, given.upper
    for zero in (others, *([i] for i in others)):
        flat = popt.copy()
        flat[zero] = np.clip(0.0, lower[zero], upper[zero])
        try:
            flat[level] = np.clip(flat[level] + mean - np.mean(plan.values(flat)), lower[level], upper[level])
            values = plan.values(flat)
        except Exception:  # noqa: BLE001 - the function need not know these parameters
            continue
        if np.ptp(values) <= EQUAL_WITHIN * max(abs(mean), np.abs(values).max()):
            yield values
