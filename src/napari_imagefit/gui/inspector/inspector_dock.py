"""The dock "Inspect" of a viewer: opened by the first fit where there is room, brought back by a button."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ...layers.request.fit_request import Outcome
from .looking import Looking

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from .inspector import Inspector

INSPECTOR = f"{__package__}.inspector"
TITLE = "Inspect"
ROOMY = 1500  # pixels of the window's width from which on the dock opens by itself


class Inspection(Looking):
    """Link from the fits of the widget "Image Fit" to the inspectors that listen.

    Parameters
    ----------
    viewer : Viewer
        That of the widget, which lives as long as its window.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._offered = False

    def feed(self, outcome: Outcome) -> None:
        """Look at a finished fit; the first one opens the dock below the canvas, where there is room."""
        if self.take(outcome):
            self._offer()

    def show_where_open(self, outcome: Outcome) -> bool:
        """Look at a fit, for which no dock is opened; returns whether it is one that can be looked at."""
        return self.take(outcome)

    def feed_mean(self, outcome: Outcome) -> None:
        """Show the fitted mean curve of a region in the same way."""
        self.take_mean(outcome)
        self._offer()

    def open(self) -> Inspector:
        """Show the dock, and make it if there is none."""
        found = self.inspectors()
        if found:
            dock = found[0].parentWidget()
            if dock is not None:
                dock.show()
                dock.raise_()
            found[0].watch(self)
            return found[0]
        from .inspector import Inspector  # plots take long to import: not while the other dock opens

        inspector = Inspector(self._viewer)
        inspector.watch(self)
        # offered once: whoever closes it does not want it back with the next fit
        self._offered = True
        self._viewer.window.add_dock_widget(inspector, name=TITLE, area="bottom", add_vertical_stretch=False)
        return inspector

    def close(self) -> None:
        """Disconnect; inspectors that are open go on."""
        self.follow(None)
        self.release()

    def inspectors(self) -> list[Inspector]:
        """All that are docked in the viewer's window."""
        module = sys.modules.get(INSPECTOR)
        if module is None:  # then none was ever made
            return []
        return [widget for widget in self._viewer.window.dock_widgets.values() if isinstance(widget, module.Inspector)]

    def _offer(self) -> None:
        found = self.inspectors()
        for inspector in found:
            inspector.watch(self)
        if not found and not self._offered and self._viewer.window.geometry()[2] >= ROOMY:
            self.open()
