"""Results in a Zarr group: an array per map, written piece by piece, and a note of which pieces are done."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitEngineError, FitInputError
from ...engine.core.status import Flag, Status
from ...engine.results.fit_result import FitResult
from ..chunked.plan import Plan, VoxelPlan
from ..fitting.chunks import Slices
from ..fitting.records import all_maps
from ..readers.optional_packages import need
from ..readers.stored_arrays import StoredArray
from ..readers.zarr_chunks import chunk_files
from ..recipes.recipe import Recipe
from ..recipes.steps import DeriveStep
from .folder_lock import alone_in

ATTRIBUTES_KEY = "napari_imagefit"
DONE = "finished_pieces"
DERIVED, DERIVED_STDERR = "derived", "derived_stderr"  # numbered as the steps of the recipe
POINTS_ARRAY = "points"  # of spots, as they were given
LAYOUT_VERSION = 3  # of the layout
# What must be the same for the results of two runs to be one, and the message where it is not.
IDENTITY = {
    "layout": "{path!r} was written by another version; give another folder, or remove this one",
    "recipe": "{path!r} holds results of another recipe; give another folder, or remove this one",
    "input": "{path!r} holds results of another input, {input!r}; give another folder",
    "stamp": "{input!r} was changed since the results in {path!r} were begun; give another folder",
    "points": "{path!r} holds results of other points; give another folder",
}
# A piece is there if its files are: also those of nothing but the fill value are written.
WRITE_ALL = {"array.write_empty_chunks": True}
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True, eq=False)
class ResultStore:
    """A Zarr group of results, and which pieces of it are there already.

    Attributes
    ----------
    lost : frozenset of int
        Pieces that were finished and of which files are gone, or empty: they are to be done again.
    written : set of int
        Pieces that were written by this object.
    """

    path: Path
    plan: Plan
    pieces: tuple[Slices, ...]
    arrays: Mapping[str, Any]
    derive: tuple[DeriveStep, ...] = ()
    lost: frozenset[int] = frozenset()
    written: set[int] = field(default_factory=set)

    @classmethod
    def open(
        cls, path: Path, plan: Plan, recipe: Recipe, data: StoredArray, most_fits: int | None = None
    ) -> ResultStore:
        """Make one, or go on with the one that is there, in pieces of the size that it was begun with.

        Raises
        ------
        FitInputError
            If something else is there.
        FitEngineError
            If nothing can be written there.
        """
        zarr = need("zarr", "writing results")
        said = {
            "layout": LAYOUT_VERSION,
            "recipe": recipe.to_dict(),
            "input": {"path": data.path, "inside": data.inside, "shape": list(data.shape), "dtype": str(data.dtype)},
            "stamp": data.stamp,
            "points": "" if plan.points is None else hashlib.sha256(plan.points.tobytes()).hexdigest(),
        }
        with _writing(path), zarr.config.set(WRITE_ALL):
            _refuse_inside(path, data)
            if _is_free(path):
                _begin(
                    zarr,
                    path,
                    plan,
                    said
                    | {"piece": plan.piece_shape(data, most_fits), "remark": data.remark, "place": _place(plan, data)},
                )
            group, piece = _reopen(zarr, path, said)
            pieces = plan.pieces(piece)
            with alone_in(path):
                arrays = _open_arrays(zarr, group, path, plan, piece, len(pieces), recipe.after)
            store = cls(path, plan, pieces, arrays, recipe.after)
            lost = store._gone()
            for number in lost:  # before any of them is done again: who is stopped meanwhile must find them undone
                store.arrays[DONE][number] = False
        return cls(path, plan, pieces, store.arrays, recipe.after, lost)

    def _gone(self) -> frozenset[int]:
        return frozenset(
            number
            for number in self.finished()
            if not all(
                file.is_file() and file.stat().st_size
                for name, array in self.arrays.items()
                if name not in (DONE, POINTS_ARRAY)
                for file in chunk_files(array, self.path / name, self.plan.on_grid(self.pieces[number]))
            )
        )

    def finished(self) -> frozenset[int]:
        """Return the numbers of the pieces that are there."""
        return frozenset(int(i) for i in np.flatnonzero(_read(self.path, self.arrays, DONE, (slice(None),))))

    def write(self, number: int, result: FitResult) -> None:
        """Write a piece, and then that it is there.

        Raises
        ------
        FitEngineError
            If there is no room.
        FitInputError
            If a chunk that holds other pieces too is damaged.
        """
        where = self.plan.on_grid(self.pieces[number])
        with _writing(self.path), alone_in(self.path):
            for name, values in (*all_maps(result), *self._derived(result)):
                try:
                    _at(self.arrays[name], where)[where] = values
                except (RuntimeError, ValueError) as error:  # of the codec
                    raise _damaged(self.path, name) from error
            self.arrays[DONE][number] = True
        self.written.add(number)

    def _derived(self, result: FitResult) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Return the maps of the steps of the recipe that follow the fit, by name."""
        for number, step in enumerate(self.derive, start=1):
            derived = step.of(result)
            yield f"{DERIVED}/{number}", derived.values
            yield f"{DERIVED_STDERR}/{number}", derived.stderr

    def status_counts(self) -> dict[Status, int]:
        """Count the fits with each status, piece by piece."""
        counts: dict[Status, int] = {}
        for where in self.pieces:
            own = self.plan.on_grid(where)
            codes, numbers = np.unique(_read(self.path, self.arrays, "status", own), return_counts=True)
            for code, number in zip(codes, numbers, strict=True):
                counts[Status(int(code))] = counts.get(Status(int(code)), 0) + int(number)
        counts.pop(Status.NOT_FITTED, None)
        return counts


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise an error with the reason why nothing can be written."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        remedy = (
            "make room, or lift the limit, and the same command goes on from what is there"
            if error.errno in FULL
            else "give another folder, or the same command when it can be written to again"
        )
        raise FitEngineError(f"nothing can be written to {str(path)!r} ({why}); {remedy}") from error


def _refuse_inside(path: Path, data: StoredArray) -> None:
    home = Path(data.path)
    if home.is_dir() and any(folder.exists() and folder.samefile(home) for folder in path.resolve().parents):
        raise FitInputError(
            f"{str(path)!r} lies inside the input {data.path!r}, where results would be mixed with data; "
            "give a folder outside it"
        )


def _is_free(path: Path) -> bool:
    """Nothing is there, or what is left of an attempt that was ended within its first file."""
    return not path.exists() or (path.is_dir() and all(file.suffix == ".partial" for file in path.iterdir()))


def _begin(zarr: Any, path: Path, plan: Plan, said: dict[str, Any]) -> None:
    """Write one file that identifies the folder; whatever follows can be resumed."""
    model = plan.model
    about = said | {
        "program": version("napari-imagefit"),
        "model": {"name": model.name, "formula": model.formula},
        "parameters": [{"name": p.name, "unit": p.unit, "description": p.description} for p in model.parameters],
        "status": {str(int(status)): status.message for status in Status},
        "flags": {str(int(flag)): flag.message for flag in Flag},
    }
    try:
        zarr.create_group(str(path), attributes={ATTRIBUTES_KEY: about})
    except ValueError:  # another run, begun at the same time, was quicker
        return


def _reopen(zarr: Any, path: Path, said: dict[str, Any]) -> tuple[Any, tuple[int, ...]]:
    """Return the group, and the shape of its pieces."""
    try:
        group = zarr.open_group(str(path), mode="r+")
        there = group.attrs[ATTRIBUTES_KEY]
        known = {key: there.get(key) for key in (*IDENTITY, "piece")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FitInputError(
            f"{str(path)!r} holds something that is no result of this program; give a new folder"
        ) from None
    for key, what in IDENTITY.items():
        # recipes of the older version are spelled otherwise
        same = known[key] == said[key] or (key == "recipe" and _as_now(known[key]) == said[key])
        if not same:
            raise FitInputError(what.format(path=str(path), input=(known["input"] or {}).get("path")))
    return group, tuple(known["piece"])


def _as_now(recipe: Any) -> Any:
    try:
        return Recipe.of(recipe).to_dict()
    except FitInputError:
        return None


def _open_arrays(
    zarr: Any,
    group: Any,
    path: Path,
    plan: Plan,
    piece: tuple[int, ...],
    n_pieces: int,
    derive: tuple[DeriveStep, ...],
) -> dict[str, Any]:
    """All arrays by name; those that are not there are made."""
    chunks = plan.map_chunks(piece)
    units = {p.name: p.unit for p in plan.model.parameters}
    # digits of noise hardly get smaller, and the fits want the cores
    quick = zarr.codecs.BloscCodec(cname="lz4", clevel=1)
    arrays = {}
    for name, values in _kinds(plan):
        extra, dtype = values.shape, values.dtype
        field, _, parameter = name.partition("/")
        arrays[name] = _open_array(
            group,
            path,
            name,
            shape=(*plan.grid, *extra),
            chunks=(*chunks, *extra),
            dtype=dtype,
            compressors=quick,
            fill_value=dtype.type(_unfitted(name, dtype)),
            attributes={"unit": units[parameter]} if field in ("params", "stderr", "solution", "start") else {},
        )
    for number, step in enumerate(derive, start=1):
        for name in (f"{DERIVED}/{number}", f"{DERIVED_STDERR}/{number}"):
            arrays[name] = _open_array(
                group,
                path,
                name,
                shape=plan.grid,
                chunks=chunks,
                dtype=np.dtype(np.float64),
                compressors=quick,
                fill_value=np.nan,
                attributes={"expression": step.expression, "unit": step.unit},
            )
    if (points := plan.points) is not None:
        arrays[POINTS_ARRAY] = _open_array(
            group, path, POINTS_ARRAY, shape=points.shape, chunks=points.shape, dtype=points.dtype
        )
        if not np.array_equal(_read(path, arrays, POINTS_ARRAY, (slice(None),)), points):  # they were being written
            arrays[POINTS_ARRAY][:] = points
    arrays[DONE] = _open_array(group, path, DONE, shape=(n_pieces,), chunks=(1,), dtype=np.dtype(bool))
    return arrays


def _open_array(group: Any, path: Path, name: str, shape: Any, chunks: Any, dtype: np.dtype[Any], **how: Any) -> Any:
    try:
        if name not in group:
            group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, **how)
        array = group[name]
        sound = (array.shape, array.chunks, array.dtype) == (shape, chunks, dtype)
    except (ValueError, KeyError, AttributeError):  # half a file, or something else of this name
        sound = False
    if not sound:
        raise _damaged(path, name)
    return array


def _read(path: Path, arrays: Mapping[str, Any], name: str, where: Slices) -> Any:
    try:
        return _at(arrays[name], where)[where]
    except Exception as error:  # each codec has its own
        raise _damaged(path, name) from error


def _damaged(path: Path, name: str) -> FitInputError:
    return FitInputError(
        f"the results in {str(path)!r} are damaged: {name!r} cannot be read; remove the folder {str(path / name)!r}, "
        "and the same command makes it again"
    )


def _at(array: Any, where: Slices) -> Any:
    """Return the indexer for a piece, be it slices or numbers of rows."""
    return array.oindex if any(isinstance(part, np.ndarray) for part in where) else array


def _place(plan: Plan, data: StoredArray) -> dict[str, list[Any]]:
    """Return the placement of the maps of voxels, by axis of the grid, if the input gives it."""
    return data.placement(plan.grid_axes) if isinstance(plan, VoxelPlan) else {}


def _kinds(plan: Plan) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Return the name of every map, and an array of its type and of the shape of what it holds of one fit."""
    nowhere: Any = None
    yield from all_maps(plan.blank((), nowhere, Status.STOPPED))


def _unfitted(name: str, dtype: np.dtype[Any]) -> float:
    if name == "status":
        return Status.STOPPED
    return np.nan if dtype.kind == "f" else 0
