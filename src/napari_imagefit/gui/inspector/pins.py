"""The pinned fits: each with a letter, a symbol and a colour, kept by place when a new result comes."""

from __future__ import annotations

import numpy as np

from ...engine.results.fit_result import FitResult
from ...imaging.fitting.fit_report import Place
from ...imaging.inspection.fit_grid import FitGrid
from ...layers.inspection.marks import Pin
from ..plots.styles import PLOT_STYLES


class Pins:
    """A list of pins, none of them twice."""

    def __init__(self) -> None:
        self.items: list[Pin] = []

    def toggle(self, place: Place, grid: FitGrid, result: FitResult) -> bool:
        """Pin a fit, or let go of it if it is pinned; False if all letters are taken."""
        kept = [pin for pin in self.items if pin.place != place]
        if len(kept) < len(self.items):
            self.items = kept
            return True
        taken = {pin.letter for pin in self.items}
        free = [letter for letter in PLOT_STYLES if letter not in taken]
        if not free:
            return False
        style = PLOT_STYLES[free[0]]
        sample = grid.sample_of(place, _centre(result, grid, place))
        self.items.append(Pin(free[0], style.colour, style.napari_symbol, place, tuple(int(i) for i in sample)))
        self.items.sort(key=lambda pin: pin.letter)
        return True

    def clear(self) -> None:
        """Remove all pins."""
        self.items = []

    def move_to(self, grid: FitGrid) -> None:
        """Find the fits that now lie where the pins are; pins where there is none are dropped."""
        kept: dict[Place, Pin] = {}
        for pin in self.items:
            inside = len(pin.sample) == len(grid.shape) and all(
                i < n for i, n in zip(pin.sample, grid.shape, strict=True)
            )
            for place in grid.places(np.array([pin.sample])) if inside else []:
                kept.setdefault(place, Pin(pin.letter, pin.colour, pin.symbol, place, pin.sample))
        self.items = list(kept.values())


def _centre(result: FitResult, grid: FitGrid, place: Place) -> tuple[float, float] | None:
    """Return the pixel next to the centre of a fitted surface, where it is told in a plane's coordinates."""
    coords = getattr(result.source, "coords", None)
    if grid.axis is not None or not isinstance(coords, tuple) or not {"y", "x"} <= set(result.model.names):
        return None
    y, x = (result.solution[name][place] for name in ("y", "x"))
    if not np.isfinite([y, x]).all():
        return None
    nearest = int(np.argmin((coords[0] - y) ** 2 + (coords[1] - x) ** 2))
    row, column = np.unravel_index(nearest, coords[0].shape)
    return float(row), float(column)
