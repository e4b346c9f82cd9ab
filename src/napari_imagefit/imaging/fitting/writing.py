"""Safe writing of files: each is written beside its path, and moved there when it is complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ...engine.core.errors import FitInputError

# Where something is to be, and what writes it to a path that does not exist yet.
Job = tuple[Path, Callable[[Path], object]]
# Remedies, where the reason alone does not give one.
REMEDIES = {
    errno.ENOSPC: "make room, or choose another place",
    getattr(errno, "EDQUOT", errno.ENOSPC): "make room, or choose another place",
    errno.EFBIG: "raise the limit on the size of files, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}
# Files by which a folder of Zarr is recognised.
ZARR = ("zarr.json", ".zgroup", ".zarray")


def write_files(jobs: Sequence[Job], *, overwrite: bool = True, new_folder: bool = False) -> None:
    """Write files or folders, all of them or none.

    Each is written beside its place, under its name in a folder of its own, and takes the place when all are whole:
    what stood there is kept until then, and nothing half written stays behind. A folder that does not exist is made
    for them if `new_folder` is true.

    Raises
    ------
    FitInputError
        One sentence with the name and the reason, where something cannot be written or replaced.
    """
    target = jobs[0][0]
    try:
        with ExitStack() as stack:
            beside: dict[Path, Path] = {}
            moves: list[tuple[Path, Path, Path]] = []
            for target, _ in jobs:
                _check(target, overwrite=overwrite)
            for target, save in jobs:
                # what a link points to is written, not the link; and only within a file system a file can be moved
                real = Path(os.path.realpath(target))
                if real.parent not in beside:
                    beside[real.parent] = stack.enter_context(_folder_in(real.parent, new=new_folder))
                part = beside[real.parent] / real.name
                moves.append((target, part, real))
                save(part)
            for target, part, real in moves:  # noqa: B007 -- a failure is of the last one
                _move(part, real)
    except OSError as error:
        raise FitInputError(f"{str(target)!r} cannot be written: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    # a library that counts what was written gives no number of the system's
    if error.strerror is None:
        return f"the disk may be full ({error}); {REMEDIES[errno.ENOSPC]}"
    return f"{error.strerror}; {REMEDIES.get(error.errno or 0, 'choose another name or place')}"


def _check(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise FitInputError(f"{str(target)!r} exists; choose another name, or allow that it is overwritten")
    if target.is_dir():
        if any(target.iterdir()) and not any((target / name).exists() for name in ZARR):
            raise FitInputError(f"{str(target)!r} is a folder of other files; choose another name")
    elif not target.is_file():
        raise FitInputError(f"{str(target)!r} is no file that can be replaced; choose another name")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _folder_in(parent: Path, *, new: bool) -> Iterator[Path]:
    """Return a folder for what is not whole yet; where it fails, the folders that were made for it go too."""
    missing = [one for one in (parent, *parent.parents) if new and not os.path.exists(one)]
    try:
        if missing:
            parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except BaseException:
        for one in missing:
            with suppress(OSError):
                one.rmdir()
        raise


def _move(part: Path, target: Path) -> None:
    if target.is_dir() != part.is_dir() and target.exists():
        raise FitInputError(f"{str(target)!r} is a {'folder' if target.is_dir() else 'file'}; choose another name")
    if not target.is_dir():
        if target.exists():
            with suppress(OSError):
                shutil.copymode(target, part)
        part.replace(target)
        return
    # a folder is not replaced in one step
    old = part.with_name(f".old-{len(list(part.parent.iterdir()))}")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
