"""A napari that is closed in one of many ways, some time into a fit: a script for `test_closing`.

It is called with the way, the seconds, and whether the widget is there, and prints when it begins to close, and for how
long it had waited for a core by then.
"""

from __future__ import annotations

import sys
import time

import napari
import numpy as np
from dock_driver import waited_for_a_core  # beside this script
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication


def decays() -> np.ndarray:
    t = np.arange(0, 80.0, 4)[:, None, None]
    exact = 2 * np.exp(-t / np.linspace(20, 60, 128 * 128).reshape(1, 128, 128))
    return np.asarray(exact + np.random.default_rng(1).normal(0, 0.02, exact.shape))


def main(way: str, seconds: float, fits: bool) -> None:
    viewer = napari.Viewer()
    image = viewer.add_image(decays(), name="decays")
    if fits:
        dock, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
        widget.data.set_job("voxels")
        widget.data.set_axis(0)

    def begin() -> None:
        if fits:
            widget.fit_bar.fit.click()
            assert widget.session.running

    def close() -> None:
        sys.stdout.write(f"closing {time.time()} {waited_for_a_core('self')}\n")
        sys.stdout.flush()
        if way == "viewer":
            viewer.close()
        elif way == "window":
            viewer.window._qt_window.close()
        elif way == "dock":
            if fits:
                dock.destroyOnClose()
            QTimer.singleShot(100, viewer.close)
        elif way == "layer":
            viewer.layers.remove(image)
            QTimer.singleShot(100, viewer.close)
        elif way == "quit":
            QApplication.quit()
        elif way == "exit":
            sys.exit(0)
        elif way == "error":
            raise ValueError("a mistake of the script's")

    if way in ("end", "error"):
        begin()
        if fits:
            widget.inspection.open()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.005)
        close()
        return
    QTimer.singleShot(200, begin)
    QTimer.singleShot(200 + int(1000 * seconds), close)
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3] == "fits")
