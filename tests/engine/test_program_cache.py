"""Programs that serve every model are compiled once for all processes, and nothing hangs on their files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core import program_cache, programs
from napari_imagefit.engine.drive import run


def report(*models: str) -> None:
    """Fit batches, and print what was compiled for each, and the bits of its answer."""
    run.WIDE_FROM = 300
    t, found = np.linspace(0, 5, 40), []
    data = 3 * np.exp(-t / 1.3)[:, None] + np.random.default_rng(0).normal(0, 0.1, (40, 300))
    for model in models:
        before = programs.compiled_programs()
        result = nif.fit_voxels(data, model, x=t)
        assert result.converged.any()
        bits = np.concatenate([*result.params.values(), result.covariance.ravel()]).tobytes().hex()
        found.append({"compiled": programs.compiled_programs() - before, "bits": bits})
    program_cache.wait()
    print(json.dumps(found))  # noqa: T201


def in_a_new_process(folder: Path | str, *models: str, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, __file__, *models],
        env={**os.environ, program_cache.VARIABLE: str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_only_what_is_of_the_model_is_compiled_again(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    (first,) = in_a_new_process(folder, "exponential_decay")
    files = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(files) == 4, "level, begin, step and finish"
    again, other = in_a_new_process(folder, "exponential_decay", "exponential_recovery")
    assert again["bits"] == first["bits"]
    # start, sums and ends
    assert (first["compiled"], again["compiled"], other["compiled"]) == (7, 3, 3)
    assert {path: path.read_bytes() for path in folder.iterdir()} == files

    # damaged at its end, cut short, and of no use at all: written anew
    damaged, cut, empty, _ = sorted(files)
    damaged.write_bytes(files[damaged][:-1] + bytes([files[damaged][-1] ^ 1]))
    cut.write_bytes(files[cut][:1000])
    empty.write_bytes(b"")
    (mended,) = in_a_new_process(folder, "exponential_decay")
    assert (mended["compiled"], mended["bits"]) == (6, first["bits"])
    assert sorted(folder.iterdir()) == sorted(files)


FROM_THE_CACHE_OF_JAX = """
import jax, numpy as np
from napari_imagefit.engine.core import program_cache
x = np.ones((64, 100), np.float32)
for _ in range(2):
    program = jax.jit(lambda x: (jax.numpy.sin(x) * x).sum(0)).lower(x).compile()
    jax.clear_caches()
program_cache.keep("a key", program)
program_cache.wait()
kept = program_cache.load("a key")
assert kept is None or (np.asarray(kept(x)) == np.asarray(program(x))).all()
"""


def test_what_comes_from_the_cache_of_jax_is_kept_only_if_it_runs(tmp_path: Path) -> None:
    settings = {
        program_cache.VARIABLE: str(tmp_path / "ours"),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run(
        [sys.executable, "-c", FROM_THE_CACHE_OF_JAX],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "jax").iterdir()), "JAX kept nothing"


@pytest.mark.slow
def test_without_a_folder(tmp_path: Path) -> None:
    (off,) = in_a_new_process("off", "linear")
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where a folder is meant")
    (without,) = in_a_new_process(occupied, "linear")
    assert off == without
    assert off["compiled"] == 7
    assert occupied.read_text() == "a file where a folder is meant"


@pytest.mark.slow
def test_other_circumstances_have_programs_of_their_own(tmp_path: Path) -> None:
    in_a_new_process(tmp_path, "linear")
    (other,) = in_a_new_process(tmp_path, "linear", XLA_FLAGS="--xla_cpu_prefer_vector_width=128")
    assert other["compiled"] == 7
    assert len(list(tmp_path.iterdir())) == 8


def test_the_oldest_go_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [f"{age}.program" for age in range(5)]
    for age, name in enumerate([*programs, "the user's own.tif"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(program_cache, "STORE_BYTES", 250)
    program_cache._tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*programs[:2], "the user's own.tif"]


def test_a_folder_of_the_system_or_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(program_cache.VARIABLE, "off")
    assert program_cache.folder() is None
    monkeypatch.delenv(program_cache.VARIABLE)
    usual = program_cache.folder()
    assert usual is not None
    assert "napari-imagefit" in usual.parts
    assert usual.name == "programs"
    monkeypatch.setenv(program_cache.VARIABLE, "elsewhere")
    assert program_cache.folder() == Path("elsewhere")


if __name__ == "__main__":
    report(*sys.argv[1:])
