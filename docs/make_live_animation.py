"""Draw the animation of *Live*: a region is dragged over a cloud with real mouse events, and the fit follows.

Run it with ``make screenshots``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest

from napari_imagefit.gui.demo import open_sample

TO = Path(__file__).parent / "images" / "live.gif"
WINDOW = 1280, 720
WIDTH = 800  # of the animation
FRAME = 120  # ms between two pictures
COLOURS = 64
PATIENCE = 120  # s
PATH = [(0, 0), *((step, step // 2) for step in range(6, 61, 6)), *((60 - step, 30 - step) for step in range(6, 61, 6))]


def main() -> None:
    """Drag the region, step through frames, and save what the window showed."""
    viewer = napari.Viewer(title="napari-imagefit")
    viewer.window.resize(*WINDOW)
    widget = open_sample(viewer, "clouds")
    viewer.dims.set_current_step(0, 6)
    pictures: list[Image.Image] = []

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            QTest.qWait(10)
            if time.monotonic() > end:
                raise TimeoutError(f"nothing came in {PATIENCE} s: {widget.message.text()}")

    def at_rest() -> None:
        wait(lambda: not widget.live.busy and not widget.session.running)
        QTest.qWait(200)

    def take() -> None:
        shown = viewer.window._qt_window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        shown = shown.scaledToWidth(WIDTH, Qt.TransformationMode.SmoothTransformation)
        shown = shown.convertToFormat(QImage.Format.Format_RGBA8888)
        pixels = np.frombuffer(shown.constBits().asarray(shown.sizeInBytes()), np.uint8)
        pixels = pixels.reshape(shown.height(), shown.bytesPerLine() // 4, 4)[:, : shown.width(), :3]
        pictures.append(Image.fromarray(pixels.copy()))

    QTest.mouseClick(widget.fit_bar.live, Qt.MouseButton.LeftButton)
    at_rest()
    take()
    region = widget.region.layer
    viewer.layers.selection.active = region
    region.mode, region.selected_data = "select", {0}
    QTest.qWait(300)
    canvas = viewer.window._qt_viewer.canvas
    corner, opposite = np.min(region.data[0], axis=0)[-2:], np.max(region.data[0], axis=0)[-2:]
    hold = region.data_to_world((*region.data[0][0][:-2], *(corner + 0.15 * (opposite - corner))))[-2:]
    mapped = (canvas.view.transform * canvas.view.scene.transform).map(hold[::-1])
    start = QPoint(round(mapped[0]), round(mapped[1]))
    QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=start)
    for right, down in PATH:
        before, end = widget.live.refits, time.monotonic() + 1
        QTest.mouseMove(canvas.native, start + QPoint(right, down))
        wait(lambda before=before, end=end: widget.live.refits > before or time.monotonic() > end)
        QTest.qWait(30)
        take()
    QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=start + QPoint(*PATH[-1]))
    at_rest()
    for frame in range(7, 12):
        viewer.dims.set_current_step(0, frame)
        at_rest()
        take()
    few = [one.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for one in pictures]
    few[0].save(TO, save_all=True, append_images=few[1:], duration=FRAME, loop=0, optimize=True)
    print(f"{TO.name}: {len(few)} pictures, {TO.stat().st_size / 1e6:.1f} MB")
    viewer.close()


if __name__ == "__main__":
    main()
