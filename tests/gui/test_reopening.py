"""The docks opened and closed many times, at rest and in the midst of a fit: everything that came goes again."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_imagefit.layers.history.history import history_of
from napari_imagefit.layers.history.settings_log import SettingsLog

from . import dock_driver as hands

ROUNDS = 13  # of four openings
WARM = 2  # rounds after which napari, Qt and JAX have made what they keep


def everything(viewer: Any, image: Any) -> Counter[str]:
    """How many there are of each kind that could be left behind."""
    hands.collect()
    # no variable may hold the last one: Python's side of it would be counted below
    found = Counter(f"widget {type(widget).__name__}" for widget in QApplication.allWidgets())
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, QObject) or str(kind.__module__).startswith(hands.PACKAGE):
            found[f"object {kind.__module__}.{kind.__qualname__}"] += 1
    for thread in threading.enumerate():
        found[f"thread {thread.name.rstrip('0123456789-_')}"] += 1
    emitters = {"layers": viewer.layers.events, "dims": viewer.dims.events, "viewer": viewer.events}
    emitters |= {"camera": viewer.scene.camera.events, "image": image.events}
    for group, events in emitters.items():
        for name, emitter in events.emitters.items():
            found[f"callback {group}.{name}"] += len(emitter.callbacks)
    found["selection callbacks"] = len(viewer.layers.selection.events.active.callbacks)
    for calls in ("mouse_move_callbacks", "mouse_drag_callbacks", "mouse_double_click_callbacks", "keymap"):
        found[calls] = len(getattr(viewer, calls))
    return found


def more(before: Counter[str], after: Counter[str]) -> dict[str, tuple[int, int]]:
    return {name: (before[name], after[name]) for name in after if after[name] > before[name]}


def forget_results(viewer: Any, made: list[Any]) -> None:
    history = history_of(viewer)  # it outlives the docks on purpose
    for entry in list(history.entries):
        history.remove(entry, viewer.layers)
    history.settings = SettingsLog()
    for layer in [layer for layer in viewer.layers if layer not in made]:
        viewer.layers.remove(layer)


def in_the_midst_of_a_fit(viewer: Any) -> None:
    widget = hands.open_dock(viewer)
    hands.choose_layer(widget, "decays")
    hands.choose_job(widget, "Voxels")
    hands.press_fit(widget)
    session = widget.session
    assert session.running
    hands.wait(lambda: widget.fit_bar.bar.maximum() > 0 or not session.running, "the fit has begun")
    hands.close_docks(viewer)
    assert not session.running


def with_the_dock_of_spots(viewer: Any) -> None:
    widget = hands.open_dock(viewer)
    hands.choose_layer(widget, "spot")
    hands.choose_job(widget, "Spots")
    hands.choose_layer(widget, "points")
    hands.choose_model(widget, "gaussian_2d")
    hands.fit(widget)
    assert "converged" in widget.message.text(), widget.message.text()
    assert len(hands.docked(viewer)) > 1
    hands.close_docks(viewer)


def one_round(viewer: Any, made: list[Any]) -> None:
    """Four openings."""
    hands.open_dock(viewer)
    hands.close_docks(viewer)

    hands.unfold_all(hands.open_dock(viewer))
    hands.open_dock(viewer, "Inspect fits")
    hands.close_docks(viewer)

    for opening in (in_the_midst_of_a_fit, with_the_dock_of_spots):
        opening(viewer)
        forget_results(viewer, made)


@pytest.mark.slow
def test_fifty_openings_leave_nothing_behind(make_napari_viewer: Callable[..., Any]) -> None:
    # not strict: napari itself leaves menus behind
    viewer = make_napari_viewer(strict_qt=False, show=True)
    t, rng = np.arange(6.0)[:, None, None], np.random.default_rng(4)
    decays = viewer.add_image(3 * np.exp(-t / np.linspace(1, 4, 80).reshape(8, 10)), name="decays")
    y, x = np.mgrid[:40, :40]
    cloud = 90 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 6) + rng.normal(9, 1, y.shape)
    made = [decays, viewer.add_image(cloud, name="spot"), viewer.add_points([[20, 20]], name="points")]
    before: Counter[str] = Counter()
    for number in range(ROUNDS):
        one_round(viewer, made)
        if number == WARM - 1:
            before = everything(viewer, decays)
    after = everything(viewer, decays)
    assert not more(before, after), more(before, after)
