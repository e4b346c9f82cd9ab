"""Short turns at Python, for the window's sake, while another thread is busy in it for seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

# s after which a thread that waits for Python gets it; usually 5 ms, for which the window waits at nearly each call of
# Qt or OpenGL
TURN = 5e-4

_lock = threading.Lock()
_callers = 0
_before = 0.0


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Surround what keeps Python busy, such as an import of JAX, in any thread.

    Examples
    --------
    >>> before = sys.getswitchinterval()
    >>> with short_turns():
    ...     sys.getswitchinterval() < before
    True
    >>> sys.getswitchinterval() == before
    True
    """
    global _callers, _before
    with _lock:
        _callers += 1
        if _callers == 1:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(TURN, _before))
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if not _callers:
                sys.setswitchinterval(_before)
