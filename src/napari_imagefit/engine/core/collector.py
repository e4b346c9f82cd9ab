"""Python's search for garbage, put off while much is allocated that is none."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_callers = 0
_was_enabled = False


@contextlib.contextmanager
def put_off() -> Iterator[None]:
    """Surround what allocates as much as tracing does, in any thread.

    Python would go through all objects there are meanwhile, those of JAX or of a whole viewer, and hold every thread:
    0.08 s of a first fit, 0.15 s beside a viewer. Where the caller has switched the search off it stays so.

    Examples
    --------
    >>> import gc
    >>> with put_off():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    global _callers, _was_enabled
    with _lock:
        _callers += 1
        if _callers == 1:
            _was_enabled = gc.isenabled()
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if not _callers and _was_enabled:
                gc.enable()
