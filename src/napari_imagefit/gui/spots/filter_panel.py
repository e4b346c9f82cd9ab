"""Filters of spots: a column's histogram with a range that is dragged or typed, and the list of such ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...engine.core.errors import FitInputError
from ...imaging.inspection.histogram import Histogram, histogram
from ...imaging.spots.filters import SpotFilter
from ...layers.inspection.marks import MARK_COLOUR
from ...layers.request.naming import spaced
from ..background.timers import single_shot
from ..plots.plotting import Colours, colour_plot, new_plot, pg
from ..widgets.forms import Combo, NumberEdit

if TYPE_CHECKING:
    import pandas as pd

FILTER_DELAY_MS = 60  # from a move of the range to its spots
MOST_LISTED, PLOT_HEIGHT = 3, 140  # filters that are seen without scrolling, and pixels


class FilterPanel(QWidget):
    """The columns' histograms and the filters.

    Parameters
    ----------
    colours : Colours
    """

    changed = Signal(object)  # tuple of SpotFilter
    said = Signal(str)  # why a filter cannot be; empty once it can

    def __init__(self, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters: dict[str, SpotFilter] = {}
        self._table: Any = None
        self._names: list[str] = []
        self._histogram: Histogram | None = None
        self._moving = False
        self.column = Combo()
        self.column.setToolTip("The column whose values are counted, and by which spots are filtered")
        self.column.setAccessibleName("Column of the filter")
        self.on = QCheckBox("&Filter")
        self.on.setToolTip("Only spots within the range count; drag its ends, or type them (Alt+F)")
        self.low = NumberEdit("The lower end", "From here on spots count: makes a filter; empty for none", "no limit")
        self.high = NumberEdit("The upper end", "Up to here spots count: makes a filter; empty for none", "no limit")
        self.graphics = pg.GraphicsLayoutWidget()
        self.graphics.setFixedHeight(PLOT_HEIGHT)
        self.graphics.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.graphics.setMinimumWidth(1)
        self.plot = new_plot(self.graphics, 0, 0, left="spots", name="histogram of a column of spots")
        self.bars = pg.PlotCurveItem([0.0, 1.0], [0.0], stepMode="center", fillLevel=0, pen=None)
        self.range = pg.LinearRegionItem(brush=(240, 228, 66, 60), pen=pg.mkPen(MARK_COLOUR, width=2), swapMode="sort")
        self.range.setVisible(False)
        self.plot.addItem(self.bars)
        self.plot.addItem(self.range, ignoreBounds=True)
        self.plot.setMouseEnabled(x=True, y=False)
        self.outside = QLabel()
        self.outside.setWordWrap(True)
        self.outside.setAccessibleName("Values that are not drawn")
        self.outside.hide()
        self.items = QListWidget()
        self.items.setAccessibleName("Filters")
        self.items.setToolTip("The filters; a click shows one, Delete removes it. They are kept in the recipe")
        self.items.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.items.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.items.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Remove the filter that is chosen in the list (Delete)")
        self._settle = single_shot(self, FILTER_DELAY_MS, self._take_range)

        row, ends, listed = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        row.addWidget(self.column, 1)
        for widget in (self.on, self.low, QLabel("…"), self.high):
            ends.addWidget(widget)
        listed.addWidget(self.items, 1)
        listed.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.graphics)
        layout.addWidget(self.outside)
        layout.addLayout(ends)
        layout.addLayout(listed)

        self.column.currentTextChanged.connect(self._on_column)
        self.on.toggled.connect(self._on_toggled)
        self.range.sigRegionChanged.connect(self._on_dragged)
        for edit in (self.low, self.high):
            edit.editingFinished.connect(self._on_typed)
        self.items.currentRowChanged.connect(self._on_item)
        self.remove.clicked.connect(lambda: self._remove())
        self.set_colours(colours)
        self._show_items()

    @property
    def filters(self) -> tuple[SpotFilter, ...]:
        """Filters in the order in which they were made."""
        return tuple(self._filters.values())

    def set_filters(self, filters: Sequence[SpotFilter]) -> None:
        """Set the filters of a recipe, or of an earlier fit, without a signal."""
        self._filters = {one.column: one for one in filters}
        self._show_items()
        self._show_filter()

    def set_table(self, table: pd.DataFrame, names: Sequence[str], wanted: Sequence[str] = ()) -> None:
        """Count the columns of another table; `wanted` are columns to begin with, the first that there is."""
        before = self.column.currentText()
        self._table, same = table, list(names) == self._names
        if not same:
            self._names = list(names)
            blocked = self.column.blockSignals(True)
            self.column.clear()
            self.column.addItems(self._names)
            first = next((name for name in (before, *wanted) if name in self._names), None)
            if first is not None:
                self.column.setCurrentText(first)
            self.column.blockSignals(blocked)
            self._show_items()
        self._on_column(self.column.currentText())

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        self.graphics.setBackground(colours.background)
        colour_plot(self.plot, colours)
        filling = pg.mkColor(colours.text)
        filling.setAlpha(140)
        self.bars.setBrush(pg.mkBrush(filling))

    def keyPressEvent(self, event: Any) -> None:
        """Delete removes a filter of the list."""
        if event.key() == Qt.Key.Key_Delete and self.items.hasFocus():
            self._remove()
            return
        super().keyPressEvent(event)

    def stop(self) -> None:
        """Emit nothing more."""
        self._settle.stop()

    def _values(self) -> NDArray[np.float64]:
        return np.asarray(self._table[self.column.currentText()], dtype=float)

    def _on_column(self, name: str) -> None:
        if self._table is None or name not in self._names:
            return
        self._settle.stop()
        values = self._values()
        whole = np.asarray(self._table[name]).dtype.kind in "iu"
        found = self._histogram = histogram(values, whole=whole)
        heights = found.counts.astype(float)
        self.bars.setData(found.edges, heights)
        self.plot.getAxis("bottom").setLabel(name)
        self.plot.setXRange(found.edges[0], found.edges[-1], padding=0.02)
        self.plot.setYRange(0, max(float(heights.max()), 1.0), padding=0.05)
        self.outside.setText(f"{spaced(found.n_outside)} of {spaced(found.n_finite)} values lie far outside, not drawn")
        self.outside.setVisible(found.n_outside > 0)
        self._show_filter()

    def _show_filter(self) -> None:
        """Return the range of the column's filter, or all of it."""
        one = self._filters.get(self.column.currentText())
        blocked = self.on.blockSignals(True)
        self.on.setChecked(one is not None)
        self.on.blockSignals(blocked)
        ends = (None, None) if one is None else (one.low, one.high)
        for edit, end in zip((self.low, self.high), ends, strict=True):
            edit.setText("" if end is None or math.isinf(end) else f"{end:.6g}")
        self.range.setVisible(one is not None)
        if one is not None:
            self._move_range(one)

    def _move_range(self, one: SpotFilter) -> None:
        if self._histogram is None:
            return
        edges = self._histogram.edges
        # far beyond the axis is drawn just beyond it: no view is wide enough for 1e300
        reach = edges[-1] - edges[0]
        ends = [one.low if math.isfinite(one.low) else edges[0], one.high if math.isfinite(one.high) else edges[-1]]
        self._moving = True
        self.range.setRegion([float(np.clip(end, edges[0] - reach, edges[-1] + reach)) for end in ends])
        self._moving = False

    def _on_toggled(self, checked: bool) -> None:
        name = self.column.currentText()
        if self._histogram is None or not name:
            return
        if checked:
            self._set(SpotFilter(name))
        else:
            self._filters.pop(name, None)
            self._tell()
        self._show_filter()

    def _on_dragged(self, _range: object = None) -> None:
        if not self._moving:
            self._settle.start()

    def _take_range(self) -> None:
        if not self.on.isChecked():
            return
        assert self._histogram is not None
        low, high = (float(end) for end in self.range.getRegion())
        edges = self._histogram.edges
        first, last = float(edges[0]), float(edges[-1])
        rounded = _rounded(low, high)
        # an end that is not within these data is no limit: the next data may reach further
        low, high = rounded[0] if low > first else -math.inf, rounded[1] if high < last else math.inf
        for edit, end in ((self.low, low), (self.high, high)):
            edit.setText("" if math.isinf(end) else f"{end:.6g}")
        self._set(SpotFilter(self.column.currentText(), low, high))

    def _on_typed(self) -> None:
        name = self.column.currentText()
        if self._histogram is None or not name:
            return
        try:
            low, high = self.low.number(), self.high.number()
            one = SpotFilter(name, -math.inf if low is None else low, math.inf if high is None else high)
        except FitInputError as error:
            self.said.emit(str(error))
            return
        self.said.emit("")
        if name not in self._filters and one == SpotFilter(name):
            return  # nothing is typed
        self._move_range(one)
        self.said.emit("")
        self._set(one)
        self._show_filter()

    def _set(self, one: SpotFilter) -> None:
        if self._filters.get(one.column) != one:
            self._filters[one.column] = one
            self._tell()

    def _tell(self) -> None:
        self._show_items()
        self.changed.emit(self.filters)

    def _show_items(self) -> None:
        blocked = self.items.blockSignals(True)
        self.items.clear()
        # one that cannot be applied must not look as if it were
        self.items.addItems(
            [
                one.words
                if not self._names or one.column in self._names
                else f"{one.words}: not applied, no such column"
                for one in self.filters
            ]
        )
        for row, one in enumerate(self.filters):
            self.items.item(row).setToolTip(one.words)
        self.items.blockSignals(blocked)
        # no room for what there is not
        rows = min(len(self._filters), MOST_LISTED)
        self.items.setFixedHeight(rows * max(self.items.sizeHintForRow(0), 0) + 2 * self.items.frameWidth() + 2)
        for widget in (self.items, self.remove):
            widget.setVisible(bool(self._filters))

    def _chosen_column(self) -> str | None:
        """Return the column of the filter that is chosen in the list."""
        row = self.items.currentRow()
        return self.filters[row].column if 0 <= row < len(self.filters) else None

    def _on_item(self, _row: int) -> None:
        column = self._chosen_column()
        if column in self._names:
            self.column.setCurrentText(column)

    def _remove(self) -> None:
        column = self._chosen_column() or self.column.currentText()
        if self._filters.pop(column, None) is not None:
            self._tell()
            self._show_filter()


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Round the ends outwards, to as many digits as their distance warrants: what is seen is what counts."""
    reach = high - low
    if not reach > 0 or not math.isfinite(reach):
        return low, high
    step = 10.0 ** (math.floor(math.log10(reach)) - 3)
    return float(f"{math.floor(low / step) * step:.9g}"), float(f"{math.ceil(high / step) * step:.9g}")
