"""Clicks at random, from a seed: what a window goes through in the hands of a child.

    sh tools/with-display.sh .venv/bin/python tests/gui/random_hands.py --seed 1 --minutes 5 [--without-plugin]

Every action is done with mouse and keys on what is on screen, between actions of the viewer: layers are added, removed
and renamed, their data replaced or changed in place, frames stepped, docks closed and opened again; files given with
`--open` are there from the beginning. What went wrong is told at the end: exceptions, warnings, hold-ups of the event
loop, and how much memory there was at rest, napari's notifications closed, beside what is known of it: the history's
arrays, the layers' data, and how many programs JAX and OpenGL have compiled (of the latter each visual of a layer has
one; Mesa keeps them in the memory of the process). The exit status is 1 if anything went wrong, but for
hold-ups in which nothing of the plugin took part. A hold-up tells the action under way and where the main thread was.
The same seed does the same, as far as fits take the same time.

With `--level MINUTES` the history is emptied so often, and all layers are removed but those that napari does not bear
to lose, see below: what a process holds then depends on these alone, and it is told how many Shapes layers there are.

Without the plugin only the viewer's part is done, on layers like those that fits make: what goes wrong there is
napari's own. Shapes layers and the lowest layer are not removed: napari 0.9.2 on Mesa ends the process when the lower
of two images is removed, or when layers come or go after shapes were removed, with the plugin or without. Each program
of OpenGL of a layer takes some 2 MB: once there are a few Shapes layers, what would add another one is left alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import dock_driver as driver  # beside this script
from dock_driver.levels import level, rest
from dock_driver.viewer_hands import MOST_LAYERS, ViewerHands
from dock_driver.watch import HOLD_UP, NOT_OURS, Watch, summary

STEPS_MS = (0, 0, 5, 20, 60, 200)  # between two actions
NONSENSE = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "",
    "x" * 300,
    "🙂",
    "−5",
    "1,5",
    " 3 ",
    "0x10",
    "layer:clouds",
    "2*sigma",
    "0",
)
NUMBERS = ("0", "1", "2.5", "10", "-3", "100", "0.001")
SAMPLES = ("clouds", "phantom", "trouble", "spots")
# Shapes layers, which stay, and what adds one.
MOST_SHAPES = 6
DRAWING = ("QPushButton 'Draw'", "QPushButton 'Draw what is left out'")


class Hands(ViewerHands):
    """Does one thing after another, each drawn from the seed.

    Parameters
    ----------
    viewer : napari.Viewer
    seed : int
    plugin : bool
        Whether its docks are used.
    folder : Path
        Where files may be written.
    watch : Watch
    """

    def __init__(self, viewer: Any, seed: int, plugin: bool, folder: Path, watch: Watch) -> None:
        super().__init__(viewer, seed)
        self.plugin, self.folder, self.watch = plugin, folder, watch
        self.other = random.Random(seed + 1)  # for what happens whenever a menu is open
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.trail: IO[str] | None = None
        docks: list[tuple[int, Callable[[], None]]] = [
            (40, self.touch_control),
            (6, self.press_fit),
            (4, self.press_cancel),
            (2, self.close_or_open),
            (3, self.choose_job),
            (2, self.unfold),
            (1, self.open_sample),
            (3, self.wait_for_fit),
        ]
        self.actions = self.own + (docks if plugin else [(10, self.like_a_fit)])

    # --- one after the other

    def do_one(self) -> None:
        weights = [weight for weight, _ in self.actions]
        action = self.rng.choices([action for _, action in self.actions], weights)[0]
        self.counts[action.__name__] += 1
        self.watch.number += 1
        self.say(action.__name__)
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the harness goes on, and tells
            self.watch.tell("exception", repr(error), traceback.format_exc())

    def say(self, words: str) -> None:
        self.watch.doing = words
        self.note(words)
        self.log.append(f"{self.watch.number} {words}")

    def note(self, words: str) -> None:
        if self.trail is not None:
            self.trail.write(f"{self.watch.number} {words}\n")
            self.trail.flush()  # what ends the process leaves nothing else

    def note_layer(self, event: Any) -> None:
        """Of layers that come and go, by whomever."""
        self.note(f"    {event.type}: {event.value._type_string} {event.value.name[:60]!r}")

    def escape(self) -> None:
        """Menus and dialogs wait for the user: choose something in them, or leave."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        for shown in (QApplication.activePopupWidget(), QApplication.activeModalWidget()):
            if shown is None or not shown.isVisible():
                continue
            for _ in range(self.other.randrange(3)):
                QTest.keyClick(shown, Qt.Key.Key_Down)
            key = Qt.Key.Key_Return if self.other.random() < 0.5 else Qt.Key.Key_Escape
            QTest.keyClick(shown, key)
            if key == Qt.Key.Key_Escape and shown.isVisible():
                shown.close()

    # --- the plugin's docks

    def dock(self) -> Any | None:
        found = driver.docked(self.viewer)
        return self.rng.choice([found[0], *found]) if found else None

    def touch_control(self) -> None:
        from qtpy import QtWidgets as qw

        widget = self.dock()
        if widget is None:
            self.close_or_open()
            return
        if not widget.isVisible():
            driver.raise_dock(widget)
        found = driver.controls(widget)
        if not found:
            return
        control = self.rng.choice(found)
        self.say(f"touch_control {driver.name_of(control)}")
        if self.has_enough_shapes() and driver.name_of(control) in DRAWING:
            return
        driver.bring_into_view(control)
        if not any(control is one for one in driver.controls(widget)):
            return  # gone meanwhile, such as a list's editor
        if isinstance(control, qw.QAbstractItemView):
            self.touch_table(control)
        elif isinstance(control, (qw.QLineEdit, qw.QAbstractSpinBox)):
            self.type_into(control)
        elif isinstance(control, qw.QComboBox):
            self.touch_combo(control)
        elif isinstance(control, qw.QTabBar):
            driver.click(control, control.tabRect(self.rng.randrange(max(1, control.count()))).center())
        elif isinstance(control, qw.QAbstractSlider):
            self.press(control, "Key_Right", "Key_Left", "Key_PageUp", "Key_End")
        else:
            driver.click(control)

    def has_enough_shapes(self) -> bool:
        return sum(layer._type_string == "shapes" for layer in self.viewer.layers) >= MOST_SHAPES

    def press(self, widget: Any, *keys: str) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(widget, getattr(Qt.Key, self.rng.choice(keys)))

    def text(self) -> str:
        return self.rng.choice(NONSENSE if self.rng.random() < 0.4 else NUMBERS)

    def type_into(self, field: Any) -> None:
        text = self.text()
        self.say(f"type {text[:20]!r} into {driver.field_name(field)}")
        driver.type_into(field, text)

    def touch_combo(self, combo: Any) -> None:
        if self.rng.random() < 0.2:
            driver.click(combo)  # its list opens, and `escape` chooses
            self.pause(80)
            return
        self.press(combo, "Key_Down", "Key_Up", "Key_End", "Key_Home")

    def touch_table(self, table: Any) -> None:
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        found = driver.cells(table)
        if found and self.rng.random() < 0.6:
            self.type_into(self.rng.choice(found))
            return
        port = table.viewport()
        place = QPoint(self.rng.randrange(max(1, port.width())), self.rng.randrange(max(1, port.height())))
        button = Qt.MouseButton.RightButton if self.rng.random() < 0.2 else Qt.MouseButton.LeftButton
        QTest.mouseClick(port, button, pos=place)
        if button == Qt.MouseButton.RightButton:
            self.pause(60)

    def press_fit(self) -> None:
        widget = driver.main_widget(self.viewer)
        if widget is not None and widget.isVisible() and widget.fit_bar.fit.isEnabled():
            driver.click(widget.fit_bar.fit)

    def press_cancel(self) -> None:
        widget = driver.main_widget(self.viewer)
        if widget is not None and widget.isVisible() and widget.fit_bar.cancel.isEnabled():
            driver.click(widget.fit_bar.cancel)

    def wait_for_fit(self) -> None:
        """A person waits now and then."""
        widget, end = driver.main_widget(self.viewer), time.monotonic() + 15
        while widget is not None and widget.session.running and time.monotonic() < end:
            self.pause(20)

    def close_or_open(self) -> None:
        found = driver.docked(self.viewer)
        if len(found) > 1 and self.rng.random() < 0.6:
            self.say(f"close {type(found[-1]).__name__}")
            self.viewer.window.remove_dock_widget(self.rng.choice(found[1:]))
        elif found and self.rng.random() < 0.6:
            self.say("close the dock")
            self.viewer.window.remove_dock_widget(found[0])
        elif driver.main_widget(self.viewer) is None:
            self.say("open the dock")
            driver.open_dock(self.viewer)
        elif not any(type(widget).__name__ == "Inspector" for widget in found):
            self.say("open the inspector")
            driver.open_dock(self.viewer, "Inspect fits")

    def choose_job(self) -> None:
        widget = driver.main_widget(self.viewer)
        if widget is None:
            return
        job = self.rng.choice(("Region", "Spots", "Voxels"))
        self.say(f"choose_job {job}")
        driver.choose_job(widget, job)

    def unfold(self) -> None:
        widget = self.dock()
        if widget is not None and widget.isVisible():
            driver.unfold_all(widget)

    def open_sample(self) -> None:
        name = self.rng.choice(("phantom", "trouble", "spots") if self.has_enough_shapes() else SAMPLES)
        self.say(f"open_sample {name}")
        while len(self.viewer.layers) > MOST_LAYERS - 3:
            before = len(self.viewer.layers)
            self.remove_layer()
            self.pause(20)
            if len(self.viewer.layers) == before:
                return
        self.viewer.open_sample("napari-imagefit", name)


def no_dialogs(hands: Hands) -> None:
    """Dialogs for files answer at once, with a new name or with none."""
    from qtpy.QtWidgets import QFileDialog

    def answer() -> Path | None:
        name = hands.rng.choice(("", "out.csv", "n" * 120 + ".csv", "x.ome.tif", "🙂.csv"))
        return hands.folder / name if name else None

    driver.answer_saves(answer)
    QFileDialog.getOpenFileName = lambda *_a, **_k: ("", "")
    QFileDialog.getExistingDirectory = lambda *_a, **_k: ""
    QFileDialog.getOpenFileNames = lambda *_a, **_k: ([], "")


def run(
    seed: int,
    minutes: float,
    plugin: bool,
    steps: int | None = None,
    hold_up: float = HOLD_UP,
    trail: IO[str] | None = None,
    files: Sequence[Path] = (),
    level_every: float | None = None,
) -> dict[str, Any]:
    """Use the hands for some minutes, or that many actions; returns what was found."""
    os.environ["NAPARI_CONFIG"] = ""  # whoever runs this keeps their own settings
    import napari
    from qtpy.QtCore import QTimer

    faulthandler.enable()
    watch = Watch(hold_up)
    watch.trail = trail
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 720)
    memory: list[dict[str, float]] = []
    levels: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        hands = Hands(viewer, seed, plugin, Path(folder), watch)
        hands.trail = trail
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(hands.note_layer)
        no_dialogs(hands)
        if plugin:
            driver.open_dock(viewer)  # the first time, everything is imported
        hands.pause(500)
        watch.begin()
        escapes = QTimer()
        escapes.setInterval(150)
        escapes.timeout.connect(hands.escape)
        escapes.start()
        for file in files:
            viewer.open(file, plugin="napari")
        hands.add_image()
        end = time.monotonic() + 60 * minutes
        due = time.monotonic() + 30
        level_due = time.monotonic() + 60 * (level_every or math.inf)
        while time.monotonic() < end and (steps is None or watch.number < steps):
            hands.do_one()
            hands.pause(hands.rng.choice(STEPS_MS))
            if time.monotonic() > due:
                memory.append(rest(hands))
                due = time.monotonic() + 30
            if level_every is not None and time.monotonic() > level_due:
                watch.doing = "taking everything away"
                levels.append({"actions": watch.number, **level(hands)})
                hands.add_image()
                level_due = time.monotonic() + 60 * level_every
        memory.append(rest(hands))
        watch.doing = "closing"
        escapes.stop()
        if plugin:
            driver.close_docks(viewer)
        watch.end()
        viewer.close()
    return {
        "seed": seed,
        "actions": watch.number,
        "counts": dict(hands.counts),
        "longest_hold_up_s": round(watch.longest, 2),
        "memory_mb": memory,
        "levels_mb": levels,
        "found": watch.found,
        "log": hands.log,
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--steps", type=int, help="stop after that many actions")
    parser.add_argument("--level", type=float, help="take everything away every so many minutes, and tell the memory")
    parser.add_argument("--without-plugin", action="store_true")
    parser.add_argument("--hold-up", type=float, default=HOLD_UP, help="seconds from which on a hold-up is told")
    parser.add_argument("--open", type=Path, nargs="*", default=(), help="files that are opened first")
    parser.add_argument("--report", type=Path, help="write all that was found, and the log, as JSON")
    parser.add_argument(
        "--trail", type=argparse.FileType("w"), help="write each action before it is done, and what it finds"
    )
    options = parser.parse_args()
    plugin = not options.without_plugin
    report = run(
        options.seed,
        options.minutes,
        plugin,
        options.steps,
        options.hold_up,
        options.trail,
        options.open,
        options.level,
    )
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    sys.stdout.write(summary(report) + "\n")
    sys.stdout.flush()
    return 1 if any(one["kind"] != NOT_OURS for one in report["found"]) else 0


if __name__ == "__main__":
    sys.exit(main())
