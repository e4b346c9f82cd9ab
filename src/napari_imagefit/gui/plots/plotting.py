"""pyqtgraph, in napari's colours."""

from __future__ import annotations

import math
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# qtpy first: pyqtgraph takes the binding that is there
from qtpy import QtWidgets  # noqa: F401

# it puts hooks of its own before those of Python, and so of napari and of tests
_hooks = sys.excepthook, threading.excepthook
import pyqtgraph as pg  # noqa: E402

sys.excepthook, threading.excepthook = _hooks


if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = [
    "Colours",
    "adopt_menu",
    "colour_plot",
    "colours_of",
    "new_plot",
    "pg",
]


# Pixels that a number takes along an axis.
NUMBER_ROOM = {"left": 22, "bottom": 48}
LONE_NUMBER_ROOM = 0.6  # of that room where there would be one number alone


@dataclass(frozen=True)
class Colours:
    """The colours of napari's theme that a plot needs."""

    background: Any
    text: Any
    faint: Any


def colours_of(viewer: Viewer) -> Colours:
    """Return the colours of the viewer's theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    background, text, faint = (pg.mkColor(getattr(theme, n).as_hex()) for n in ("background", "text", "secondary"))
    return Colours(background, text, faint)


class SparseAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis whose numbers never touch, however small the plot: pyqtgraph itself counts them by length alone."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self._room = NUMBER_ROOM[side]
        self.setStyle(maxTextLevel=0)

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        """Return the distance between ticks with numbers, and between those without."""
        step = 0.0
        for share in (1, LONE_NUMBER_ROOM):
            factor, power = _round_step((high - low) * share * self._room / max(size, self._room))
            step = factor * power
            # one number alone shows no distance
            if math.floor(high / step) > math.ceil(low / step):
                break
        return [(step, 0), (step / (4 if factor == 2 else 5), 0)]


def _round_step(least: float) -> tuple[int, float]:
    """Return a factor and a power of ten whose product is a round distance, not below the least."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)), power


def new_plot(layout: Any, row: int, column: int, *, left: str, bottom: str = "", name: str = "") -> Any:
    """Return a plot whose axes never change the unit of what they show, and keep their width."""
    axes = {side: SparseAxis(side) for side in NUMBER_ROOM}
    plot = layout.addPlot(row=row, col=column, enableMenu=False, axisItems=axes)
    adopt_menu(plot, layout)
    for side, text in (("left", left), ("bottom", bottom)):
        axes[side].enableAutoSIPrefix(False)
        if text:
            axes[side].setLabel(text)
    plot.getAxis("left").setWidth(64)
    plot.hideButtons()
    plot.setObjectName(name)
    return plot


def adopt_menu(plot: Any, owner: Any) -> None:
    """Attach a plot's menu, which is made whether it is wanted or not, to the window; nobody else takes it away."""
    # with its flags: without them it would be a part of the owner, and show
    plot.ctrlMenu.setParent(owner, plot.ctrlMenu.windowFlags())


def colour_plot(plot: Any, colours: Colours) -> None:
    """Give axes the theme's colours."""
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(colours.text))
        axis.setTextPen(pg.mkPen(colours.text))
