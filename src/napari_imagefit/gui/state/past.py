"""Past of the widget: the fit that results are about, earlier ones, settings, and undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...layers.history.history import history_of
from ...layers.preferences import default_device, is_read
from ...layers.request.choices import group_of
from ..background.latest_worker import Latest
from .entry_actions import EntryActions
from .messages import describe_outcome
from .settings_undo import SettingsUndo

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from ...layers.history.entry import Entry
    from ...layers.request.fit_request import Outcome
    from ..widget import ImageFitWidget


class Past:
    """The history and the settings of a viewer, which outlive the widget.

    Parameters
    ----------
    widget : ImageFitWidget
    viewer : Viewer
    """

    def __init__(self, widget: ImageFitWidget, viewer: Viewer) -> None:
        self._widget, self._viewer = widget, viewer
        self.history = history_of(viewer)
        self._found = self.history.current  # what an earlier dock was about
        self.entries = EntryActions(viewer, self.history, widget.results.history, widget.session, widget)
        self.undo = SettingsUndo(widget, viewer, self.history.settings)
        # not while the dock opens: the first look at napari's Preferences takes as long as all else
        self._device = Latest(lambda _asked: default_device(), widget)
        self._device.done.connect(lambda _asked, name: self.undo.quietly(lambda: self._compute_on(name)))
        # what was set before comes back; a sample need not be set up again
        self.undo.applying = self.history.settings.now is not None
        self.entries.shown.connect(self._on_shown)
        self.entries.removed.connect(lambda _: widget.show_nothing())
        self.entries.restore.connect(self.undo.restore)
        self.entries.export.connect(widget.follow_ups.export)
        self.entries.copy_script.connect(widget.follow_ups.copy)
        shown = widget.follow_ups.shown
        shown.put_one.connect(lambda outcome, output: self.history.take_layer(outcome, output, viewer.layers))
        shown.taken.connect(self.history.drop_layer)
        for part in (self.entries, self.undo):
            part.said.connect(widget.say)

    def find_again(self) -> None:
        """Bring back the settings and the results that an earlier dock of this viewer had; record settings from now."""
        if is_read():
            self._compute_on(default_device())
        elif self.history.settings.now is None:
            self._device.ask("device")
        self.undo.bring_back()
        self.undo.listen()
        if self._found is not None:
            self._on_shown(self._found, quietly=True)

    def add(self, outcome: Outcome, seconds: float, *, instead: Entry | None = None) -> Outcome:
        """Make an entry of a finished fit, of a map or of a mean curve, which took so long; returns its outcome.

        It may take the place of another entry `instead`.
        """
        entry = self.history.add(outcome, seconds, self._viewer.layers, instead=instead)
        assert entry.outcome is not None
        return entry.outcome

    def on_image(self, image: Image | None) -> None:
        """Show the results of the last fit of another image with this model, if there is one."""
        source = "" if image is None else str(image.unique_id)
        group = group_of(source, self._widget.data.job, self._widget.model.model.name)
        entry = self.history.last_of(group)
        if entry is not None and not self._widget.session.running:
            self._on_shown(entry, quietly=True)

    def stop(self) -> None:
        """Disconnect from the viewer."""
        self._device.forget()
        self.undo.stop()
        self.entries.stop()

    def _compute_on(self, name: str) -> tuple[str, ...]:
        """Set the compute device of Preferences, unless something else was chosen meanwhile."""
        options = self._widget.options
        if options.device.currentIndex() == 0:
            options.set_device(name)
        return ()

    def _on_shown(self, entry: Entry, *, quietly: bool = False) -> None:
        """Results, inspector and exports are about this entry, filtered as it was; `quietly` opens nothing."""
        outcome = entry.outcome
        if outcome is None:
            return
        if entry.is_of_mean:
            self._widget.show_mean(outcome)
            return
        self.history.make_current(entry)
        self._widget.spots.filters = outcome.request.filters
        self._widget.say(f"Fit {entry.number}: {describe_outcome(outcome)}")
        self._widget.show_outcome(outcome, entry.facts.seconds, quietly=quietly)
