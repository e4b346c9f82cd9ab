"""Napari's Preferences reach the widget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import napari.settings
import pytest
from napari.settings import get_plugin_settings

from napari_imagefit.layers import preferences
from napari_imagefit.layers.preferences import PLUGIN, default_device, history_bytes


@pytest.fixture
def settings() -> Iterator[Any]:
    found = get_plugin_settings(PLUGIN)
    before = found.history.memory_mb, found.computing.device
    yield found
    found.history.memory_mb, found.computing.device = before


def test_what_is_set_counts(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(settings), "save", lambda *_, **__: None)
    settings.history.memory_mb = 10
    settings.computing.device = "cpu"
    assert history_bytes() == 10 * 2**20
    assert default_device() == "cpu"


def test_a_disabled_plugin_has_the_same_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    own = history_bytes(), default_device()

    def none(_plugin: str) -> Any:
        raise KeyError

    monkeypatch.setattr(napari.settings, "get_plugin_settings", none)
    assert own == (history_bytes(), default_device()) == (1024 * 2**20, "automatic")


@pytest.mark.parametrize("first", [True, False])
def test_a_new_widget_computes_there(
    qtbot: Any, first: bool, settings: Any, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(settings), "save", lambda *_, **__: None)
    settings.computing.device = "cpu"
    if first:  # of the process: then napari reads manifests, which takes a while
        monkeypatch.setattr(preferences, "_read", Event())
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Image Fit")
    if first:
        assert widget.options.device.currentText() == "automatic"
        qtbot.waitUntil(lambda: widget.options.device.currentText() == "cpu")
        assert not widget.past.undo.undo_button.isEnabled()
        assert widget.past.history.settings.now.computing.device == "cpu"
    assert widget.options.device.currentText() == "cpu"
    assert widget.options.computing().device == "cpu"
