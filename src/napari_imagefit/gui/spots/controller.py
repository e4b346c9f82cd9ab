"""Link between the controls for spots and the viewer: the live preview, Detect, and tables that are opened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..._lazy import LazyModule, is_imported
from ...engine.core.errors import FitEngineError, FitInputError
from ...engine.core.progress import Progress
from ...imaging.spots.detection import Spots
from ...layers.files.spot_reader import points_over
from ...layers.geometry.transforms import index_on_screen
from ...layers.request.choices import SpotChoice
from ...layers.request.spot_inputs import DETECTED
from ...layers.tasks.spot_beads import picture_average, picture_spot
from ...layers.tasks.spot_detection import (
    FrameFinder,
    Search,
    all_words,
    count_words,
    find_all,
    find_preview,
    hide_preview,
    put_detected,
    search_of,
    show_preview,
)
from ..background.latest_worker import Latest
from ..background.workers import watch
from ..sections.detect import DetectSection, detect_fold
from ..sections.spots import SpotsSection
from ..widgets.in_gui_words import in_gui_words
from .files import ask_for_table

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from ...imaging.spots.filters import SpotFilter
    from ...layers.request.choices import Job
    from ...layers.request.fit_request import Outcome
    from . import bead_view, docks
    from .bead_view import BeadView
    from .dock import SpotsDock
else:  # their plots take long to import: not while the dock opens
    bead_view, docks = LazyModule(f"{__package__}.bead_view"), LazyModule(f"{__package__}.docks")


class SpotWork:
    """The sections Points and Detection, and what they do.

    Parameters
    ----------
    viewer : Viewer
    parent : QWidget
        Owner of timers.
    """

    filtered = Signal(object)  # the outcome, with the filters that hold now
    looked_at = Signal(object)  # the place of a spot that was chosen
    said = Signal(str, bool)  # a sentence, and whether it is a problem
    changed = Signal()
    space_chosen = Signal(int)  # axes of what is searched

    def __init__(self, viewer: Viewer, parent: QWidget) -> None:
        self._viewer, self._parent = viewer, parent
        self._image: Image | None = None
        self._job: Job = "region"
        self._ndim = 2
        self._version = 0
        self._detecting: Any = None
        self._outcome: Outcome | None = None
        self._dock: SpotsDock | None = None
        self._filters: dict[str, tuple[SpotFilter, ...]] = {}  # by the unique id of the image
        self.section = SpotsSection(viewer.layers)
        self.detect = DetectSection()
        self.fold = detect_fold(self.detect)
        self.finder = FrameFinder()
        self.preview = Latest(self.finder.find, parent)
        self._going = QTimer(parent)
        self._going.setSingleShot(True)
        self._going.timeout.connect(self.tidy)
        self.beads = Latest(_picture, parent)

        self.section.detect.connect(self.detect_all)
        self.section.load.connect(self.open_table)
        self.section.table.connect(self.show_table)
        self.section.changed.connect(self.changed.emit)
        self.detect.changed.connect(self._on_settings)
        self.detect.space_chosen.connect(self.space_chosen.emit)
        self.fold.toggled.connect(lambda _: self.look())
        self.preview.done.connect(self._on_preview)
        self.beads.done.connect(lambda _asked, picture: bead_view.show_bead(viewer).show_picture(picture))
        self.beads.refused.connect(lambda why: bead_view.show_bead(viewer).say(in_gui_words(why)))
        self.preview.refused.connect(lambda why: self.detect.say(in_gui_words(why), problem=True))
        viewer.dims.events.current_step.connect(self.look)
        viewer.layers.events.removed.connect(self._on_removed)
        self._on_settings()

    @property
    def detecting(self) -> bool:
        """Whether all frames are being searched."""
        return self._detecting is not None

    @property
    def filters(self) -> tuple[SpotFilter, ...]:
        """Filters of the spots of the chosen image; those of another image are another image's."""
        return () if self._image is None else self._filters.get(str(self._image.unique_id), ())

    @filters.setter
    def filters(self, filters: tuple[SpotFilter, ...]) -> None:
        if self._image is not None:
            self._filters[str(self._image.unique_id)] = filters

    def set_context(self, job: Job, image: Image | None) -> None:
        """Another job, or another image."""
        if image is not self._image:
            if self._image is not None:
                self._image.events.data.disconnect(self._on_data)
            if image is not None:
                image.events.data.connect(self._on_data)
            self._image = image
            self.stop_detecting()
            self._outdate_bead()
        self._job = job
        self.section.setVisible(job == "spots")
        self.fold.setVisible(job == "spots")
        self.detect.set_axes(0 if image is None else image.ndim)
        self.look()

    def set_model_axes(self, ndim: int) -> None:
        """Search spots in planes or in volumes, as the model is."""
        self._ndim = ndim
        if ndim in (2, 3) and self._job == "spots":
            self.detect.set_space(ndim)
        self._show_window()

    def choice(self) -> SpotChoice:
        """Return what is chosen of points and windows.

        Raises
        ------
        FitInputError
            If what is typed is no window.
        """
        return replace(self.section.choice(), filters=self.filters)

    def set_filters(self, filters: tuple[SpotFilter, ...]) -> None:
        """Set other filters, in the table of spots too."""
        self.filters = filters
        if self._dock is not None and self._dock is docks.find_dock(self._viewer):
            self._dock.set_filters(filters)

    def look(self, _event: object = None) -> None:
        """Preview the frame on screen, if it is to be seen."""
        if self._job != "spots" or not self.fold.is_open or not self.detect.preview.isChecked() or self._image is None:
            self._hide_preview()
            return
        try:
            self.preview.ask(self._search())
        except FitInputError as error:
            self._hide_preview()
            self.detect.say(in_gui_words(str(error)), problem=True)

    def _hide_preview(self) -> None:
        """Hide the preview; it goes in a turn of its own, as napari collects garbage for each layer that goes."""
        self.preview.forget()
        layer = find_preview(self._viewer.layers)
        if layer is not None:
            layer.visible = False
            self._going.start(0)

    def detect_all(self) -> None:
        """Search all frames, and put what is found into a Points layer."""
        try:
            search = self._search()
        except FitInputError as error:
            self.said.emit(str(error), True)
            return
        self.stop_detecting()
        self.section.detect_button.setEnabled(False)
        worker = create_worker(_guarded, search, _start_thread=False, _ignore_errors=True)
        worker.yielded.connect(lambda progress: self._on_progress(worker, progress))
        worker.returned.connect(lambda found: self._on_found(worker, search, found))
        worker.errored.connect(lambda error: self._on_error(worker, error))
        watch(worker)
        self._detecting = worker
        worker.start()

    def stop_detecting(self) -> None:
        """Drop what is under way."""
        if self._detecting is not None:
            self._detecting.quit()
            self._detecting = None
        self.section.detect_button.setEnabled(True)

    def take(self, outcome: Outcome) -> Outcome:
        """Spots have been fitted: show their table; rings of what was detected would lie under those of the fits.

        Returns
        -------
        Outcome
            With the filters that hold now: they may have changed while it was fitted.
        """
        outcome = self._outcome = replace(outcome, request=replace(outcome.request, filters=self._filters_of(outcome)))
        self._outdate_bead()
        docks.feed(self._viewer, outcome, self._parent, self._connect)
        self.section.table_button.setEnabled(True)
        layer = self.section.layers.layer()
        if layer is not None and DETECTED in layer.metadata:
            layer.visible = False
        self.fold.set_open(False)
        return outcome

    def tidy(self) -> None:
        """Take the preview out of the viewer."""
        self._going.stop()
        hide_preview(self._viewer.layers)

    def stop(self) -> None:
        """Disconnect from the viewer."""
        if self._going.isActive():
            self.tidy()
        self.preview.forget()
        self.beads.forget()
        self.stop_detecting()
        if self._image is not None:
            self._image.events.data.disconnect(self._on_data)
            self._image = None
        self._outcome = None
        if self._dock is not None:
            self._dock.let_go()
            self._dock = None
        self.section.layers.disconnect_layers()
        self._viewer.dims.events.current_step.disconnect(self.look)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def open_table(self) -> None:
        """Ask for a table of localisations, and choose its points."""
        image = self._image
        if image is None:
            self.said.emit("There is no image whose spots they could be; open one first.", True)
            return
        path = ask_for_table(self._parent)
        if not path:
            return
        try:
            data, options, _ = points_over(image, path)
        except FitInputError as error:
            self.said.emit(str(error), True)
            return
        layer = self._viewer.add_points(data, **options)
        self.section.layers.choose(layer)
        self.said.emit(f"{len(data)} points of {options['name']!r} are over {image.name!r}; click Fit.", False)

    def show_table(self) -> None:
        """Bring the table of spots forward, and make it again if it was closed."""
        if self._outcome is not None:
            docks.bring_forward(docks.feed(self._viewer, self._outcome, self._parent, self._connect))

    def _connect(self, dock: SpotsDock) -> None:
        if dock is self._dock:
            return
        self._dock = dock
        dock.filtered.connect(self._on_filters)
        dock.average_wanted.connect(lambda keep: self.beads.ask((self._outcome, keep)))
        dock.widths_wanted.connect(lambda row: self.beads.ask((self._outcome, row)))
        dock.looked_at.connect(lambda place: self.looked_at.emit(place))

    def _on_filters(self, filters: tuple[SpotFilter, ...]) -> None:
        if self._outcome is not None:
            self._filters[self._outcome.request.source] = filters
            self._outcome = replace(self._outcome, request=replace(self._outcome.request, filters=filters))
            self.filtered.emit(self._outcome)

    def _filters_of(self, outcome: Outcome) -> tuple[SpotFilter, ...]:
        return self._filters.get(outcome.request.source, ())

    def _outdate_bead(self) -> None:
        """Say that what the dock Bead shows is of an earlier fit or another image; what it waits for does not come."""
        self.beads.forget()
        if (bead := self._find_bead()) is not None:
            bead.outdate()

    def _find_bead(self) -> BeadView | None:
        """Return the dock Bead, which nobody has opened before its module is there: opening ours does not wait."""
        return bead_view.find_bead(self._viewer) if is_imported(bead_view) else None

    def _search(self) -> Search:
        image = self._image
        current = () if image is None else index_on_screen(self._viewer, image)
        return search_of(image, self.detect.detection(), self.detect.ndim, current, self._version)

    def _on_settings(self) -> None:
        self._show_window()
        self.look()

    def _show_window(self) -> None:
        try:
            size = self.detect.detection().window(self.detect.ndim)
        except FitInputError:
            return
        self.section.set_window((*size[:1] * max(self._ndim - len(size), 0), *size[-self._ndim :]))

    def _on_removed(self, event: Any) -> None:
        """Show no bead of an image that is gone."""
        if self._outcome is None or str(event.value.unique_id) != self._outcome.request.source:
            return
        self.beads.forget()
        if (bead := self._find_bead()) is not None:
            bead.forget()

    def _on_data(self, _event: object = None) -> None:
        self._version += 1
        # what is being found is of the data before
        self.stop_detecting()
        self.look()

    def _on_preview(self, search: Search, spots: Spots) -> None:
        image = self._image
        if image is None or search.version != (image.unique_id, self._version) or not self.fold.is_open:
            return
        layer, hidden = show_preview(self._viewer.layers, image, spots, search), self._going.isActive()
        if hidden:
            self._going.stop()
            layer.visible = True
        self.detect.say(count_words(spots, search))

    def _on_progress(self, worker: Any, progress: Progress) -> None:
        if worker is self._detecting and progress.total > 1:
            self.said.emit(f"Searching frame {progress.done} of {progress.total}…", False)

    def _on_found(self, worker: Any, search: Search, found: Spots) -> None:
        if worker is not self._detecting:
            return
        self.stop_detecting()
        image = self._image
        if image is None:
            return
        self.said.emit(all_words(found, search), not found.count)
        if not found.count:
            return
        layer = put_detected(self._viewer.layers, image, found, search)
        self.section.layers.choose(layer)
        # the rings of what was found are there now
        self.fold.set_open(False)

    def _on_error(self, worker: Any, error: Exception) -> None:
        if worker is self._detecting:
            self.stop_detecting()
            is_mistake = isinstance(error, FitInputError)
            self.said.emit(str(error) if is_mistake else f"The detection failed: {error}", True)


def _picture(asked: Any) -> Any:
    """Make the picture in a worker: an average takes a while."""
    outcome, which = asked
    return picture_spot(outcome, which) if isinstance(which, int) else picture_average(outcome, which)


def _guarded(search: Search) -> Any:
    """`find_all`; a ``RuntimeError`` would vanish in napari's worker."""
    try:
        return (yield from find_all(search))
    except RuntimeError as error:
        raise FitEngineError(f"{type(error).__name__}: {error}") from error
