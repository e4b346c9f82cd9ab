"""How much memory a window takes at rest, and what is known of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Any

import psutil

from .watch import let_go_of_notifications


def rest(hands: Any) -> dict[str, float]:
    """Memory in MB after everything has come to rest, and what is known of it."""
    hands.wait_for_fit()
    hands.pause(300)
    let_go_of_notifications()
    hands.pause(50)
    gc.collect()
    hands.pause(50)
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is no longer held
    layers = hands.viewer.layers
    found = {
        "all": psutil.Process().memory_info().rss / 2**20,
        "layers": sum(getattr(layer.data, "nbytes", 0) for layer in layers) / 2**20,
        "shaders": _shaders(hands.viewer),
        "shapes": sum(layer._type_string == "shapes" for layer in layers),  # which are never removed
    }
    if hands.plugin:
        import jax

        from napari_imagefit.layers.history.history import history_of

        found["history"] = history_of(hands.viewer).held(layers) / 2**20
        found["programs"] = len(jax.devices()[0].client.live_executables())
    return {name: round(value, 1) for name, value in found.items()}


def level(hands: Any) -> dict[str, float]:
    """Memory at rest with nothing fitted and nothing to fit; see `--level`."""
    hands.wait_for_fit()
    layers = hands.viewer.layers
    if hands.plugin:
        from napari_imagefit.layers.history.history import history_of

        history = history_of(hands.viewer)
        for entry in reversed(tuple(history.entries)):
            history.remove(entry, layers)
            hands.pause(20)
    for layer in reversed(tuple(layers)[1:]):
        if layer._type_string == "shapes":
            layer.data = []
        elif layer in layers:
            layers.remove(layer)
        hands.pause(20)
    hands.pause(1000)  # what listens has its turn
    return rest(hands)


def _shaders(viewer: Any) -> int:
    """How many programs of OpenGL are alive."""
    parser = viewer.window._qt_viewer.canvas._scene_canvas.context.shared.parser
    return sum(type(one).__name__ == "GlirProgram" for one in parser._objects.values())
