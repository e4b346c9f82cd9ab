"""Bands over a plot of curves: ranges of the coordinate whose samples do not count, made and changed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QMenu, QWidget

from .plotting import Colours, pg

Range = tuple[float, float]
NEW_BAND_SHARE = 0.12  # of the view that a new band takes
BAND_TIP = (
    "Samples in this band do not count.\nDrag it, or one of its edges. Its ×, Delete or a right click removes it."
)
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


def around(x: NDArray[np.float64], at: float) -> Range:
    """Return the range that holds the sample nearest to a place, and reaches halfway to the next ones.

    Examples
    --------
    >>> around(np.array([8.0, 4.0, 2.0, 1.0]), 3.9)
    (3.0, 6.0)
    >>> around(np.array([5.0]), 0.0)
    (4.5, 5.5)
    """
    ordered = np.unique(x)
    if ordered.size < 2:
        return float(ordered[0]) - 0.5, float(ordered[0]) + 0.5
    half = np.diff(ordered) / 2
    nearest = int(np.argmin(np.abs(ordered - at)))
    before, after = half[max(nearest - 1, 0)], half[min(nearest, half.size - 1)]
    return float(ordered[nearest] - before), float(ordered[nearest] + after)


class Bands:
    """The bands of one plot; whoever drags one is told of at every move.

    Parameters
    ----------
    plot : PlotItem
    owner : QWidget
        In which the key Delete removes the band that was touched last.
    """

    changed = Signal(tuple)  # the ranges, whenever they were changed by hand

    def __init__(self, plot: Any, owner: QWidget) -> None:
        self.items: list[Band] = []
        self._plot, self._owner = plot, owner
        self._x: NDArray[np.float64] = np.empty(0)
        self._selected: Band | None = None
        self._pens: tuple[Any, Any, Any, Any] | None = None
        self._ground = _Ground(self)
        plot.addItem(self._ground, ignoreBounds=True)
        self._ground.hide()
        plot.getViewBox().sigRangeChanged.connect(self._place_crosses)
        delete = QShortcut(QKeySequence(Qt.Key.Key_Delete), owner)
        delete.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        delete.activated.connect(self._on_delete)

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Ranges of all bands, as they were given or dragged to."""
        return tuple(band.range for band in self.items)

    def show(self, ranges: Sequence[Range] | None, x: NDArray[np.float64]) -> None:
        """Show these ranges over samples at `x`; None takes all bands away, and lets none be made."""
        self._x = x
        self._ground.setVisible(ranges is not None)
        wanted = tuple(ranges or ())
        if wanted == self.ranges:
            return
        while len(self.items) > len(wanted):
            self._drop(self.items[-1])
        while len(self.items) < len(wanted):
            self._new(wanted[len(self.items)])
        for band, one in zip(self.items, wanted, strict=True):
            if band.range != one:
                band.put(one, self._shown(one))
        self._place_crosses()

    def add(self, one: Range | None = None) -> Band:
        """Add a band by hand: in the middle of the view, or where no other band is, if no place is given."""
        band = self._new(self._free() if one is None else self._tidied(one))
        self.select(band)
        self._place_crosses()
        self.changed.emit(self.ranges)
        return band

    def add_around(self, at: float) -> Band:
        """Add a band by hand around the sample that is nearest to a place."""
        return self.add(around(self._x, at))

    def remove(self, band: Band) -> None:
        """Remove a band by hand."""
        self._drop(band)
        self.changed.emit(self.ranges)

    def stretch(self, band: Band, ends: Range) -> None:
        """Stretch a band from one position to another, in whatever order."""
        band.put(self._tidied(ends), self._tidied(ends))
        self._place_crosses()
        self.changed.emit(self.ranges)

    def select(self, band: Band | None) -> None:
        """Select the band that Delete removes."""
        self._selected = band
        self._paint()

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        brush, hover = (pg.mkColor(colours.text) for _ in range(2))
        brush.setAlpha(36)
        hover.setAlpha(64)
        self._pens = brush, hover, pg.mkPen(colours.text, width=1), pg.mkPen(colours.text, width=3)
        self._paint()

    def menu_of(self, band: Band) -> QMenu:
        """Return what a right click offers."""
        menu = QMenu(self._owner)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Remove this band", lambda: self.remove(band))
        menu.addAction("Remove all bands", self._remove_all)
        return menu

    def _remove_all(self) -> None:
        while self.items:
            self._drop(self.items[-1])
        self.changed.emit(())

    def _new(self, one: Range) -> Band:
        band = Band(self, one, self._shown(one))
        for item in (band, band.cross):
            self._plot.addItem(item, ignoreBounds=True)
        band.sigRegionChanged.connect(self._on_moved)
        self.items.append(band)
        self._paint()
        return band

    def _drop(self, band: Band) -> None:
        self.items.remove(band)
        if self._selected is band:
            self._selected = None
        for item in (band, band.cross):
            self._plot.removeItem(item)

    def _on_moved(self, band: Band) -> None:
        if band.putting:
            return
        before = band.range
        band.take(self._tidied(band.getRegion()))
        self._selected = band
        self._paint()
        self._place_crosses()
        if band.range != before:
            self.changed.emit(self.ranges)

    def _on_delete(self) -> None:
        if self._selected is not None:
            self.remove(self._selected)

    def _view(self) -> Range:
        low, high = self._plot.getViewBox().viewRange()[0]
        return float(low), float(high)

    def _tidied(self, ends: Range) -> Range:
        """Return a range in order, by numbers no longer than the view can tell apart."""
        low, high = self._view()
        digits = 3 - math.floor(math.log10(high - low))
        first, last = sorted(round(float(end), digits) + 0.0 for end in ends)
        return first, last

    def _shown(self, one: Range) -> Range:
        """Return where the edges are drawn: ends without end lie beyond all samples."""
        first, last = float(self._x.min(initial=0)), float(self._x.max(initial=0))
        reach = (last - first) or 1.0
        low = first - reach if one[0] == -math.inf else one[0]
        return low, last + reach if one[1] == math.inf else one[1]

    def _free(self) -> Range:
        """Return a range in the middle of the view, or else in the widest gap between bands."""
        low, high = self._view()
        edges = sorted((max(a, low), min(b, high)) for a, b in self.ranges if b > low and a < high)
        gaps, reached = [], low
        for first, last in [*edges, (high, high)]:
            gaps.append((reached, first))
            reached = max(reached, last)
        first, last = max(gaps, key=lambda gap: gap[1] - gap[0])
        middle, half = (first + last) / 2, min(NEW_BAND_SHARE * (high - low), 0.5 * (last - first)) / 2
        half = half or NEW_BAND_SHARE * (high - low) / 2
        return self._tidied((middle - half, middle + half))

    def _paint(self) -> None:
        if self._pens is None:
            return
        brush, hover, pen, selected = self._pens
        for band in self.items:
            band.setBrush(brush)
            band.setHoverBrush(hover)
            band.cross.setColor(pen.color())
            for line in band.lines:
                line.setPen(selected if band is self._selected else pen)
                line.setHoverPen(selected)

    def _place_crosses(self, *_: object) -> None:
        (low, high), (_, top) = self._plot.getViewBox().viewRange()
        for band in self.items:
            first, last = band.getRegion()
            band.cross.setVisible(bool(last > low and first < high))
            band.cross.setPos(min(last, high), top)


class Band(pg.LinearRegionItem):  # type: ignore[misc]
    """One range, and the × that removes it.

    Parameters
    ----------
    bands : Bands
    one : (float, float)
        The range.
    shown : (float, float)
        Where its edges are drawn.
    """

    def __init__(self, bands: Bands, one: Range, shown: Range) -> None:
        super().__init__(shown)
        self._bands = bands
        self.range, self._shown, self.putting = one, shown, False
        self.cross = _Cross(lambda: bands.remove(self))
        self.setZValue(5)
        self.setToolTip(BAND_TIP)
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        for line in self.lines:
            line.setToolTip(BAND_TIP)
            line.setCursor(Qt.CursorShape.SizeHorCursor)
            line.sigClicked.connect(lambda _line, event: self.mouseClickEvent(event))

    def put(self, one: Range, shown: Range) -> None:
        """Show another range, without a signal."""
        self.range, self._shown, self.putting = one, shown, True
        self.setRegion(shown)
        self.putting = False

    def take(self, dragged: Range) -> None:
        """Set the range to which it was dragged; an end that was not touched stays what it was."""
        kept = dict(zip(self._shown, self.range, strict=True))
        drawn = self.getRegion()
        ends = [kept.get(where, end) for where, end in zip(drawn, dragged, strict=True)]
        self.range, self._shown = (min(ends), max(ends)), (float(drawn[0]), float(drawn[1]))

    def hoverEvent(self, event: Any) -> None:
        """Show that clicks are possible, too."""
        super().hoverEvent(event)
        if not event.isExit():
            for button in (LEFT, RIGHT):
                event.acceptClicks(button)

    def mouseClickEvent(self, event: Any) -> None:
        """Select it, or offer to remove it."""
        if event.button() not in (LEFT, RIGHT):
            return
        event.accept()
        self._bands.select(self)
        if event.button() == RIGHT:
            self._bands.menu_of(self).popup(event.screenPos().toPoint())


class _Cross(pg.TextItem):  # type: ignore[misc]
    """A × in the corner of a band."""

    def __init__(self, clicked: Any) -> None:
        super().__init__("×", anchor=(1, 0))
        self._clicked = clicked
        self.setZValue(10)
        self.setToolTip("Remove this band")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def hoverEvent(self, event: Any) -> None:
        """Come before the band beneath."""
        if not event.isExit():
            event.acceptClicks(LEFT)
            event.acceptDrags(LEFT)

    def mouseClickEvent(self, event: Any) -> None:
        """Remove the band."""
        if event.button() == LEFT:
            event.accept()
            self._clicked()


class _Ground(pg.GraphicsObject):  # type: ignore[misc]
    """Area without a band: a double click makes one around a sample, a drag with Shift one as wide as the drag."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self._bands = bands
        self._drawn: Band | None = None
        self.setZValue(1)

    def boundingRect(self) -> Any:
        """All that is in view."""
        return self.viewRect()

    def viewRangeChanged(self) -> None:
        """Be where the view is."""
        self.prepareGeometryChange()

    def paint(self, *_: object) -> None:
        """Draw nothing."""

    def mouseClickEvent(self, event: Any) -> None:
        """Make a band around the nearest sample at a double click."""
        if event.double() and event.button() == LEFT:
            event.accept()
            self._bands.add_around(event.pos().x())

    def mouseDragEvent(self, event: Any) -> None:
        """Make a band while Shift is held."""
        if event.button() != LEFT or not (self._drawn or event.modifiers() & Qt.KeyboardModifier.ShiftModifier):
            event.ignore()
            return
        event.accept()
        start: QPointF = event.buttonDownPos()
        ends = start.x(), event.pos().x()
        if self._drawn is None:
            self._drawn = self._bands.add(ends)
        else:
            self._bands.stretch(self._drawn, ends)
        if event.isFinish():
            self._drawn = None
