"""Runs requests in napari's workers, and hands on only what the latest one says. No widgets here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..engine.batch import Progress
from ..layers.outputs import put, remove_stale, role
from ..layers.request import Outcome, Request, run_request

if TYPE_CHECKING:
    from napari.components import LayerList


class Session:
    """At most one fit at a time; starting another, or cancelling, leaves the last one to end unheard.

    Parameters
    ----------
    layers : LayerList
        Where results are shown. Looked at in the GUI thread only.
    """

    started = Signal()
    progressed = Signal(object, float)  # Progress, seconds since the start
    finished = Signal(object)  # Outcome, once its layers are in the viewer
    failed = Signal(str)

    def __init__(self, layers: LayerList) -> None:
        self._layers = layers
        self._generation = 0
        self._worker: Any = None
        self._request: Request | None = None
        self._begun = 0.0

    @property
    def running(self) -> bool:
        """Whether a fit is under way, or its layers are being shown."""
        return self._request is not None

    @property
    def request(self) -> Request | None:
        """What is being fitted."""
        return self._request

    def start(self, request: Request) -> None:
        """Fit in a worker thread; an earlier fit is dropped."""
        self.cancel()
        generation = self._generation
        self._request, self._begun = request, time.perf_counter()
        worker = create_worker(run_request, request)
        worker.yielded.connect(lambda progress: self._on_progress(generation, progress))
        worker.returned.connect(lambda outcome: self._on_outcome(generation, outcome))
        worker.errored.connect(lambda error: self._on_error(generation, error))
        self._worker = worker
        self.started.emit()
        worker.start()

    def cancel(self) -> bool:
        """Drop the fit under way, if any; what is in the viewer stays. Returns whether there was one.

        The worker stops at its next step. Nothing it still says is heard.
        """
        running = self.running
        self._generation += 1
        if self._worker is not None:
            self._worker.quit()
        self._worker = self._request = None
        return running

    def _on_progress(self, generation: int, progress: Progress) -> None:
        if generation == self._generation:
            self.progressed.emit(progress, time.perf_counter() - self._begun)

    def _on_error(self, generation: int, error: Exception) -> None:
        # napari shows the error whole in its notifications
        if generation == self._generation:
            self._worker = self._request = None
            self.failed.emit(f"The fit failed: {error}")

    def _on_outcome(self, generation: int, outcome: Outcome) -> None:
        if generation != self._generation:
            return
        self._worker = None
        if outcome.refusal:
            self._request = None
            self.failed.emit(outcome.refusal)
            return
        self._show(generation, outcome, 0)

    def _show(self, generation: int, outcome: Outcome, index: int) -> None:
        """Put one layer into the viewer per turn of the event loop: all at once would freeze the window."""
        if generation != self._generation:
            return
        if index < len(outcome.outputs):
            put(self._layers, outcome.outputs[index])
            QTimer.singleShot(0, lambda: self._show(generation, outcome, index + 1))
            return
        roles = [role(output.data) for output in outcome.outputs]
        remove_stale(self._layers, outcome.request.group, roles)
        self._request = None
        self.finished.emit(outcome)
