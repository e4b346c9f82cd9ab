"""Results in a Zarr group: an array per map, written piece by piece, and a note of which pieces are done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.core.status import Flag, Status
from ...engine.results.fit_result import FitResult
from ..chunked.plan import Plan, VoxelPlan
from ..chunked.spot_plan import SpotPlan
from ..fitting.chunks import Slices
from ..fitting.records import all_maps
from .recipe import Recipe
from .stored_arrays import StoredArray, need
from .stored_place import place_of

KEY = "napari_imagefit"
DONE = "finished_pieces"
POINTS = "points"  # of spots, as they were given
VERSION = 2  # of the layout


@dataclass(frozen=True, eq=False)
class ResultStore:
    """A Zarr group of results, and which pieces of it are there already."""

    group: Any
    plan: Plan
    pieces: tuple[Slices, ...]

    @classmethod
    def open(
        cls, path: Path, plan: Plan, recipe: Recipe, data: StoredArray, most_fits: int | None = None
    ) -> ResultStore:
        """Make one, or go on with the one that is there, in pieces of the size that it was begun with.

        Raises
        ------
        FitInputError
            If something else is there.
        """
        zarr = need("zarr", "writing results")
        said = {
            "layout": VERSION,
            "recipe": json.loads(recipe.text),
            "input": {"path": data.path, "inside": data.inside, "shape": list(data.shape), "dtype": str(data.dtype)},
            "stamp": data.stamp,
        }
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            group = _reopen(zarr, path, said)
            _check_points(group, path, plan)
            piece = tuple(group.attrs[KEY]["piece"])
        else:
            piece = plan.piece_shape(data, most_fits)
            group = _create(zarr, path, plan, piece, said | {"piece": list(piece), "place": _place(plan, data)})
        return cls(group, plan, plan.pieces(piece))

    def finished(self) -> frozenset[int]:
        """The numbers of the pieces that are there."""
        return frozenset(int(i) for i in np.flatnonzero(self.group[DONE][:]))

    def write(self, number: int, result: FitResult) -> None:
        """Write a piece, and then that it is there."""
        where = self.plan.on_grid(self.pieces[number])
        for name, values in all_maps(result):
            _at(self.group[name], where)[where] = values
        self.group[DONE][number] = True

    def status_counts(self) -> dict[Status, int]:
        """How many fits ended with each status, looked up piece by piece."""
        counts: dict[Status, int] = {}
        for where in self.pieces:
            own = self.plan.on_grid(where)
            codes, numbers = np.unique(_at(self.group["status"], own)[own], return_counts=True)
            for code, number in zip(codes, numbers, strict=True):
                counts[Status(int(code))] = counts.get(Status(int(code)), 0) + int(number)
        counts.pop(Status.NOT_FITTED, None)
        return counts


def _reopen(zarr: Any, path: Path, said: dict[str, Any]) -> Any:
    try:
        group = zarr.open_group(str(path), mode="r+")
        there = group.attrs[KEY]
    except (OSError, ValueError, KeyError, TypeError):
        raise FitInputError(
            f"{str(path)!r} holds something that is no result of this program; give a new folder"
        ) from None
    for key, what in (("layout", "was written by another version"), ("recipe", "holds results of another recipe")):
        if there[key] != said[key]:
            raise FitInputError(f"{str(path)!r} {what}; give another folder, or remove this one")
    if there["input"] != said["input"]:
        raise FitInputError(
            f"{str(path)!r} holds results of another input, {there['input']['path']!r}; give another folder"
        )
    if there["stamp"] != said["stamp"]:
        raise FitInputError(
            f"{there['input']['path']!r} was changed since the results in {str(path)!r} were begun; give another folder"
        )
    if DONE not in group:
        raise FitInputError(f"{str(path)!r} was left half made; remove it and start again")
    return group


def _check_points(group: Any, path: Path, plan: Plan) -> None:
    if isinstance(plan, SpotPlan) and not np.array_equal(group[POINTS][:], plan.windows.points):
        raise FitInputError(f"{str(path)!r} holds results of other points; give another folder")


def _at(array: Any, where: Slices) -> Any:
    """What takes the place of a piece, be it slices or numbers of rows."""
    return array.oindex if any(isinstance(part, np.ndarray) for part in where) else array


def _create(zarr: Any, path: Path, plan: Plan, piece: tuple[int, ...], said: dict[str, Any]) -> Any:
    model = plan.model
    group = zarr.create_group(str(path))
    group.attrs[KEY] = said | {
        "program": version("napari-imagefit"),
        "model": {"name": model.name, "formula": model.formula},
        "parameters": [{"name": p.name, "unit": p.unit, "description": p.description} for p in model.parameters],
        "status": {str(int(status)): status.message for status in Status},
        "flags": {str(int(flag)): flag.message for flag in Flag},
    }
    chunks = plan.map_chunks(piece)
    units = {p.name: p.unit for p in model.parameters}
    # digits of noise hardly get smaller, and the fits want the cores
    quick = zarr.codecs.BloscCodec(cname="lz4", clevel=1)
    for name, values in _kinds(plan):
        extra = values.shape
        array = group.create_array(
            name,
            shape=(*plan.grid, *extra),
            chunks=(*chunks, *extra),
            dtype=values.dtype,
            compressors=quick,
            fill_value=values.dtype.type(_unfitted(name, values.dtype)),
        )
        field, _, parameter = name.partition("/")
        if field in ("params", "stderr", "solution", "start"):
            array.attrs["unit"] = units[parameter]
    if isinstance(plan, SpotPlan):
        group.create_array(POINTS, data=plan.windows.points)
    count = len(plan.pieces(piece))
    group.create_array(DONE, shape=(count,), chunks=(1,), dtype=bool, fill_value=False)
    return group


def _place(plan: Plan, data: StoredArray) -> dict[str, list[Any]]:
    """Where the maps of voxels lie, by axis of the grid, if the input says so."""
    return place_of(data, plan.grid_axes) if isinstance(plan, VoxelPlan) else {}


def _kinds(plan: Plan) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The name of every map, and an array of its type and of the shape of what it holds of one fit."""
    nowhere: Any = None
    yield from all_maps(plan.blank((), nowhere, Status.STOPPED))


def _unfitted(name: str, dtype: np.dtype[Any]) -> float:
    if name == "status":
        return Status.STOPPED
    return np.nan if dtype.kind == "f" else 0
