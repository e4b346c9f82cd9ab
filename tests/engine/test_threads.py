"""Fits in several threads at once: they end, and give what one gives."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

import numpy as np
import pytest

from napari_imagefit import models
from napari_imagefit.engine.core.device import cores, pool, share_out
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.models.prediction import VALUES_PER_PIECE, predict

# LAPACK as JAX calls it has waited for itself for ever where several threads computed: singular fits are among these
THREADS = """
import threading
import numpy as np
import napari_imagefit as nif
from napari_imagefit.engine.drive.run import WIDE_FROM

t = np.linspace(0, 5, 32)
rng = np.random.default_rng(0)
stack = 2 * np.exp(-t[:, None] / rng.uniform(0.5, 2, WIDE_FROM)) + 0.3 + rng.normal(0, 0.03, (32, WIDE_FROM))
stack[:, ::7] = 1.0
y, x = np.mgrid[:300, :300].astype(float)
image = 50 * np.exp(-0.5 * ((y - 140) ** 2 / 900 + (x - 160) ** 2 / 1600)) + rng.normal(0, 3, y.shape)
twelve = "+".join(f"a{k}*cos({k}*t)" for k in range(6)) + "+" + "+".join(f"b{k}*sin({k}*t)" for k in range(1, 7))
fourier = nif.Model.from_expression(twelve, ["t"])


def few():
    return nif.fit_voxels(stack[:, :64], "exponential_decay", x=t)


def wide():
    return nif.fit_voxels(stack, "exponential_decay", x=t)


def large():
    return nif.fit_image(image, "gaussian_2d_elliptic")


def many_parameters():
    return nif.fit_voxels(stack[:, :5], fourier, x=t)


def curve():
    return nif.fit_voxels(stack[:, 3], "exponential_decay", x=t)


KINDS = (few, wide, large, many_parameters, curve)
first = [kind() for kind in KINDS]
right = []


def work(number):
    for turn in range(4 * len(KINDS)):
        index = (turn + number) % len(KINDS)
        again = KINDS[index]()
        right.extend(
            np.array_equal(again.params[name], first[index].params[name], equal_nan=True) for name in again.params
        )


threads = [threading.Thread(target=work, args=(k,)) for k in range({count})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all(right), right.count(False)
print("done", len(right))
"""


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_fits_in_several_threads_end(count: int) -> None:
    """In a process of their own, which can be ended if they wait for each other: XLA's waiting cannot be interrupted.

    Alone they take less than 20 s.
    """
    done = subprocess.run(
        [sys.executable, "-c", THREADS.replace("{count}", str(count))],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done")


def test_whoever_predicts_does_not_wait_for_fits() -> None:
    """A sample is simulated in the thread of the window, while all that compute are at a fit."""
    coords, params = (np.arange(4.0 * VALUES_PER_PIECE),), np.array([[1.0], [3e4], [0.5]])
    model = models["exponential_decay"]
    expected = predict(model, coords, params, Options())
    end = Event()
    busy = [pool().submit(end.wait, 20) for _ in range(2 * cores())]
    try:
        found = predict(model, coords, params, Options())
        assert not any(one.done() for one in busy)
    finally:
        end.set()
    np.testing.assert_array_equal(found, expected)


def test_a_failure_of_any_item_is_told() -> None:
    def fail(item: int) -> None:
        if item == 3:
            raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        share_out(fail, range(10))
