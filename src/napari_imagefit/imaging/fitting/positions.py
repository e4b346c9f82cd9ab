"""Whether a centre came out where there are samples."""

from __future__ import annotations

import numpy as np

from ...engine.core.fits import Fits
from ...engine.core.status import Flag
from ...engine.drive.problem import Problem
from ...engine.models.model import Model

# What models call positions, in the order of the last axes.
SPATIAL_AXES = ("z", "y", "x")


def find_positions(model: Model) -> tuple[str, ...]:
    """Return the model's positions along its axes, in their order; none if one is missing."""
    names = SPATIAL_AXES[-model.ndim :] if model.ndim <= len(SPATIAL_AXES) else ()
    return names if set(names) <= set(model.names) else ()


def flag_centres(problem: Problem, fits: Fits) -> None:
    """Set `Flag.CENTRE_OUTSIDE` where a position lies outside the range of the fit's coordinates."""
    outside = np.zeros(problem.n_fits, bool)
    for name, coords in zip(SPATIAL_AXES[3 - min(problem.model.ndim, 3) :], problem.coords, strict=False):
        if name in problem.model.names:
            position = fits.params[problem.model.index(name)]
            with np.errstate(invalid="ignore"):
                outside |= (position < coords.min(axis=0)) | (position > coords.max(axis=0))
    fits.raise_flag(Flag.CENTRE_OUTSIDE, slice(None), outside)
