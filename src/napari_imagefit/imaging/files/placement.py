"""Placement of a grid in the world. Used by everything that writes a placement, or compares two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ..fitting.units import parse_unit, symbol
from .nifti_grid import NiftiGrid

# Names of the axes of a grid, the last ones.
GRID_AXES = "tzyx"
# Of a step, below which a rotation or a shear is rounding.
STRAIGHT = 1e-9


def compose(transform: Mapping[str, Any], ndim: int) -> tuple[Floats, Floats]:
    """Return the matrix and the offset of a transform: ``world = matrix @ index + offset``.

    `transform` may have ``scale``, ``translate``, ``rotate``, ``shear`` and ``affine``, as napari's layers have them.
    """
    affine = transform.get("affine", np.eye(ndim + 1))
    affine = np.asarray(getattr(affine, "affine_matrix", affine), dtype=float)
    rotate = np.asarray(transform.get("rotate", np.eye(ndim)), dtype=float)
    shear = shear_matrix(transform.get("shear", np.eye(ndim)), ndim)
    scale = np.asarray(transform.get("scale", np.ones(ndim)), dtype=float)
    translate = np.asarray(transform.get("translate", np.zeros(ndim)), dtype=float)
    matrix = affine[:-1, :-1] @ rotate @ shear @ np.diag(scale)
    return matrix, affine[:-1, :-1] @ translate + affine[:-1, -1]


def shear_matrix(shear: ArrayLike, ndim: int) -> Floats:
    """Return a shear as a matrix."""
    given = np.asarray(shear, dtype=float)
    if given.ndim == 2:
        return given
    matrix = np.eye(ndim)  # napari hands out an upper triangle as a vector
    matrix[np.triu_indices(ndim, k=1)] = given
    return matrix


def factor_to(unit: str, wanted: str) -> float | None:
    """Return how many of the wanted unit one of another is; None if it is of another kind."""
    import pint

    try:
        return float((1 * parse_unit(unit)).to(parse_unit(wanted)).magnitude)
    except (ValueError, pint.DimensionalityError):
        return None


@dataclass(frozen=True)
class Axis:
    """One axis of the grid: ``position = scale * index + translate``.

    Attributes
    ----------
    name : str
        One of `GRID_AXES`.
    unit : str
        Of pint, short; ``"px"`` for pixels, ``""`` where it is not known.
    """

    name: str
    scale: float = 1.0
    translate: float = 0.0
    unit: str = ""

    def to(self, unit: str) -> Self | None:
        """Return the same in another unit; None if it is of another kind."""
        factor = factor_to(self.unit, unit)
        return None if factor is None else type(self)(self.name, self.scale * factor, self.translate * factor, unit)


@dataclass(frozen=True, eq=False)
class Placement:
    """Placement of a grid of maps: ``world = matrix @ index + offset``, each row in its unit."""

    matrix: Floats
    offset: Floats
    units: tuple[str, ...]

    @classmethod
    def of(cls, transform: Mapping[str, Any] | None, count: int, fitted: int) -> Placement:
        """Return the placement of a grid of that many axes.

        `transform` is as `compose` takes it, with ``units`` (texts or pint's), of a layer of the maps, or of one of the
        stack, whose fitted axis is then left out.

        Raises
        ------
        FitInputError
            If it does not go with the grid.
        """
        own = _without_fitted(transform or {}, count, fitted)
        scale = own.get("scale", [])
        if not all(np.isfinite(v) and v != 0 for v in scale):
            raise FitInputError(f"the scale is {scale}; give numbers other than 0")
        units = tuple(_unit(unit) for unit in own.get("units") or [""] * count)
        return cls(*compose(own, count), units)

    @property
    def names(self) -> str:
        """A letter for each axis."""
        return GRID_AXES[len(GRID_AXES) - len(self.units) :]

    @property
    def is_straight(self) -> bool:
        """Whether the grid lies along the axes of the world."""
        return not any(self.is_mixed(axis) for axis in range(len(self.matrix)))

    def is_mixed(self, axis: int) -> bool:
        """Whether an axis is turned into others."""
        return _mixes(self.matrix, [axis])

    def axes(self, format: str) -> tuple[Axis, ...]:
        """Each axis by itself, for a format that knows no more.

        Raises
        ------
        FitInputError
            If the grid does not lie along the axes of the world.
        """
        if not self.is_straight:
            raise FitInputError(
                f"the layer is rotated or sheared, which {format} cannot say; take the rotation away, or choose NIfTI "
                "or a table"
            )
        steps = np.diag(self.matrix)
        rows = zip(self.names, steps, self.offset, self.units, strict=True)
        return tuple(Axis(name, float(step), float(shift), unit) for name, step, shift, unit in rows)

    def axis(self, number: int) -> Axis:
        """One that is no length, as the time of frames is.

        Raises
        ------
        FitInputError
            If it is mixed with others.
        """
        if _mixes(self.matrix, [number]):
            raise FitInputError("a rotation mixes the frames with the axes in space; take it away, or write a table")
        step, shift = self.matrix[number, number], self.offset[number]
        return Axis(self.names[number], float(step), float(shift), self.units[number])

    def nifti_grid(self) -> NiftiGrid:
        """Return NIfTI's grid where no file gives another: the grid's last axis x first, in mm if that is known."""
        count = len(self.units)
        space = list(range(count))[-3:]
        backwards = space[::-1]
        factors = [factor_to(self.units[axis], "mm") for axis in backwards]
        in_mm = None not in factors
        mm = np.array([factor if in_mm else 1.0 for factor in factors], dtype=float)
        affine = np.eye(4)
        affine[: len(space), : len(space)] = mm[:, None] * self.matrix[np.ix_(backwards, backwards)]
        affine[: len(space), 3] = mm * self.offset[backwards]
        return NiftiGrid(affine, (*backwards, *[None] * (3 - len(space))), in_mm=in_mm)


def _without_fitted(transform: Mapping[str, Any], count: int, fitted: int) -> dict[str, Any]:
    """Return the transform of the grid; parts that have the fitted axis too lose it."""
    own: dict[str, Any] = {}
    for what in ("scale", "translate", "units"):
        if transform.get(what) is None:
            continue
        values = list(transform[what])
        if len(values) == count + 1:
            del values[fitted]
        if len(values) != count:
            raise FitInputError(
                f"the {what} of the transform has {len(values)} values, but the grid of fits has {count} axes; "
                "give one each"
            )
        own[what] = values
    for what, extra in (("rotate", 0), ("shear", 0), ("affine", 1)):
        if transform.get(what) is None:
            continue
        matrix = np.asarray(getattr(transform[what], "affine_matrix", transform[what]), dtype=float)
        if len(matrix) == count + 1 + extra:
            if _mixes(matrix[: count + 1, : count + 1], [fitted]):
                raise FitInputError(
                    f"the {what} of the transform mixes the fitted axis with the others, so that a map has no place "
                    "without it; take it away, or write a table"
                )
            matrix = np.delete(np.delete(matrix, fitted, axis=0), fitted, axis=1)
        own[what] = matrix
    return own


def _mixes(matrix: Floats, axes: Sequence[int]) -> bool:
    others = [axis for axis in range(len(matrix)) if axis not in axes]
    across = np.concatenate([matrix[np.ix_(axes, others)].ravel(), matrix[np.ix_(others, axes)].ravel()])
    return bool(np.abs(across).max(initial=0.0) > STRAIGHT * np.abs(matrix).max())


def _unit(said: Any) -> str:
    if said is None or str(said) in ("", "dimensionless"):
        return ""
    try:
        return symbol(parse_unit(str(said)))
    except ValueError:
        raise FitInputError(f"{said!r} is not a unit of an axis; give one such as 'µm', or leave units out") from None
