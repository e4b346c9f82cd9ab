"""The dock "Inspect" of a viewer: made at the first fit, brought back by a button, fed by every fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

from ...imaging.fitting.fit_report import Place
from ...layers.request.fit_request import Outcome
from .inspector import Inspector

if TYPE_CHECKING:
    from napari.viewer import Viewer

TITLE = "Inspect"
HEIGHT = 290  # pixels, at least; a third of the window


class Inspection:
    """What the widget "Image Fit" tells of its fits, and who listens.

    Parameters
    ----------
    viewer : Viewer
        That of the widget, which lives as long as its window.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._offered = False
        self.outcome: Outcome | None = None

    def feed(self, outcome: Outcome) -> None:
        """Show a finished fit wherever it can be inspected; the first one opens the dock below the canvas."""
        if outcome.result is None:
            return
        self.outcome = outcome
        found = self.inspectors()
        if not found and not self._offered:
            self.open()
        for inspector in found:
            inspector.show_result(outcome)

    def feed_mean(self, outcome: Outcome) -> None:
        """Show the fitted mean curve of a region in the same way."""
        found = self.inspectors()
        if not found and not self._offered:
            found = [self.open()]
        for inspector in found:
            inspector.show_mean(outcome)

    def look_at(self, place: Place) -> None:
        """Show a fit that was chosen elsewhere wherever it can be inspected."""
        for inspector in self.inspectors():
            inspector.look_at(place)

    def open(self) -> Inspector:
        """Show the dock, and make it if there is none."""
        found = self.inspectors()
        if not found:
            inspector = Inspector(self._viewer)
            # offered once: whoever closes it does not want it back with the next fit
            self._offered = True
            dock = self._viewer.window.add_dock_widget(inspector, name=TITLE, area="bottom", add_vertical_stretch=False)
            window = dock.window()
            if isinstance(window, QMainWindow):
                # plots would take as much as they can get, and leave little of the picture
                window.resizeDocks([dock], [max(HEIGHT, window.height() // 3)], Qt.Orientation.Vertical)
            if self.outcome is not None:
                inspector.show_result(self.outcome)
            return inspector
        dock = found[0].parentWidget()
        if dock is not None:
            dock.show()
            dock.raise_()
        return found[0]

    def close(self) -> None:
        """Forget the fit, which holds its data."""
        self.outcome = None

    def inspectors(self) -> list[Inspector]:
        """All that are docked in the viewer's window."""
        return [widget for widget in self._viewer.window.dock_widgets.values() if isinstance(widget, Inspector)]
