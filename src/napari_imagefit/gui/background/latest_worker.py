"""Work that follows settings: one worker at a time, what is asked meanwhile replaces what waits, and nothing queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtCore import QObject

from ...engine.core.errors import FitEngineError, FitInputError
from .timers import single_shot
from .workers import watch

WORK_DEBOUNCE_MS = 60  # from a change to its work, so that a drag begins it once
LAYER_INTERVAL_MS = 12  # between two layers that are put into the viewer, so that the window has its turn


class Latest:
    """Worker that runs a function for the latest request only.

    Parameters
    ----------
    work : callable
        Gets what was asked; runs in a worker, never twice at a time.
    parent : QObject
        Owner of the timer; once it is gone, the result of what is under way is discarded.
    """

    done = Signal(object, object)  # the request, its result
    refused = Signal(str)  # the reason why there is no result

    def __init__(self, work: Callable[[Any], Any], parent: QObject) -> None:
        self._work = work
        self._asked: Any = None
        self._generation = 0
        self._worker: Any = None
        self._timer = single_shot(parent, WORK_DEBOUNCE_MS, self._begin)
        parent.destroyed.connect(self._on_gone)

    @property
    def busy(self) -> bool:
        """Whether something is asked, or under way."""
        return self._worker is not None or self._timer.isActive()

    def ask(self, asked: Any) -> None:
        """Request this, and drop earlier requests."""
        self._asked = asked
        self._generation += 1
        if self._worker is None:
            self._timer.start()

    def forget(self) -> None:
        """Drop the request; the result of what is under way is discarded."""
        self._timer.stop()
        self._on_gone()

    def _on_gone(self) -> None:
        self._asked = None
        self._generation += 1

    def _begin(self) -> None:
        if self._asked is None:
            return
        asked, generation = self._asked, self._generation
        self._asked = None
        self._worker = create_worker(_guarded, self._work, asked, _start_thread=False, _ignore_errors=True)
        self._worker.returned.connect(lambda answer: self._on_answer(generation, asked, answer))
        self._worker.errored.connect(lambda error: self._on_error(generation, error))
        watch(self._worker)
        self._worker.start()

    def _on_answer(self, generation: int, asked: Any, answer: Any) -> None:
        self._worker = None
        if generation == self._generation:
            self.done.emit(asked, answer)
        self._next()

    def _on_error(self, generation: int, error: Exception) -> None:
        self._worker = None
        if generation == self._generation:
            is_mistake = isinstance(error, FitInputError)
            self.refused.emit(str(error) if is_mistake else f"an error of the program, {type(error).__name__}: {error}")
        self._next()

    def _next(self) -> None:
        if self._asked is not None:
            self._timer.start()


def _guarded(work: Callable[[Any], Any], asked: Any) -> Any:
    """Do the work; a ``RuntimeError`` would vanish in napari's worker."""
    try:
        return work(asked)
    except RuntimeError as error:
        raise FitEngineError(f"{type(error).__name__}: {error}") from error
