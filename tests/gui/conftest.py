"""Fixtures of the window's tests."""

from __future__ import annotations

import pytest

from napari_imagefit.gui.session import Session


@pytest.fixture(autouse=True)
def _nothing_is_compiled_ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that outlives its test would meet the next one; test_preparing.py asks for it."""
    if request.node.module.__name__.rpartition(".")[2] != "test_preparing":
        monkeypatch.setattr(Session, "prepare", lambda _self, _request: None)
