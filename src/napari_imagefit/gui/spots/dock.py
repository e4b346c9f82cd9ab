"""The dock "Spots": table, filters and looks of fitted spots, linked both ways with their layer in the viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QSplitter, QVBoxLayout, QWidget

from ...layers.geometry.output_layers import METADATA_KEY, role_of
from ...layers.inspection.pick import Sight, pick
from ...layers.inspection.reasons import go_to
from ...layers.inspection.spot_table import Look, dress, facts_of, kinds, number_columns, with_filters
from ...layers.request.fit_request import Outcome
from ...layers.request.naming import spaced
from ..plots.plotting import colours_of
from ..widgets.cursor import CursorFollower
from ..widgets.dock_widget import Docked
from ..widgets.forms import Combo
from ..widgets.help import help_button
from .filter_panel import FilterPanel
from .table import SpotTable

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Points
    from napari.viewer import Viewer

    from ...imaging.spots.filters import SpotFilter

TITLE = "Spots"
WIDTH = 320  # pixels, at first
PLAIN_COLOUR, PLAIN_SIZE = "one colour", "fitted width"
SHOWS = ("all spots", "spots that count", "rejected and failed", "selected spots")
FIRST_COLUMNS = ("fwhm", "sigma", "precision", "amplitude")


class SpotsDock(Docked):
    """Dock with the results of a fit of spots.

    Parameters
    ----------
    viewer : Viewer
    """

    filtered = Signal(object)  # tuple of SpotFilter
    looked_at = Signal(object)  # the place of a spot that was chosen
    average_wanted = Signal(object)  # bool array, ``(N,)``
    widths_wanted = Signal(int)  # of a spot

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._outcome: Outcome | None = None
        self._layer: Points | None = None
        self._open = True
        self._telling = False
        self.facts: pd.DataFrame | None = None
        self.summary = QLabel("No spots have been fitted yet.")
        self.summary.setWordWrap(True)
        self.summary.setAccessibleName("How many spots count")
        self.colour_by, self.size_by, self.show_rows = Combo(), Combo(), Combo()
        for combo, name, tip in (
            (self.colour_by, "Colour spots by", "The column that makes the spots' colours in the viewer"),
            (self.size_by, "Size spots by", "The column that makes the spots' sizes in the viewer"),
            (self.show_rows, "Rows", "Which spots have a row in the table"),
        ):
            combo.setAccessibleName(name)
            combo.setToolTip(tip)
        self.show_rows.addItems(list(SHOWS))
        self.average = QPushButton("Average…")
        self.average.setToolTip("The mean of all spots that count, or of the selected ones, each moved to its centre")
        self.widths = QPushButton("Widths…")
        self.widths.setToolTip("Cuts through the selected spot along each axis, with their full widths at half maximum")
        self.filters = FilterPanel(colours_of(viewer))
        self.table = SpotTable()

        # a line for each: names of columns have no room beside each other
        looks, rows = QFormLayout(), QHBoxLayout()
        looks.setContentsMargins(0, 0, 0, 0)
        for text, combo in (("Colour", self.colour_by), ("Size", self.size_by)):
            looks.addRow(text, combo)
        rows.addWidget(self.show_rows, 1)
        rows.addWidget(self.average)
        rows.addWidget(self.widths)
        rows.addWidget(help_button("spots"))
        top = QWidget()
        above = QVBoxLayout(top)
        above.setContentsMargins(0, 0, 0, 0)
        above.addWidget(self.summary)
        above.addWidget(self.filters)
        above.addLayout(looks)
        above.addLayout(rows)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(top)
        self.splitter.addWidget(self.table)
        self.splitter.setStretchFactor(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.addWidget(self.splitter)

        self.follower = CursorFollower(viewer, self)
        self.follower.enabled = lambda: self._outcome is not None
        self.follower.clicked.connect(self._on_clicked)
        self.filters.changed.connect(self._on_filters)
        self.filters.said.connect(self._on_said)
        self.colour_by.currentTextChanged.connect(lambda _: self._dress())
        self.size_by.currentTextChanged.connect(lambda _: self._dress())
        self.show_rows.currentTextChanged.connect(lambda _: self._show_rows())
        self.average.clicked.connect(self._on_average)
        self.widths.clicked.connect(self._on_widths)
        self.table.selected.connect(self._on_rows)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.events.theme.connect(self._on_theme)

    def sizeHint(self) -> QSize:
        """Return the width of the dock beside which it stands: the image comes first."""
        return QSize(WIDTH, super().sizeHint().height())

    @property
    def outcome(self) -> Outcome | None:
        """The fit whose spots are shown, with the filters that hold now."""
        return self._outcome

    @property
    def look(self) -> Look:
        """Columns by which spots are coloured and sized."""
        colour, size = self.colour_by.currentText(), self.size_by.currentText()
        return Look("" if colour == PLAIN_COLOUR else colour, "" if size == PLAIN_SIZE else size)

    def show_result(self, outcome: Outcome) -> None:
        """Show the spots of another fit; filters and looks stay where the columns are the same."""
        if not self._open or outcome.result is None or outcome.request.job != "spots":
            return
        self._outcome = outcome
        self.setEnabled(True)
        request = outcome.request
        self._bind(next((layer for layer in self._viewer.layers if role_of(layer, request.group) == "spots"), None))
        self.facts = facts_of(outcome)
        names = number_columns(self.facts)
        for combo, plain in ((self.colour_by, PLAIN_COLOUR), (self.size_by, PLAIN_SIZE)):
            before, blocked = combo.currentText(), combo.blockSignals(True)
            combo.clear()
            combo.addItems([plain, *names])
            combo.setCurrentText(before if before in names else plain)
            combo.blockSignals(blocked)
        self.filters.set_filters(request.filters)
        wanted = [name for first in FIRST_COLUMNS for name in names if name.split(" [")[0] == first]
        self.filters.set_table(self.facts, names, wanted)
        self._show_rows()
        if self.look != Look() or self._has_other_filters():
            self._dress()

    def set_filters(self, filters: tuple[SpotFilter, ...]) -> None:
        """Set other filters."""
        self.filters.set_filters(filters)
        self._on_filters(filters)

    def chosen(self) -> NDArray[np.bool_]:
        """Return the selected spots, or all that count where fewer than two are selected, ``(N,)``."""
        assert self.facts is not None
        # of the viewer where it can be: rows may be hidden, or too scattered to be selected
        spots = self._selected() if self._is_whole() else self.table.selected_spots()
        if spots.size < 2:
            return np.asarray(kinds(self.facts) == "counts")
        found = np.zeros(len(self.facts), bool)
        found[spots] = True
        return found

    def let_go(self) -> None:
        """Forget the fit: whoever would keep its filters and draw its beads is gone."""
        for signal in (self.filtered, self.looked_at, self.average_wanted, self.widths_wanted):
            signal.disconnect()
        if self._open:
            self._bind(None)
            self._outcome = self.facts = None
            self.setEnabled(False)
            self.summary.setText("The widget Image Fit was closed; open it and fit again.")

    def shut_down(self) -> None:
        """Disconnect from the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self.follower.stop()
        self.filters.stop()
        self._bind(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.events.theme.disconnect(self._on_theme)
        self._outcome = self.facts = None

    def _bind(self, layer: Any) -> None:
        """Follow what is selected in another layer."""
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.selected_data.events.items_changed.disconnect(self._on_selected)
        if layer is not None:
            layer.selected_data.events.items_changed.connect(self._on_selected)
        self._layer = layer

    def _on_filters(self, filters: tuple[SpotFilter, ...]) -> None:
        if self._outcome is None or self._outcome.result is None or self.facts is None:
            return
        self._outcome = replace(self._outcome, request=replace(self._outcome.request, filters=filters))
        self.facts = facts_of(self._outcome)
        self._show_rows()
        self._dress()
        self.filtered.emit(filters)

    def _on_said(self, why: str) -> None:
        """Show why a filter cannot be, until it can."""
        if why:
            self.summary.setText(f"⚠ {why}")
        elif self.facts is not None:
            self.summary.setText(summary_of(kinds(self.facts)))

    def _dress(self) -> None:
        layer = self._layer
        if layer is None or self.facts is None or self._outcome is None or not self._is_whole():
            return
        # one that was kept is as it was
        if role_of(layer, self._outcome.request.group) != "spots":
            return
        made = layer.metadata[METADATA_KEY]
        dress(layer, self.facts, self.look, made["diameters"])
        recipe = with_filters(made["recipe"], self._outcome.request.filters)
        layer.metadata = {**layer.metadata, METADATA_KEY: {**made, "recipe": recipe}}

    def _show_rows(self) -> None:
        if self.facts is None:
            return
        what = kinds(self.facts)
        wanted = self.show_rows.currentText()
        shown = np.ones(len(what), bool)
        if wanted == SHOWS[1]:
            shown = what == "counts"
        elif wanted == SHOWS[2]:
            shown = what != "counts"
        elif wanted == SHOWS[3]:
            shown = np.zeros(len(what), bool)
            if self._is_whole():
                shown[self._selected()] = True
        self.table.set_table(self.facts, what, shown)
        self.summary.setText(summary_of(what))

    def _is_whole(self) -> bool:
        """Whether the layer still has a point for each spot; it can be edited like any other."""
        if self._layer is None or self.facts is None:
            return False
        whole = len(self._layer.data) == len(self.facts)
        if not whole:
            self.summary.setText("⚠ Points of the layer were added or deleted, so it is no longer linked; fit again.")
        return whole

    def _selected(self) -> NDArray[np.intp]:
        """Return the spots that are selected in the viewer."""
        assert self._layer is not None
        return np.array(sorted(int(i) for i in self._layer.selected_data), np.intp)

    def _has_other_filters(self) -> bool:
        """Return whether there are other filters than those with which the layer was made."""
        if self._layer is None or self._outcome is None:
            return False
        recipe = self._layer.metadata[METADATA_KEY]["recipe"]
        return bool(with_filters(recipe, self._outcome.request.filters) != recipe)

    def _on_rows(self, spots: NDArray[np.intp], current: int | None) -> None:
        """Rows were selected: so are their spots, and the current one is brought into view."""
        layer = self._layer
        if layer is None or not self._is_whole():
            return
        self._telling = True
        try:
            # what is selected is highlighted in the active layer alone
            self._viewer.layers.selection.active = layer
            layer.selected_data = {int(spot) for spot in spots}
        finally:
            self._telling = False
        if current is not None and spots.size:
            go_to(self._viewer, layer, tuple(layer.data[current]))
            self.looked_at.emit((current,))

    def _on_selected(self, _event: object = None, _removed: object = None) -> None:
        """Spots were selected in the viewer: so are their rows."""
        if self._telling or not self._is_whole():
            return
        spots = self._selected()
        if self.show_rows.currentText() == SHOWS[3]:
            self._show_rows()
        if not self.table.select_spots(spots):
            self.summary.setText(f"{spots.size} spots are selected; choose 'selected spots' to see their rows.")
        if spots.size == 1:
            self.looked_at.emit((int(spots[0]),))

    def _on_clicked(self, sight: Sight) -> None:
        """Select a spot that was clicked, as a click on its row does; a click elsewhere changes nothing."""
        if self._outcome is None or self._outcome.result is None or self._layer is None or not self._is_whole():
            return
        place = pick(self._viewer.layers, self._outcome.request, self._outcome.result, sight)
        if place is not None:
            self._layer.selected_data = {place[0]}

    def _on_average(self) -> None:
        if self.facts is not None:
            self.average_wanted.emit(self.chosen())

    def _on_widths(self) -> None:
        spots = self.table.selected_spots()
        if spots.size == 1:
            self.widths_wanted.emit(int(spots[0]))
        else:
            self.summary.setText("⚠ Widths are those of one spot; select one row.")

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._bind(None)

    def _on_theme(self, _event: object = None) -> None:
        self.filters.set_colours(colours_of(self._viewer))


def summary_of(what: NDArray[Any]) -> str:
    """Show how many spots count, and what became of the others."""
    counts = {kind: int(np.count_nonzero(what == kind)) for kind in ("counts", "filtered", "failed")}
    words = [f"{spaced(len(what))} spots", f"{spaced(counts['counts'])} count"]
    words += [f"× {spaced(counts['filtered'])} filtered out"] if counts["filtered"] else []
    words += [f"✚ {spaced(counts['failed'])} failed"] if counts["failed"] else []
    return " · ".join(words)
