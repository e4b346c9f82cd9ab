"""The dock "Inspect": data, fit, residuals, numbers and words of the fit under the pointer and of pinned ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ...engine.results.fit_result import FitResult
from ...imaging.fitting.fit_report import Place, facts
from ...imaging.inspection.curves import Curve, voxel_curve
from ...imaging.inspection.fit_grid import FitGrid
from ...imaging.inspection.spot_cuts import spot_picture
from ...imaging.inspection.surface_cuts import Cuts, surface_cuts
from ...layers.inspection.marks import CHOSEN, MARK, PINS, show_pins
from ...layers.inspection.pick import Sight, nearest_surface, pick
from ...layers.request.fit_request import Outcome, Request, mean_as_curve
from ...layers.request.naming import axis_titles, place_title
from ..plots.curve_plot import CURSOR, MEAN, ON_SCREEN, CurvePlot, Shown
from ..plots.plotting import STYLES, colours_of, pg
from ..plots.spot_plot import SpotPlot
from ..plots.surface_plot import SurfacePlot
from ..widgets.cursor import CursorFollower
from ..widgets.dock_widget import Stopping
from ..widgets.keys import Key
from .facts_table import FactsTable
from .histogram import HistogramPanel
from .inspect_bar import InspectBar
from .pins import Pins

if TYPE_CHECKING:
    from napari.viewer import Viewer

NOTHING = "Nothing has been fitted yet: open Plugins → Image Fit, choose data and click Fit."
HISTOGRAM_WIDTH = 320
HINT = "Move the pointer over the fit; a click pins what is under it."
SETTLED = 50  # ms from a slider's move until the fit of the new slice is drawn


class Inspector(Stopping):
    """Shows what the last fit found where the pointer is, and where it was pinned.

    Everything is computed from the result whenever it is shown; nothing is kept of curves.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # plugins are handed a proxy, whose layers are proxies too and so never the ones that events tell of
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._outcome: Outcome | None = None
        self._grid: FitGrid | None = None
        self._place: Place | None = None
        self._mean: Outcome | None = None
        self._open = True
        self.pins = Pins()
        colours = colours_of(self._viewer)
        self.bar = InspectBar()
        self.note, self.where = self.bar.note, self.bar.where
        self.note.setText(NOTHING)
        self.note.setToolTip(HINT)
        self.curve_graphics, self.surface_graphics = pg.GraphicsLayoutWidget(), pg.GraphicsLayoutWidget()
        self.curves = CurvePlot(self.curve_graphics, 0)
        self.surfaces = SurfacePlot(self.surface_graphics)
        self.spots = SpotPlot()
        self.plots = QStackedWidget()
        self.plots.addWidget(self.curve_graphics)
        self.plots.addWidget(self.surface_graphics)
        self.plots.addWidget(self.spots)
        self.plots.setMinimumSize(300, 220)
        self.table = FactsTable()
        self.table.setVisible(False)
        self.histogram = HistogramPanel(self._viewer.layers, colours)
        self.histogram.setVisible(False)

        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        shares: tuple[tuple[QWidget, int], ...] = ((self.plots, 5), (self.table, 4), (self.histogram, 4))
        for index, (widget, share) in enumerate(shares):
            self.splitter.addWidget(widget)
            self.splitter.setStretchFactor(index, share)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.addWidget(self.bar)
        layout.addWidget(self.splitter, 1)

        self.follower = CursorFollower(self._viewer, self)
        self.follower.enabled = lambda: self._grid is not None and self.isVisible()
        self.follower.moved.connect(self._on_moved)
        self.follower.clicked.connect(self._on_clicked)
        self.where.returnPressed.connect(self._on_typed)
        self.bar.pin.clicked.connect(self._on_pin_button)
        self.bar.clear.clicked.connect(self.clear_pins)
        self.bar.histogram.toggled.connect(self._on_histogram)
        QShortcut(QKeySequence(Qt.Key.Key_Escape), self, self.clear_pins).setContext(
            Qt.ShortcutContext.WidgetWithChildrenShortcut
        )
        self._escape = Key(self._viewer, "Escape", self.clear_pins)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._stepped = QTimer(self)
        self._stepped.setSingleShot(True)
        self._stepped.setInterval(SETTLED)
        self._stepped.timeout.connect(self._on_stepped)
        self._viewer.dims.events.current_step.connect(self._on_step)
        self._viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._enable()
        QTimer.singleShot(0, self._find_result)

    @property
    def outcome(self) -> Outcome | None:
        """The fit that is inspected."""
        return self._outcome

    @property
    def place(self) -> Place | None:
        """The fit under the pointer, by its place on the grid."""
        return self._place

    def show_result(self, outcome: Outcome) -> None:
        """Inspect another fit; pins stay where they are, those of another layer's fit are let go."""
        if not self._open or outcome.result is None:
            return
        try:
            grid = FitGrid.of(outcome.result)
        except TypeError:
            return
        if self._outcome is None or self._outcome.request.group != outcome.request.group:
            self.pins.clear()
        else:
            self.pins.move_to(grid)
        self._outcome, self._grid = outcome, grid
        self._mean = outcome if outcome.mean is not None else None
        if self._place is not None and not _on_grid(self._place, grid.grid):
            self._place = None
        spots = outcome.request.job == "spots"
        titles = () if spots else axis_titles(outcome.request)
        if spots:
            self.plots.setCurrentIndex(2)
        elif len(titles) == 1:
            self.curves.set_labels("data", titles[0])
        else:
            self.surfaces.set_labels((titles[0], titles[1]))
        if not spots:
            self.plots.setCurrentIndex(0 if grid.axis is not None else 1)
        self.histogram.show_result(outcome, grid)
        self._show_pins()

    def show_mean(self, outcome: Outcome) -> None:
        """Show the mean curve of a region and its fit, until the next result comes."""
        if not self._open or outcome.mean is None:
            return
        self._mean = outcome
        self.plots.setCurrentIndex(0)
        self.curves.set_labels("data", axis_titles(outcome.request)[0])
        self.refresh()

    def _mean_shown(self) -> dict[str, Curve]:
        return {} if self._mean is None or self._mean.mean is None else {MEAN: mean_as_curve(self._mean.mean)}

    def _refresh_mean_alone(self) -> None:
        if self._mean is None or self._mean.mean is None:
            return
        curves = self._mean_shown()
        self.curves.draw([Shown(who, curve) for who, curve in curves.items()], colours_of(self._viewer))
        self.table.show_facts({MEAN: facts(self._mean.mean.result, ())}, self._mean.request.units)
        self.table.setVisible(True)
        self._share_width()
        self.note.setText("The mean curve of the region; fit the map to look at single voxels.")

    def refresh(self) -> None:
        """Compute and draw everything that is shown."""
        if self._outcome is None or self._outcome.result is None or self._grid is None:
            self._refresh_mean_alone()
            return
        places = self.shown_places()
        result, request = self._outcome.result, self._outcome.request
        colours = colours_of(self._viewer)
        if self._grid.axis is not None:
            curves = {who: _curve(request, result, place) for who, place in places.items()} | self._mean_shown()
            self.curves.draw([Shown(who, curve) for who, curve in curves.items()], colours)
        elif request.job == "spots":
            sigma = request.wishes.get("sigma")
            self.spots.draw({who: spot_picture(result, place, sigma) for who, place in places.items()}, colours)
        else:
            self.surfaces.draw({who: _cuts(request, result, place) for who, place in places.items()}, colours)
        found = {f"{who} · {place_title(request, place)}": facts(result, place) for who, place in places.items()}
        if self._mean is not None and self._mean.mean is not None:
            mean = self._mean.mean.result
            if mean.model.names == result.model.names:
                found[MEAN] = facts(mean, ())
        before = self.table.columnCount()
        self.table.show_facts(found, request.units)
        # with nothing to tell it would only take the plots' room
        self.table.setVisible(self.table.columnCount() > 0)
        if self.table.columnCount() != before:
            self._share_width()
        self.histogram.mark(places)
        place = places.get(CURSOR, places.get(ON_SCREEN))
        if place is None:
            self.note.setText(HINT if not self.pins.items else f"{HINT} Esc lets go of the pins.")
        else:
            status = next(iter(found.values())).status
            noun = "voxel " if self._grid.axis is not None else ""
            sign = "" if status.converged else "⚠ "
            which = "on screen: " if ON_SCREEN in places else ""
            self.note.setText(f"{sign}{which}{noun}{place_title(request, place)}: {status.message}")
        self._enable()

    def shown_places(self) -> dict[str, Place]:
        """Return the fits that are shown, by "cursor" or the pin's letter."""
        pinned = {pin.letter: pin.place for pin in self.pins.items}
        if self._place is not None:
            return {CURSOR: self._place, **pinned}
        on_screen = None if pinned else self._on_screen()
        return pinned if on_screen is None else {ON_SCREEN: on_screen}

    def _on_screen(self) -> Place | None:
        """Of surfaces, of which there are few: the one nearest to the middle of the slice on screen."""
        if self._outcome is None or self._outcome.result is None:
            return None
        middle = Sight.of_middle(self._viewer)
        return nearest_surface(self._viewer.layers, self._outcome.request.group, self._outcome.result, middle)

    def pin(self, place: Place) -> None:
        """Pin a fit, or let go of it if it is pinned."""
        if self._outcome is None or self._outcome.result is None or self._grid is None:
            return
        if not self.pins.toggle(place, self._grid, self._outcome.result):
            self.note.setText(f"⚠ {len(STYLES)} fits are pinned, which are all there is room for; clear some.")
            return
        self._show_pins()

    def look_at(self, place: Place) -> None:
        """Show a fit as if the pointer were over it, such as one that was chosen in a table."""
        if self._grid is not None and _on_grid(place, self._grid.grid):
            self._place = place
            self.where.setText(", ".join(str(i) for i in place))
            self.refresh()

    def clear_pins(self) -> None:
        """Let go of all pinned fits."""
        if self.pins.items:
            self.pins.clear()
            self._show_pins()

    def tidy(self) -> None:
        """Take marks out of the viewer."""
        if self._open:
            self.histogram.forget_range()
            self.clear_pins()

    def shut_down(self) -> None:
        """Let go of the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self.follower.stop()
        self.histogram.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._stepped.stop()
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._viewer.events.theme.disconnect(self._on_theme)
        self._escape.release()
        self._outcome = self._grid = self._place = self._mean = None

    def _find_result(self) -> None:
        """Show what the dock "Image Fit" has fitted last, when opened by hand."""
        window = getattr(self._viewer, "window", None)
        if not self._open or self._outcome is not None or window is None:
            return
        for widget in window.dock_widgets.values():
            outcome = getattr(getattr(widget, "inspection", None), "outcome", None)
            if outcome is not None:
                self.show_result(outcome)

    def _show_pins(self) -> None:
        if self._outcome is not None and self._grid is not None:
            show_pins(self._viewer.layers, self._outcome.request, self._grid, self.pins.items)
        self.refresh()

    def _under(self, sight: Sight) -> Place | None:
        if self._outcome is None or self._outcome.result is None:
            return None
        return pick(self._viewer.layers, self._outcome.request.group, self._outcome.result, sight)

    def _on_moved(self, sight: Sight) -> None:
        place = self._under(sight)
        if place != self._place:
            self._place = place
            if place is not None:
                self.where.setText(", ".join(str(i) for i in place))
            self.refresh()

    def _on_step(self, _event: object = None) -> None:
        self._stepped.start()

    def _on_stepped(self) -> None:
        """Another slice, while the pointer is elsewhere: another fit is on screen."""
        if self._place is None and self._grid is not None and self._grid.axis is None and self.isVisible():
            self.refresh()

    def _on_clicked(self, sight: Sight) -> None:
        place = self._under(sight)
        if place is not None:
            self._place = place
            self.pin(place)

    def _on_pin_button(self) -> None:
        on_screen = None if self.where.text().strip() else self.shown_places().get(ON_SCREEN)
        place = on_screen if self._place is None else self._place
        if place is not None:
            self.pin(place)
        else:
            self._on_typed()

    def _on_typed(self) -> None:
        if self._grid is None:
            return
        words = self.where.text().replace(",", " ").split()
        try:
            place = tuple(int(word) for word in words)
        except ValueError:
            place = ()
        if not words or not _on_grid(place, self._grid.grid):
            shape = " × ".join(str(n) for n in self._grid.grid)
            self.note.setText(
                f"⚠ {self.where.text()!r} is no place on the grid of {shape} fits; type {len(self._grid.grid)} "
                "whole numbers, each from 0 and below the grid's length."
            )
            return
        self.pin(place)

    def _on_histogram(self, shown: bool) -> None:
        self.histogram.setVisible(shown)
        self._share_width()

    def _share_width(self) -> None:
        """Make the table as wide as it wants to be, unless the plots would get too narrow."""
        width = self.splitter.width()
        counts = HISTOGRAM_WIDTH if self.bar.histogram.isChecked() else 0
        plots = max(width - counts - self.table.wanted_width(), int(0.45 * width))
        self.splitter.setSizes([plots, max(width - counts - plots, 0), counts])

    def _on_removed(self, event: Any) -> None:
        what = event.value.metadata.get(MARK, {}).get("what")
        if what == PINS and self.pins.items:
            self.pins.clear()
            self.refresh()
        elif what == CHOSEN:
            self.histogram.forget_range()

    def _on_theme(self, _event: object = None) -> None:
        colours = colours_of(self._viewer)
        for graphics in (self.curve_graphics, self.surface_graphics):
            graphics.setBackground(colours.background)
        self.curves.set_colours(colours)
        self.surfaces.set_colours(colours)
        self.spots.set_colours(colours)
        self.histogram.set_colours(colours)
        self.refresh()

    def _enable(self) -> None:
        """Offer what can be done."""
        self.bar.offer(ready=self._grid is not None, pinned=bool(self.pins.items))


def _curve(request: Request, result: FitResult, place: Place) -> Curve:
    raw = request.data if isinstance(request.data, np.ndarray) else None
    return voxel_curve(result, place, raw, request.wishes.get("sigma"))


def _cuts(request: Request, result: FitResult, place: Place) -> Cuts:
    return surface_cuts(result, place, request.wishes.get("sigma"))


def _on_grid(place: Place, grid: tuple[int, ...]) -> bool:
    return len(place) == len(grid) and all(0 <= i < n for i, n in zip(place, grid, strict=True))
