"""Files of image data, of which a piece is read at a time. What is open here can be sent to another process."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from .zarr_chunks import chunk_files

# What brings them, as a shell takes it.
PIP = {
    "zarr": '"napari-imagefit[export]"',
    "nibabel": '"napari-imagefit[export]"',
    "distributed": '"napari-imagefit[cluster]"',
    "h5py": "h5py",
    "pyarrow": "pyarrow",
    "tifffile": "tifffile",
}
# The size and time of a file that is not there.
ABSENT = "absent"


def need(module: str, what: str, instead: str = "") -> Any:
    """Return a module that one feature needs, and that need not be installed.

    Raises
    ------
    FitInputError
        If it is missing; it names the command that installs it, and what can be done instead.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        remedy = f"pip install {PIP[module]}" + (f", or {instead}" if instead else "")
        raise FitInputError(f"{what} needs {module}, which is not installed; run: {remedy}") from None


@dataclass(frozen=True)
class StoredArray:
    """An array in a file; each look at it opens the file and reads what is asked for.

    Attributes
    ----------
    path : str
    inside : str
        The array's name in the file, where there may be several.
    chunks : tuple of int
        Those in which it is stored, or whatever is read well at once.
    stamp : str
        Tells whether the file was changed: its size and time, of a Zarr array those of every chunk.
    remark : str
        What is to be known of it before its fits are believed, if anything.
    """

    path: str
    inside: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] = field(default=())
    stamp: str = ""
    remark: str = ""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def changed(self) -> bool:
        """Tell whether the file is another one than when it was opened first."""
        try:
            return _look(self.kind, self.path, self.inside)[0] != self.stamp
        except (OSError, ValueError):  # gone, or no longer what it was
            return True

    def __getitem__(self, where: Any, /) -> NDArray[Any]:
        """Return what is there.

        Raises
        ------
        FitInputError
            If the file is damaged.
        """
        try:
            with _opened(self.kind, self.path, self.inside) as found:
                return np.array(found[where])
        except MemoryError:
            raise
        except Exception as error:  # each library has its own
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FitInputError(f"{self.path!r} cannot be read to its end, it may be damaged: {said}") from error


def open_stored(text: str) -> StoredArray:
    """Return an array in a file: ``.npy``, ``.tif``, ``.zarr`` (or OME-Zarr, its first level), ``FILE.h5::/dataset``.

    Raises
    ------
    FitInputError
        If there is no such file, or nothing in it that can be fitted.
    """
    name, _, inside = text.partition("::")
    path = Path(name)
    if not path.exists():
        raise FitInputError(f"there is no file or folder {name!r}; check the path")
    if not (path.is_file() or path.is_dir()):
        raise FitInputError(f"{name!r} is a pipe or a device, of which no pieces can be read; save it to a file first")
    kind = _kind(path)
    if kind == "h5" and not inside:
        raise FitInputError(f"{name!r} may hold several arrays; name one: {name}::/dataset")
    if kind == "zarr":
        inside = inside or _first_level(path)
    full = str(path.resolve())
    try:
        shape, dtype, chunks = _describe(kind, full, inside)
        stamp, remark = _look(kind, full, inside)
    except FitInputError:
        raise
    except Exception as error:
        raise FitInputError(f"{text!r} cannot be read as an array: {error}") from error
    if dtype.kind not in "biuf" or not shape or 0 in shape:
        raise FitInputError(f"{text!r} holds {dtype} values of shape {shape}; give an array of real numbers")
    return StoredArray(full, inside, kind, shape, dtype, chunks, stamp, remark)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "zarr"
    kinds = {".npy": "npy", ".tif": "tif", ".tiff": "tif", ".h5": "h5", ".hdf5": "h5"}
    if path.suffix.lower() not in kinds:
        raise FitInputError(
            f"{path.name!r} is of no kind that can be read piece by piece; give .zarr, .tif, .npy or FILE.h5::/dataset"
        )
    return kinds[path.suffix.lower()]


def _first_level(path: Path) -> str:
    """Return the path of the array in a Zarr folder: itself, or the first level of an OME-Zarr image."""
    zarr = need("zarr", "reading Zarr")
    try:
        node = zarr.open(str(path), mode="r")
    except Exception as error:
        raise FitInputError(f"the folder {str(path)!r} is no Zarr array or image: {error}") from error
    if not hasattr(node, "group_keys"):
        return ""
    said = dict(node.attrs)
    scales = said.get("ome", said).get("multiscales")
    if scales:
        return str(scales[0]["datasets"][0]["path"])
    arrays = sorted(node.array_keys())
    if len(arrays) == 1:
        return str(arrays[0])
    raise FitInputError(
        f"the Zarr group {str(path)!r} holds {len(arrays)} arrays and is no OME-Zarr image; name one: {path}::NAME"
    )


def _look(kind: str, path: str, inside: str) -> tuple[str, str]:
    """Return the stamp of a file, and the remark on it."""
    if kind != "zarr":
        return _size_and_time(Path(path)), ""
    with _opened(kind, path, inside) as array:
        folder = Path(path, inside)
        chunks = [_size_and_time(file) for file in chunk_files(array, folder)]
        described = [_size_and_time(folder / name) for name in ("zarr.json", ".zarray")]
        fill, lacking = array.fill_value, chunks.count(ABSENT)
    remark = (
        f"the input lacks {lacking} of its {len(chunks)} chunks, which Zarr takes to be {fill} everywhere: "
        "where they were lost, and not left out for being empty, fits of them mean nothing"
    )
    return hashlib.sha256("\n".join(described + chunks).encode()).hexdigest(), remark if lacking else ""


def _size_and_time(file: Path) -> str:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return ABSENT
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _describe(kind: str, path: str, inside: str) -> tuple[tuple[int, ...], np.dtype[Any], tuple[int, ...]]:
    with _opened(kind, path, inside) as found:
        chunks = getattr(found, "chunks", None) or _rows(found.shape)
        return tuple(found.shape), np.dtype(found.dtype), tuple(chunks)


def _rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(1,) * (len(shape) - 1), *shape[-1:])


@contextmanager
def _opened(kind: str, path: str, inside: str) -> Iterator[Any]:
    """Something with shape, dtype and slices."""
    if kind == "npy":
        yield np.load(path, mmap_mode="r", allow_pickle=False)
    elif kind == "zarr":
        yield need("zarr", "reading Zarr").open_array(path, path=inside or None, mode="r")
    elif kind == "h5":
        with need("h5py", "reading HDF5").File(path, "r") as file:
            if inside not in file:
                raise FitInputError(f"{path!r} has no dataset {inside!r}; it has {', '.join(sorted(file)) or 'none'}")
            yield file[inside]
    else:
        with _opened_tiff(path) as found:
            yield found


@contextmanager
def _opened_tiff(path: str) -> Iterator[Any]:
    tifffile = need("tifffile", "reading TIFF")
    try:
        mapped = tifffile.memmap(path, mode="r")
    except ValueError:  # compressed, or in pieces
        zarr = need("zarr", "reading a compressed TIFF piece by piece")
        store = tifffile.imread(path, aszarr=True)
        try:
            yield zarr.open_array(store, mode="r")
        finally:
            store.close()
    else:
        yield mapped
