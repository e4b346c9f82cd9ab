"""Napari's workers end before Python does: a thread of Qt that Python is taken from ends the process in an abort.

An application that quits by itself asks its workers to quit and waits for them; nobody does where a script ends, or
calls ``sys.exit``.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from napari import current_viewer
from qtpy.QtCore import Qt, QThreadPool

from ..._ending import when_python_ends

POLL_MS = 20  # ms between two looks at workers that are to end
LAST_WORDS = 0.5  # s that Qt's threads may take to begin or to end, those of others included

# those that run are kept alive by napari
_watched: WeakKeyDictionary[Any, Callable[[], object]] = WeakKeyDictionary()


def watch(worker: Any, stop: Callable[[], object] = lambda: None) -> None:
    """Ask a worker to quit, and wait for it, when Python ends; `stop` asks its function to."""
    _watched[worker] = stop
    _end_in_own_thread(worker)
    known, tasks = weakref.ref(worker), _tasks()
    worker.finished.connect(lambda: _let_go(tasks, known()))


def _end_in_own_thread(worker: Any) -> None:
    """Close the steps of a worker that breaks off where they ran.

    They would be closed where the worker is deleted: in the window's thread, which would wait for all that is computed.
    """
    steps = getattr(worker, "_gen", None)
    if steps is not None:
        worker.aborted.connect(lambda: steps.close(), Qt.ConnectionType.DirectConnection)


def _tasks() -> dict[Any, Any]:
    """Return napari's list of tasks, where a new worker has just been entered."""
    manager = getattr(getattr(current_viewer(), "window", None), "_task_status_manager", None)
    return getattr(manager, "_tasks", {})


def _let_go(tasks: dict[Any, Any], worker: Any) -> None:
    """Remove a worker from napari's list of tasks, which only grows: how it cancels one holds all that was fitted."""
    for item in tuple(tasks.values()):
        if getattr(getattr(item, "_cancel_callback", None), "__self__", None) is worker:
            item._cancel_callback = None


def end_all() -> None:
    """Ask all workers that are watched to quit, and wait until they have, those included that are about to begin."""
    watched = list(_watched)
    for worker in watched:
        worker.quit()
        _watched[worker]()
    pool = QThreadPool.globalInstance()
    if pool is None or not watched:
        return
    heard = time.monotonic()
    while not pool.waitForDone(POLL_MS):
        # one that a thread has been found for runs as soon as that thread has got hold of Python
        if any(worker.is_running for worker in watched):
            heard = time.monotonic()
        elif time.monotonic() > heard + LAST_WORDS:
            return


when_python_ends(end_all)
