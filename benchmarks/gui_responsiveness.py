"""How long the window is held up while it fits: a 10 ms timer in the GUI thread, and its longest delay.

Run it in the project's environment, on a screen or a virtual one, with the machine otherwise idle:

    sh tools/with-display.sh .venv/bin/python benchmarks/gui_responsiveness.py

Each case runs in a process of its own, fits twice (cold: importing, tracing and compiling included; warm) and prints
the longest delay between the click and the first result, and the longest while the layers appear. Importing JAX, which
happens once, is told apart with ``--jax-imported``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np

CASES = {"region": "512 × 512 region, gaussian_2d_rotated", "voxels": "65 536 voxels × 32, exponential_decay"}
TICK = 0.010


def data(case: str) -> np.ndarray:
    """Simulated data of the case."""
    rng = np.random.default_rng(0)
    if case == "region":
        y, x = np.mgrid[:512, :512]
        return 2 * np.exp(-((y - 250) ** 2 / 5000 + (x - 260) ** 2 / 9800)) + rng.normal(0, 0.1, y.shape)
    t = np.arange(32)[:, None, None]
    return 2 * np.exp(-t / rng.uniform(5, 20, (256, 256))) + rng.normal(0, 0.05, (32, 256, 256))


def measure(case: str, *, jax_imported: bool, open_s: float) -> None:
    """Fit twice and print the delays."""
    import napari
    from qtpy.QtCore import QEventLoop, Qt, QTimer

    from napari_imagefit.gui.demo import fit_and_wait

    if jax_imported:
        import jax  # noqa: F401
    viewer = napari.Viewer()
    widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    viewer.add_image(data(case))
    widget.data.set_job("voxels" if case == "voxels" else "region")
    widget.model.set_model("exponential_decay" if case == "voxels" else "gaussian_2d_rotated")

    ticks: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(int(1000 * TICK))
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start()

    def settle(ms: int) -> None:
        loop = QEventLoop()
        QTimer.singleShot(ms, loop.quit)
        loop.exec()

    for run in ("cold", "warm"):
        settle(int(1000 * open_s))
        ticks.clear()
        ticks.append(time.perf_counter())
        first_result = []
        connection = widget.session.layers_ready.connect(lambda seen=first_result: seen.append(time.perf_counter()))
        clicked = time.perf_counter()
        fit_and_wait(widget)
        shown = time.perf_counter()
        widget.session.layers_ready.disconnect(connection)
        settle(500)
        at = np.array(ticks)
        delay = np.diff(at) - TICK
        before = at[1:] < first_result[0]
        print(
            f"{CASES[case]} | {run}{', JAX imported before' if jax_imported else ''} | "
            f"{shown - clicked:.2f} s | {1000 * delay[before].max():.0f} ms | {1000 * delay[~before].max():.0f} ms"
        )
    viewer.close()


def main() -> None:
    """Measure one case, or all of them in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--jax-imported", action="store_true")
    parser.add_argument("--open", type=float, default=1.0, help="seconds for which the dock is open before each click")
    arguments = parser.parse_args()
    if arguments.case:
        measure(arguments.case, jax_imported=arguments.jax_imported, open_s=arguments.open)
        return
    print("case | run | click to layers | longest delay before the result | while the layers appear")
    for case in CASES:
        for extra in ([], ["--jax-imported"]):
            command = [sys.executable, __file__, "--case", case, "--open", str(arguments.open), *extra]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
