"""Python ends soon, whatever is still to be compiled."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, threading, time
import jax
from napari_imagefit.engine.core import programs
from napari_imagefit.engine.core.errors import FitEngineError
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.progress import Progress

jax.devices()

def slow(number):
    def function(x):
        sys.stdout.write(f"traced {number}\\n")
        time.sleep(0.5)
        return x + number
    return function

shape = jax.ShapeDtypeStruct((3,), "float32")
futures = [programs.request(n, slow(n), (shape,), Options(), "plain") for n in range(40)]

def wait():
    try:
        for _ in programs.wait_for(futures, Progress(0, 1), lambda: False):
            pass
    except FitEngineError as error:
        sys.stdout.write(f"{error}\\n")

threading.Thread(target=wait).start()
time.sleep(0.2)
sys.exit(3)
"""


def test_what_waits_to_be_compiled_keeps_nobody() -> None:
    """A fit in another thread is told so, in a sentence."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout.count("traced") < 40
    assert ended.stdout.splitlines()[-1] == "Python ended before the fit was compiled."
