"""One thread for fits that follow each other in quick succession: a worker of napari's for each would take longer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from threading import Event
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..._ending import Background
from ...engine.core.progress import Progress
from ...layers.request.fit_request import Stop
from ..state.session import until_loaded

Task = Callable[[Stop], Generator[Progress, None, Any]]

_threads = Background(1, "imagefit-live")


class Runner(QObject):
    """Runs one task at a time, in a thread of its own; what it says arrives in the window's thread.

    Parameters
    ----------
    parent : QObject
    """

    progressed = Signal(object)  # Progress of the task under way
    done = Signal(object)  # what came of it; an Exception where nothing did
    _told = Signal(int, object, bool)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._number = 0
        self._stop, self._ended = Event(), Event()
        self.busy = False
        self.begun = 0.0
        self._told.connect(self._on_told)

    @property
    def seconds(self) -> float:
        """Duration of the task under way, without compiling."""
        return time.perf_counter() - self.begun

    def run(self, task: Task) -> None:
        """Begin a task; the result of one that is under way is discarded."""
        self.drop()
        self.busy, self._stop, self._ended, self.begun = True, Event(), Event(), time.perf_counter()
        future = _threads.submit(self._work, self._number, task, self._stop)
        future.add_done_callback(partial(self._on_end, self._number, self._ended))

    def wait(self, seconds: float) -> bool:
        """Hold the window until the task has ended, so long at most; returns whether it has.

        What came of it is told of by `done` as always, before anything is drawn.
        """
        return self._ended.wait(seconds)

    def drop(self) -> bool:
        """Drop the task under way and ask it to stop; returns whether there was one."""
        was_busy, self.busy = self.busy, False
        self._number += 1
        self._stop.set()
        return was_busy

    def _work(self, number: int, task: Task, stop: Event) -> Any:
        for progress in until_loaded():
            self._tell(number, progress, False)
            if stop.is_set():
                return None
        steps = task(stop.is_set)
        while not stop.is_set():
            try:
                self._tell(number, next(steps), False)
            except StopIteration as end:
                return end.value
        return None

    def _on_end(self, number: int, ended: Event, future: Future[Any]) -> None:
        """Hand on what came of it; called in the thread that did it."""
        if not future.cancelled():
            error = future.exception()
            self._tell(number, future.result() if error is None else error, True)
        ended.set()

    def _tell(self, number: int, what: object, last: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the window is gone
            self._told.emit(number, what, last)

    def _on_told(self, number: int, what: object, last: bool) -> None:
        if number != self._number:
            return
        if last:
            self.busy = False
            self.done.emit(what)
            return
        assert isinstance(what, Progress)
        if what.compiling:
            self.begun = time.perf_counter()
        self.progressed.emit(what)
