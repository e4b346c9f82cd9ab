"""A person at a window: does steps, and remembers what each took."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dock_driver as driver  # beside the script that runs this
import numpy as np
from dock_driver import popups

PATIENCE = 600.0
MENU = 2  # clicks of a menu's entry that is found at once
FILE = 3  # clicks of File ▸ Open and a file


@dataclass
class Step:
    """Something that was done."""

    what: str
    outcome: str
    clicks: int
    keys: int
    seconds: float
    again: bool
    pictures: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.outcome.startswith("**")


@dataclass
class Row:
    """A task that people come for: what it was when they tried, and the steps that it takes now."""

    task: str
    title: str
    before: str
    clicks_before: str
    seconds_before: str
    steps: list[Step] = field(default_factory=list)

    @property
    def result(self) -> str:
        """The steps that could not be done; without any, what the last one told."""
        failed = [f"{step.what}: {step.outcome}" for step in self.steps if step.failed]
        told = [step.outcome for step in self.steps if step.outcome not in ("", "done")]
        return "; ".join(failed) or "; ".join(["done", *told[-1:]])

    @property
    def hands(self) -> tuple[int, int]:
        once = [step for step in self.steps if not step.again]
        return sum(step.clicks for step in once), sum(step.keys for step in once)

    @property
    def seconds(self) -> str:
        first = sum(step.seconds for step in self.steps if not step.again)
        return ", then ".join([f"{first:.1f}", *(f"{step.seconds:.1f}" for step in self.steps if step.again)])


class Person:
    """Does tasks in a window of a size.

    Parameters
    ----------
    task, size : str
    folder : Path
        Where pictures go.
    data : Path
        Real data; where there are none, the plugin's samples stand for them.
    """

    def __init__(self, task: str, size: str, folder: Path, data: Path) -> None:
        import napari

        self.task, self.size, self.folder, self.data = task, size, folder, data
        self.rows: list[Row] = []
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.move(0, 0)
        self.viewer.window.resize(*map(int, size.split("x")))
        self.widget: Any = None
        self.files = Path(tempfile.mkdtemp())
        self._pictures: list[str] = []
        self._number = 0
        driver.settle()

    def close(self) -> None:
        driver.close_docks(self.viewer)
        self.viewer.close()
        shutil.rmtree(self.files)

    def row(self, title: str, before: str, clicks: str = "", seconds: str = "") -> None:
        """Begin another task, which was so before."""
        self.rows.append(Row(self.task, title, before, clicks, seconds))

    def do(self, what: str, action: Callable[[], object], *, again: bool = False) -> bool:
        """One step; an answer that is a text tells how it went."""
        clicks, keys, begun = driver.hands.clicks, driver.hands.keys, time.process_time()
        self._pictures = []
        try:
            outcome = action()
            outcome = outcome if isinstance(outcome, str) else "done"
        except Exception as error:  # noqa: BLE001 - a row of the report
            outcome = f"**not done**: {type(error).__name__}: {error}"
        seconds = time.process_time() - begun
        driver.wait_for_layout()
        self.look()
        step = Step(what, outcome, driver.hands.clicks - clicks, driver.hands.keys - keys, seconds, again)
        step.pictures = self._pictures
        self.rows[-1].steps.append(step)
        sys.stdout.write(
            f"{self.task} {self.size} · {what}: {outcome} · {step.clicks} clicks, {step.keys} keys, "
            f"{seconds:.1f} s of processors, {' '.join(step.pictures)}\n"
        )
        sys.stdout.flush()
        return not step.failed

    def look(self) -> None:
        """Picture what is on screen now."""
        name = f"{self.task}_{self.size}_{self._number:02}.png"
        self._number += 1
        popups.picture_of(self.viewer, self.folder / name)
        self._pictures.append(name)

    # --- words that several tasks use

    def open_dock(self) -> None:
        driver.hands.clicks += MENU  # Plugins ▸ Image Fit
        self.widget = driver.open_dock(self.viewer)

    def open_file(self, name: str, sample: str, read: Callable[[Path], Any] | None = None) -> str:
        """Open real data, or a sample that stands for them."""
        driver.hands.clicks += FILE
        path = self.data / name
        if not path.exists():
            self.viewer.open_sample("napari-imagefit", sample)
            return f"the sample {sample!r} instead of {name}"
        if read is None:
            self.viewer.open(path, plugin="napari")
            return "done"
        self.viewer.add_image(read(path), name=path.stem)
        return "by script: napari has no reader for it"

    def has(self, name: str) -> bool:
        return (self.data / name).exists()

    def see_whole(self) -> str:
        """Press Home, if the image is not whole on screen."""
        if driver.is_whole_in_view(self.viewer, self.viewer.layers[0]):
            return "whole at once"
        driver.hands.clicks += 1
        self.viewer.reset_view()
        return "after Home"

    def choose_model(self, title: str) -> None:
        popups.pick(self.widget.model.names, title, self.look)

    def fit(self) -> str:
        driver.fit(self.widget, PATIENCE)
        return self.said("converged")

    def said(self, word: str) -> str:
        text = str(self.widget.message.text())
        if word not in text:
            raise AssertionError(f"the widget says {text!r}")
        return text

    def click(self, name: str) -> str:
        """Click a button of the main dock, or of another one of the plugin."""
        driver.click(driver.find_button(self.viewer, name))
        driver.wait(lambda: not driver.is_busy(self.widget), f"{name!r} is done", PATIENCE)
        return str(self.widget.message.text())

    def choose(self, button: str, *entries: str) -> str:
        """Click a button with a menu, and entries of it."""
        popups.choose_in_menu(driver.find_button(self.viewer, button), *entries, look=self.look)
        driver.wait(lambda: not driver.is_busy(self.widget), f"{entries[-1]!r} is done", PATIENCE)
        driver.wait_for_layout()
        return str(self.widget.message.text())

    def inspector(self) -> Any:
        for widget in driver.docked(self.viewer):
            if type(widget).__name__ == "Inspector":
                return widget
        raise LookupError("there is no inspector")

    def export(self, name: str) -> str:
        path = self.files / name
        popups.save_as(lambda: driver.press_export(self.widget), path, self.look)
        driver.wait(lambda: not self.widget.follow_ups.exports.busy, "the file is written", PATIENCE)
        driver.settle()
        told = self.said("Exported to ").removeprefix("Exported to ").replace(f"{self.files}/", "")
        if not told.startswith(name.split(".")[0]):
            raise AssertionError(f"exported to {told}")
        return told

    def copy_and_run(self) -> str:
        """Copy as Python, run it in a process of its own, and compare every number."""
        from qtpy.QtGui import QGuiApplication

        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.clear()
        self.click("Copy as Python")
        script = clipboard.text()
        if "fit_" not in script:
            raise AssertionError(f"the clipboard holds {script[:60]!r}, the widget says {self.widget.message.text()!r}")
        np.save(self.files / "data.npy", np.asarray(self.widget.data.image.data))
        file = self.files / "copied.py"
        file.write_text(script + "\nnp.savez('numbers.npz', **result.params)\n", encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, str(file)], cwd=self.files, capture_output=True, text=True, check=False, env=os.environ
        )
        if ran.returncode:
            raise AssertionError(ran.stderr[-300:])
        apart = self._difference(np.load(self.files / "numbers.npz"))
        return f"{len(script)} characters, run outside: largest difference {apart:g}"

    def _difference(self, numbers: Any) -> float:
        result = self.widget.follow_ups.outcome.result
        return max(
            float(np.nanmax(np.abs(numbers[name] - np.asarray(values)), initial=0))
            for name, values in result.params.items()
        )

    def reopen(self) -> str:
        driver.hands.clicks += 1 + MENU  # the ×
        before = driver.typed(self.widget)
        driver.close_docks(self.viewer)
        self.widget = driver.open_dock(self.viewer)
        lost = {name for name, text in before.items() if driver.typed(self.widget).get(name) != text}
        if lost:
            raise AssertionError(f"forgotten: {sorted(lost)}")
        return "done"

    def check_sizes(self) -> str:
        """Nothing is wider than the window, and every control lies within it."""
        wide, high = map(int, self.size.split("x"))
        window = self.viewer.window._qt_window
        if (window.width(), window.height()) != (wide, high):
            raise AssertionError(f"the window has become {window.width()} × {window.height()}")
        off = [name for widget in driver.docked(self.viewer) for name in driver.cut_off(widget)]
        if off:
            raise AssertionError(f"off screen: {off}")
        return "every control within the window"


@contextmanager
def a_person(task: str, size: str, folder: Path, data: Path) -> Iterator[Person]:
    """Someone in a new window, which is closed at the end."""
    person = Person(task, size, folder, data)
    try:
        yield person
    finally:
        person.close()
