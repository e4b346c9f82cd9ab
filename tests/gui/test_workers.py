"""Workers that are dropped end in their own threads: in the window's it would wait for all that is computed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator
from typing import Any

import pytest
from napari.qt.threading import create_worker

from napari_imagefit.gui.background.workers import watch


@pytest.mark.usefixtures("qapp")
def test_steps_that_are_dropped_are_closed_where_they_ran(qtbot: Any) -> None:
    begun, closed = threading.Event(), list[bool]()

    def steps() -> Generator[int, None, None]:
        try:
            while True:
                begun.set()
                yield 1
        finally:
            closed.append(threading.current_thread() is threading.main_thread())

    worker = create_worker(steps, _start_thread=False)
    watch(worker)
    with qtbot.waitSignal(worker.finished):
        worker.start()
        assert begun.wait(10)
        worker.quit()
    del worker
    gc.collect()
    assert closed == [False]
