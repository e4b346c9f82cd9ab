"""What is closed ends and leaves nothing behind, in whatever way and whenever it is closed."""

from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from npe2 import PluginManifest
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_imagefit import models
from napari_imagefit.gui.background.short_turns import TURN, short_turns
from napari_imagefit.gui.inspector.inspector_dock import Inspection
from napari_imagefit.gui.spots.bead_view import BeadView
from napari_imagefit.gui.state import session
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any
from napari_imagefit.layers.tasks.spot_beads import BeadPicture

from .dock_driver import waited_for_a_core

CHILD = Path(__file__).with_name("closing_child.py")
WAYS = ("viewer", "window", "dock", "layer", "quit", "exit", "end", "error")
PATIENCE = 120_000
OURS = ("Image Fit", "Inspect fits")


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    # not strict: napari itself leaves menus behind
    return _with_decays(make_napari_viewer(strict_qt=False))


def _with_decays(viewer: Any) -> Any:
    t = np.arange(6.0)[:, None, None]
    viewer.add_image(3 * np.exp(-t / np.linspace(1, 4, 80).reshape(8, 10)), name="decays")
    return viewer


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing may wait until garbage is collected."""
    gc.disable()
    yield
    gc.enable()


def settle() -> None:
    """Handle what is due, and delete what is to be deleted later."""
    for _ in range(3):
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def listeners(viewer: Any) -> dict[str, int]:
    """How many callbacks each of the viewer's events, its keys and its pointer have."""
    groups = {"layers": viewer.layers.events, "dims": viewer.dims.events, "viewer": viewer.events}
    counts = {f"{group}.{name}": len(e.callbacks) for group, it in groups.items() for name, e in it.emitters.items()}
    image = viewer.layers["decays"].events
    counts |= {f"image.{name}": len(e.callbacks) for name, e in image.emitters.items()}
    return counts | {
        "keys": len(viewer.keymap),
        "moves": len(viewer.mouse_move_callbacks),
        "drags": len(viewer.mouse_drag_callbacks),
    }


def open_dock(viewer: Any, name: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", name)
    QApplication.processEvents()
    return widget


def close_docks(viewer: Any) -> None:
    for widget in list(viewer.window.dock_widgets.values()):
        if type(widget).__module__.startswith("napari_imagefit"):
            viewer.window.remove_dock_widget(widget)
    settle()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("names", [OURS[:1], OURS[1:], OURS])
def test_a_dock_leaves_nothing_behind(viewer: Any, names: tuple[str, ...]) -> None:
    def once() -> tuple[int, dict[str, int]]:
        for name in names:
            open_dock(viewer, name)
        close_docks(viewer)
        return len(QApplication.allWidgets()), listeners(viewer)

    first = once()
    assert [once() for _ in range(3)] == [first] * 3


def test_docks_of_a_fit_leave_nothing_behind(qtbot: Any, viewer: Any) -> None:
    def once() -> int:
        widget = open_dock(viewer, "Image Fit")
        widget.data.set_job("voxels")
        widget.data.set_axis(0)
        qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
        assert widget.inspection.open()
        gc.disable()
        close_docks(viewer)
        gc.enable()
        return len(QApplication.allWidgets())

    once()
    counts = [once() for _ in range(2)]
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("no_collector")
def test_menus_go_when_they_are_closed(viewer: Any) -> None:
    parameters = open_dock(viewer, "Image Fit").parameters
    fields = parameters.unfold("offset")
    settle()
    before = len(QApplication.allWidgets())
    for _ in range(3):
        for offer in (fields.offer_layers, parameters.presets_button.open_menu):
            offer()
            popup = QApplication.activePopupWidget()
            assert popup is not None
            popup.close()
            settle()
    assert len(QApplication.allWidgets()) == before


@pytest.mark.usefixtures("no_collector")
def test_another_picture_of_a_bead_leaves_nothing_of_the_last(viewer: Any) -> None:
    picture = BeadPicture("spot 1", [("y, x", np.eye(5), (1.0, 1.0))], (), "px", np.eye(5), (1.0, 1.0))
    view = BeadView(viewer)
    counts = []
    for _ in range(3):
        view.show_picture(picture)
        settle()
        counts.append(len(QApplication.allWidgets()))
    view.deleteLater()
    assert len(set(counts)) == 1, counts


def test_the_window_is_closed_while_others_stay(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    """Nothing a fit still has to say reaches a window that is gone."""
    viewer = _with_decays(make_napari_viewer(strict_qt=False, show=True))
    widget = open_dock(viewer, "Image Fit")
    widget.data.set_job("voxels")
    widget.data.set_axis(0)
    session = widget.session
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    assert session.running
    # napari's window says so as it is taken apart, after it was closed
    viewer.window._qt_window.destroyed.emit()
    assert not session.running
    assert gc.isenabled()


def test_escape_lets_go_of_the_pins_of_everything_that_looks(viewer: Any) -> None:
    first, second = Inspection(viewer), Inspection(viewer)
    outcome = _fitted(viewer)
    for one in (first, second):
        one.take(outcome)
        one.pin((0, 0))
    (press,) = (call for key, call in viewer.keymap.items() if str(key) == "Escape")
    press(viewer)
    assert not first.pinned
    assert not second.pinned
    assert not viewer.keymap, "the key is anybody's while nothing is pinned"
    for one in (first, second):
        one.pin((0, 0))
    first.close()
    assert [str(key) for key in viewer.keymap] == ["Escape"], "the second one still needs it"
    second.close()
    assert not viewer.keymap


def test_a_key_that_the_user_has_bound_stays_the_user_s(viewer: Any) -> None:
    def own(_viewer: Any) -> None: ...

    viewer.bind_key("Escape", own)
    inspection = Inspection(viewer)
    inspection.take(_fitted(viewer))
    inspection.pin((0, 0))
    inspection.close()
    assert list(viewer.keymap.values()) == [own]


def _fitted(viewer: Any) -> Outcome:
    """The decays, fitted without waiting for a thread."""
    rows = tuple(Row(name) for name in models["linear"].names)
    steps = run_any(freeze(Choices(viewer.layers["decays"], "voxels", "linear", rows, axis=0)))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


@pytest.mark.slow
def test_every_command_before_during_and_after_a_fit(qtbot: Any, viewer: Any, tmp_path: Path) -> None:
    manifest = PluginManifest.from_distribution("napari-imagefit").contributions
    image, before = viewer.layers["decays"], listeners(viewer)
    table = tmp_path / "some.thunderstorm.csv"
    table.write_text('"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]"\n1,1,150,250,120,100\n')

    def run_all() -> None:
        for _ in range(2):
            for use in manifest.widgets or ():
                get_app_model().commands.execute_command(use.command).result()
                QApplication.processEvents()
            for sample in manifest.sample_data or ():
                for layer in viewer.open_sample("napari-imagefit", sample.key):
                    viewer.layers.remove(layer)
            for layer in viewer.open(table, plugin="napari-imagefit"):
                viewer.layers.remove(layer)

    run_all()
    close_docks(viewer)
    assert listeners(viewer) == before
    widget = open_dock(viewer, "Image Fit")
    ended: list[Any] = []
    widget.session.finished.connect(ended.append)
    # the first one makes a dock of its own, beside which the menu makes another
    for when in ("after", "during"):
        widget.data.layers.choose(image)
        widget.data.set_job("voxels")
        widget.data.set_axis(0)
        widget.fit()
        assert widget.session.running, widget.message.text()
        if when == "during":
            run_all()
        qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
        # what is opened afterwards takes the message away
        assert ended.pop().result.converged.all()
        run_all()
    close_docks(viewer)
    run_all()
    close_docks(viewer)
    assert [str(key) for key in viewer.keymap] == []
    after = listeners(viewer)
    # napari's own follow the layers of results, which stay
    assert {name: after[name] for name in ("moves", "drags", "keys", "dims.order")} == {
        name: before[name] for name in ("moves", "drags", "keys", "dims.order")
    }


def close(way: str, seconds: float, what: str) -> tuple[int, str, float]:
    """Return code, what is on stderr, and the seconds from closing to the end, less those that other programs had."""
    # where a signal ends it, this says in which function
    environment = os.environ | {"NAPARI_IMAGEFIT_CACHE": "off", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, str(CHILD), way, str(seconds), what]
    waited = 0.0
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        child = subprocess.Popen(command, stdout=said, stderr=wrong, text=True, env=environment)
        end = time.monotonic() + 600
        while child.poll() is None:
            # until it has ended
            waited = waited_for_a_core(child.pid) or waited
            if time.monotonic() > end:
                child.kill()
            time.sleep(0.01)
        now = time.time()
        said.seek(0)
        wrong.seek(0)
        (line,) = (line for line in said if line.startswith("closing"))
        _, closing, before = line.split()
        return child.returncode, wrong.read(), now - float(closing) - max(0.0, waited - float(before))


@functools.cache
def bare(way: str) -> tuple[int, str, float]:
    """Napari without the widget."""
    return close(way, 1, "bare")


LATE = """
import time
from qtpy.QtWidgets import QApplication
from superqt.utils import GeneratorWorker
from napari_imagefit.gui.background.workers import watch

class Late(GeneratorWorker):
    def run(self):
        time.sleep(0.2)  # such as a thread needs to get hold of Python
        super().run()

def work():
    yield

app = QApplication([])
worker = Late(work)
watch(worker)
worker.start()
"""


def test_a_worker_that_is_about_to_begin_is_waited_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LATE], env=os.environ | {"QT_QPA_PLATFORM": "offscreen"}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_worker_does_not_import_by_itself_as_python_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loading that it waits for is broken off then; what it imported itself would keep Python for seconds."""
    broken_off: Future[None] = Future()
    broken_off.cancel()
    monkeypatch.setattr(session, "loaded", lambda: broken_off)
    monkeypatch.setattr(session, "is_ending", lambda: True)
    waiting = session.until_loaded()
    for _ in range(3):  # each a place where the worker is told to quit
        assert next(waiting).compiling


def test_turns_at_python_are_short_until_the_last_is_done() -> None:
    usual = sys.getswitchinterval()
    with short_turns():
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(TURN)
        assert sys.getswitchinterval() == pytest.approx(TURN)
    assert sys.getswitchinterval() == usual


OPEN = """
import atexit, sys
import napari
from PyQt6 import sip
from qtpy.QtCore import QTimer

viewer = napari.Viewer()
viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
window = viewer.window._qt_window
atexit.register(lambda: sys.stdout.write(f"{sip.ispyowned(window)}\\n"))
QTimer.singleShot(0, lambda: sys.exit(3))
napari.run()
"""


def test_a_window_that_is_open_at_the_end_is_not_deleted_by_python() -> None:
    """PyQt crashes now and then on its way through its objects, as a window goes."""
    pytest.importorskip("PyQt6.sip")
    ended = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout) == (3, "", "False\n")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.6, 1.5, 2.5, 4])
@pytest.mark.parametrize("way", WAYS)
def test_closing_some_time_into_a_fit_is_silent_and_soon(way: str, seconds: float) -> None:
    """Importing and tracing are broken off, and nobody waits for a compiler."""
    code, words, took = close(way, seconds, "fits")
    assert (code, words) == bare(way)[:2]
    # where other programs compute, whoever holds Python has to wait for a core, and so has the main thread
    assert took < 2 + 2 * bare(way)[2]
