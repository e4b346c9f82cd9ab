"""The dock "Inspect": data, fit and residuals of the fit that is looked at and of pinned ones, or a map's histogram."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut, QShowEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from ...engine.results.fit_result import FitResult
from ...imaging.fitting.fit_report import Place, facts
from ...imaging.inspection.curves import Curve, counted_now, voxel_curve
from ...imaging.inspection.spot_cuts import spot_picture
from ...imaging.inspection.surface_cuts import Cuts, Profile, surface_cuts
from ...layers.inspection.marks import CHOSEN, MARK_KEY
from ...layers.request.fit_request import Request, mean_as_curve
from ...layers.request.naming import axis_titles, place_title
from ..background.compile_wait import CompileWait
from ..canvas.fitted_view import keep_fitted, let_go
from ..plots.bands import Range
from ..plots.curve_plot import CurvePage, Shown
from ..plots.plotting import colours_of
from ..plots.spot_plot import SpotPage
from ..plots.styles import CURSOR, MEAN
from ..plots.surface_plot import SurfacePage
from ..widgets.dock_widget import Below
from ..widgets.numbers import shortened
from .histogram import HistogramPanel
from .inspect_bar import PLOTS, InspectBar
from .words import details_of, line_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from .looking import Looking

PlotPage = TypeVar("PlotPage", CurvePage, SurfacePage, SpotPage)

NO_FIT_YET = "Nothing has been fitted yet: open Plugins → napari-imagefit → Image Fit, choose data and click Fit."
HINT = "Move the pointer over the fit; a click pins what is under it."
OF_THE_MEAN = "The mean curve of the region; fit the map to look at single voxels."


class Inspector(Below):
    """Shows what the last fit found where the pointer is, and where it was pinned.

    Everything is computed from the result whenever it is shown; of curves what is shown is kept, to be drawn again when
    other samples count.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # plugins are handed a proxy, whose layers are proxies too and so never the ones that events tell of
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._open = True
        self._due = False
        self._sentence: tuple[str, str] = (NO_FIT_YET, "")
        self._compiling = CompileWait(self.refresh, self)
        self.looking: Looking | None = None
        self.bar = InspectBar()
        self.note, self.where = self.bar.note, self.bar.where
        self.hint = QLabel(NO_FIT_YET)
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.hint.setMinimumSize(1, 1)
        self.plots = QStackedWidget()
        self.plots.addWidget(self.hint)
        self._plot_pages: list[CurvePage | SurfacePage | SpotPage] = []
        self.curve_page = self._added(CurvePage())
        self.curves = self.curve_page.panel
        self._curves: dict[str, Curve] = {}
        self.histogram = HistogramPanel(self._viewer.layers, colours_of(self._viewer))
        self.pages = QStackedWidget()
        tabs: tuple[QWidget, ...] = (self.plots, self.histogram)
        for tab in tabs:
            # one that is hidden is not narrowed, and would keep all from it
            tab.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
            self.pages.addWidget(tab)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.setSpacing(2)
        layout.addWidget(self.bar)
        layout.addWidget(self.pages, 1)

        self.bar.tabs.currentChanged.connect(self._on_tab)
        self.bar.profile.currentIndexChanged.connect(self._on_profile)
        self.where.returnPressed.connect(self._on_typed)
        self.bar.pin.clicked.connect(self._on_pin_button)
        self.bar.clear.clicked.connect(self.clear_pins)
        self.bar.exclude.clicked.connect(lambda: self.curve_page.bands.add())
        self.curve_page.bands.changed.connect(self._on_bands)
        self.histogram.said.connect(self._show_note)
        QShortcut(QKeySequence(Qt.Key.Key_Escape), self, self.clear_pins).setContext(
            Qt.ShortcutContext.WidgetWithChildrenShortcut
        )
        keep_fitted(self._viewer)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._show_note()
        QTimer.singleShot(0, self._find_fits)

    # plots that most never see are made as they are drawn first: each takes 10 ms

    @functools.cached_property
    def surfaces(self) -> SurfacePage:
        """Plots of regions."""
        return self._added(SurfacePage())

    @functools.cached_property
    def spots(self) -> SpotPage:
        """Plots of spots."""
        return self._added(SpotPage())

    def _added(self, page: PlotPage) -> PlotPage:
        page.set_colours(colours_of(self._viewer))
        self._plot_pages.append(page)
        self.plots.addWidget(page)
        return page

    @property
    def place(self) -> Place | None:
        """The fit that is looked at, by its position on the grid."""
        return None if self.looking is None else self.looking.place

    def watch(self, looking: Looking) -> None:
        """Show what is looked at there, and nothing else."""
        if not self._open or looking is self.looking:
            return
        self._let_go()
        self.looking = looking
        looking.hold()
        looking.fed.connect(self._on_fed)
        looking.changed.connect(self.refresh)
        looking.recounted.connect(self._on_recounted)
        looking.said.connect(self._warn)
        self._on_fed()

    def shown_places(self) -> dict[str, Place]:
        """Return the fits that are shown, by how they came to be or the pin's letter."""
        return {} if self.looking is None else self.looking.shown_places()

    def refresh(self) -> None:
        """Compute and draw everything that is shown, or once it can be seen."""
        self._due = not self.isVisible()
        if self._due or self.looking is None:
            return
        places = self.shown_places()
        if not self._compiling.call(self._draw, places):
            return  # what is shown stays meanwhile
        self.histogram.mark(places)
        self._sentence = self._words(places)
        self._show_note()
        if self.looking.place is not None and not self.where.hasFocus():
            self.where.setText(", ".join(str(i) for i in self.looking.place))
        self.bar.offer(ready=self.looking.grid is not None, pinned=bool(self.looking.pins.items))

    def clear_pins(self) -> None:
        """Remove all pins."""
        if self.looking is not None:
            self.looking.clear_pins()

    def tidy(self) -> None:
        """Take marks out of the viewer."""
        if self._open:
            self.histogram.forget_range()
            if self.looking is not None:
                self.looking.tidy()

    def shut_down(self) -> None:
        """Disconnect from the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self._compiling.stop()
        self._let_go()
        let_go(self._viewer)
        self.histogram.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.events.theme.disconnect(self._on_theme)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what was not drawn while hidden."""
        super().showEvent(event)
        if self._due:
            self.refresh()

    def _let_go(self) -> None:
        if self.looking is None:
            return
        self.looking.fed.disconnect(self._on_fed)
        self.looking.changed.disconnect(self.refresh)
        self.looking.recounted.disconnect(self._on_recounted)
        self.looking.said.disconnect(self._warn)
        self.looking.release()
        self.looking = None

    def _find_fits(self) -> None:
        """Watch what the dock "Image Fit" has fitted last, when opened by hand."""
        window = getattr(self._viewer, "window", None)
        if not self._open or self.looking is not None or window is None:
            return
        for widget in window.dock_widgets.values():
            inspection = getattr(widget, "inspection", None)
            if inspection is not None:
                self.watch(inspection)
                return

    def _on_fed(self) -> None:
        """Another result, or none: its kind of plot, with its axes."""
        assert self.looking is not None
        outcome, grid, mean = self.looking.outcome, self.looking.grid, self.looking.mean
        of_region = outcome is not None and grid is not None and grid.axis is None and outcome.request.job != "spots"
        self.bar.offer_plots(profile=of_region)
        if outcome is not None and grid is not None:
            self.histogram.show_result(outcome, grid)
        else:
            self.histogram.forget_result()
            self.bar.tabs.setCurrentIndex(PLOTS)
        curve = mean if mean is not None else outcome
        if curve is not None and curve.request.job == "voxels":
            self.curves.set_labels("data", axis_titles(curve.request)[0])
        self.refresh()

    def _profile(self) -> Profile:
        return "mean" if self.bar.profile.currentData() == "mean" else "cut"

    def _draw(self, places: dict[str, Place]) -> None:
        """Draw the plots of these fits; without any, show what there is to do."""
        assert self.looking is not None
        outcome, grid, mean = self.looking.outcome, self.looking.grid, self.looking.mean
        colours = colours_of(self._viewer)
        means = {} if mean is None or mean.mean is None else {MEAN: mean_as_curve(mean.mean)}
        if self.looking.voxel is not None:
            own = self.looking.voxel
            means = {CURSOR: _curve(own.request, own.result, own.own), **means}
        if outcome is None or outcome.result is None or grid is None or not places:
            self._draw_curves(means)
            self.hint.setText(NO_FIT_YET if outcome is None else HINT)
            self.plots.setCurrentWidget(self.curve_page if means else self.hint)
            return
        result, request = outcome.result, outcome.request
        if grid.axis is not None:
            self._draw_curves({who: _curve(request, result, place) for who, place in places.items()} | means)
            self.plots.setCurrentWidget(self.curve_page)
            return
        self._draw_curves({})
        if request.job == "spots":
            sigma = request.settings.sigma
            self.spots.draw({who: spot_picture(result, place, sigma) for who, place in places.items()}, colours)
            self.plots.setCurrentWidget(self.spots)
        else:
            how = self._profile()
            first, second = axis_titles(request)
            self.surfaces.set_labels((first, second), "mean" if how == "mean" else "through the centre")
            self.surfaces.draw({who: _cuts(request, result, place, how) for who, place in places.items()}, colours)
            self.plots.setCurrentWidget(self.surfaces)

    def _draw_curves(self, curves: dict[str, Curve]) -> None:
        """Draw curves, or none."""
        self._curves = curves
        shown, bands = self._counted()
        self.curve_page.draw(shown, colours_of(self._viewer))
        self._draw_bands(bands)

    def _counted(self) -> tuple[list[Shown], Sequence[Range] | None]:
        """Return the curves with the samples that count in the next fit, and the ranges of those that do not.

        None for the ranges where the next fit is not of these curves.
        """
        assert self.looking is not None
        about, ranges = self.looking.mean or self.looking.outcome, self.looking.ranges
        select = None if about is None or ranges is None or not self._curves else ranges.of(about.request)
        if select is None:
            return [Shown(who, curve) for who, curve in self._curves.items()], None
        # of a mean it is the values of its voxels that decide, and they are not here
        asked = {MEAN: select.by_place()}
        shown = [Shown(who, counted_now(curve, asked.get(who, select))) for who, curve in self._curves.items()]
        return shown, select.exclude

    def _draw_bands(self, bands: Sequence[Range] | None) -> None:
        x = next((curve.x for curve in self._curves.values()), np.empty(0))
        self.curve_page.bands.show(bands, x)
        self.bar.offer_plots(exclude=bands is not None)

    def _on_recounted(self) -> None:
        """Other samples count in the next fit: the plot shows it at once."""
        self._due |= not self.isVisible()
        if self._curves and not self._due:
            shown, bands = self._counted()
            self.curves.recount(shown)
            self._draw_bands(bands)

    def _on_bands(self, bands: Sequence[Range]) -> None:
        if self.looking is not None and self.looking.ranges is not None:
            self.looking.ranges.exclude(bands)

    def _words(self, places: dict[str, Place]) -> tuple[str, str]:
        """Return the line above the plots, and what its tooltip tells of all fits that are shown."""
        assert self.looking is not None
        outcome, mean = self.looking.outcome, self.looking.mean
        told = []
        if mean is not None and mean.mean is not None:
            told.append(details_of(MEAN, facts(mean.mean.result, ()), mean.request.units))
        if outcome is None or outcome.result is None:
            return (OF_THE_MEAN, "\n\n".join(told)) if told else (NO_FIT_YET, "")
        request, result = outcome.request, outcome.result
        found = {who: (_title(request, place), facts(result, place)) for who, place in places.items()}
        told = [details_of(f"{who} · {title}", one, request.units) for who, (title, one) in found.items()] + told
        if self.looking.place is None:
            more = " Esc lets go of the pins." if found else ""
            return HINT + more, "\n\n".join(told)
        who, (title, one) = next(iter(found.items()))
        return line_of(title if who == CURSOR else f"{who} · {title}", one), "\n\n".join(told)

    def _warn(self, why: str) -> None:
        self._sentence = f"⚠ {why}", ""
        self.bar.say(*self._sentence)  # beside the histogram too

    def _show_note(self) -> None:
        if self.pages.currentWidget() is self.histogram:
            self.bar.say(self.histogram.words)
        elif self.plots.currentWidget() is self.hint and self._sentence[0] == self.hint.text():
            self.bar.say("")  # it stands below, in the middle
        else:
            self.bar.say(*self._sentence)

    def _on_tab(self, index: int) -> None:
        self.pages.setCurrentIndex(index)
        self._show_note()

    def _on_profile(self, _index: int) -> None:
        self.refresh()

    def _on_pin_button(self) -> None:
        assert self.looking is not None
        if self.where.text().strip():
            self._on_typed()
        elif self.looking.place is not None:
            self.looking.pin(self.looking.place)

    def _on_typed(self) -> None:
        if self.looking is None or self.looking.grid is None:
            return
        words = self.where.text().replace(",", " ").split()
        # whole numbers of a sane length: others are on no grid
        place = tuple(int(word) for word in words if word.isdecimal() and len(word) < 10)
        if len(place) == len(words) and words and self.looking.has(place):
            self.looking.pin(place)
            return
        grid = self.looking.grid.grid
        self._warn(
            f"{shortened(self.where.text())!r} is no place on the grid of {' × '.join(map(str, grid))} fits; type "
            f"{len(grid)} whole numbers, each from 0 and below the grid's length."
        )

    def _on_removed(self, event: Any) -> None:
        if event.value.metadata.get(MARK_KEY, {}).get("what") == CHOSEN:
            self.histogram.forget_range()

    def _on_theme(self, _event: object = None) -> None:
        colours = colours_of(self._viewer)
        for page in self._plot_pages:
            page.set_colours(colours)
        self.histogram.set_colours(colours)
        self.refresh()


def _title(request: Request, place: Place) -> str:
    noun = "voxel " if request.job == "voxels" else ""
    return noun + place_title(request, place)


def _curve(request: Request, result: FitResult, place: Place) -> Curve:
    raw = request.data if isinstance(request.data, np.ndarray) else None
    return voxel_curve(result, place, raw, request.settings.sigma)


def _cuts(request: Request, result: FitResult, place: Place, profile: Profile) -> Cuts:
    return surface_cuts(result, place, request.settings.sigma, profile)
