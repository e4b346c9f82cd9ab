"""Points of spots from a table: ``.csv`` or ``.parquet``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from .columns import spot_columns


def read_csv(path: Path) -> Any:
    """Read a table with its numbers to the last bit, which pandas does by itself from 3.1 on."""
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    exact: dict[str, Any] = {} if (major, minor) >= (3, 1) else {"float_precision": "round_trip"}
    return pd.read_csv(path, **exact)


def read_points(path: Path, n_axes: int, n_frame_axes: int) -> NDArray[np.float64]:
    """Return the points in a table, ``(N, n_axes)`` in pixel indices, the frame first.

    Columns go by the names that a table of `fit_spots` has (``frame``, ``point_y``, ``point_x``, exported ones with
    ``[px]``), by those of napari's points (``axis-0``, ``axis-1`` …), or by Picasso's (``frame``, ``x``, ``y``); others
    are left alone.

    Raises
    ------
    FitInputError
        If it cannot be read, or lacks a column.
    """
    import pandas as pd

    readers: dict[str, Any] = {".csv": read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FitInputError(f"the points {path.name!r} are of no kind that is read; give .csv or .parquet")
    try:
        table = reader(path)
    except ImportError:
        raise FitInputError("reading Parquet needs pyarrow, which is not installed; run: pip install pyarrow") from None
    except OSError as error:
        raise FitInputError(f"the points {str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise FitInputError(f"{str(path)!r} is no table: {error}") from None
    own = spot_columns(n_frame_axes, n_axes - n_frame_axes)
    exported = [f"{name} [px]" if name.startswith("point_") else name for name in own]
    choices = [own, [f"axis-{axis}" for axis in range(n_axes)]]
    picasso = [["frame", "y", "x"]] if (n_frame_axes, n_axes) == (1, 3) else []
    for names in [*choices, exported, *picasso]:
        if set(names) <= set(table.columns):
            try:
                return np.asarray(table[names].to_numpy(dtype=float))
            except ValueError as error:
                raise FitInputError(f"the points {str(path)!r} hold something else than numbers: {error}") from None
    wanted = " or ".join(", ".join(names) for names in choices)
    raise FitInputError(
        f"the points {str(path)!r} have the columns {', '.join(map(str, table.columns))}; give {wanted}"
    )
