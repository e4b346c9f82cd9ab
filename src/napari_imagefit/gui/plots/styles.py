"""Styles that distinguish fits on screen; without the plots, which take long to import."""

from __future__ import annotations

from dataclasses import dataclass

# How a fit came to be looked at, or what it is of.
CURSOR, CHOSEN, MEAN, ON_SCREEN = "cursor", "chosen", "mean", "on screen"


@dataclass(frozen=True)
class Style:
    """Style that distinguishes one fit from others: letter and symbol as well as colour (Okabe and Ito's)."""

    colour: str
    symbol: str  # pyqtgraph's name of it
    napari_symbol: str
    sign: str


PLOT_STYLES = {
    "A": Style("#E69F00", "s", "square", "■"),
    "B": Style("#56B4E9", "t1", "triangle_up", "▲"),
    "C": Style("#2EB886", "d", "diamond", "◆"),
    "D": Style("#CC79A7", "star", "star", "★"),
    "E": Style("#D55E00", "t", "triangle_down", "▼"),
    "F": Style("#8C8CFF", "+", "cross", "✚"),
}
