"""One writer at a time in a folder of results, whatever processes write there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # outside of POSIX there is nothing like it
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait for others that are in this context with the same folder; a process that is killed there blocks no other.

    A chunk that holds several pieces is read and written again with each: of two at once one would be lost. What is
    locked is the file by which Zarr knows the group, for an own one would be no part of it. Where the file system has
    no locks nobody waits.
    """
    with (folder / "zarr.json").open("rb") as file:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
