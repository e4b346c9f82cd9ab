"""From the click on Fit to the layers, in napari itself: fresh processes, then the same region again, then others.

``python -m benchmarks.clicks`` measures one process and prints JSON; `measure_clicks` starts such processes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .workers import ENVIRONMENT

SIDE = 1024
REGIONS = ((512, 512), (512, 512), (421, 377), (421, 377), (300, 650))
WORDS = ("first click", "the same region again", "another size", "the same region again", "another size")
PATIENCE = 600


def measure_clicks(n_processes: int = 2) -> dict[str, Any]:
    """Fresh processes, one after the other; nothing that one has compiled is kept for the next."""
    runner = Path(__file__).parents[1] / "tools" / "with-display.sh"
    if not os.environ.get("DISPLAY") and sys.platform == "linux" and shutil.which("xvfb-run") is None:
        return {"reason": "missing: there is no screen (DISPLAY is not set) and no xvfb-run"}
    # as a user has it: what the other parts set for their workers is taken back
    changed = {*ENVIRONMENT, "JAX_COMPILATION_CACHE_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in changed}
    command = ["sh", str(runner), sys.executable, "-m", "benchmarks.clicks"]
    rows = []
    # the first process of all is thrown away: it also reads files that the system has not read before
    for number in range(-1, n_processes):
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
        except subprocess.TimeoutExpired:
            return {"reason": f"failed: stopped after {PATIENCE} s"}
        if said.returncode:
            return {"reason": f"failed: {(said.stderr.strip().splitlines() or ['?'])[-1]}"}
        seconds = json.loads(said.stdout.strip().splitlines()[-1])
        for region, word, value in zip(REGIONS, WORDS, seconds, strict=True):
            print(f"  process {number}: {region} {word}: {value:.2f} s", flush=True)
            if number >= 0:
                rows.append({"process": number, "region": list(region), "what": word, "seconds": value})
    return {"rows": rows}


def _stack() -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    cloud = 2 * np.exp(-((y - 500) ** 2 / 9000 + (x - 520) ** 2 / 17000 + (y - 500) * (x - 520) / 30000))
    return (cloud + rng.normal(0, 0.1, (3, SIDE, SIDE))).astype(np.float32)


def _settle(milliseconds: int) -> None:
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _measure() -> list[float]:
    """Seconds of each click, in this process."""
    import napari

    from napari_imagefit.gui.demo import fit_and_wait

    viewer = napari.Viewer()
    viewer.window.resize(1300, 900)
    widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    viewer.add_image(_stack(), name="clouds")
    widget.data.set_job("region")
    widget.model.set_model("gaussian_2d_rotated")
    widget.region.draw_button.click()
    drawn = widget.region.layer
    widget.fit_bar.set_frames("current")
    seconds, seen = [], []

    def stamp(_event: Any = None) -> None:
        seen.append(time.perf_counter())

    def watch(event: Any) -> None:
        stamp()
        # outlines that are there already are moved, which tells of nothing but this
        event.value.events.set_data.connect(stamp)
        event.value.events.visible.connect(stamp)

    viewer.layers.events.inserted.connect(watch)
    for height, width in REGIONS:
        top, left = 500 - height // 2, 520 - width // 2
        drawn.data = []
        # corners in the middle of pixels, so that exactly so many lie inside
        low, high = (top, left), (top + height - 1, left + width - 1)
        drawn.add_rectangles([[low, (low[0], high[1]), high, (high[0], low[1])]])
        _settle(1000)
        begun = time.perf_counter()
        fit_and_wait(widget)
        # what comes after, such as the inspector that opens with the first result, is no layer
        if not seen or seen[-1] < begun:
            raise RuntimeError("no layer has changed since the click")
        seconds.append(seen[-1] - begun)
        said = widget.message.text()
        if "1 converged" not in said:
            raise RuntimeError(f"the widget says: {said}")
    viewer.close()
    return seconds


if __name__ == "__main__":
    measured = _measure()
    print(json.dumps(measured), flush=True)
    # threads of Qt and JAX have nothing more to say
    os._exit(0)
