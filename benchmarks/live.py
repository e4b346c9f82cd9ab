"""Refits a second while a hand moves, from the mouse event to the outline and the numbers that are drawn.

Run it in the project's environment, on a screen or a virtual one, with the machine otherwise idle:

    sh tools/with-display.sh .venv/bin/python benchmarks/live.py [--refits 300] [case …]

Each case runs in a process of its own: a shape is dragged by real mouse events, 60 a second (spots: the frame slider;
curves: the painted area). It prints refits a second, the longest time for which the window was held by the plugin's own
code and by anything at all (napari's drawing included), and what the process has grown by. The case "napari" is the
same drag without the plugin, with another outline that moves along: how often that is drawn bounds all others, and
what it grows by is napari's.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CASES = {
    "napari": "napari alone, a shape and an outline that moves along",
    "region": "region of 256 × 256",
    "fixed": "the same, a parameter fixed",
    "tied": "the same, a parameter tied",
    "inspector": "the same, plots open",
    "large": "region of 1000 × 1000",
    "spots": "2000 spots a frame",
    "curves": "mean curve of a painted area",
}
LONGEST = 60  # s until the first fit
MOVES = 1 / 60  # s between two moves of the hand
WARM = 100  # refits that are not counted
SWING = 40  # moves of the hand to and fro


def cloud(side: int) -> np.ndarray:
    """One atom cloud, somewhat larger than its region."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    exponent = ((y - side * 0.5) / (side / 12)) ** 2 + ((x - side * 0.45) / (side / 9)) ** 2
    return 3 + 100 * np.exp(-0.5 * exponent) + rng.normal(0, 2, (side, side))


def spots(frames: int = 20, number: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Frames of 45 × 45 beads on a jittered grid, without those at the end of it, and where they are."""
    rng = np.random.default_rng(1)
    places = 12.0 + 16 * np.stack(np.divmod(np.arange(number), 45), axis=1)
    image = rng.normal(100, 3, (frames, 740, 740))
    window = np.arange(-6, 7)
    points = []
    for frame in range(frames):
        own = places + rng.uniform(-2, 2, places.shape)
        for y, x in own:
            row, column = round(y), round(x)
            spot = np.exp(-((row + window[:, None] - y) ** 2 + (column + window - x) ** 2) / 4.5)
            image[frame, row - 6 : row + 7, column - 6 : column + 7] += 200 * spot
        points.append(np.insert(own, 0, frame, axis=1))
    return image, np.vstack(points)


def held(widget: Any) -> list[float]:
    """Note how long the plugin's own code holds the window: whatever it does about a fit begins with one of these."""
    from napari_imagefit.gui.live import live as module

    seconds: list[float] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                seconds.append(time.perf_counter() - begun)

        return noted

    live = widget.live
    live._soon.timeout.disconnect()
    live._soon.timeout.connect(noting(module.Live._begin_and_wait.__get__(live)))
    live._runner.done.disconnect()
    live._runner.done.connect(noting(module.Live._on_done.__get__(live)))
    return seconds


def drag_alone(refits: int) -> None:
    """Drag a shape without the plugin, and print how often it is drawn with another one that moves along."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1280, 720)
    side = 320
    viewer.add_image(cloud(side))
    drawn = viewer.add_shapes([_square(side)], shape_type="rectangle")
    style = {"face_color": "transparent", "edge_width": 1}
    outline = viewer.add_shapes([_square(side) / 2 + side / 4], shape_type="ellipse", **style)
    application = QApplication.instance()
    assert application is not None
    end = time.perf_counter() + 2
    while time.perf_counter() < end:
        application.processEvents()
    canvas = viewer.window._qt_viewer.canvas
    pictures: list[float] = []
    canvas._scene_canvas.events.draw.connect(lambda _event: pictures.append(time.perf_counter()))
    steps = drag(viewer, drawn, side)
    before = 0
    while len(pictures) < WARM + refits:
        known = len(pictures)
        if known >= WARM and not before:
            before = resident()
        next(steps)
        outline._data_view.edit(0, np.asarray(outline.data[0]) + (0.3 if known % 2 else -0.3))
        outline.refresh(thumbnail=False, highlight=False, extent=False)
        while len(pictures) == known:
            application.processEvents()
    rate, grown = refits / (pictures[-1] - pictures[WARM]), (resident() - before) / 1e6
    print(f"{CASES['napari']} | {rate:.1f} /s | | | {grown:+.1f} MB")
    os._exit(0)


def resident() -> int:
    """Bytes of the process, without what is garbage or what the C library holds back."""
    import psutil

    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def _square(side: int) -> np.ndarray:
    low, high = 0.1 * side, 0.9 * side
    return np.array([(low, low), (low, high), (high, high), (high, low)])


def drag(viewer: Any, drawn: Any, side: int) -> Iterator[None]:
    """Hold a shape, and move it a little to and fro; a step for each move."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    viewer.layers.selection.active = drawn
    drawn.mode, drawn.selected_data = "select", {0}
    canvas = viewer.window._qt_viewer.canvas
    mapped = (canvas.view.transform * canvas.view.scene.transform).map((0.2 * side, 0.2 * side))
    start = QPoint(round(mapped[0]), round(mapped[1]))
    QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=start)
    number = 0
    while True:
        number += 1
        swing = number % SWING if number % (2 * SWING) < SWING else SWING - number % SWING
        point = start + QPoint(swing - 20, swing // 2 - 10)
        QTest.mouseMove(canvas.native, point)
        if number % (2 * SWING) == 0:
            # vispy keeps every move of a drag until one comes without a button
            QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=point)
            for aside in (1, 0):
                QTest.mouseMove(canvas.native, point + QPoint(aside, 0))
                yield
            QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=point)
        yield


def prepare(case: str, viewer: Any, widget: Any) -> Iterator[None]:
    """Set the window up; the steps that follow each move something."""
    if case == "curves":
        yield from _curves(viewer, widget)
        return
    if case == "spots":
        yield from _spots(viewer, widget)
        return
    side = 1250 if case == "large" else 320
    viewer.add_image(cloud(side))
    widget.data.set_job("region")
    widget.model.set_model("gaussian_2d_elliptic")
    if case in ("fixed", "tied"):
        from napari_imagefit.layers.request.choices import Row

        row = Row("offset", start=3.0, fixed=True) if case == "fixed" else Row("sigma_y", tied="0.75 * sigma_x")
        widget.parameters.set_row(row)
    drawn = viewer.add_shapes([_square(side)], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    if case == "inspector":
        widget.inspection.open()
    yield
    yield from drag(viewer, drawn, side)


def _spots(viewer: Any, widget: Any) -> Iterator[None]:
    image, places = spots()
    viewer.add_image(image)
    widget.data.set_job("spots")
    points = viewer.add_points(places, ndim=3, size=3)
    widget.spots.section.layers.choose(points)
    viewer.dims.set_current_step(0, 0)
    yield
    number = 0
    while True:
        number += 1
        viewer.dims.set_current_step(0, number % len(image))
        yield


def _curves(viewer: Any, widget: Any) -> Iterator[None]:
    rng = np.random.default_rng(2)
    t = np.arange(32)[:, None, None]
    stack = 2 * np.exp(-t / rng.uniform(5, 20, (128, 128))) + rng.normal(0, 0.05, (32, 128, 128))
    viewer.add_image(stack)
    widget.data.set_job("voxels")
    widget.data.set_axis(0)
    widget.model.set_model("exponential_decay")
    painted = viewer.add_labels(np.zeros((128, 128), int))
    painted.data[40:60, 40:60] = 1
    painted.refresh()
    widget.region.layers.choose(painted)
    widget.inspection.open()
    yield
    number = 0
    while True:
        number += 1
        row, column = divmod(number % 1600, 40)
        painted.paint((60 + row, 40 + column), 1)
        yield


def measure(case: str, refits: int) -> None:
    """Let the hand move so often, and print the row."""
    import napari
    from qtpy.QtWidgets import QApplication

    if case == "napari":
        drag_alone(refits)
    viewer = napari.Viewer()
    viewer.window.resize(1280, 720)
    widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    application = QApplication.instance()
    assert application is not None
    longest = [0.0, time.perf_counter()]

    def look() -> None:
        """Handle events; the time from one look to the next is what the window was held for."""
        application.processEvents()
        now = time.perf_counter()
        longest[0] = max(longest[0], now - longest[1])
        time.sleep(0.0005)
        longest[1] = time.perf_counter()

    def wait(condition: Callable[[], bool]) -> None:
        end = time.perf_counter() + LONGEST
        while not condition():
            look()
            if time.perf_counter() > end:
                raise TimeoutError(f"{case}: nothing came in {LONGEST} s: {widget.message.text()}")

    steps = prepare(case, viewer, widget)
    next(steps)
    end = time.perf_counter() + 3
    wait(lambda: time.perf_counter() > end)
    widget.fit_bar.live.click()
    wait(lambda: widget.live.refits > 0 and not widget.live.busy)
    own = held(widget)
    before, begun, first = 0, 0.0, 0
    moved = 0.0
    while not first or widget.live.refits < first + refits:
        if not first and widget.live.refits >= WARM:
            own.clear()
            before = resident()
            begun, first = time.perf_counter(), widget.live.refits
            longest[:] = 0.0, begun
        if time.perf_counter() - moved > MOVES:
            next(steps)
            moved = time.perf_counter()
        look()
        if not widget.live.on:
            raise RuntimeError(f"{case}: {widget.message.text()}")
    # the last one is on screen once its events are handled
    look()
    seconds = (time.perf_counter() - begun) * refits / (widget.live.refits - first)
    grown = (resident() - before) / 1e6
    print(
        f"{CASES[case]} | {refits / seconds:.1f} /s | {1000 * max(own):.0f} ms | {1000 * longest[0]:.0f} ms | "
        f"{grown:+.1f} MB"
    )
    os._exit(0)


def main() -> None:
    """Measure the cases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--refits", type=int, default=300)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        measure(arguments.case[0], arguments.refits)
        return
    print(f"case | refits | longest hold-up, plugin | longest hold-up, all | growth over {arguments.refits} refits")
    for case in arguments.case or CASES:
        command = [sys.executable, str(Path(__file__)), case, "--here", "--refits", str(arguments.refits)]
        subprocess.run(command, check=False)


if __name__ == "__main__":
    main()
