"""Comparison of two attempts at the same fit, and a result that takes the better ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...engine.core import fits
from ...engine.core.fits import SAME_COST_OF_SPREAD
from ...engine.core.status import Flag, Status
from ...engine.core.types import Booleans, Indices
from ...engine.results.fit_result import FitResult
from ..fitting.records import stored_maps
from .neighbours import ENOUGH_NEIGHBOURS, lower_quartile_around

# χ² scatters by √(2/n) of itself; so many times more than that above the better of the neighbours is too large. Of fits
# in the right minimum about 1 in 300 is.
WORSE_SIGMAS = 5.0


def copy(result: FitResult) -> FitResult:
    """Return a result whose maps can be written to, each laid out in C order."""

    def own(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: own(one) for name, one in value.items()}
        return np.array(value, order="C") if isinstance(value, np.ndarray) else value

    return replace(result, **{name: own(value) for name, value in vars(result).items()})


def put(whole: FitResult, places: Indices, piece: FitResult, rows: Booleans | None = None) -> None:
    """Copy the fits of a piece ``(n,)``, or some of its rows, to their flat positions in the whole."""
    chosen: Any = slice(None) if rows is None else rows
    for (_, target), (_, own) in zip(stored_maps(whole), stored_maps(piece), strict=True):
        # maps of a copied result are contiguous, so that this is a view
        flat = target.reshape((whole.status.size, *target.shape[whole.status.ndim :]))
        flat[places[chosen]] = own[chosen]


def is_better(new: FitResult, old: FitResult, places: Indices) -> Booleans:
    """Return where the new fits ``(n,)`` are better results than those at these positions of the old result."""
    return fits.is_better(new, old.cost.ravel()[places], old.converged.ravel()[places])


def failed(result: FitResult) -> Booleans:
    """Fits that ended without a result though there were samples for one, ``(*grid,)``."""
    hopeless = np.isin(result.status, (Status.NOT_FITTED, Status.TOO_FEW_SAMPLES))
    return np.asarray((result.status <= 0) & ~hopeless)


def suspect(result: FitResult, among: Booleans | None = None) -> Booleans:
    """Fits that have converged, but may lie in a minimum that is not the lowest, ``(*grid,)``.

    What they leave unexplained, both by itself (the reduced χ²) and as a share of what there was to explain (1 − R²),
    exceeds the lower quartile of those around them by more than five times the scatter of χ², √(2/degrees of freedom);
    or that of the whole map, and their residuals show that something is wrong too.

    Parameters
    ----------
    among : boolean array, optional
        Which to judge; all if not given.
    """
    places = np.flatnonzero(result.converged if among is None else result.converged & among)
    found = np.zeros(result.status.size, bool)
    if places.size:
        freedom = np.maximum((result.n_used - result.n_free).ravel()[places], 1)
        scatter = 1 + WORSE_SIGMAS * np.sqrt(2 / freedom)
        # a whole region may be in the wrong minimum, but the noise may also differ from region to region
        flagged = (result.flags.ravel()[places] & np.uint16(Flag.STRUCTURED_RESIDUAL | Flag.LARGE_CHI2)) != 0
        # more is left of brighter curves where a model is not quite right, and a larger share of fainter ones
        there, anywhere = np.ones(places.size, bool), flagged
        spread = result.spread.ravel()[places]
        for left, rounding in (
            (result.reduced_chi2, SAME_COST_OF_SPREAD * spread / freedom),
            (1 - result.r2, SAME_COST_OF_SPREAD),
        ):
            own, around = left.ravel()[places], lower_quartile_around(left, result.converged, places)
            known = left[result.converged & np.isfinite(left)]
            usual = np.percentile(known, 25) if known.size >= ENOUGH_NEIGHBOURS else np.nan
            with np.errstate(invalid="ignore"):
                there &= own > around * scatter + rounding
                anywhere &= own > usual * scatter + rounding
        found[places] = there | anywhere
    return found.reshape(result.shape)
