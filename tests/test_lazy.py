"""Modules that load when they are first used, in whichever thread that is."""

from __future__ import annotations

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
