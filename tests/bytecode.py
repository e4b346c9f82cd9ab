"""The bytecode of a run: kept where Python may not write any, and made by one worker for all.

To compile the modules of napari, JAX and the tests, these with their assertions rewritten, takes a worker 20 s of the
30 s in which it collects the tests. All of them at once would do the same work on the same cores.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

# The longest that a worker waits for the first one; without it it would be done by then on any machine.
PATIENCE_S = 120.0


def keep_bytecode(config: pytest.Config) -> None:
    """Give this run, its workers and the processes that tests start, a folder for it if Python may not write any."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        folder = os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="imagefit-bytecode-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def wait_for_bytecode() -> None:
    """Let the first worker collect the tests alone, where nothing is compiled yet."""
    collected, end = _collected(), time.monotonic() + PATIENCE_S
    if collected is None or os.environ["PYTEST_XDIST_WORKER"] == "gw0":
        return
    while not collected.exists() and time.monotonic() < end:
        time.sleep(0.1)


def pytest_collection_finish() -> None:
    """Tell the other workers."""
    collected = _collected()
    if collected is not None and os.environ["PYTEST_XDIST_WORKER"] == "gw0":
        collected.touch()


def _collected() -> Path | None:
    """Return the file that is there as soon as the first worker has collected; None where there are no workers."""
    folder = os.environ.get("PYTHONPYCACHEPREFIX")
    return Path(folder, "collected") if folder and "PYTEST_XDIST_WORKER" in os.environ else None
