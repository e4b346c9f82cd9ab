"""Runs tasks in napari's workers, and hands on only the signals of the latest one. No widgets here."""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtCore import QTimer

from ..._ending import Background, is_ending
from ..._lazy import imported
from ...engine.core.collector import put_off
from ...engine.core.progress import Progress
from ...imaging.fitting.chunks import is_dask
from ...layers.geometry.output_layers import Output, put, remove_stale, role, role_of
from ...layers.request.fit_request import Outcome, Request, Showing, Stop, Task, answer
from ...layers.tasks.run_fit import run_any
from ..background.short_turns import short_turns
from ..background.workers import watch
from .turns import Turns

if TYPE_CHECKING:
    from napari.components import LayerList


COMPILED = 30  # s after which nothing is traced any more, and garbage may be collected again
LOOK = 0.1  # s between two looks at whether to go on waiting for what fits need
POLL = 0.02  # s between two looks at whether the worker is told to quit as Python ends


_loaders = Background(1, "imagefit-load")


@functools.cache
def loaded() -> Future[None]:
    """Import what fits need, in the background: it takes seconds, and a worker could not be told to stop meanwhile."""
    return _loaders.submit(_load)


# What only a fit needs: together it takes longer to import than a window may be held up when the dock opens.
LATE_MODULES = (
    "scipy.linalg",
    "scipy.special",
    "scipy.spatial",
    "scipy.ndimage",
    "pandas",
    "napari_imagefit.engine.drive.run",
    "napari_imagefit.engine.drive.wide",
    "napari_imagefit.engine.shared.joint_fit",
    "napari_imagefit.imaging.voxels.voxel_fits",
)


def until_loaded() -> Iterator[Progress]:
    """Wait in a worker for what fits need, so that it can be told to stop meanwhile."""
    loading = loaded()
    while not loading.done() or is_ending():
        if is_ending():
            # the loading is broken off; the worker is told to quit, and must not import by itself
            time.sleep(POLL)
        else:
            wait([loading], LOOK)
        yield Progress(0, 0, compiling=True)


def _load() -> None:
    with short_turns():
        imported("jax.numpy")
        for name in LATE_MODULES:
            importlib.import_module(name)


class Session:
    """Run of at most one fit at a time; when another starts, or one is cancelled, the previous result is discarded.

    Parameters
    ----------
    layers : LayerList
        Where results are shown. Looked at in the GUI thread only.
    """

    started = Signal()
    progressed = Signal(object, float)  # Progress, seconds since the start
    showing = Signal()  # layers of what is known so far are in the viewer
    layers_ready = Signal()  # the fit is done; its layers appear next
    finished = Signal(object)  # Outcome, once its layers are in the viewer
    failed = Signal(str)

    def __init__(self, layers: LayerList) -> None:
        self._layers = layers
        self._generation = 0
        self._worker: Any = None
        self._stop = Event()
        self._turns = Turns(self._on_not_shown)  # of what is being put into the viewer
        self._stoppable = self._has_some = False
        self._unseen: list[Any] = []  # layers that are there, and to be made visible
        self._request: Request | None = None
        self._begun = 0.0
        self._put_off = contextlib.ExitStack()  # Python's search for garbage, while a fit is traced

    @property
    def running(self) -> bool:
        """Whether a fit is under way, or its layers are being shown."""
        return self._request is not None

    @property
    def stopping(self) -> bool:
        """Whether the fit under way has been asked to end."""
        return self._worker is not None and self._stop.is_set()

    @property
    def request(self) -> Request | None:
        """Request that is being fitted."""
        return self._request

    def start(
        self, request: Request, task: Callable[[Stop], Task] | None = None, *, stoppable: bool | None = None
    ) -> None:
        """Fit in a worker thread, or do another task of that request; an earlier fit is dropped.

        `stoppable` says whether what it has when it is stopped is worth having; that of voxels is.
        """
        self.cancel()
        self._stoppable = request.job == "voxels" if stoppable is None else stoppable
        generation, stop = self._generation, Event()
        self._request, self._stop, self._begun = request, stop, time.perf_counter()
        self._has_some = False
        self._unseen = []
        worker = create_worker(_run, request, task or partial(run_any, request), stop.is_set)
        worker.yielded.connect(lambda progress: self._on_progress(generation, progress))
        worker.returned.connect(lambda outcome: self._on_outcome(generation, outcome))
        worker.errored.connect(lambda error: self._on_error(generation, error))
        watch(worker, stop.set)
        self._worker = worker
        self._put_off.enter_context(put_off())
        self.started.emit()
        # first let the window show that it has begun: it competes with the worker for Python from then on
        QTimer.singleShot(0, lambda: self._launch(generation))

    def show(self, outcome: Outcome) -> None:
        """Put the layers of a fit that was made elsewhere into the viewer; an earlier fit is dropped."""
        self.cancel()
        self._request = outcome.request
        self._unseen = []
        self._turns.begin(self._shows(outcome))

    def load(self) -> None:
        """Import what fits need while the user is still choosing; the first call does."""
        loaded()

    def _launch(self, generation: int) -> None:
        if generation == self._generation:
            self._worker.start()

    def stop(self) -> bool:
        """Ask the fit under way to end with what it has, if it has anything yet; returns whether it has."""
        if self._worker is None or not self._stoppable or not self._has_some or self._stop.is_set():
            return False
        self._stop.set()
        return True

    def cancel(self) -> bool:
        """Drop the fit under way, if any; what is in the viewer stays. Returns whether there was one.

        The worker stops at its next step. Its later signals are ignored.
        """
        running = self.running
        self._generation += 1
        self._turns.stop()
        for layer in self._unseen:
            # it was put there already, and would not be handled again
            layer.visible = True
        self._unseen = []
        self._stop.set()
        if self._worker is not None:
            self._worker.quit()
        self._end()
        return running

    def _end(self) -> None:
        self._worker = self._request = None
        self._put_off.close()

    def _on_progress(self, generation: int, progress: Progress) -> None:
        if generation == self._generation:
            seconds = time.perf_counter() - self._begun
            if seconds > COMPILED:
                self._put_off.close()
            self._has_some |= progress.done > 0
            if isinstance(progress, Showing) and not self._stop.is_set():
                self._turns.begin(self._shows_so_far(progress.outputs))
            self.progressed.emit(progress, seconds)

    def _on_error(self, generation: int, error: Exception) -> None:
        # napari shows the error whole in its notifications
        if generation == self._generation:
            self._end()
            self.failed.emit(f"The fit failed: {error}")

    def _on_outcome(self, generation: int, outcome: Outcome) -> None:
        if generation != self._generation:
            return
        self._worker = None
        if outcome.refusal:
            self._end()
            self.failed.emit(outcome.refusal)
            return
        self.layers_ready.emit()
        self._turns.begin(self._shows(outcome))

    def _on_not_shown(self, error: Exception) -> None:
        self._end()
        self.failed.emit(f"The results could not be shown: {error}")

    def _shows_so_far(self, outputs: Sequence[Output]) -> Iterator[None]:
        yield from self._puts(outputs)
        self.showing.emit()

    def _shows(self, outcome: Outcome) -> Iterator[None]:
        """Put the layers into the viewer, and take those of earlier fits away."""
        for output in outcome.outputs:
            if is_dask(output.data[0]):
                # updating a layer looks at all of its data: one that is not in memory is replaced
                self._remove(outcome.request.group, role(output.data))
        yield from self._puts(outcome.outputs)
        if outcome.complete:
            remove_stale(self._layers, outcome.request.group, [role(output.data) for output in outcome.outputs])
        self._end()
        self.finished.emit(outcome)

    def _puts(self, outputs: Sequence[Output]) -> Iterator[None]:
        """Put layers into the viewer; a new one is shown in a step of its own: drawing takes as long again."""
        for output in outputs:
            layer = put(self._layers, output)
            if layer is output.layer and output.visible:
                self._unseen.append(layer)
            yield
            # it may have been put there by a showing that was overtaken before it came to this
            if layer in self._unseen:
                self._unseen.remove(layer)
                layer.visible = True
                yield

    def _remove(self, group: str, what: str) -> None:
        for layer in [layer for layer in self._layers if role_of(layer, group) == what]:
            self._layers.remove(layer)


def _run(request: Request, task: Callable[[Stop], Task], should_stop: Stop) -> Task:
    """Run the task as the generator function that napari's worker asks for."""
    yield from until_loaded()
    return (yield from answer(request, task(should_stop)))
