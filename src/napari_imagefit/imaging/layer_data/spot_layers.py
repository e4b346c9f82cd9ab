"""Points layer of a result of `fit_spots`, as a ``LayerData`` tuple of plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.fit_report import fit_table
from ..fitting.positions import find_positions
from .drawn_fits import FAILED, SIZE_COLOURS
from .maps import Title, named
from .outlines import WIDTHS
from .sources import SpotWindows, WindowSource

# From a width to twice the full width at half maximum, or to the diameter of the edge.
DIAMETERS = {"sigma": 4 * np.sqrt(2 * np.log(2)), "gamma": 4.0, "radius": 2.0}
FITTED_SPOTS = Title("fitted spots")  # not to be taken for the points that were detected


def spot_layers(result: FitResult, source: WindowSource) -> list[LayerTuple]:
    """Return a ring for each spot where its fit found it; the row of its fit is its features.

    Where there is no result, or the centre has left its window, the ring lies at the point that was given.
    """
    table = fit_table(result)
    good = result.converged
    options = {
        **named(FITTED_SPOTS, "spots", result),
        "ndim": source.image.ndim,
        "features": table,
        "size": _diameters(result, source),
        "face_color": "transparent",
        "border_color": np.where(good[:, None], _rgba(SIZE_COLOURS["sigma"]), _rgba(FAILED)),
        "symbol": np.where(good, "disc", "cross"),
        # a spot in a volume is to be seen in the planes around its own, where slices are thick
        "projection_mode": "rescale_spherical" if len(source.windows.size) == source.image.ndim > 2 else "all",
    }
    return [(spot_positions(result, source.windows), options, "points")]


def spot_positions(result: FitResult, windows: SpotWindows) -> NDArray[np.float64]:
    """Return positions of spots, ``(N, n_axes)`` in pixels: the given point where no fit found it in its window."""
    places = windows.points.copy()
    names = find_positions(result.model)
    if names:
        found = np.stack([np.asarray(result.params[name]) for name in names], axis=1)
        first, last = windows.limits
        with np.errstate(invalid="ignore"):
            there = ((found >= first - 0.5) & (found <= last + 0.5)).all(axis=1)
        places[there, windows.frames.shape[1] :] = found[there]
    return places


def _diameters(result: FitResult, source: WindowSource) -> NDArray[np.float64]:
    """Twice the full width at half maximum; the window where there is none, or it is narrower."""
    window = float(min(source.windows.size[-2:]))
    for names in WIDTHS:
        if set(names) <= set(result.model.names):
            width = np.sqrt(np.abs(result.params[names[0]] * result.params[names[1]]))
            wanted = DIAMETERS[names[0].split("_")[0]] * width
            return np.where(wanted > 0, np.clip(wanted, 1.0, window), window)
    return np.full(source.windows.count, window)


def _rgba(colour: str) -> NDArray[Any]:
    """``"#RRGGBB"`` as four numbers from 0 to 1."""
    return np.array([*bytes.fromhex(colour[1:]), 255]) / 255
