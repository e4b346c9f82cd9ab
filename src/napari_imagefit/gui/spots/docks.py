"""The dock "Spots" of a viewer: made at the first fit of spots, brought back by a button, fed by every fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...layers.request.fit_request import Outcome
from .dock import TITLE, SpotsDock

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer


def find_dock(viewer: Viewer) -> SpotsDock | None:
    """Return that of the viewer's window, None if there is none."""
    return next((dock for dock in viewer.window.dock_widgets.values() if isinstance(dock, SpotsDock)), None)


def feed(viewer: Viewer, outcome: Outcome, beside: object, connect: Callable[[SpotsDock], None]) -> SpotsDock:
    """Show a result in the dock; the first one makes it, as a tab behind the dock that holds `beside`."""
    dock = find_dock(viewer)
    if dock is None:
        dock = SpotsDock(viewer)
        viewer.window.add_dock_widget(dock, name=TITLE, area="right", tabify=True, add_vertical_stretch=False)
        front = getattr(beside, "parentWidget", lambda: None)()
        if front is not None:
            front.raise_()
    connect(dock)
    dock.show_result(outcome)
    return dock


def bring_forward(dock: SpotsDock) -> None:
    """Show it before the other tabs."""
    around = dock.parentWidget()
    if around is not None:
        around.show()
        around.raise_()
