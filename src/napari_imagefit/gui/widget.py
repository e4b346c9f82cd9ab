"""The dock widget "Image Fit": its sections from top to bottom, and what happens when they change."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..engine.core.errors import FitInputError
from ..layers.geometry.output_layers import shown_roles
from ..layers.inspection.state_counts import state_of
from ..layers.request.choices import Choices
from ..layers.request.fit_request import Outcome, Request
from ..layers.request.freeze import freeze
from ..layers.tasks.voxel_tasks import run_mean
from .background.timers import single_shot
from .canvas.draw_once import DrawOnce
from .canvas.numbered_regions import NumberedRegions
from .handles.starts import StartHandles
from .inspector.inspector_dock import Inspection
from .live.live import Live
from .parameter_table.parameters import ParameterList
from .result_actions import FollowUps
from .sections.data import DataSection
from .sections.fit_bar import FitBar
from .sections.model import ModelSection
from .sections.options import OptionsSection, options_fold
from .sections.region import RegionSection
from .sections.results import ResultsSection
from .sections.samples import SamplesSection, samples_fold
from .shown_values import ShownValues
from .spots.controller import SpotWork
from .state.collect_choices import HOW_TO_DRAW, SAMPLE, choices_of, layer_to_draw_in, restore_defaults, set_up, units_of
from .state.messages import describe_mean, describe_outcome
from .state.past import Past
from .state.session import Session
from .widgets.dock_widget import Docked
from .widgets.drawing import show_plane
from .widgets.forms import Card
from .widgets.in_gui_words import in_gui_words
from .widgets.message import MessageText
from .widgets.scroll_column import Column
from .widgets.theme import warning_colour
from .wiring import connect, disconnect

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from ..imaging.spots.detection import Detection
    from ..layers.request.choices import NoiseChoice

NO_IMAGE = "Open an image, or a sample from File → Open Sample."
CHOICE_DEBOUNCE_MS = 400  # without another choice
WIDTH = 320  # pixels
STOPPED = "Cancelled; what had been fitted is kept. 'Resume' fits the rest."
LAYOUT_DELAY_MS = 150  # in which a section that has just opened takes its place


class ImageFitWidget(Docked):
    """Dock widget: choose data, model, region and bounds, click *Fit*; the results come back as layers.

    It is a column of sections, each of which knows its own controls only, and the objects that act on them: `session`
    runs fits, `follow_ups` what can be done with a result, `live` the fits that follow the hand, `past` history and
    undo. The widget connects them (`wiring`), reads all controls at once (`choices`), and computes nothing itself.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # plugins are handed a proxy, whose layers are proxies too and so never the ones that events tell of
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._clicked = 0.0
        # the defaults of a sample: its noise and its detection
        self.sample_defaults: tuple[NoiseChoice, Detection | None] | None = None
        self._open = True
        self._is_problem = self._was_stopped = False
        layers = self._viewer.layers
        self.data = DataSection(layers)
        self.samples = SamplesSection()
        self.samples_fold = samples_fold(self.samples)
        self.model = ModelSection()
        self.region = RegionSection(layers)
        self.spots = SpotWork(self._viewer, self)
        self.parameters = ParameterList(layers)
        self.options = OptionsSection(layers)
        self.options_fold = options_fold(self.options)
        self.inspection = Inspection(self._viewer)
        self.results = ResultsSection()
        self.fit_bar = FitBar()
        self.message = MessageText()
        self.session = Session(layers)
        self.follow_ups = FollowUps(self._viewer, self.results, self.session)
        self.past = Past(self, self._viewer)
        self.fit_bar.add_tools(self.past.undo.undo_button, self.past.undo.redo_button)
        self.values = ShownValues(self)
        self.live = Live(self, self._viewer)
        self.drawing = DrawOnce(self._viewer)
        self.by_numbers = NumberedRegions(
            self._viewer, self.region.numbers, lambda: layer_to_draw_in(self, self._viewer)
        )
        self._settle = single_shot(self, CHOICE_DEBOUNCE_MS, self._prepare)

        self.data_card = Card(
            "Data",
            "The layer, where in it is fitted, and what",
            self.data,
            self.samples_fold,
            self.region,
            self.spots.section,
            self.spots.fold,
        )
        self.model_card = Card(
            "Model",
            "What is fitted: the model, its parameters, and how",
            self.model,
            self.parameters,
            self.options_fold,
        )
        self.results_fold = Card("Results", "What became of the fits, and what can be done next", self.results)
        self.results_fold.hide()
        self.column = Column(self.data_card, self.model_card, self.results_fold)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(4)
        # what is pressed, and what comes of it, is always in sight
        layout.addWidget(self.column, 1)
        layout.addWidget(self.fit_bar)
        layout.addWidget(self.message)
        self.setMinimumWidth(WIDTH)

        connect(self, self._viewer)
        self.handles = StartHandles(self, self._viewer, self.past.undo)
        self._on_job(self.data.job)
        self._on_image(self.data.image)
        self.past.find_again()

    def sizeHint(self) -> QSize:
        """Return the least width: the image comes first."""
        return QSize(WIDTH, super().sizeHint().height())

    def choices(self) -> Choices:
        """Everything that is chosen now.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        return choices_of(self, self._viewer)

    def _request(self) -> Request:
        choices = self.choices()
        return self.follow_ups.shown.with_choice(freeze(choices, shown_roles(self._viewer.layers, choices.group)))

    def _prepare(self) -> None:
        """Load what fits need, once choices have not changed for a while."""
        if self._open and self.data.image is not None:
            self.session.load()

    def fit(self) -> None:
        """Fit what is chosen now; a mistake becomes a sentence in the widget."""
        clicked = time.perf_counter()
        self.live.cancel()
        with self._said():
            self.session.start(self._request())
            self._clicked = clicked

    def fit_mean(self) -> None:
        """Fit the mean curve of the region alone."""
        with self._said():
            request = self._request()
            self.session.start(request, partial(run_mean, request))

    @contextlib.contextmanager
    def _said(self) -> Any:
        try:
            yield
        except FitInputError as error:
            self.say(str(error), problem=True)

    def cancel(self, why: str = "Cancelled; the layers are as they were.") -> None:
        """Stop the fit under way: a map that has begun to fill in is kept, marked as unfinished; anything else goes."""
        if self.live.cancel():
            self.say("Cancelled; the next change is fitted again.")
        elif self.session.stop():
            self._was_stopped = True
            self.fit_bar.set_busy("stopping…")
        else:
            self._drop("Cancelled; what the maps show is unfinished." if self.session.stopping else why)

    def _drop(self, why: str) -> None:
        if self.session.cancel():
            self.fit_bar.set_idle()
            self.say(why)

    def tidy(self) -> None:
        """Take the preview of spots, and pins that nobody looks at, out of the viewer; remember the settings."""
        self.past.undo.record()
        self.spots.tidy()
        self.inspection.tidy()
        self.drawing.end()

    def shut_down(self) -> None:
        """Stop the worker and let go of the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self._settle.stop()
        self.live.stop()
        self.handles.stop()
        self.past.stop()
        self.parameters.keep()
        self.session.cancel()
        self.inspection.close()
        self.spots.stop()
        self.drawing.end()
        self.by_numbers.stop()
        disconnect(self, self._viewer)
        self.follow_ups.forget()
        self.follow_ups.stop()
        self.values.stop()

    def _on_image(self, image: Image | None) -> None:
        restore_defaults(self)
        if image is not None and "job" in image.metadata.get(SAMPLE, {}) and not self.past.undo.applying:
            set_up(self, self._viewer, image)
        self._follow_region()
        self.fit_bar.set_context(self.data.job, image)
        self.fit_bar.show_counts(None)
        self.spots.set_context(self.data.job, image)
        self.say(NO_IMAGE if image is None else "")
        self.show_nothing()
        self.past.on_image(image)

    def _on_job(self, job: Any) -> None:
        self.model.set_job(job)
        self.samples_fold.setVisible(job == "voxels")
        self.options.set_job(job)
        self.region.set_context(job)
        self._follow_region()
        self.fit_bar.set_context(job, self.data.image)
        self.spots.set_context(job, self.data.image)
        self._settle.start()

    def _follow_region(self, _layer: object = None) -> None:
        """Show regions by numbers in the plane in which they lie now."""
        axis = self.data.chosen_axis if self.data.job == "voxels" else None
        self.by_numbers.follow(self.region.layer, self.data.image, axis)

    def _on_axis(self) -> None:
        self._follow_region()
        self._refresh_units()
        self._settle.start()

    def _on_changed(self) -> None:
        if self._is_problem:
            self.say("")  # of what was chosen before
        self._settle.start()

    def _on_space(self, ndim: int) -> None:
        """Spots are searched in volumes: then they are fitted with one, and the other way round."""
        if self.data.job == "spots" and self.model.model.ndim != ndim:
            self.model.set_model("gaussian_3d" if ndim == 3 else "gaussian_2d")

    def _on_filtered(self, outcome: Outcome) -> None:
        before = self.follow_ups.outcome
        if before is not None and before.result is outcome.result:
            self.follow_ups.outcome = outcome
            self.past.history.update(outcome)
            if self.message.text() == describe_outcome(before):
                self.say(describe_outcome(outcome))

    def _on_model(self, _model: object) -> None:
        self.spots.set_model_axes(self.model.model.ndim)
        self._clear_values()
        if self.follow_ups.outcome is not None:
            self.values.show_fits(self.follow_ups.outcome)

    def _clear_values(self) -> None:
        self._refresh_units()
        self.values.show_fits(None)
        self._settle.start()

    def _refresh_units(self) -> None:
        self.parameters.set_model(self.model.model, units_of(self))

    def _draw(self, left_out: bool) -> None:
        with self._said():
            self.drawing.begin(layer_to_draw_in(self, self._viewer, left_out=left_out))
            self.say(HOW_TO_DRAW)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if SAMPLE in layer.metadata:
            # whoever opens a sample wants to fit it, where it is meant to be fitted
            self.data.layers.choose(layer)
            self.region.layers.choose(layer)

    def _on_removed(self, event: Any) -> None:
        request = self.session.request
        if request is not None and str(event.value.unique_id) == request.source:
            self._drop(f"Layer {event.value.name!r} was removed while it was being fitted; the fit was stopped.")

    def _on_started(self) -> None:
        self._clicked = time.perf_counter()
        self._was_stopped = False
        self.fit_bar.set_busy("preparing…")
        self.say("")

    def _on_failed(self, sentence: str) -> None:
        self.fit_bar.set_idle()
        self.say(sentence, problem=True)

    def _on_finished(self, outcome: Outcome) -> None:
        self.fit_bar.set_idle()
        seconds, entry = self.live.take(outcome, time.perf_counter() - self._clicked)
        if outcome.result is None:
            self.show_mean(self.past.add(outcome, seconds))
            return
        if outcome.request.job == "voxels" and self.data.image is not None:
            # the inspector keeps in view what is seen when it opens
            show_plane(self._viewer, self.data.image, outcome.request.axis)
        said = describe_outcome(outcome)
        first = STOPPED if self._was_stopped else self.live.note
        self.say(f"{first}\n{said}" if first else said)
        self.show_outcome(self.past.add(outcome, seconds, instead=entry), seconds, quietly=self.live.follows)
        self.live.keep(self.past.history.current)

    def show_mean(self, outcome: Outcome) -> None:
        """Show the fit of a mean curve in values and inspector; results stay about the map."""
        assert outcome.mean is not None
        self.values.show_fits(outcome)
        self.say(describe_mean(outcome.mean))
        self.inspection.feed_mean(outcome)
        self.results_fold.show()

    def show_outcome(self, outcome: Outcome, seconds: float, *, quietly: bool = False) -> None:
        """Show a fit that took so long in values, results and inspector; `quietly` opens no dock for it."""
        assert outcome.result is not None
        # first: what the inspector looks at now is a place among these fits
        self.values.set_fits(outcome)
        if quietly:
            self.inspection.show_where_open(outcome)
        else:
            self.inspection.feed(outcome)
        self.values.refresh()
        if outcome.request.job == "spots":
            outcome = self.spots.take(outcome)
            self.past.history.update(outcome)
        self.follow_ups.take(outcome)
        assert outcome.result is not None
        self.fit_bar.show_counts(state_of(outcome.result), seconds)
        if not self.results.is_about_fit:
            self.results.set_about_fit(True)
            self.results_fold.show()
            self.results_fold.set_open(True)
            QTimer.singleShot(LAYOUT_DELAY_MS, self._reveal_results)

    def _reveal_results(self) -> None:
        if self._open:
            self.column.reveal(self.results_fold)

    def show_nothing(self) -> None:
        """Show no fit in values, results and inspector; the history stays in sight."""
        self.past.history.make_current(None)
        self.follow_ups.forget()
        self.inspection.forget()
        self.results.set_about_fit(False)
        self.results_fold.setVisible(bool(self.past.history.entries))
        self._clear_values()

    def _visit(self, kind: str) -> None:
        """Look at the next fit of a kind."""
        if self.follow_ups.outcome is not None:
            self.results_fold.set_open(True)
            self.follow_ups.visit(kind)

    def _leave_out(self, saturation: float) -> None:
        """Leave samples from that value on out of the next fit."""
        (self.samples if self.data.job == "voxels" else self.spots.section).set_saturation(saturation)
        self.say(f"Samples from {saturation:g} on do not count in the next fit; click Fit.")

    def say(self, text: str, problem: bool = False) -> None:
        """Say a sentence below the bar; one about a problem in the words of the window."""
        self._is_problem = problem
        text = in_gui_words(text) if problem else text
        # not by colour alone: a sign stands before it
        self.message.say(f"⚠ {text}" if problem else text, warning_colour(self._viewer) if problem else "")

    def _on_theme(self, _event: object = None) -> None:
        """Tell of a problem in a colour of the new theme."""
        if self.message.text().startswith("⚠"):
            self.message.say(self.message.text(), warning_colour(self._viewer))
