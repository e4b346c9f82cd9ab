"""Choice of the layers of a fit that are in the viewer: that of *Show ▾*, kept for later fits of the job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from psygnal import Signal
from qtpy.QtCore import QTimer

from ...layers.geometry.output_layers import Output, put, role, role_of, shown_roles
from ...layers.request.fit_request import Outcome, Request
from ...layers.tasks.result_layers import make_more, what_can_be_shown
from ..background.latest_worker import LAYER_INTERVAL_MS, Latest
from ..sections.show_menu import ShowMenu
from .contours import Contours
from .legend import Legend

if TYPE_CHECKING:
    from napari.viewer import Viewer

# by viewer, so that a dock that is opened again finds them: job, role, whether it is wanted
_CHOSEN: WeakKeyDictionary[Viewer, dict[str, dict[str, bool]]] = WeakKeyDictionary()


class ShownLayers:
    """Link between the menu, the viewer, and the outcome that it is about.

    Parameters
    ----------
    viewer : Viewer
    menu : ShowMenu
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem
    put_one = Signal(object, object)  # the outcome, and its output that is in the viewer now
    taken = Signal(object, str)  # the outcome, and the role of its layer that was taken out
    added = Signal(object, object)  # the Outcome, and its outputs that were asked for and are in the viewer now

    def __init__(self, viewer: Viewer, menu: ShowMenu) -> None:
        self._viewer, self._menu = viewer, menu
        self._chosen = _CHOSEN.setdefault(viewer, {})
        self._outcome: Outcome | None = None
        self._putting = False
        self._legend = Legend(viewer)
        self.contours = Contours(viewer)
        # the pictures of large data take seconds
        self.makes = Latest(lambda asked: make_more(*asked), menu)
        self.makes.done.connect(self._on_made)
        self.makes.refused.connect(lambda why: self.said.emit(f"That layer could not be made: {why}", True))
        menu.asked.connect(self._offer)
        menu.chosen.connect(self._choose)

    @property
    def busy(self) -> bool:
        """Whether layers are being made, or put into the viewer."""
        return self.makes.busy or self._putting

    def with_choice(self, request: Request) -> Request:
        """Return the request with what was chosen for fits of its job."""
        return replace(request, chosen_roles=dict(self._chosen.get(request.job, {})))

    def take(self, outcome: Outcome) -> None:
        """Set the outcome that the menu is about, and add what was chosen while it was fitted."""
        self._outcome = outcome
        titles = what_can_be_shown(outcome)
        self._menu.setVisible(len(titles) > 1)
        self._add_missing(titles)

    def forget(self) -> None:
        """Forget the outcome; what is being made is made for nothing."""
        self._outcome = None
        self.makes.forget()

    def stop(self) -> None:
        """Disconnect from the viewer."""
        self.forget()
        self._legend.stop()
        self.contours.stop()

    def _offer(self) -> None:
        if self._outcome is not None:
            shown = shown_roles(self._viewer.layers, self._outcome.request.group)
            self._menu.offer(what_can_be_shown(self._outcome), shown)

    def _choose(self, what: str, wanted: bool) -> None:
        if self._outcome is None:
            return
        request, layers = self._outcome.request, self._viewer.layers
        self._chosen.setdefault(request.job, {})[what] = wanted
        if wanted:
            self._add_missing([what])
            return
        for layer in [layer for layer in layers if role_of(layer, request.group) == what]:
            layers.remove(layer)
        self.taken.emit(self._outcome, what)

    def _add_missing(self, roles: Sequence[str] | dict[str, str]) -> None:
        assert self._outcome is not None
        request = self._outcome.request
        chosen = self._chosen.get(request.job, {})
        shown = shown_roles(self._viewer.layers, request.group)
        missing = [what for what in what_can_be_shown(self._outcome) if chosen.get(what) and what not in shown]
        if any(what in roles for what in missing):
            self.makes.ask((self._outcome, missing))

    def _on_made(self, asked: tuple[Outcome, list[str]], outputs: tuple[Output, ...]) -> None:
        self._putting = True
        self._take_turns(self._puts(asked[0], outputs))

    def _take_turns(self, steps: Iterator[None]) -> None:
        """One layer, and the next when the window has had its turn."""
        for _ in steps:
            QTimer.singleShot(LAYER_INTERVAL_MS, lambda: self._take_turns(steps))
            return
        self._putting = False

    def _puts(self, outcome: Outcome, outputs: Sequence[Output]) -> Iterator[None]:
        chosen = self._chosen.get(outcome.request.job, {})
        for output in outputs:
            # it may have been overtaken by another fit, or by another click
            if outcome is not self._outcome:
                return
            if chosen.get(role(output.data)):
                put(self._viewer.layers, output).visible = True
                self.put_one.emit(outcome, output)
                yield
        self.added.emit(outcome, outputs)
