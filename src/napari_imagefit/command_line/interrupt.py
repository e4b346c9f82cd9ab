"""Ctrl-C, which Python would raise wherever it is: in a library's callback that swallows it, or amid a file."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SHOW_CURSOR = "\x1b[?25h"


class Interrupt:
    """Surrounds what Ctrl-C ends in a sentence: as soon as all is in order where that is looked for, else at once.

    A process may be ended at any time, for what is on the disk is always something that can be gone on with.

    Attributes
    ----------
    words : callable
        Gives the sentence.
    """

    def __init__(self) -> None:
        self.words: Callable[[], str] = lambda: "stopped before anything was done; the same command begins again"
        self._looked_for = False
        self._came = False
        self._before: Any = None

    def came(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._came

    @contextmanager
    def looked_for(self) -> Iterator[None]:
        """Surround what asks `came` every now and then, and sees to the end; a second Ctrl-C ends it even so."""
        self._looked_for = True
        try:
            yield
        finally:
            self._looked_for = False

    def __enter__(self) -> Interrupt:
        # only the main thread may; and in the background of a shell, or below nohup, it is ignored
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._looked_for and not self._came:
            self._came = True
        else:
            _leave(self.words())


def leave_quietly() -> None:
    """End the process without a word on Ctrl-C from here on: Python is exiting, and everything has been reported."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))


def _leave(words: str) -> None:
    # past Python's own files, which may be in the midst of a line
    if os.isatty(2):
        words = f"{SHOW_CURSOR}\n{words}"
    os.write(2, f"{words}\n".encode())
    os._exit(130)
