"""Compiled programs that serve every model, kept on disk: a new process need not compile them again.

What is compiled of a model is never kept: it is quick, and what a user's function computes cannot be told from outside.
JAX's own cache is a setting of the whole process, which is the user's; what comes from there runs, but JAX 0.10 cannot
write it down again. A file that cannot be read, or that was made by another version, for another processor or by
someone else, is ignored silently: it works without.

``NAPARI_IMAGEFIT_CACHE`` names the folder; ``off`` does without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .device import in_precision

VARIABLE = "NAPARI_IMAGEFIT_CACHE"
# A folder that a user names may hold files of the user's, too.
PROGRAM_ENDING = ".program"
# The files that were not used for longest are removed beyond this size of all.
STORE_BYTES = 100 << 20
DIGEST = hashlib.sha256().digest_size


def load(key: Hashable) -> Any | None:
    """Return the program of that key, or None."""
    path = _path_of(key)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            content = file.read()
        # what was not written to its end, or was damaged, is no pickle to load
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            path.unlink()
            return None
        from jax.experimental.serialize_executable import deserialize_and_load

        program = deserialize_and_load(*pickle.loads(content))
        with contextlib.suppress(OSError):
            path.touch()
    except FileNotFoundError:
        return None
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, the program can be compiled
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return program


def keep(key: Hashable, program: Any) -> None:
    """Write a program, some time soon."""
    if folder() is not None:
        _writer().submit(_write, key, program)


def wait() -> None:
    """Wait until everything is written that is to be kept."""
    _writer().submit(lambda: None).result()


def folder() -> Path | None:
    """Return where programs are kept, or None."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        return None if wanted.lower() in ("", "off", "0") else Path(wanted)
    import platformdirs

    return Path(platformdirs.user_cache_dir("napari-imagefit", appauthor=False)) / "programs"


@functools.cache
def _writer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="imagefit-keep")


def _path_of(key: Hashable) -> Path | None:
    place = folder()
    if place is None:
        return None
    return place / (hashlib.sha256(repr((_circumstances(), key)).encode()).hexdigest() + PROGRAM_ENDING)


def _write(key: Hashable, program: Any) -> None:
    path = _path_of(key)
    if path is None:
        return
    # a full disk, a folder that is not ours, a device that cannot, a program that does not run
    with contextlib.suppress(Exception):
        from jax.experimental.serialize_executable import serialize

        content = pickle.dumps(serialize(program))
        _try(content, program)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # no other process may find half of it
        with tempfile.TemporaryDirectory(dir=path.parent) as own:
            begun = Path(own) / path.name
            begun.write_bytes(hashlib.sha256(content).digest() + content)
            begun.replace(path)
        _tidy(path.parent)


def _try(content: bytes, program: Any) -> None:
    """Run a program as it would be loaded: one that JAX had from its own cache may have lost parts of its code."""
    import jax
    from jax.experimental.serialize_executable import deserialize_and_load

    args, named = jax.tree.map(lambda arg: np.zeros(arg.shape, arg.dtype), program.args_info)
    with in_precision("float64"):
        jax.block_until_ready(deserialize_and_load(*pickle.loads(content))(*args, **named))


def _tidy(place: Path) -> None:
    """Remove the programs that were not used for longest, and nothing else."""
    files = [(path.stat(), path) for path in place.glob(f"*{PROGRAM_ENDING}")]
    files.sort(key=lambda pair: pair[0].st_mtime, reverse=True)
    total = 0
    for status, path in files:
        total += status.st_size
        if total > STORE_BYTES:
            path.unlink(missing_ok=True)


@functools.cache
def _circumstances() -> tuple[Any, ...]:
    """Everything that a program depends on beside its key."""
    from importlib.metadata import version

    import jax

    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(path.read_bytes())
    versions = version("jax"), version("jaxlib"), version("numpy"), sys.version_info[:2]
    return *versions, _processor(), os.environ.get("XLA_FLAGS", ""), len(jax.devices("cpu")), code.hexdigest()


def _processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="ignore").splitlines()
        wanted = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        if wanted:
            return str(sorted(wanted))
    return f"{platform.machine()} {platform.processor()} {platform.node()}"
