"""Python ends soon, whatever is still to be compiled."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import pytest

from napari_imagefit._ending import Background

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


BUSY = """
import atexit, gc, sys, time
from napari_imagefit._ending import Background, left_alone, when_python_ends

def in_python():
    sys.stdout.write("begun\\n")
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.01)

def in_collector():
    # as in an import of JAX: what is raised in a callback of the collector is lost
    sys.stdout.write("begun\\n")
    gc.callbacks.append(eval("lambda *_: sleep(0.02)", {{"sleep": time.sleep}}))  # which keeps nothing open
    end = time.monotonic() + 600
    while time.monotonic() < end:
        [[] for _ in range(2000)]

def in_c():
    # as a compiler: out of Python's sight, and not to be broken off
    sys.stdout.write("begun\\n")
    with left_alone():
        time.sleep(600)

background = Background(2, "busy")
futures = [background.submit({what}), background.submit({what}), background.submit(print, "never")]
when_python_ends(lambda: sys.stdout.write(f"{{[future.done() for future in futures]}}\\n"))
atexit.register(sys.stdout.write, "handlers are called\\n")
left_open = open(sys.argv[1], "w")
left_open.write("all of it")
time.sleep(0.5)
sys.exit(3)
"""


@pytest.mark.parametrize("what", ["in_python", "in_collector", "in_c"])
def test_what_is_done_in_the_background_keeps_nobody(tmp_path: Path, what: str) -> None:
    """Who waits for it is told, and Python ends as it always does: with its status, handlers called, files written."""
    file = tmp_path / "file"
    command = [sys.executable, "-c", BUSY.format(what=what), str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout == "begun\nbegun\n[True, True, True]\nhandlers are called\n"
    assert file.read_text() == "all of it"


def test_background_work_gives_its_result_or_its_error() -> None:
    background = Background(2, "test")
    fine, wrong = background.submit(pow, 2, 5), background.submit(int, "five")
    assert fine.result(60) == 32
    with pytest.raises(ValueError, match="five"):
        wrong.result(60)


def test_no_more_threads_than_asked_for_and_none_that_idles() -> None:
    background = Background(2, "test")
    at_once, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.01)
        with lock:
            at_once[0] -= 1

    for future in [background.submit(work) for _ in range(20)]:
        future.result(60)
    assert most[0] <= 2
    while background.busy:
        time.sleep(0.01)


def test_nothing_is_raised_where_an_extension_is_loaded() -> None:
    """Its initialisation calls Python, and may not survive what is raised there: the loading of JAX did not."""
    goes_on, loaded = threading.Event(), threading.Event()

    class Extension(ExtensionFileLoader):
        def create_module(self, spec: Any) -> Any:
            began.set()
            while not goes_on.is_set():
                time.sleep(0.001)
            loaded.set()

    def load() -> None:
        Extension("some", "some.so").create_module(None)
        while True:
            time.sleep(0.001)

    began, background = threading.Event(), Background(1, "test")
    future = background.submit(load)
    assert began.wait(10)
    background.break_off()
    assert isinstance(future.exception(0), CancelledError), "whoever waits is told at once"
    goes_on.set()
    assert loaded.wait(10)
    (thread,) = background.busy
    background.break_off()
    thread.join(10)
    assert not thread.is_alive()


def test_a_thread_that_goes_on_into_an_extension_meanwhile_is_left_to_it() -> None:
    """Whoever waits is told first, which takes a while: what a thread did before that is no longer true."""
    told, began, loaded = threading.Event(), threading.Event(), threading.Event()
    stops = threading.Event()

    class Extension(ExtensionFileLoader):
        def create_module(self, spec: Any) -> Any:
            loaded.set()
            while not stops.is_set():
                time.sleep(0.001)

    def work() -> None:
        began.set()
        while not told.is_set():
            time.sleep(0.001)
        Extension("some", "some.so").create_module(None)

    def tell(_: Any) -> None:
        told.set()
        assert loaded.wait(10)

    background = Background(1, "test")
    future = background.submit(work)
    future.add_done_callback(tell)
    assert began.wait(10)
    background.break_off()
    time.sleep(0.1)
    assert background.busy, "something was raised in the midst of it"
    stops.set()
    while background.busy:
        time.sleep(0.001)


LOCKS = """
import _imp, importlib._bootstrap as bootstrap, sys, time
from napari_imagefit._ending import Background, _be_silent

def work(begun):
    # as an import does, again and again
    begun.append(True)
    while True:
        bootstrap._lock_unlock_module("some")

_be_silent()
background = Background(1, "busy")
for _ in range(30):
    begun = []
    background.submit(work, begun)
    while not begun:
        time.sleep(0.001)
    while background.busy:
        background.break_off()
    if _imp.lock_held():
        import os
        os._exit(5)  # nothing can be imported any more
"""


def test_no_lock_of_imports_is_left_to_nobody() -> None:
    """Whoever imported afterwards waited for ever, and with them the end of the process."""
    ended = subprocess.run([sys.executable, "-c", LOCKS], capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
