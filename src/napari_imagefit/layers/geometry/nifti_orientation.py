"""Orientation of a layer's axes in the NIfTI file that it came from, read by another plugin.

Readers transpose the file's axes, put time first or last, turn axes around and say so by a negative scale, or turn the
picture around by one without touching the data. What they leave in the layer's metadata, the affine and the header,
says where the file's voxels lie; only together with the layer's own transform does it say which voxel is which. Where
the two allow one answer it is taken, otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ...imaging.files.nifti_grid import NiftiGrid, check_affine
from ...imaging.files.placement import compose, factor_to

# What a reader leaves of a file in a layer's metadata.
READER_METADATA = ("affine", "header", "coordinate_system", "direction")
# Fraction of a voxel by which two positions may differ and be the same: single precision, and a person's rounding.
SAME_POSITION = 0.05
# From NIfTI's world, in which x runs to the right and y to the front, to that and to DICOM's.
WORLDS = ((1.0, 1.0, 1.0), (-1.0, -1.0, 1.0))


@dataclass(frozen=True, eq=False)
class _Known:
    """An affine that a reader left, the file's shape where it is known, and whether it is of the layer's data."""

    affine: Floats
    shape: tuple[int, ...] | None
    of_data: bool


@dataclass(frozen=True, eq=False)
class _Way:
    """Three of the layer's axes, and an affine from indices along them to the file's world, in mm.

    None instead of an axis: the layer lacks it. `plain` if the axes run as those of an affine that is known.
    """

    axes: tuple[int | None, ...]
    affine: Floats
    plain: bool = True

    def columns(self, layer: _Layer) -> Floats:
        """Return by grid axis, to compare two, where each index of the grid lies."""
        found = np.zeros((3, len(layer.shape) + 1))
        for column, axis in enumerate(self.axes):
            if axis is not None and axis != layer.fitted:
                found[:, axis] = self.affine[:3, column]
        found[:, -1] = self.affine[:3, 3]
        return found


@dataclass(frozen=True, eq=False)
class _Layer:
    """Geometry of the layer as napari shows it."""

    matrix: Floats
    offset: Floats
    units: tuple[str, ...]
    shape: tuple[int, ...]
    fitted: int

    @property
    def triples(self) -> list[tuple[int, ...]]:
        """Axes that may be those in space, x first: the first three or the last, either way round."""
        count = len(self.shape)
        if count < 3:
            return []
        ways = [(0, 1, 2)] if count == 3 else [(0, 1, 2), (count - 3, count - 2, count - 1)]
        return [triple for way in ways for triple in (way, way[::-1])]

    def factors(self, axes: Sequence[int]) -> list[float]:
        """Return the factors by which the world becomes mm: by its units, or 1 if its numbers are mm."""
        said = {factor_to(self.units[axis], "mm") for axis in axes}
        factor = said.pop() if len(said) == 1 else None
        return [1.0] if factor in (None, 1.0) else [1.0, float(factor or 1.0)]

    def straight(self, axis: int) -> bool:
        """Whether it lies along its own axis of the world, and no other does."""
        others = [other for other in range(len(self.shape)) if other != axis]
        across = np.abs([self.matrix[axis, others], self.matrix[others, axis]]).max(initial=0.0)
        return bool(across < 1e-6 * abs(self.matrix[axis, axis]))


def nifti_grid(
    metadata: Mapping[str, Any], transform: Mapping[str, Any], shape: Sequence[int], fitted: int, name: str
) -> NiftiGrid | None:
    """Return the order of the file's axes for maps of a layer; None if nothing is known of a file.

    Parameters
    ----------
    metadata : dict
        What the reader left, see `READER_METADATA`.
    transform : dict
        The layer's, as `compose` takes it, with its ``units``.
    shape : tuple of int
        Of the layer's data.
    fitted : int
        The axis that maps lack.
    name : str
        Of the layer, for messages.

    Raises
    ------
    FitInputError
        If affine and transform do not determine which way round the axes run.
    """
    known = list(_iter_known(metadata))
    if not known:
        return None
    units = tuple(str(unit) for unit in transform.get("units") or [""] * len(shape))
    layer = _Layer(*compose(transform, len(shape)), units, tuple(shape), fitted)
    ways: list[_Way] = []
    for find in (_iter_stated, _iter_in_world, _iter_in_order):
        ways = _distinct((way for way in find(metadata, known, layer) if _order(way, known, layer)), layer)
        if ways:
            break
    if len(ways) > 1:
        ways = [way for way in ways if way.plain] or ways
    if len(ways) != 1:
        why = "agrees with it in several ways" if ways else "does not agree with it"
        raise FitInputError(
            f"the reader of layer {name!r} left the affine of its file, and the layer's own transform {why}, so that "
            "nothing says which way round the maps belong into such a file; choose another format, or remove 'affine' "
            "and 'header' from the layer's metadata to write them where napari shows them"
        )
    return _grid(ways[0], known, layer)


def _iter_known(metadata: Mapping[str, Any]) -> Iterator[_Known]:
    """Return the header's affine first: it belongs to the file."""
    header: Any = metadata.get("header")
    found: Any = getattr(header, "get_best_affine", lambda: ())()
    if np.shape(found) == (4, 4):
        yield _Known(check_affine(found), tuple(getattr(header, "get_data_shape", tuple)()) or None, False)
    own: Any = metadata.get("affine", ())
    if np.shape(own) in ((4, 4), (5, 5)):
        # with time as its fourth axis
        space = [0, 1, 2, len(own) - 1]
        yield _Known(check_affine(np.asarray(own, dtype=float)[np.ix_(space, space)]), None, True)


def _iter_stated(metadata: Mapping[str, Any], known: Sequence[_Known], layer: _Layer) -> Iterator[_Way]:
    """Yield orientations that the reader states; a negative scale turns the picture around and not the data.

    It does so by naming the directions, or by an affine that is another than the file's or has time in it.
    """
    own = [one.affine for one in known if one.of_data]
    others = [one.affine for one in known if not one.of_data]
    said = {"coordinate_system", "direction"} & set(metadata) or np.shape(metadata.get("affine", ())) == (5, 5)
    if not own or not (said or any(not np.allclose(own[0], other, atol=1e-3) for other in others)):
        return
    steps = np.sqrt((own[0][:3, :3] ** 2).sum(axis=0))
    # where they run along axes of the world, napari shows them there
    along = bool((np.abs(own[0][:3, :3]).argmax(axis=0) == range(3)).all())
    for triple in layer.triples:
        if not all(layer.straight(axis) for axis in triple):
            continue
        last = np.array(layer.shape)[list(triple)] - 1
        shown = layer.matrix[triple, triple]
        off = np.abs(np.abs(shown) - steps) * last
        if along:
            ends = layer.offset[list(triple)] + np.outer([0, 1], shown * last)
            lie = own[0][:3, 3] + np.outer([0, 1], steps * np.sign(np.diag(own[0])[:3]) * last)
            off = np.abs(np.sort(ends, axis=0) - np.sort(lie, axis=0)).max(axis=0)
        if (off < SAME_POSITION * steps).all():
            yield _Way(triple, own[0])


def _iter_in_world(_: Mapping[str, Any], known: Sequence[_Known], layer: _Layer) -> Iterator[_Way]:
    """Yield orientations in which napari's world is the file's, or DICOM's, and voxels lie on voxels."""
    for triple, world in product(layer.triples, WORLDS):
        rest = [axis for axis in range(len(layer.shape)) if axis not in triple]
        if np.abs(layer.matrix[np.ix_(triple, rest)]).max(initial=0.0) > 1e-6 * np.abs(layer.matrix).max():
            continue
        for factor in layer.factors(triple):
            affine = np.eye(4)
            affine[:3, :3] = factor * layer.matrix[np.ix_(triple, triple)]
            affine[:3, 3] = factor * layer.offset[list(triple)]
            affine = np.diag([*world, 1.0]) @ affine
            found = [_permutation(one, affine, _shape(layer, triple)) for one in known]
            if any(found):
                # a world that is turned around and data that are, too, may look alike
                plain = world == WORLDS[0] and any(not any(f for _, f in way) for way in found if way)
                yield _Way(triple, affine, plain)


def _iter_in_order(_: Mapping[str, Any], known: Sequence[_Known], layer: _Layer) -> Iterator[_Way]:
    """Yield the orientation of a layer that has a scale at most: the data run as those that the affine is of.

    A header's affine is of the file, whose axes a reader may have turned around without a word; where they all run
    forwards there is nothing to turn.
    """
    grid = [axis for axis in range(len(layer.shape)) if axis != layer.fitted]
    as_grid = (*grid[:3], *[None] * (3 - len(grid)))
    choices = [as_grid, *layer.triples, *([(*grid[::-1], None)] if len(grid) == 2 else [])]
    for one in reversed(known):
        steps = np.sqrt((one.affine[:3, :3] ** 2).sum(axis=0))
        forwards = np.allclose(one.affine[:3, :3], np.diag(steps), atol=1e-6 * steps.max())
        if not (one.of_data or forwards):
            continue
        fits = [axes for axes in choices if _is_scaled(one, axes, layer)]
        if as_grid in fits and not _says_anything(as_grid, layer) and len(layer.shape) > 3:
            fits = [as_grid]  # the affine alone: it is of the grid as it is
        elif not any(None not in axes for axes in fits):
            fits = fits[:1]
        yield from (_Way(axes, one.affine) for axes in fits)
        if fits:
            return


def _is_scaled(one: _Known, axes: Sequence[int | None], layer: _Layer) -> bool:
    own = [(row, axis) for row, axis in enumerate(axes) if axis is not None]
    used = [axis for _, axis in own]
    if one.shape is not None and any(one.shape[row : row + 1] != (layer.shape[axis],) for row, axis in own):
        return False
    if layer.offset[used].any() or not all(layer.straight(axis) for axis in used):
        return False
    steps = np.array([layer.matrix[axis, axis] for axis in used])
    lengths = np.array([np.linalg.norm(one.affine[:3, row]) for row, _ in own])
    return not _says_anything(axes, layer) or any(
        np.allclose(factor * steps, lengths, rtol=1e-3) for factor in layer.factors(used)
    )


def _says_anything(axes: Sequence[int | None], layer: _Layer) -> bool:
    """Whether the layer is scaled along these axes."""
    return any(layer.matrix[axis, axis] != 1 for axis in axes if axis is not None)


def _distinct(ways: Iterator[_Way], layer: _Layer) -> list[_Way]:
    """Return the orientations that are not the same for the grid of fits."""
    found: list[_Way] = []
    for way in ways:
        here = way.columns(layer)
        if not any(np.allclose(here, other.columns(layer), rtol=1e-3, atol=1e-3) for other in found):
            found.append(way)
    return found


def _shape(layer: _Layer, axes: Sequence[int | None]) -> tuple[int, ...]:
    return tuple(1 if axis is None else layer.shape[axis] for axis in axes)


def _permutation(one: _Known, affine: Floats, shape: Sequence[int]) -> list[tuple[int, bool]]:
    """Return for each of the file's axes which of three it is and whether it runs backwards; empty if none fits."""
    relative = np.linalg.solve(one.affine, affine)
    turns = np.rint(relative[:3, :3])
    if not (np.abs(turns).sum(axis=0) == 1).all() or not (np.abs(turns).sum(axis=1) == 1).all():
        return []
    found = []
    for row in turns:
        column = int(np.abs(row).argmax())
        found.append((column, bool(row[column] < 0)))
    if one.shape is not None and any(n != shape[column] for n, (column, _) in zip(one.shape, found, strict=False)):
        return []
    starts = np.array([shape[column] - 1 if backwards else 0 for column, backwards in found])
    corners = np.array(list(product(*((0, n - 1) for n in shape))), dtype=float)
    off = corners @ (relative[:3, :3] - turns).T + relative[:3, 3] - starts
    return found if np.abs(off).max() < SAME_POSITION else []


def _order(way: _Way, known: Sequence[_Known], layer: _Layer) -> tuple[_Known, list[tuple[int, bool]]] | None:
    """Return the affine that maps get, the file's where it is known, and the order of its axes.

    None if they do not meet.
    """
    if None in way.axes:
        return _Known(way.affine, None, True), [(0, False), (1, False), (2, False)]
    turns = _permutation(known[0], way.affine, _shape(layer, way.axes))
    return (known[0], turns) if turns else None


def _grid(way: _Way, known: Sequence[_Known], layer: _Layer) -> NiftiGrid:
    order = _order(way, known, layer)
    assert order is not None
    target, turns = order
    shape, affine = _shape(layer, way.axes), target.affine.copy()
    axes: list[int | None] = []
    for row, (column, backwards) in enumerate(turns):
        axis = way.axes[column]
        # maps lack the fitted one
        axes.append(None if axis is None or axis == layer.fitted else axis - (axis > layer.fitted))
        if axes[-1] is None and backwards:
            # the one sample lies where the first one did
            affine[:3, 3] += affine[:3, row] * (shape[column] - 1)
    return NiftiGrid(affine, tuple(axes), tuple(backwards for _, backwards in turns))
