"""pyqtgraph, in napari's colours."""

from __future__ import annotations

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
    "STYLES",
    "UNLIMITED",
    "Colours",
    "Style",
    "adopt_menu",
    "clear_plots",
    "colour_plot",
    "colours_of",
    "new_plot",
    "pg",
]


TICKS = 0.6
# Qt's own number for no limit of a size.
UNLIMITED = 16777215


@dataclass(frozen=True)
class Style:
    """How one fit is told from others: by letter and symbol as well as by colour (Okabe and Ito's)."""

    colour: str
    symbol: str  # pyqtgraph's name of it
    napari_symbol: str
    sign: str


STYLES = {
    "A": Style("#E69F00", "s", "square", "■"),
    "B": Style("#56B4E9", "t1", "triangle_up", "▲"),
    "C": Style("#2EB886", "d", "diamond", "◆"),
    "D": Style("#CC79A7", "star", "star", "★"),
    "E": Style("#D55E00", "t", "triangle_down", "▼"),
    "F": Style("#8C8CFF", "+", "cross", "✚"),
}


@dataclass(frozen=True)
class Colours:
    """The colours of napari's theme that a plot needs."""

    background: Any
    text: Any
    faint: Any


def colours_of(viewer: Viewer) -> Colours:
    """Of the viewer's theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    background, text, faint = (pg.mkColor(getattr(theme, n).as_hex()) for n in ("background", "text", "secondary"))
    return Colours(background, text, faint)


def new_plot(layout: Any, row: int, column: int, *, left: str, bottom: str = "", name: str = "") -> Any:
    """Return a plot whose axes never change the unit of what they show, and keep their width."""
    plot = layout.addPlot(row=row, col=column, enableMenu=False)
    adopt_menu(plot, layout)
    for side, text in (("left", left), ("bottom", bottom)):
        axis = plot.getAxis(side)
        axis.enableAutoSIPrefix(False)
        # plots are small: pyqtgraph counts ticks by length alone, and their numbers would touch
        axis.setTickDensity(TICKS)
        if text:
            axis.setLabel(text)
    plot.getAxis("left").setWidth(64)
    plot.hideButtons()
    plot.setObjectName(name)
    return plot


def adopt_menu(plot: Any, owner: Any) -> None:
    """Let a plot's menu, which is made whether it is wanted or not, go with the window; nobody else takes it away."""
    # with its flags: without them it would be a part of the owner, and show
    plot.ctrlMenu.setParent(owner, plot.ctrlMenu.windowFlags())


def clear_plots(layout: Any) -> None:
    """Take all plots away, with their menus; pyqtgraph itself lets go of those without taking them away."""
    menus = [item.ctrlMenu for item in layout.ci.items if isinstance(item, pg.PlotItem)]
    layout.clear()
    for menu in menus:
        menu.deleteLater()


def colour_plot(plot: Any, colours: Colours) -> None:
    """Give axes, title and legend the theme's colours."""
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(colours.text))
        axis.setTextPen(pg.mkPen(colours.text))
    plot.titleLabel.setText(plot.titleLabel.text, color=colours.text)
    if plot.legend is not None:
        plot.legend.setLabelTextColor(colours.text)
        for _, label in plot.legend.items:
            label.setText(label.text, color=colours.text)
