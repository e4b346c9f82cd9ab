"""Calls that need a compiled program, put off until it is there: meanwhile the window goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from qtpy.QtCore import QObject, QTimer

from ...engine.core.programs import StillCompilingError, without_waiting

COMPILED_POLL_MS = 15


class CompileWait:
    """Calls functions that need compiled programs without waiting for a compiler.

    Parameters
    ----------
    again : callable
        Called when what was missing is there.
    parent : QObject
        Owner of the timer.
    """

    def __init__(self, again: Callable[[], object], parent: QObject) -> None:
        self._again = again
        self._missing: Future[Any] | None = None
        self._timer = QTimer(parent)
        self._timer.setInterval(COMPILED_POLL_MS)
        self._timer.timeout.connect(self._look)

    @property
    def busy(self) -> bool:
        """Whether something is being compiled."""
        return self._timer.isActive()

    def call(self, function: Callable[..., object], *args: Any) -> bool:
        """Call a function; False if it has not come to its end for lack of a program."""
        missing, self._missing = self._missing, None
        try:
            if missing is not None and _has_failed(missing):
                # whoever waits for it is told why
                function(*args)
            else:
                with without_waiting():
                    function(*args)
        except StillCompilingError as error:
            self._missing = error.program
            self._timer.start()
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Expect nothing any more."""
        self._missing = None
        self._timer.stop()

    def _look(self) -> None:
        if self._missing is None or self._missing.done():
            self._timer.stop()
            self._again()


def _has_failed(program: Future[Any]) -> bool:
    return program.done() and (program.cancelled() or program.exception() is not None)
