"""Coordinates of the samples of a curve: from the layer, a rule, what was typed, or a column of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ..geometry.transforms import axis_coordinates, grid_shape
from .choices import Coordinates

if TYPE_CHECKING:
    from napari.layers import Image

SEPARATORS = re.compile(r"[\s,;]+")


def resolve(coordinates: Coordinates, image: Image, axis: int) -> tuple[NDArray[np.float64], str]:
    """Return the coordinates ``(n,)`` of the samples along an axis of a layer, and their unit.

    Raises
    ------
    FitInputError
        If there are not as many as samples, they do not differ, or one is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> echoes = Image(np.zeros((4, 9, 9)), scale=(8, 1, 1), units=("ms", "um", "um"))
    >>> resolve(Coordinates("steps", 10, 5, unit="s"), echoes, 0)
    (array([10., 15., 20., 25.]), 's')
    """
    length = grid_shape(image)[axis]
    if coordinates.kind == "layer":
        (own,) = axis_coordinates(image, (axis,))
        return own.values, own.unit
    if coordinates.kind == "index":
        return np.arange(length, dtype=float), ""
    if coordinates.kind == "steps":
        if not coordinates.step or not np.isfinite([coordinates.start, coordinates.step]).all():
            raise FitInputError(
                f"The coordinates start at {coordinates.start:g} in steps of {coordinates.step:g}; "
                "give a step that is not 0."
            )
        return coordinates.start + coordinates.step * np.arange(length, dtype=np.float64), coordinates.unit
    came = "typed" if coordinates.kind == "typed" else "in the column"
    values = np.asarray(coordinates.values, dtype=float)
    if not values.size:
        remedy = "type one for each sample" if coordinates.kind == "typed" else "choose a file and its column"
        raise FitInputError(f"No coordinates were given; {remedy}, or take the layer's.")
    if values.size != length:
        raise FitInputError(
            f"{values.size} coordinates were {came}, but the stack has {length} samples along axis {axis}; "
            "give one for each, or take the layer's."
        )
    if not np.isfinite(values).all():
        raise FitInputError(f"Coordinate {int(np.flatnonzero(~np.isfinite(values))[0]) + 1} is not finite; mend it.")
    if values.size > 1 and np.ptp(values) == 0:
        raise FitInputError(f"All coordinates are {values[0]:g}; give those at which the samples were taken.")
    return values, coordinates.unit


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas, semicolons, spaces or lines.

    Raises
    ------
    FitInputError
        If something is no number.

    Examples
    --------
    >>> parse_numbers("5, 10; 20 40")
    (5.0, 10.0, 20.0, 40.0)
    """
    found = []
    for word in SEPARATORS.split(text.strip()):
        try:
            found += [float(word.replace("−", "-"))] if word else []
        except ValueError:
            raise FitInputError(
                f"The coordinate {word!r} is not a number; type numbers separated by commas or spaces."
            ) from None
    return tuple(found)


def read_columns(path: str | Path) -> Mapping[str, tuple[float, ...]]:
    """Return the columns of numbers of a text table: CSV with or without titles, or numbers between spaces.

    A single row of numbers, as FSL writes b-values, counts as a column.

    Raises
    ------
    FitInputError
        If the file cannot be read, or has no numbers.
    """
    import pandas as pd

    name = Path(path).name
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FitInputError(f"{name} cannot be read: {why}; choose a CSV or text file.") from None
    rows = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    comma = next((s for s in ("\t", ";", ",") if rows and s in rows[0]), None)
    cells = [[cell.strip().strip('"') for cell in (row.split(comma) if comma else row.split())] for row in rows]
    if not cells or max(map(len, cells)) != min(map(len, cells)):
        raise FitInputError(f"{name} is no table: its rows have different lengths or there are none; choose another.")
    titled = any(_number(cell) is None for cell in cells[0])
    titles = cells.pop(0) if titled else [f"column {i + 1}" for i in range(len(cells[0]))]
    table = pd.DataFrame(cells, columns=titles).map(_number)
    if not titled and len(table) == 1:
        return {"row 1": tuple(table.iloc[0])}
    found = {str(title): tuple(table.iloc[:, i]) for i, title in enumerate(titles) if table.iloc[:, i].notna().all()}
    if not found or table.empty:
        raise FitInputError(f"{name} has no column of numbers only; choose another file.")
    return found


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def parse_ranges(text: str) -> tuple[tuple[float, float], ...]:
    """Ranges such as ``40–60, 100..120``; a single number is a range of one.

    Raises
    ------
    FitInputError
        If something is no range.

    Examples
    --------
    >>> parse_ranges("40–60, 1e2 to 120, -5..-1, 7")
    ((40.0, 60.0), (100.0, 120.0), (-5.0, -1.0), (7.0, 7.0))
    """
    found = []
    for part in re.split(r"[,;\n]", text):
        if not part.strip():
            continue
        ends = re.fullmatch(r"\s*(\S+?)\s*(?:–|\.\.|\bto\b|:|(?<=[\d.\s])-)\s*(\S+)\s*", part)
        low, high = (ends.group(1), ends.group(2)) if ends else (part, part)
        numbers = _number(low.replace("−", "-")), _number(high.replace("−", "-"))
        if numbers[0] is None or numbers[1] is None or numbers[0] > numbers[1]:
            raise FitInputError(
                f"{part.strip()!r} is no range of coordinates; type the lower and the upper end, such as 40–60."
            )
        found.append((numbers[0], numbers[1]))
    return tuple(found)
