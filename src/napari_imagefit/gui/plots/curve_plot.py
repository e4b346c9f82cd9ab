"""Samples, fitted curve and its error over the residuals: of the fit under the cursor and of the pinned ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from ...imaging.inspection.curves import Curve
from .plotting import STYLES, Colours, Style, colour_plot, new_plot, pg

CURSOR, MEAN, ON_SCREEN = "cursor", "mean", "on screen"
BESIDE = 8  # pixels of an axis without numbers
SIZE, SMALL, MANY = 7, 4, 64  # pixels of a symbol, those of many samples, and how many are many


@dataclass(frozen=True, eq=False)
class Shown:
    """A curve to be drawn, by the pin's letter, `CURSOR` or `ON_SCREEN`, or `MEAN` for that of a region."""

    who: str
    curve: Curve


def share_scale(plots: Sequence[CurvePlot]) -> None:
    """Let plots that stand beside each other show all that is on any of them."""
    for row in ([one.upper for one in plots], [one.lower for one in plots]):
        bounds = [found for plot in row if (found := plot.getViewBox().childrenBounds()[1]) is not None]
        if bounds:
            row[0].setYRange(min(low for low, _ in bounds), max(high for _, high in bounds))


def style_of(who: str, colours: Colours) -> Style:
    """Return the style of a curve: the cursor's has the colour of text, as has a mean, with other symbols."""
    if who == MEAN:
        return Style(colours.text.name(), "h", "hbar", "⬢")
    return STYLES[who] if who in STYLES else Style(colours.text.name(), "o", "disc", "●")


class CurvePlot:
    """Two plots above each other in a column of a layout, with one x axis.

    Parameters
    ----------
    layout : pyqtgraph.GraphicsLayoutWidget
    column : int
    left : tuple of str
        What the left axes show, of the upper plot and the lower one.
    bottom : str
    legend : bool
    """

    def __init__(
        self,
        layout: Any,
        column: int,
        *,
        left: tuple[str, str] = ("data", "residual"),
        bottom: str = "",
        legend: bool = True,
    ) -> None:
        self.upper = new_plot(layout, 0, column, left=left[0], name="data and fit")
        self.lower = new_plot(layout, 1, column, left=left[1], bottom=bottom, name="residuals")
        self.lower.setXLink(self.upper)
        self.upper.getAxis("bottom").setStyle(showValues=False)
        layout.ci.layout.setRowStretchFactor(0, 5)
        layout.ci.layout.setRowStretchFactor(1, 3)
        if legend:
            self.upper.addLegend(offset=(-8, 4), labelTextSize="9pt")
        self._zero = pg.InfiniteLine(0, angle=0)
        self.lower.addItem(self._zero)
        self._items: dict[str, _Items] = {}

    def stand_beside(self, other: CurvePlot) -> None:
        """Follow the scale of another one, whose left axes then count for this one, too; see `share_scale`."""
        for own, its in ((self.upper, other.upper), (self.lower, other.lower)):
            # pyqtgraph's own link shifts the range of plots that are not of one height
            for source, target in ((own, its), (its, own)):
                box = target.getViewBox()
                source.getViewBox().sigYRangeChanged.connect(lambda _, ends, box=box: box.setYRange(*ends, padding=0))
            axis = own.getAxis("left")
            axis.setStyle(showValues=False)
            axis.setWidth(BESIDE)

    def set_labels(self, left: str, bottom: str) -> None:
        """Set the titles of the axes."""
        self.upper.getAxis("left").setLabel(left)
        self.lower.getAxis("bottom").setLabel(bottom)

    def draw(self, shown: Sequence[Shown], colours: Colours) -> None:
        """Draw these curves and no others."""
        wanted = {one.who: one.curve for one in shown}
        for who, items in self._items.items():
            if who not in wanted:
                items.hide()
        for who, curve in wanted.items():
            if who not in self._items:
                self._items[who] = _Items(self.upper, self.lower, who, colours)
            self._items[who].draw(curve)

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for plot in (self.upper, self.lower):
            colour_plot(plot, colours)
        self._zero.setPen(pg.mkPen(colours.faint))
        for who, items in self._items.items():
            items.set_style(style_of(who, colours), colours)

    def drawn(self, who: str) -> _Items | None:
        """Return what is on the plot for one fit; None if nothing is."""
        items = self._items.get(who)
        return items if items is not None and items.visible else None


class _Items:
    """Everything drawn of one fit, updated rather than made anew."""

    def __init__(self, upper: Any, lower: Any, who: str, colours: Colours) -> None:
        self._upper = upper
        self._who = who
        self.edges = pg.PlotCurveItem(), pg.PlotCurveItem()
        self.band = pg.FillBetweenItem(*self.edges)
        self.line = pg.PlotCurveItem(antialias=True)
        self.bars, self.residual_bars = pg.ErrorBarItem(), pg.ErrorBarItem()
        self.points = pg.ScatterPlotItem(size=SIZE)
        self.left_out = pg.ScatterPlotItem(size=SIZE)
        self.residuals = pg.ScatterPlotItem(size=SIZE - 1)
        self.centre = pg.InfiniteLine(angle=90)
        for item in (self.band, self.bars, self.left_out, self.points, self.line):
            upper.addItem(item)
        # helpers must not decide what is in view
        upper.addItem(self.centre, ignoreBounds=True)
        for item in (self.residual_bars, self.residuals):
            lower.addItem(item)
        self.visible = False
        self.set_style(style_of(who, colours), colours)
        self.hide()

    def set_style(self, style: Style, colours: Colours) -> None:
        """Its colour and symbol."""
        colour, faint, paler = (pg.mkColor(style.colour) for _ in range(3))
        faint.setAlpha(60)
        paler.setAlpha(150)
        self.line.setPen(pg.mkPen(colour, width=2))
        self._rim = pg.mkPen(colours.background, width=5)
        self.centre.setPen(pg.mkPen(paler, style=Qt.PenStyle.DotLine))
        self.band.setBrush(pg.mkBrush(faint))
        self.band.setPen(pg.mkPen(None))
        for edge in self.edges:
            edge.setPen(pg.mkPen(None))
        for bars in (self.bars, self.residual_bars):
            bars.setData(pen=pg.mkPen(colour))
        for scatter in (self.points, self.residuals):
            scatter.setSymbol(style.symbol)
            scatter.setPen(pg.mkPen(paler))
            scatter.setBrush(pg.mkBrush(paler))
        # left out: hollow, and crossed out
        self.left_out.setSymbol("x")
        self.left_out.setPen(pg.mkPen(faint.lighter(120), width=1))
        self.left_out.setBrush(pg.mkBrush(None))

    def draw(self, curve: Curve) -> None:
        """Show another curve."""
        self._draw_samples(curve)
        self._draw_fit(curve)
        for scatter in (self.points, self.left_out, self.residuals):
            scatter.setVisible(True)
        if not self.visible:
            self.visible = True
            if self._upper.legend is not None:
                self._upper.legend.addItem(self.points, self._who)

    def _draw_samples(self, curve: Curve) -> None:
        """Show samples and residuals with their error bars; samples that were left out are crossed out."""
        used, known = curve.used, np.isfinite(curve.data)
        for scatter in (self.points, self.left_out, self.residuals):
            scatter.setSize(SIZE if curve.x.size <= MANY else SMALL)
        self.points.setData(curve.x[used & known], curve.data[used & known])
        self.left_out.setData(curve.x[~used & known], curve.data[~used & known])
        left = used & np.isfinite(curve.residual)
        self.residuals.setData(curve.x[left], curve.residual[left])
        for bars, where, y in ((self.bars, used & known, curve.data), (self.residual_bars, left, curve.residual)):
            if curve.sigma is None:
                bars.setVisible(False)
            else:
                bars.setData(x=curve.x[where], y=y[where], height=2 * curve.sigma[where])

    def _draw_fit(self, curve: Curve) -> None:
        """Show the fitted curve, its band of errors and its centre, those that there are."""
        # told by a rim from samples that lie as close as a line
        self.line.setShadowPen(self._rim if curve.x.size > MANY else None)
        self.line.setVisible(curve.has_fit)
        if curve.has_fit:
            self.line.setData(curve.fine_x, curve.fine)
        banded = bool(np.isfinite(curve.error).all()) and curve.has_fit
        self.band.setVisible(banded)
        if banded:
            for edge, sign in zip(self.edges, (-1, 1), strict=True):
                edge.setData(curve.fine_x, curve.fine + sign * curve.error)
        self.centre.setVisible(curve.centre is not None)
        if curve.centre is not None:
            self.centre.setPos(curve.centre)

    def hide(self) -> None:
        """Take it off the plot, and what it holds with it: hidden items still count for the range in view."""
        for scatter in (self.points, self.left_out, self.residuals):
            scatter.setData([], [])
            scatter.setVisible(False)
        self.line.setData([], [])
        for edge in self.edges:
            edge.setData([], [])
        for item in (self.line, self.band, self.bars, self.residual_bars, self.centre):
            item.setVisible(False)
        for bars in (self.bars, self.residual_bars):
            bars.setData(x=None, y=None)
        if self.visible and self._upper.legend is not None:
            self._upper.legend.removeItem(self.points)
        self.visible = False
