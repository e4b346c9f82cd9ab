"""Modules that load when they are first used, in whichever thread that is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_imagefit._lazy import LazyModule, _imported

NAMES = ("slow_to_import_one", "slow_to_import_two")


def test_threads_import_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of modules that import each other, as JAX's do, a thread would see what another has only begun."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in NAMES:
        code = "import time\nbegun = time.perf_counter()\ntime.sleep(0.2)\nended = time.perf_counter()\n"
        (tmp_path / f"{name}.py").write_text(code)
    together = threading.Barrier(2)

    def use(name: str) -> None:
        together.wait()
        _ = LazyModule(name).ended

    threads = [threading.Thread(target=use, args=(name,)) for name in NAMES]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, second = sorted((sys.modules[name] for name in NAMES), key=lambda module: module.begun)
        assert first.ended <= second.begun
    finally:
        for name in NAMES:
            sys.modules.pop(name, None)
            _imported.pop(name, None)


def test_an_interrupt_leaves_no_half_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX could never be imported again; and where it collects garbage, the interrupt was lost."""
    name = "interrupted_as_it_is_imported"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.3)\nended = True\n"
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _ = LazyModule(name).ended
        try:
            assert LazyModule(name).ended
        except KeyboardInterrupt:
            pytest.fail("it was begun once more")
    finally:
        signal.signal(signal.SIGINT, before)
        sys.modules.pop(name, None)
        _imported.pop(name, None)


def test_a_first_fit_does_without_the_slow_parts_of_scipy() -> None:
    """Their imports take as long as the fit: what only a warning or a doubt needs is left to it."""
    code = """
import sys
import numpy as np
import napari_imagefit as nif

x = np.linspace(0, 3, 32)
y = 2 * np.exp(-x) + 0.1 * np.random.default_rng(0).normal(size=32)
nif.curve_fit(lambda x, a, b: a * np.exp(-x / b), x, y, p0=(1.0, 1.0))
found = nif.fit_voxels(y[:, None], "exponential_decay", x=x, sigma=0.1)
assert found.converged.all() and not found.flags.any()
print(*{"scipy.optimize", "scipy.special"} & set(sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
