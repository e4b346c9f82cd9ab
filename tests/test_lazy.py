"""Modules that load when they are first used, in whichever thread that is."""

from __future__ import annotations

import signal
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
