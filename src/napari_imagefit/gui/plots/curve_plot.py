"""Samples, fitted curve and its error over the residuals: of the fit under the cursor and of the pinned ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...imaging.inspection.curves import Curve
from ..widgets.theme import readable
from .bands import Bands
from .panel import MIN_CURVE_WIDTH_PX, Key, Panel, Strip, adapt_bottom, adapt_left
from .plotting import Colours, pg
from .styles import MEAN, PLOT_STYLES, Style

SIZE, SMALL, MANY = 7, 4, 64  # pixels of a symbol, those of many samples, and how many are many
WITH_RESIDUALS = 130  # pixels of height from which on residuals have a plot of their own
MARGIN = 0.1  # of the range that is in view: symbols have a size
FEW_SAMPLES = 4  # samples of which none is an outlier


@dataclass(frozen=True, eq=False)
class Shown:
    """A curve to be drawn, by the pin's letter or how the fit came to be looked at, or `MEAN` for that of a region."""

    who: str
    curve: Curve


def style_of(who: str, colours: Colours) -> Style:
    """Return the style of a curve: what is looked at has the colour of text, as has a mean, with other symbols.

    That of a pin can be read on the background: its letter has the same colour.
    """
    if who == MEAN:
        return Style(colours.text.name(), "h", "hbar", "⬢")
    if who not in PLOT_STYLES:
        return Style(colours.text.name(), "o", "disc", "●")
    style = PLOT_STYLES[who]
    return replace(style, colour=readable(QColor(style.colour), colours.text, colours.background).name())


def range_of(samples: Iterable[NDArray[np.float64]], fits: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the range in which samples and curves are seen: the few that lie far from all others do not stretch it.

    Examples
    --------
    >>> low, high = range_of([np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 1000])], [np.array([2.0, 10.0])])
    >>> low < 0, 10 < high < 12
    (True, True)
    """
    ends = [one for values in samples if (one := _bulk(values)) is not None]
    curves = [values[np.isfinite(values)] for values in fits]
    whole = np.concatenate([*map(np.array, ends), *curves]) if ends or curves else np.empty(0)
    if not whole.size:
        return 0.0, 1.0
    low, high = float(whole.min()), float(whole.max())
    if ends:
        # a curve that runs away takes the samples' own range with it at most
        least, most = min(end[0] for end in ends), max(end[1] for end in ends)
        reach = (most - least) or max(abs(most), 1.0)
        low, high = max(low, least - reach), min(high, most + reach)
    margin = MARGIN * (high - low) or max(0.5, 1e-3 * abs(high))
    return low - margin, high + margin


def _bulk(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the ends of what is left without the 0.5 % at either end, at least one, that lie far from all others."""
    ordered = np.sort(values[np.isfinite(values)])
    if not ordered.size:
        return None
    if ordered.size <= FEW_SAMPLES:
        return float(ordered[0]), float(ordered[-1])
    out = max(1, round(0.005 * ordered.size))
    first, last = float(ordered[out]), float(ordered[-1 - out])
    reach = last - first
    low = ordered[ordered >= first - reach][0]
    high = ordered[ordered <= last + reach][-1]
    return float(low), float(high)


class CurvePanel(Panel):
    """Two plots above each other with one x axis: data and fit, and residuals.

    Parameters
    ----------
    left, bottom : str
        What the axes show.
    """

    def __init__(self, left: str = "", bottom: str = "") -> None:
        super().__init__("data and fit", MIN_CURVE_WIDTH_PX)
        self.below = self.add_plot("residuals", 3)
        for source, target in ((self.upper, self.below), (self.below, self.upper)):
            # pyqtgraph's own link looks at where on the screen plots are, which is not known while they are hidden
            box = target.getViewBox()
            source.getViewBox().sigXRangeChanged.connect(lambda _, ends, box=box: box.setXRange(*ends, padding=0))
        self._zero = pg.InfiniteLine(0, angle=0)
        self.below.addItem(self._zero)
        self._items: dict[str, _Items] = {}
        for plot in self.plots:
            plot.getViewBox().sigYRangeChanged.connect(self._mark_outliers)
        self.set_labels(left, bottom)

    def set_labels(self, left: str, bottom: str) -> None:
        """Set the titles of the axes."""
        self.upper.getAxis("left").setLabel(left)
        self.below.getAxis("left").setLabel("residual" if left else "")
        for plot in self.plots:
            plot.getAxis("bottom").setLabel(bottom)
        self.adapt(self.width(), self.height())

    def adapt(self, width: int, height: int) -> None:
        """Give the room to the curve, then to residuals, numbers and names."""
        super().adapt(width, height)
        both = height >= WITH_RESIDUALS
        self.views[1].setVisible(both)
        adapt_bottom(self.upper.getAxis("bottom"), height, numbered=not both)
        adapt_bottom(self.below.getAxis("bottom"), height)
        share = 5 / 8 if both else 1.0
        adapt_left([plot.getAxis("left") for plot in self.plots], width, (share * height, (1 - share) * height))

    def draw(self, shown: Sequence[Shown], colours: Colours) -> None:
        """Draw these curves and no others."""
        wanted = {one.who: one.curve for one in shown}
        for who, items in self._items.items():
            if who not in wanted:
                items.hide()
        for who, curve in wanted.items():
            if who not in self._items:
                self._items[who] = _Items(self.upper, self.below, who, colours)
            self._items[who].draw(curve)
        if wanted:
            self._set_ranges(list(wanted.values()))

    def recount(self, shown: Sequence[Shown]) -> None:
        """Draw other samples of the curves that are drawn as left out; what was fitted stays, and what is in view."""
        for one in shown:
            self._items[one.who].draw_samples(one.curve)
        self._mark_outliers()

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        super().set_colours(colours)
        self._zero.setPen(pg.mkPen(colours.faint))
        for who, items in self._items.items():
            items.set_style(style_of(who, colours), colours)

    def drawn(self, who: str) -> _Items | None:
        """Return what is on the plot for one fit; None if nothing is."""
        items = self._items.get(who)
        return items if items is not None and items.visible else None

    def _set_ranges(self, curves: list[Curve]) -> None:
        first, last = min(float(c.x.min()) for c in curves), max(float(c.x.max()) for c in curves)
        margin = 0.03 * (last - first) or 0.5
        self.upper.getViewBox().setXRange(first - margin, last + margin, padding=0)
        low, high = range_of([c.data[c.used] for c in curves], [c.fine for c in curves])
        self.upper.getViewBox().setYRange(low, high, padding=0)
        low, high = range_of([c.residual for c in curves], [np.zeros(1)])
        self.below.getViewBox().setYRange(low, high, padding=0)
        self._mark_outliers()

    def _mark_outliers(self, *_: object) -> None:
        for items in self._items.values():
            items.mark_outliers()


class CurvePage(QWidget):
    """One panel for curves under the key to their signs."""

    drawn = Signal()  # other curves

    def __init__(self) -> None:
        super().__init__()
        self.shown: tuple[Shown, ...] = ()
        self.panel = CurvePanel("data")
        self.key = Key()
        self.bands = Bands(self.panel.upper, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.key)
        layout.addWidget(Strip([(self.panel, 1)]), 1)

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        self.panel.set_colours(colours)
        self.bands.set_colours(colours)

    def draw(self, shown: Sequence[Shown], colours: Colours) -> None:
        """Draw these curves and no others."""
        self.shown = tuple(shown)
        self.key.show_styles({one.who: style_of(one.who, colours) for one in shown})
        self.panel.draw(shown, colours)
        self.drawn.emit()


class _Items:
    """Everything drawn of one fit, updated rather than made anew."""

    def __init__(self, upper: Any, lower: Any, who: str, colours: Colours) -> None:
        self._boxes = upper.getViewBox(), lower.getViewBox()
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
        # at the edge of the view, for samples that lie beyond it
        self.beyond = pg.ScatterPlotItem(size=SIZE + 2), pg.ScatterPlotItem(size=SIZE + 2)
        for plot, scatter in zip((upper, lower), self.beyond, strict=True):
            plot.addItem(scatter, ignoreBounds=True)
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
        for scatter in (self.points, self.residuals, *self.beyond):
            scatter.setPen(pg.mkPen(paler))
            scatter.setBrush(pg.mkBrush(paler))
        # left out: hollow, and crossed out
        self.left_out.setSymbol("x")
        self.left_out.setPen(pg.mkPen(paler, width=1))
        self.left_out.setBrush(pg.mkBrush(None))

    def draw(self, curve: Curve) -> None:
        """Show another curve."""
        self.draw_samples(curve)
        self._draw_fit(curve)
        for scatter in (self.points, self.left_out, self.residuals, *self.beyond):
            scatter.setVisible(True)
        self.visible = True

    def mark_outliers(self) -> None:
        """Put a triangle at the edge of the view wherever a sample lies beyond it."""
        if not self.visible:
            return
        for box, scatter, beyond in zip(self._boxes, (self.points, self.residuals), self.beyond, strict=True):
            x, y = scatter.getData()
            low, high = box.viewRange()[1]
            inset = 0.04 * (high - low)
            over, under = y > high, y < low
            at = np.concatenate(
                [np.full(np.count_nonzero(over), high - inset), np.full(np.count_nonzero(under), low + inset)]
            )
            symbols = ["t1"] * int(np.count_nonzero(over)) + ["t"] * int(np.count_nonzero(under))
            beyond.setData(np.concatenate([x[over], x[under]]), at, symbol=symbols)

    def draw_samples(self, curve: Curve) -> None:
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
        for scatter in (self.points, self.left_out, self.residuals, *self.beyond):
            scatter.setData([], [])
            scatter.setVisible(False)
        self.line.setData([], [])
        for edge in self.edges:
            edge.setData([], [])
        for item in (self.line, self.band, self.bars, self.residual_bars, self.centre):
            item.setVisible(False)
        for bars in (self.bars, self.residual_bars):
            bars.setData(x=None, y=None)
        self.visible = False
