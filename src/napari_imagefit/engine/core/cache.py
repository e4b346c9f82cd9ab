"""Compiled programs kept on disk, so that a new process need not compile them again.

Only programs of the package's own models are kept: what they compute is known from the package's files. JAX's own cache
is a setting of the whole process, which is the user's. A file that cannot be read, or that was made by another version,
for another processor, or by someone else, is not used.

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..models.model import Model
from ..sums.normal_equations import Kernel

VARIABLE = "NAPARI_IMAGEFIT_CACHE"
PACKAGE = __name__.partition(".")[0]
# The oldest are removed beyond this.
MOST_BYTES = 300 << 20


def key_of(stage: Callable[..., Any], kernel: Kernel, details: tuple[Any, ...]) -> str | None:
    """The name of a program's file, or None if it is not to be kept."""
    if folder() is None or callable(kernel.criterion.loss) or not _is_known(kernel.model):
        return None
    model = kernel.model.function.__module__, kernel.model.name
    parts = (
        _versions(),
        stage.__module__,
        stage.__qualname__,
        getattr(stage, "of", ""),
        model,
        kernel._replace(model=None),  # type: ignore[arg-type]
        *details,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def load(key: str) -> Any | None:
    """The program of that name, or None."""
    place = folder()
    if place is None:
        return None
    path = place / key
    try:
        with path.open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            content = pickle.load(file)
        from jax.experimental.serialize_executable import deserialize_and_load

        program = deserialize_and_load(*content)
        path.touch()
    except FileNotFoundError:
        return None
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, the program can be compiled
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return program


def keep(key: str, program: Any) -> None:
    """Write a program, some time soon."""
    _writer().submit(_write, key, program)


@functools.cache
def _writer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="imagefit-cache")


def _write(key: str, program: Any) -> None:
    place = folder()
    if place is None:
        return
    # a full disk, a folder that is not ours, a device that cannot: it works without
    with contextlib.suppress(Exception):
        from jax.experimental.serialize_executable import serialize

        content = pickle.dumps(serialize(program))
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
            file.write(content)
        Path(file.name).replace(place / key)
        _tidy(place)


def _tidy(place: Path) -> None:
    """Remove those that have not been used for longest."""
    files = sorted(((path.stat(), path) for path in place.iterdir()), key=lambda pair: pair[0].st_mtime, reverse=True)
    total = 0
    for status, path in files:
        total += status.st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)


def folder() -> Path | None:
    """Where programs are kept."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        return None if wanted.lower() in ("", "off", "0") else Path(wanted)
    return _usual_folder()


@functools.cache
def _usual_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir(PACKAGE, appauthor=False)) / "programs"


def _is_known(model: Model) -> bool:
    """Whether the model is one that a module of the package defines by itself."""
    name = getattr(model.function, "__module__", None) or ""
    module = sys.modules.get(name)
    if module is None or name.partition(".")[0] != PACKAGE:
        return False
    return getattr(module, model.name, None) is model


@functools.cache
def _versions() -> tuple[Any, ...]:
    """Of everything that a program depends on."""
    root = Path(__file__).parents[1]
    files = [(str(p.relative_to(root)), p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(root.rglob("*.py"))]
    from importlib.metadata import version

    return version("jax"), version("jaxlib"), sys.version_info[:2], _processor(), tuple(files)


def _processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="ignore").splitlines()
        wanted = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        if wanted:
            return str(sorted(wanted))
    return platform.processor() + platform.machine()
