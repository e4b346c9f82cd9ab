"""How much memory fits take, and that it does not grow from fit to fit. Each is measured in a process of its own.

The process is warm: it has made a small fit of the kind before, so that neither libraries nor programs count.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core import programs
from napari_imagefit.engine.drive import run

MB = 1 << 20
SIDE = 2828
# calls of `test_regions_of_any_size`, and those after which nothing may grow
CALLS, SETTLED = 10_000, 1000
# calls at whose ends a process is looked at, before and after
LOOKS = 10

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from Linux")


def resident() -> int:
    """Bytes of memory that the process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resident_at_rest() -> int:
    """Those once nothing is compiled any more: a call may leave a compiler at what later ones take."""
    while programs.is_compiling():
        time.sleep(0.01)
    gc.collect()
    return resident()


def peak_growth(run: Callable[[], Any]) -> int:
    """By how many bytes a process is larger during a call, at most."""
    gc.collect()
    before = highest = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return max(highest, resident()) - before


# --- what the processes do; each returns what it has measured ---


def cloud(side: int, dtype: str) -> np.ndarray:
    y, x = (np.arange(side, dtype=dtype).reshape(shape) for shape in ((-1, 1), (1, -1)))
    dy, dx = y - np.float32(0.45 * side), x - np.float32(0.5 * side)
    u, v = (dx * np.float32(0.8) + dy * np.float32(0.6)), (dy * np.float32(0.8) - dx * np.float32(0.6))
    image = 50 * np.exp(-0.5 * ((u / (0.15 * side)) ** 2 + (v / (0.1 * side)) ** 2)) + 5
    return (image + 4 * np.random.default_rng(0).standard_normal(image.shape, np.float32)).astype(dtype)


def large_image(dtype: str) -> dict[str, float]:
    small, image = cloud(300, dtype), cloud(SIDE, dtype)
    nif.fit_image(small, "gaussian_2d_rotated")
    results = []
    growth = peak_growth(lambda: results.append(nif.fit_image(image, "gaussian_2d_rotated")))
    assert results[0].converged
    return {"growth": growth, "data": image.nbytes}


def long_curve() -> dict[str, float]:
    import jax.numpy as jnp

    def surface(place: Any, a: Any, y: Any, x: Any, s: Any, t: Any, c: Any) -> Any:
        return a * jnp.exp(-0.5 * (((place[0] - y) / s) ** 2 + ((place[1] - x) / t) ** 2)) + c

    def fit(side: int) -> Callable[[], Any]:
        place = np.indices((side, side), float).reshape(2, -1)
        data = cloud(side, "float64").ravel()
        start = (40.0, 0.4 * side, 0.5 * side, 0.12 * side, 0.12 * side, 0.0)
        return lambda: (nif.curve_fit(surface, place, data, start), place.nbytes + data.nbytes)

    fit(300)()
    run = fit(SIDE)
    sizes = []
    growth = peak_growth(lambda: sizes.append(run()[1]))
    return {"growth": growth, "data": sizes[0]}


def growths(call: Callable[[int], Any], calls: int, settled: int) -> dict[str, float]:
    """What a process grows by after its first calls: the least of a few looks, which no single compiler raises."""
    sizes: dict[int, int] = {}
    for i in range(calls):
        call(i)
        if i < settled <= i + LOOKS or calls <= i + LOOKS:
            sizes[i] = resident_at_rest()
    before = min(size for i, size in sizes.items() if i < settled)
    after = min(size for i, size in sizes.items() if i >= settled)
    return {"growth": after - before, "kept": programs.kept_programs(), "compiled": programs.compiled_programs()}


def regions_of_any_size() -> dict[str, float]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96].astype(float)
    image = 20 * np.exp(-0.5 * ((y - 47) ** 2 + (x - 49) ** 2) / 9**2) + 3 + rng.normal(0, 0.5, (96, 96))

    def call(i: int) -> None:
        height, width = rng.integers(8, 65, 2)
        window = slice(48 - height // 2, 48 - height // 2 + height), slice(48 - width // 2, 48 - width // 2 + width)
        if i % 2:
            nif.fit_image(image[window], "gaussian_2d")
        else:
            mask = np.zeros(image.shape, bool)
            mask[window] = True
            nif.fit_image(image, "gaussian_2d", mask=mask)

    return growths(call, CALLS, SETTLED)


def lengths(fits: int, count: int, settled: int, most: int | None) -> dict[str, float]:
    """Stacks of ever other lengths."""
    if most:
        # a wide batch, whose programs are the largest, of fits that take no time
        programs.MOST_PROGRAMS, run.WIDE_FROM = most, fits
    rng = np.random.default_rng(0)
    # at first as many of each size as later
    of_call = np.concatenate([rng.permutation(np.arange(4, 4 + count))] * (1 if most else 2))

    def call(i: int) -> None:
        t = np.linspace(0, 5, of_call[i])
        data = 3 * np.exp(-t / 1.3)[:, None] + rng.normal(0, 0.1, (t.size, fits))
        nif.fit_voxels(data, "exponential_decay", x=t)

    return growths(call, of_call.size, settled)


def ever_new_models(count: int, settled: int, most: int) -> dict[str, float]:
    programs.MOST_PROGRAMS = most
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 40)
    data = 3 * np.exp(-t / 1.3)[:, None] + rng.normal(0, 0.1, (t.size, 3))

    def call(i: int) -> None:
        nif.fit_voxels(data, nif.Model.from_expression(f"a*exp(-t/tau) + c*t**{1 + i * 1e-3}", ["t"]), x=t)

    return growths(call, count, settled)


def in_a_new_process(what: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    command = [sys.executable, __file__, what.__name__, json.dumps(arguments)]
    begun = time.perf_counter()
    # all that it needs is compiled in it
    environment = os.environ | {"NAPARI_IMAGEFIT_CACHE": "off"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["seconds"] = time.perf_counter() - begun
    return found


# --- what they may take ---


# in parts of the image
MOST = {"float64": 3, "float32": 3}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", MOST)
def test_an_image_of_eight_million_pixels(dtype: str) -> None:
    found = in_a_new_process(large_image, dtype)
    assert found["data"] == SIDE * SIDE * np.dtype(dtype).itemsize
    assert found["growth"] < MOST[dtype] * found["data"], found


@pytest.mark.slow
def test_curve_fit_of_eight_million_samples() -> None:
    found = in_a_new_process(long_curve)
    assert found["data"] == 3 * 8 * SIDE * SIDE
    assert found["growth"] < 6 * found["data"], found


@pytest.mark.slow
def test_regions_of_any_size() -> None:
    found = in_a_new_process(regions_of_any_size)
    assert found["growth"] < 20 * MB, found
    # powers of two, from 64 to 4 096 pixels, for cropped images and masks alike
    assert found["compiled"] <= 12, found


@pytest.mark.slow
def test_a_thousand_lengths_of_few_curves() -> None:
    found = in_a_new_process(lengths, 3, 1000, 1000, None)
    assert found["growth"] < 20 * MB, found
    assert found["compiled"] <= 12, found


@pytest.mark.slow
def test_lengths_of_many_curves() -> None:
    """They are compiled for in steps of a few samples: the oldest programs go, and so does what they took."""
    found = in_a_new_process(lengths, 300, 160, 80, 12)
    assert found["compiled"] > 2 * found["kept"]
    assert found["kept"] == 12
    assert found["growth"] < 20 * MB, found


@pytest.mark.slow
def test_ever_new_models() -> None:
    found = in_a_new_process(ever_new_models, 300, 100, 12)
    assert (found["compiled"], found["kept"]) == (300, 12)
    assert found["growth"] < 20 * MB, found


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))  # noqa: T201
