"""A histogram of any map of a result: a brushed range is highlighted in the viewer, inspected fits are marked in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ...engine.core.errors import FitInputError
from ...imaging.fitting.fit_report import Place
from ...imaging.inspection.fit_grid import FitGrid
from ...imaging.inspection.histogram import COUNTS, Histogram, histogram, map_names, map_values, within
from ...layers.inspection.marks import CHOSEN, MARK_COLOUR, find_mark, show_chosen
from ...layers.request.fit_request import Outcome
from ...layers.request.naming import spaced
from ..background.timers import single_shot
from ..plots.curve_plot import style_of
from ..plots.panel import Panel, Strip, adapt_bottom, adapt_left
from ..plots.plotting import Colours, pg
from ..plots.styles import PLOT_STYLES
from ..widgets.forms import NumberEdit
from .inspect_bar import ONE_LINE_WIDTH_PX

if TYPE_CHECKING:
    from napari.components import LayerList

HIGHLIGHT_DELAY_MS = 40  # from a move of the range to its highlight
EMPTY_BIN_LEVEL = math.log10(0.5)  # where a bin without counts stands on a logarithmic axis


class HistogramPlot(Panel):
    """The plot, which leaves out what has no room."""

    def __init__(self) -> None:
        super().__init__("histogram", 1)
        self.upper.getAxis("left").setLabel("counts")
        self.upper.setMouseEnabled(x=True, y=False)

    def adapt(self, width: int, height: int) -> None:
        """Give the room to the bars, then to numbers and names."""
        adapt_left([self.upper.getAxis("left")], width, [height])
        adapt_bottom(self.upper.getAxis("bottom"), height)


class HistogramPanel(QWidget):
    """Choice of a map, its histogram, and the range whose fits are highlighted.

    Parameters
    ----------
    layers : LayerList
        Where the chosen fits are shown.
    """

    said = Signal()  # `words` are others

    def __init__(self, layers: LayerList, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = ""
        self._layers, self._colours = layers, colours
        self._outcome: Outcome | None = None
        self._grid: FitGrid | None = None
        self._values: NDArray[Any] = np.empty(0)
        self._histogram: Histogram | None = None
        self._due = False
        self._marked: dict[str, Place] = {}
        self._lines: dict[str, Any] = {}
        self.maps = QComboBox()
        self.maps.setToolTip("The map whose values are counted")
        self.maps.setAccessibleName("Map of the histogram")
        self.log = QCheckBox("Log &y")
        self.log.setToolTip("Logarithmic counts (Alt+Y)")
        self.everything = QCheckBox("O&utliers")
        self.everything.setToolTip("Show values that lie far from all others as well (Alt+U)")
        self.select = QCheckBox("&Select")
        self.select.setToolTip("Highlight the fits within a range in the viewer; drag the range or type it (Alt+S)")
        self.low = NumberEdit("The lower end", "From here on fits are highlighted; Enter takes it", "from")
        self.high = NumberEdit("The upper end", "Up to here fits are highlighted; Enter takes it", "to")
        for edit in (self.low, self.high):
            edit.setMinimumWidth(44)
            edit.setMaximumWidth(90)
            edit.setEnabled(False)
        self.view = HistogramPlot()
        self.plot = self.view.upper
        self.bars = pg.PlotCurveItem([0.0, 1.0], [0.0], stepMode="center", fillLevel=0, pen=None)
        self.range = pg.LinearRegionItem(brush=(240, 228, 66, 60), pen=pg.mkPen(MARK_COLOUR, width=2), swapMode="sort")
        self.plot.addItem(self.bars)
        self._settle = single_shot(self, HIGHLIGHT_DELAY_MS, self._choose)
        self.maps.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.maps.setMinimumWidth(60)

        self._first, self._second = QWidget(), QWidget()
        for row, widgets in (
            (self._first, (self.maps, self.log, self.everything)),
            (self._second, (self.select, self.low, QLabel("…"), self.high)),
        ):
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.setSpacing(4)
            for widget in widgets:
                line.addWidget(widget, int(widget is self.maps))
            if self.maps not in widgets:
                line.addStretch()
        self._controls = QGridLayout()
        self._controls.setSpacing(4)
        self._controls.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._controls)
        layout.addWidget(Strip([(self.view, 1)]), 1)
        self._arrange()

        self.maps.currentIndexChanged.connect(self._count)
        self.everything.toggled.connect(self._count)
        self.log.toggled.connect(self._draw)
        self.select.toggled.connect(self._on_select)
        self.range.sigRegionChanged.connect(self._settle.start)
        for edit in (self.low, self.high):
            edit.editingFinished.connect(self._on_typed)
        self.set_colours(colours)

    @property
    def key(self) -> str:
        """Key of the map that is shown."""
        return str(self.maps.currentData() or "")

    def show_result(self, outcome: Outcome, grid: FitGrid) -> None:
        """Count the maps of another result; map and range stay where they can."""
        assert outcome.result is not None
        before = self.key
        self._outcome, self._grid = outcome, grid
        names = map_names(outcome.result, outcome.request.units)
        blocked = self.maps.blockSignals(True)
        self.maps.clear()
        for key, name in names.items():
            self.maps.addItem(name, key)
        main = next((f"param:{p.name}" for p in outcome.result.model.parameters if p.unit.startswith("coord")), "")
        for wanted in (main, before):
            if wanted in names:
                self.maps.setCurrentIndex(self.maps.findData(wanted))
        self.maps.blockSignals(blocked)
        self._count(keep_range=self.key == before)

    def forget_result(self) -> None:
        """Forget the result."""
        self.forget_range()
        self._outcome = self._grid = self._histogram = None
        self._values = np.empty(0)
        self.mark({})

    def mark(self, places: Mapping[str, Place]) -> None:
        """Mark the values of these fits, by the pin's letter or "cursor"."""
        self._marked = dict(places)
        if self._due or not self.isVisible():
            return
        for who in [who for who in self._lines if who not in places]:
            self.plot.removeItem(self._lines.pop(who))
        for who, place in places.items():
            value = self._value_at(place)
            line = self._lines.get(who)
            if line is None:
                # one below the other, so that they can be read where values are alike
                height = 0.93 - 0.09 * (1 + list(PLOT_STYLES).index(who) if who in PLOT_STYLES else 0)
                line = self._lines[who] = pg.InfiniteLine(angle=90, label=who, labelOpts={"position": height})
                self.plot.addItem(line, ignoreBounds=True)
                self._colour_line(who)
            line.setVisible(math.isfinite(value))
            if math.isfinite(value):
                line.setPos(value)

    def _value_at(self, place: Place) -> float:
        """Return the value of a fit; NaN for a place on another grid, such as that of the result before."""
        shape = self._values.shape
        on_grid = len(place) == len(shape) and all(i < n for i, n in zip(place, shape, strict=True))
        return float(self._values[place]) if on_grid else math.nan

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        self._colours = colours
        self.view.set_colours(colours)
        filling = pg.mkColor(colours.text)
        filling.setAlpha(140)
        self.bars.setBrush(pg.mkBrush(filling))
        for who in self._lines:
            self._colour_line(who)

    def forget_range(self) -> None:
        """Its layer was removed."""
        self.select.setChecked(False)

    def stop(self) -> None:
        """Nothing more is highlighted."""
        self._settle.stop()
        self._outcome = self._grid = None
        self._values = np.empty(0)

    def showEvent(self, event: Any) -> None:
        """Draw what was not drawn while hidden."""
        super().showEvent(event)
        if self._due:
            self._count()
        self.mark(self._marked)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take a second line for the range where there is no room in one."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        in_one_line = self.width() >= ONE_LINE_WIDTH_PX
        for widget in (self._first, self._second):
            self._controls.removeWidget(widget)
        self._controls.addWidget(self._first, 0, 0)
        self._controls.addWidget(self._second, *((0, 1) if in_one_line else (1, 0)))
        self.updateGeometry()

    def _colour_line(self, who: str) -> None:
        colour = style_of(who, self._colours).colour
        self._lines[who].setPen(pg.mkPen(colour, width=2, style=Qt.PenStyle.DashLine))
        self._lines[who].label.setColor(colour)

    def _count(self, _chosen: object = None, *, keep_range: bool = False) -> None:
        if self._outcome is None or self._outcome.result is None or not self.key:
            return
        # counting a million values takes a moment: not before anybody sees it
        self._due = not (self.isVisible() or self.select.isChecked())
        if self._due:
            return
        self._values = map_values(self._outcome.result, self.key)
        robust, whole = not self.everything.isChecked(), self.key in COUNTS
        self._histogram = histogram(self._values, robust=robust, whole=whole)
        self._draw()
        self.mark(self._marked)
        if self.select.isChecked():
            if not keep_range:
                self._reset_range()
            self._choose()

    def _draw(self, _checked: object = None) -> None:
        found = self._histogram
        if found is None:
            return
        heights = found.counts.astype(float)
        if self.log.isChecked():
            heights = np.log10(np.maximum(heights, 0.5))
        self.bars.opts["fillLevel"] = EMPTY_BIN_LEVEL if self.log.isChecked() else 0.0
        self.bars.setData(found.edges, heights)
        self.plot.getAxis("left").setLogMode(self.log.isChecked())
        self.plot.getAxis("bottom").setLabel(self.maps.currentText())
        self.plot.setXRange(found.edges[0], found.edges[-1], padding=0.02)
        floor = EMPTY_BIN_LEVEL if self.log.isChecked() else 0.0
        self.plot.setYRange(floor, max(float(heights.max()), floor + 1), padding=0.05)
        self._say()

    def _on_select(self, checked: bool) -> None:
        for edit in (self.low, self.high):
            edit.setEnabled(checked)
        if checked:
            self.plot.addItem(self.range, ignoreBounds=True)
            self._reset_range()
            self._choose()
            return
        self._settle.stop()
        self.plot.removeItem(self.range)
        if find_mark(self._layers, CHOSEN) is not None and self._outcome is not None and self._grid is not None:
            show_chosen(self._layers, self._outcome.request, self._grid, None, "")
        self._say()

    def _reset_range(self) -> None:
        """Return the upper half of what is in view."""
        if self._histogram is not None:
            edges = self._histogram.edges
            self.range.setRegion((float(edges[edges.size // 2]), float(edges[-1])))

    def _on_typed(self) -> None:
        found = self._histogram
        if found is None:
            return
        try:
            low, high = self.low.number(), self.high.number()
        except FitInputError as error:
            self._tell(f"⚠ {error}")
            return
        # an end that is not typed, or far from all values, is drawn just beyond them
        finite = self._values[np.isfinite(self._values)]
        ends, width = np.concatenate([found.edges, finite]), float(found.edges[1] - found.edges[0])
        least, most = float(ends.min()) - width, float(ends.max()) + width
        low, high = sorted((least if low is None else low, most if high is None else high))
        region = tuple(float(np.clip(end, least, most)) for end in (low, high))
        if tuple(f"{end:.6g}" for end in region) != tuple(f"{end:.6g}" for end in self.range.getRegion()):
            self.range.setRegion(region)
        else:
            self._choose()

    def _choose(self) -> None:
        """Highlight the fits within the range."""
        if self._outcome is None or self._grid is None or not self.select.isChecked():
            return
        low, high = self.range.getRegion()
        for edit, end in ((self.low, low), (self.high, high)):
            edit.setText(f"{end:.6g}")
        chosen = within(self._values, low, high)
        show_chosen(self._layers, self._outcome.request, self._grid, chosen, self.maps.currentText())
        self._say(int(np.count_nonzero(chosen)))

    def _say(self, chosen: int | None = None) -> None:
        found = self._histogram
        if found is None:
            return
        noun = "voxels" if self._grid is not None and self._grid.axis is not None else "fits"
        text = f"{spaced(found.n_finite)} {noun} have a value"
        if chosen is not None and found.n_finite:
            share = f"{100 * chosen / found.n_finite:.1f} %"
            text = f"{spaced(chosen)} of {spaced(found.n_finite)} {noun} selected ({share})"
        if found.n_outside:
            text += f"; {spaced(found.n_outside)} lie far outside and are not drawn: tick Outliers to see them"
        self._tell(text)

    def _tell(self, words: str) -> None:
        self.words = words
        self.said.emit()
