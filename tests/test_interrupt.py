"""Ctrl-C in `napari-imagefit run`: one sentence, 130, and what is on the disk can be gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_imagefit.command_line.interrupt import Interrupt

T = np.linspace(0, 5, 16)
# Each process interrupts itself in its own way, so that it is always at the same place.
HEAD = """
import gc, os, signal, time
from napari_imagefit.__main__ import main
from napari_imagefit.imaging.files.zarr_store import ResultStore
# where the tests run in the background of a shell, interrupts are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
open_store, write = ResultStore.open, ResultStore.write
"""
FOOT = """
ResultStore.open, ResultStore.write = opened, written
main()
"""
# Zarr's event loop was left in the midst of its tasks, and each of them complained.
WHILE_IT_OPENS = """
def opened(*args):
    signal.raise_signal(signal.SIGINT)
    return open_store(*args)
written = write
"""
# What is raised where Python collects garbage, as a callback of JAX does there, is lost: it went on.
AS_GARBAGE_IS_COLLECTED = """
def interrupt(phase, info):
    gc.callbacks.remove(interrupt)
    signal.raise_signal(signal.SIGINT)
def opened(*args):
    store = open_store(*args)
    gc.callbacks.append(interrupt)
    gc.collect()
    return store
written = write
"""
# A disk that does not answer: who presses it twice does not want to wait any longer.
TWICE = """
opened = open_store
def written(store, number, result):
    if number == 4:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        time.sleep(300)
    write(store, number, result)
"""
ONE_MORE_AT_THE_END = """
import threading
opened = open_store
def written(store, number, result):
    write(store, number, result)
    if number == 4:
        os.kill(os.getpid(), signal.SIGINT)
register = threading._register_atexit
register(lambda: signal.raise_signal(signal.SIGINT))
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """What follows the program: 42 pieces of two fits."""
    rng = np.random.default_rng(0)
    stack = rng.uniform(1, 3, (6, 14)) * np.exp(-T[:, None, None] / rng.uniform(0.5, 2, (6, 14))) + 0.3
    np.save(tmp_path / "stack.npy", stack + rng.normal(0, 0.03, stack.shape))
    recipe = {"verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    data, output = tmp_path / "stack.npy", tmp_path / "results"
    return ["run", str(tmp_path / "recipe.json"), str(data), "-o", str(output), "--fits-per-chunk", "2"]


def stopped(how: str, command: list[str]) -> str:
    """Return what was said but for the bar."""
    program = [sys.executable, "-c", HEAD + how + FOOT, *command]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip() and " fits " not in line]
    assert done.returncode == 130, done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_before_there_are_results(command: list[str]) -> None:
    assert stopped(WHILE_IT_OPENS, command) == "stopped before anything was done; the same command begins again"


def test_where_python_loses_what_is_raised(command: list[str]) -> None:
    assert stopped(AS_GARBAGE_IS_COLLECTED, command).endswith("; the same command begins again")


def test_twice_is_at_once_and_it_goes_on(command: list[str], tmp_path: Path) -> None:
    assert stopped(TWICE, command) == "stopped with 4 of 42 chunks; the same command goes on from there"
    goes_on = subprocess.run(
        [sys.executable, "-m", "napari_imagefit", *command], capture_output=True, text=True, timeout=120
    )
    assert goes_on.returncode == 0, goes_on.stderr
    assert "4 of 42 chunks were there already" in goes_on.stderr
    assert zarr.open_array(str(tmp_path / "results" / "finished_pieces"), mode="r")[:].all()


def test_once_more_as_python_ends(command: list[str]) -> None:
    assert stopped(ONE_MORE_AT_THE_END, command).startswith("stopped with ")


def test_what_ignores_it_goes_on() -> None:
    """As below nohup; and whoever handles it, or calls the command within a program, has it back afterwards."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt, interrupt.looked_for():
            signal.raise_signal(signal.SIGINT)
            assert not interrupt.came()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Interrupt() as interrupt, interrupt.looked_for():
            signal.raise_signal(signal.SIGINT)
            assert interrupt.came()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
