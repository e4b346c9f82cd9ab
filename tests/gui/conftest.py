"""Fixtures of the window's tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import jax.numpy  # noqa: F401 - what is imported before is not looked through
import napari.viewer  # noqa: F401
import pytest
from napari._qt import qt_main_window  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_sought_among_new_objects() -> Iterator[None]:
    """Napari collects garbage with every layer that is removed: a second, were all modules looked through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
