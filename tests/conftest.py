"""Fixtures that several folders share."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

from .bytecode import keep_bytecode, pytest_collection_finish, wait_for_bytecode
from .cost_report import CostReport

__all__ = ["pytest_collection_finish"]

# before the other folders' fixtures, which import napari
wait_for_bytecode()

# Nor because of somebody's settings, which no test may change: napari, and we, keep them in memory alone.
os.environ["NAPARI_CONFIG"] = ""
# pytest-xvfb gives each worker a screen, on which "offscreen" and Wayland, should somebody ask for them, draw nothing
if sys.platform == "linux":
    os.environ["QT_QPA_PLATFORM"] = "xcb"


def pytest_configure(config: pytest.Config) -> None:
    """Keep bytecode and programs for this run, and tell at the end what it has cost."""
    config.pluginmanager.register(CostReport(), "cost-report")
    keep_bytecode(config)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # workers share what serves every model; no test may pass because of what another run has left behind
        folder = os.environ["NAPARI_IMAGEFIT_CACHE"] = tempfile.mkdtemp(prefix="imagefit-programs-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True)
def _x64_is_local() -> Iterator[None]:
    """No test, and so no code that it runs, may leave JAX's precision changed."""
    jax = sys.modules.get("jax")
    before = jax.config.jax_enable_x64 if jax else False
    yield
    jax = sys.modules.get("jax")
    assert not jax or jax.config.jax_enable_x64 == before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say plainly why tests that draw cannot run, where Qt would abort the whole process."""
    if os.environ.get("DISPLAY") or sys.platform != "linux":
        return
    skip = pytest.mark.skip(reason="draws on a screen, and there is neither one nor Xvfb, which pytest-xvfb starts")
    for item in items:
        if {"make_napari_viewer", "qtbot"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(skip)
