"""What is done when Python ends, before it waits for its threads: ordinary exit handlers are called after that."""

from __future__ import annotations

import atexit

# what was registered last is called first, and executors must still be there then
import concurrent.futures.thread  # noqa: F401
import contextlib
import threading
from collections.abc import Callable

_ending = threading.Event()


def when_python_ends(call: Callable[[], object]) -> None:
    """Have something called once, as the main thread has come to its end and others may still run."""

    def end() -> None:
        _ending.set()
        call()

    register = getattr(threading, "_register_atexit", atexit.register)
    # refused where Python ends already
    with contextlib.suppress(RuntimeError):
        register(end)


def is_ending() -> bool:
    """Whether Python ends, so that nothing new should be begun."""
    return _ending.is_set()
