"""Whether a width that spots share is one of dim spots, which comes out too small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine.results.fit_result import FitResult
from ..fitting.positions import find_positions

# Of a shared width, times the square of what part of it the error of a position is: how much too small it comes out.
# Found by simulation, within a fifth from a part of 0.17 to one of 0.31; see docs/spots.md.
LOSS = 0.55
NOTABLE = 0.01


@dataclass(frozen=True)
class SharedWidth:
    """A width that is too small.

    Attributes
    ----------
    name : str
        The parameter.
    part : float
        The error of a position, in widths; the median of the spots.
    """

    name: str
    part: float

    @property
    def loss(self) -> float:
        """Relative part, about, by which it is too small."""
        return LOSS * self.part**2

    def sentence(self) -> str:
        """Return what to do, for people."""
        return (
            f"These spots are dim, known to {self.part:.2f} widths, and a width that such spots share comes out too "
            f"small however many they are: {self.name} by some {100 * self.loss:.0f} %. Fix it at that of bright spots"
        )


def find_shared_width(result: FitResult) -> SharedWidth | None:
    """Look whether spots that share a width are so dim that it is more than 1 % too small.

    Each spot's own centre follows its noise, and the width shrinks about it; more spots do not average that out, while
    the stated error of the width falls (J. Neyman and E. L. Scott, Econometrica 16, 1 (1948)).

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed.

    Returns
    -------
    SharedWidth or None
        Of the first width that is shared; None where there is none, or it is known well enough.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:11, 0:11]
    >>> light = 5.5 * np.exp(-((y - 5) ** 2 + (x - 5) ** 2) / 2 / 1.7) + 1
    >>> stack = np.random.default_rng(0).poisson(light, (200, 11, 11))
    >>> points = np.column_stack([np.arange(200), np.full((200, 2), 5)])
    >>> found = fit_spots(stack, points, "gaussian_2d", noise="poisson", shared=["sigma"])
    >>> find_shared_width(found).name
    'sigma'
    """
    positions, shared = find_positions(result.model), result.source.settings.shared
    widths = [name for name in shared if name.startswith("sigma")]
    if not positions or not widths or not result.converged.any():
        return None
    name = widths[0]
    along = [axis for axis in positions if name in ("sigma", f"sigma_{axis}")]
    errors = np.stack([result.stderr[axis] for axis in along])[:, result.converged]
    if not np.isfinite(errors).any():
        return None
    found = SharedWidth(name, float(np.nanmedian(errors) / np.median(result.params[name][result.converged])))
    return found if found.loss > NOTABLE else None
