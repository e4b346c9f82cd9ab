"""Settings of napari's Preferences; they are listed in the manifest."""

from __future__ import annotations

from threading import Event
from typing import Any

PLUGIN = "napari-imagefit"
MEMORY = 1024  # MiB, as in the manifest
_read = Event()


def is_read() -> bool:
    """Whether they are known at once: for the first look napari reads the manifests of all plugins again."""
    return _read.is_set()


def history_bytes() -> int:
    """Return how much memory the arrays of earlier fits may take."""
    return int(_preference("history", "memory_mb", MEMORY)) * 2**20


def default_device() -> str:
    """Return the default device of fits: ``"automatic"``, ``"cpu"`` or ``"gpu"``."""
    return str(_preference("computing", "device", "automatic"))


def _preference(part: str, name: str, otherwise: Any) -> Any:
    from napari.settings import get_plugin_settings

    try:
        settings = get_plugin_settings(PLUGIN)
    except KeyError:
        # a plugin that was disabled has none, but a script can still make its widget
        return otherwise
    finally:
        _read.set()
    return getattr(getattr(settings, part), name)
