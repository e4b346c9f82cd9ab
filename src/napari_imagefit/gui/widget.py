"""The dock widget "Image Fit": its sections from top to bottom, and what happens when they change."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..engine.core.errors import FitInputError
from ..engine.core.progress import Progress
from ..engine.results.fit_result import FitResult
from ..layers.geometry.output_layers import shown_roles
from ..layers.geometry.transforms import index_on_screen
from ..layers.request.choices import Choices
from ..layers.request.fit_request import Outcome, Request
from ..layers.tasks.freeze import freeze
from ..layers.tasks.voxel_tasks import run_mean
from .collect_choices import SAMPLE, begin_drawing, choices_of, set_up, take_back, units_of
from .inspector.inspector_dock import Inspection
from .messages import describe_mean, describe_outcome
from .result_actions import FollowUps
from .sections.data import DataSection
from .sections.fit_bar import FitBar
from .sections.model import ModelSection
from .sections.options import OptionsSection, options_fold
from .sections.parameters import ParameterTable
from .sections.region import RegionSection
from .sections.results import ResultsSection
from .sections.samples import SamplesSection, samples_fold
from .session import Session
from .shown_values import values_shown
from .spots.controller import SpotWork
from .widgets.dock_widget import Docked
from .widgets.drawing import show_plane
from .widgets.forms import Fold
from .widgets.scroll_column import Column

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from ..imaging.spots.detection import Detection
    from ..layers.request.choices import NoiseChoice

SETTLED = 400  # ms without another choice
ROOM = 150  # ms in which a section that has just opened takes its place


class ImageFitWidget(Docked):
    """Choose data, model, region and bounds; click Fit; the results come back as layers.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # plugins are handed a proxy, whose layers are proxies too and so never the ones that events tell of
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._result: FitResult | None = None
        # what a sample has set: its noise, and with what its spots are found
        self.lent: tuple[NoiseChoice, Detection | None] | None = None
        self._open = True
        layers = self._viewer.layers
        self.data = DataSection(layers)
        self.samples = SamplesSection()
        self.samples_fold = samples_fold(self.samples)
        self.model = ModelSection()
        self.region = RegionSection(layers)
        self.spots = SpotWork(self._viewer, self)
        self.parameters = ParameterTable(layers)
        self.options = OptionsSection(layers)
        self.options_fold = options_fold(self.options)
        self.inspection = Inspection(self._viewer)
        self.inspect_button = QPushButton("Inspec&t")
        self.inspect_button.setToolTip("Show the fit under the pointer below the canvas (Alt+T)")
        self.results = ResultsSection(self.inspect_button)
        self.results_fold = Fold("Results", self.results, "What became of the fits, and what can be done next")
        self.results_fold.hide()
        self.fit_bar = FitBar()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.setAccessibleName("Result")
        self.message.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.session = Session(layers)
        self.follow_ups = FollowUps(self._viewer, self.results, self.session)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLED)
        self._settle.timeout.connect(self._prepare)

        self.column = Column(
            self.data,
            self.samples_fold,
            self.model,
            self.region,
            self.spots.section,
            self.spots.fold,
            self.parameters,
            self.options_fold,
            self.results_fold,
        )
        layout = QVBoxLayout(self)
        # what is pressed, and what comes of it, is always in sight
        layout.addWidget(self.column, 1)
        layout.addWidget(self.fit_bar)
        layout.addWidget(self.message)

        self.data.layer_chosen.connect(self._on_image)
        self.data.job_chosen.connect(self._on_job)
        self.data.axis_chosen.connect(self._on_axis)
        self.samples.changed.connect(self._on_changed)
        self.options.changed.connect(self._on_changed)
        self.model.model_chosen.connect(self._on_model)
        self.region.draw.connect(self._draw)
        self.region.fit_mean.connect(self.fit_mean)
        self.spots.said.connect(lambda text, problem: self._say(text, problem=problem))
        self.spots.changed.connect(self._on_changed)
        self.spots.space_chosen.connect(self._on_space)
        self.spots.filtered.connect(self._on_filtered)
        self.spots.looked_at.connect(lambda place: self.inspection.look_at(place))
        self.fit_bar.fit.clicked.connect(lambda: self.fit())
        self.fit_bar.cancel.clicked.connect(lambda: self.cancel())
        self.inspect_button.clicked.connect(lambda: self.inspection.open())
        self.session.started.connect(self._on_started)
        self.session.progressed.connect(self._on_progress)
        self.session.finished.connect(self._on_finished)
        self.session.failed.connect(self._on_failed)
        self.follow_ups.said.connect(lambda text, problem: self._say(text, problem=problem))
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.current_step.connect(self._show_values)

        self._on_job(self.data.job)
        self._on_image(self.data.image)

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
        group = "" if choices.image is None else str(choices.image.unique_id)
        return freeze(choices, shown_roles(self._viewer.layers, group))

    def _prepare(self) -> None:
        """Load what fits need, once choices have not changed for a while."""
        if self._open and self.data.image is not None:
            self.session.load()

    def fit(self) -> None:
        """Fit what is chosen now; a mistake becomes a sentence in the widget."""
        with self._said():
            self.session.start(self._request())

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
            self._say(str(error), problem=True)

    def cancel(self, why: str = "Cancelled; the layers are as they were.") -> None:
        """Stop the fit under way: a map that has begun to fill in is kept, marked as unfinished; anything else goes."""
        if self.session.stop():
            self.fit_bar.set_busy("stopping…")
        else:
            self._drop("Cancelled; what the maps show is unfinished." if self.session.stopping else why)

    def _drop(self, why: str) -> None:
        if self.session.cancel():
            self.fit_bar.set_idle()
            self._say(why)

    def tidy(self) -> None:
        """Take the preview of spots out of the viewer."""
        self.spots.tidy()

    def shut_down(self) -> None:
        """Stop the worker and let go of the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self._settle.stop()
        self.session.cancel()
        self.inspection.close()
        self.spots.stop()
        for combo in (self.data.layers, self.region.layers, self.options.sigma_layer):
            combo.disconnect_layers()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.current_step.disconnect(self._show_values)
        self.follow_ups.forget()
        self.follow_ups.stop()
        self._result = None

    def _on_image(self, image: Image | None) -> None:
        take_back(self)
        if image is not None and "job" in image.metadata.get(SAMPLE, {}):
            set_up(self, self._viewer, image)
        self.region.set_context(self.data.job, image)
        self.spots.set_context(self.data.job, image)
        if self.follow_ups.outcome is not None:
            self._say("")  # it was of the other image
        self.follow_ups.forget()
        self.results_fold.hide()
        self._clear_values()

    def _on_job(self, job: Any) -> None:
        self.model.set_job(job)
        self.samples_fold.setVisible(job == "voxels")
        self.options.set_job(job)
        self.region.set_context(job, self.data.image)
        self.spots.set_context(job, self.data.image)
        self._settle.start()

    def _on_axis(self) -> None:
        self._refresh_units()
        self._settle.start()

    def _on_changed(self) -> None:
        self._settle.start()

    def _on_space(self, ndim: int) -> None:
        """Spots are searched in volumes: then they are fitted with one, and the other way round."""
        if self.data.job == "spots" and self.model.model.ndim != ndim:
            self.model.set_model("gaussian_3d" if ndim == 3 else "gaussian_2d")

    def _on_filtered(self, outcome: Outcome) -> None:
        if self.follow_ups.outcome is not None and self.follow_ups.outcome.result is outcome.result:
            self.follow_ups.outcome = outcome

    def _on_model(self, _model: object) -> None:
        self.spots.set_model_axes(self.model.model.ndim)
        self._clear_values()

    def _clear_values(self) -> None:
        self._result = None
        self._refresh_units()
        self._show_values()
        self._settle.start()

    def _refresh_units(self) -> None:
        self.parameters.set_model(self.model.model, units_of(self))

    def _draw(self) -> None:
        try:
            self._say(begin_drawing(self, self._viewer))
        except FitInputError as error:
            self._say(str(error), problem=True)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if SAMPLE in layer.metadata:
            # whoever opens a sample wants to fit it, where it is meant to be fitted
            self.data.layers.choose(layer)
            self.region.layers.choose(layer)

    def _on_removed(self, event: Any) -> None:
        request = self.session.request
        if request is not None and str(event.value.unique_id) == request.group:
            self._drop(f"Layer {event.value.name!r} was removed while it was being fitted; the fit was stopped.")

    def _on_started(self) -> None:
        self.fit_bar.set_busy("preparing…")
        self._say("")

    def _on_progress(self, progress: Progress, seconds: float) -> None:
        self.fit_bar.set_progress(progress, seconds)

    def _on_failed(self, sentence: str) -> None:
        self.fit_bar.set_idle()
        self._say(sentence, problem=True)

    def _on_finished(self, outcome: Outcome) -> None:
        self.fit_bar.set_idle()
        if outcome.result is None:
            if outcome.mean is not None:
                self._result = outcome.mean.result
                self._say(describe_mean(outcome.mean))
                self.inspection.feed_mean(outcome)
            self._show_values()
            return
        self._result = outcome.result if outcome.result.model.name == self.model.model.name else None
        voxels = outcome.request.job == "voxels"
        self._say(describe_outcome(outcome))
        self.inspection.feed(outcome)
        self._show_values()
        if outcome.request.job == "spots":
            outcome = self.spots.take(outcome)
        self.follow_ups.take(outcome)
        if self.results_fold.isHidden():
            self.results_fold.show()
            self.results_fold.set_open(voxels)
            QTimer.singleShot(ROOM, self._reveal_results)
        image = self.data.image
        if voxels and image is not None:
            show_plane(self._viewer, image, outcome.request.axis)

    def _reveal_results(self) -> None:
        if self._open:
            self.column.reveal(self.results_fold)

    def _show_values(self, _event: object = None) -> None:
        image = self.data.image
        if self._result is None or image is None:
            self.parameters.show_values({})
            return
        current = index_on_screen(self._viewer, image) if self.data.job == "region" else None
        self.parameters.show_values(*values_shown(self._result, current))

    def _say(self, text: str, *, problem: bool = False) -> None:
        # not by colour alone: a sign stands before it
        self.message.setText(f"⚠ {text}" if problem else text)
        self.message.setStyleSheet("color: #ff9d5c" if problem else "")
