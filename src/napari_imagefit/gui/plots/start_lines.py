"""A curve at its starts, over the samples: thin and dashed, with lines that can be dragged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt

from .plotting import pg

LINE_COLOURS = "#FF7FD4", "#A8127A"  # that of starts over an image, and a darker one on a light plot


class LineShown(NamedTuple):
    """A line across the plot.

    Attributes
    ----------
    name : str
        By which it is told from others, and what stands beside it.
    """

    name: str
    title: str
    vertical: bool
    at: float
    free: bool


class StartLines:
    """Lines of starts in a plot; a line that is dragged tells where to.

    Parameters
    ----------
    plot : pyqtgraph.PlotItem
    """

    dragged = Signal(str, float)  # which line, and where it lies
    released = Signal()

    def __init__(self, plot: Any) -> None:
        self._plot = plot
        self._curve = pg.PlotCurveItem(antialias=True)
        # helpers must not decide what is in view
        plot.addItem(self._curve, ignoreBounds=True)
        self.lines: dict[str, Any] = {}

    @property
    def _colour(self) -> str:
        return LINE_COLOURS[self._plot.getViewWidget().backgroundBrush().color().lightness() > 128]

    def draw(self, x: NDArray[np.float64], y: NDArray[np.float64], lines: Sequence[LineShown]) -> None:
        """Draw a curve, and these lines and no others."""
        colour = self._colour
        self._curve.setPen(pg.mkPen(colour, width=1.5, style=Qt.PenStyle.DashLine))
        self._curve.setData(x, y)
        wanted = {line.name: line for line in lines if np.isfinite(line.at)}
        for name in self.lines.keys() - wanted.keys():
            self._plot.removeItem(self.lines.pop(name))
        for name, line in wanted.items():
            if name not in self.lines:
                self.lines[name] = self._make(line)
            shown = self.lines[name]
            shown.setMovable(line.free)
            # what cannot be dragged is dotted
            shown.setPen(pg.mkPen(colour, style=Qt.PenStyle.SolidLine if line.free else Qt.PenStyle.DotLine))
            shown.setHoverPen(pg.mkPen(colour, width=3))
            shown.label.setColor(colour)
            if shown.value() != line.at:
                shown.setPos(line.at)

    def remove(self) -> None:
        """Take everything off the plot."""
        for item in (*self.lines.values(), self._curve):
            self._plot.removeItem(item)
        self.lines = {}

    def _make(self, line: LineShown) -> Any:
        made = pg.InfiniteLine(
            angle=90 if line.vertical else 0, label=line.title, labelOpts={"position": 0.9, "movable": False}
        )
        made.setZValue(10)
        made.sigDragged.connect(lambda item: self.dragged.emit(line.name, float(item.value())))
        made.sigPositionChangeFinished.connect(lambda _: self.released.emit())
        self._plot.addItem(made, ignoreBounds=True)
        return made
