"""Spots as tables of localisations: our own columns, Picasso's or ThunderSTORM's, written and read back."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from ..fitting.positions import find_positions
from ..fitting.writing import Job, write_files
from ..spot_analysis.photometry import pixel_sizes
from ..spots.points_file import read_csv
from .localisation_columns import STYLES, Rows, Style, in_nanometres, own_columns, picasso_columns, thunderstorm_columns

if TYPE_CHECKING:
    import pandas as pd

WRITERS: dict[str, Literal["to_csv", "to_parquet"]] = {".csv": "to_csv", ".parquet": "to_parquet"}
NO_PYARROW = "Parquet needs pyarrow, which is not installed; run: pip install pyarrow, or choose .csv"


@dataclass(frozen=True, eq=False)
class Localisations:
    """Content of a table of localisations.

    Attributes
    ----------
    points : array, ``(N, 2)`` to ``(N, 4)``
        Pixel indices as `fit_spots` takes them: frame (from 0; none in a table without frames), z where there is one,
        y, x. Where a fit has no result, the point that was given.
    features : DataFrame
        The table as it was read.
    style : {"imagefit", "picasso", "thunderstorm"}
    pixel_size : tuple of float, or None
        Along the axes of the plane or volume, in the table's unit (nm for ThunderSTORM); None where it is not known.
    """

    points: NDArray[np.float64]
    features: pd.DataFrame
    style: Style
    pixel_size: tuple[float, ...] | None


def write_localisations(
    result: FitResult,
    path: str | Path,
    style: Style = "imagefit",
    *,
    pixel_size: float | Sequence[float] = 1.0,
    units: str = "px",
    gain: float | None = None,
    keep: ArrayLike | None = None,
    reasons: ArrayLike | None = None,
) -> None:
    """Write a result of `fit_spots` as a table, ``.csv`` or ``.parquet``.

    ``"imagefit"`` has a row for every spot, those without a result too, with every parameter and error, what follows
    from them (`photometry`), status and flags; each column with a unit has it in brackets: ``fwhm [µm]``. The other
    two are lists of localisations, of those spots only that converged, with the errors of `photometry`:

    - ``"picasso"``: ``frame, x, y, photons, sx, sy, bg, lpx, lpy, ellipticity``; pixels, with integers in the middle
      of a pixel, frames from 0. ``net_gradient`` belongs to Picasso's own detection and is not there.
    - ``"thunderstorm"``: ``"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]",
      "bkgstd [photon]","uncertainty [nm]"``; the origin is the corner of the first pixel, frames count from 1. Ellipses
      have ``sigma1`` and ``sigma2`` (x and y) instead of ``sigma``; volumes ``z [nm]`` and ``uncertainty_z [nm]``.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed.
    path : str or Path
        An existing file is replaced when the new one is whole.
    style : {"imagefit", "picasso", "thunderstorm"}
    pixel_size, units, gain
        As for `photometry`: the layer's scale and its unit. ThunderSTORM needs a length.
    keep : boolean array, ``(N,)``, optional
        The spots to write: those that pass the filters.
    reasons : array of str, ``(N,)``, optional
        Why each spot does not count, empty where it does: a column ``reason`` of the style ``"imagefit"``.

    Raises
    ------
    FitInputError
        If the model lacks a column of the style, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:21, 0:21]
    >>> image = 50 * np.exp(-((y - 10.25) ** 2 + (x - 9.75) ** 2) / (2 * 1.5**2)) + 3
    >>> file = Path(tempfile.mkdtemp()) / "spots.csv"
    >>> found = fit_spots(image, [[10, 10]], "gaussian_2d")
    >>> write_localisations(found, file, "thunderstorm", pixel_size=100, units="nm")
    >>> read_localisations(file, pixel_size=100).points.round(6)
    array([[ 0.  , 10.25,  9.75]])
    """
    write_files([localisations_job(result, Path(path), style, pixel_size, units, gain, keep, reasons)])


def localisations_job(
    result: FitResult,
    path: Path,
    style: Style = "imagefit",
    pixel_size: float | Sequence[float] = 1.0,
    units: str = "px",
    gain: float | None = None,
    keep: ArrayLike | None = None,
    reasons: ArrayLike | None = None,
) -> Job:
    """Return what `write_localisations` writes, to be written together with other files.

    Raises
    ------
    FitInputError
        If there is nothing of that kind to be written.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise FitInputError(f"{path.name!r} is of no kind that is written; end it in .csv or .parquet")
    if style not in STYLES:
        raise FitInputError(f"style={style!r} is not known; choose from {', '.join(STYLES)}")
    positions = find_positions(result.model)
    if not positions:
        raise FitInputError(f"model {result.model.name!r} has no position; localisations are of models with one")
    sizes = pixel_sizes(pixel_size, result.model.ndim)
    rows = Rows.of(result, positions, sizes, units, gain)
    columns = {"imagefit": own_columns, "picasso": picasso_columns, "thunderstorm": thunderstorm_columns}[style](rows)
    chosen = _chosen(result, style, keep)
    import pandas as pd

    if reasons is not None and np.shape(reasons) != result.shape:
        raise FitInputError(f"reasons has shape {np.shape(reasons)}; give one for each of {result.shape[0]} spots")
    if reasons is not None and style == "imagefit":
        columns["reason"] = np.asarray(reasons, dtype=object)
    table = pd.DataFrame(columns)[chosen].reset_index(drop=True)
    if style == "thunderstorm":
        table["id"] = np.arange(1, len(table) + 1)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if style == "thunderstorm" else csv.QUOTE_MINIMAL

    def save(to: Path) -> None:
        try:
            if writer == "to_csv":
                table.to_csv(to, index=False, quoting=quoting)
            else:
                table.to_parquet(to, index=False)
        except ImportError:
            raise FitInputError(NO_PYARROW) from None

    return path, save


def _chosen(result: FitResult, style: Style, keep: ArrayLike | None) -> NDArray[np.bool_]:
    """Return the spots that get a row."""
    chosen: NDArray[np.bool_] = (
        np.ones(result.shape, bool) if style == "imagefit" else np.asarray(result.converged).copy()
    )
    if keep is None:
        return chosen
    wanted = np.asarray(keep)
    if wanted.dtype != bool or wanted.shape != result.shape:
        raise FitInputError(
            f"keep has shape {wanted.shape} and type {wanted.dtype}; give True or False for each of "
            f"{result.shape[0]} spots"
        )
    chosen &= wanted
    return chosen


def read_localisations(
    path: str | Path, *, pixel_size: float | Sequence[float] | None = None, units: str = "nm"
) -> Localisations:
    """Read a table of localisations; what kind it is follows from its columns.

    Parameters
    ----------
    path : str or Path
        ``.csv`` or ``.parquet``, of `write_localisations`, Picasso or ThunderSTORM.
    pixel_size : float or sequence of float, optional
        In `units`: one, or one per axis, of which a table of fewer axes takes the last. ThunderSTORM's positions are
        lengths and need it to become pixels, as Picasso's z does.
    units : str
        Of `pixel_size`, a length.

    Returns
    -------
    Localisations

    Raises
    ------
    FitInputError
        If it cannot be read, or is no table of localisations.
    """
    return localisations_of(read_table(path), path, pixel_size=pixel_size, units=units)


def localisations_of(
    table: pd.DataFrame, path: str | Path, *, pixel_size: float | Sequence[float] | None = None, units: str = "nm"
) -> Localisations:
    """Return what `read_localisations` makes of a table that has been read.

    Raises
    ------
    FitInputError
        If it is no table of localisations.
    """
    style, names = style_of(table), set(table.columns)
    if style == "imagefit":
        return _own(path, table)
    if style == "thunderstorm":
        if pixel_size is None:
            raise FitInputError(
                f"the positions in {Path(path).name!r} are in nm; give pixel_size, the nm of a pixel, to place them"
            )
        return _thunderstorm(path, table, _nanometres(pixel_size, units, 3 if "z [nm]" in names else 2))
    if style == "picasso":
        return _picasso(
            path, table, None if pixel_size is None else _nanometres(pixel_size, units, 3 if "z" in names else 2)
        )
    shown = ", ".join(map(str, list(table.columns)[:8]))
    raise FitInputError(
        f"{str(path)!r} has the columns {shown}, and is no table of localisations; give one with 'y [px]', 'x [px]', "
        "'status', 'flags' (napari-imagefit), 'frame', 'x', 'y', 'photons' (Picasso), or 'frame', 'x [nm]', 'y [nm]' "
        "(ThunderSTORM)"
    )


def style_of(table: pd.DataFrame) -> Style | None:
    """Return what kind of table it is, by its columns and not its name; None if it holds no localisations."""
    names = set(table.columns)
    if {"status", "flags"} <= names:
        plain = {"y", "x", "point_y", "point_x"}  # as to_dataframe() has them, where the units are not said
        return "imagefit" if {"y [px]", "x [px]"} <= names or plain <= names else None
    if {"frame", "x [nm]", "y [nm]"} <= names:
        return "thunderstorm"
    return "picasso" if {"frame", "x", "y"} <= names and names & {"photons", "lpx", "sx"} else None


def _nanometres(pixel_size: float | Sequence[float], units: str, n_axes: int) -> tuple[float, ...]:
    last = pixel_size if isinstance(pixel_size, (int, float)) else [float(size) for size in pixel_size][-n_axes:]
    return in_nanometres(last, units, n_axes)


def read_table(path: str | Path) -> pd.DataFrame:
    """Return the table in a file, ``.csv`` or ``.parquet``.

    Raises
    ------
    FitInputError
        If it cannot be read.
    """
    import pandas as pd

    path = Path(path)
    readers: dict[str, Any] = {".csv": read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FitInputError(f"{path.name!r} is of no kind that is read; give .csv or .parquet")
    try:
        table: pd.DataFrame = reader(path)
    except ImportError:
        raise FitInputError(NO_PYARROW) from None
    except OSError as error:
        raise FitInputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise FitInputError(f"{str(path)!r} is no table: {str(error).splitlines()[0]}") from None
    return table


def _own(path: str | Path, table: pd.DataFrame) -> Localisations:
    columns = [str(name) for name in table.columns]
    names = [f"{what}{axis}" for axis in "zyx" for what in ("", "point_")]
    said = {name: f"{name} [px]" if f"{name} [px]" in columns else name for name in names}
    axes = [axis for axis in "zyx" if said[axis] in columns]
    frames = [name for name in columns if name == "frame" or name.startswith("frame_")]
    found = _numbers(path, table, [said[axis] for axis in axes])
    points = [said[f"point_{axis}"] for axis in axes]
    if set(points) <= set(columns):
        answered = np.isfinite(found).all(axis=1, keepdims=True)
        found = np.where(answered, found, _numbers(path, table, points))
    places = np.concatenate([_numbers(path, table, frames), found], axis=1)
    sizes = [name for axis in axes for name in columns if name.startswith(f"pixel_{axis} [")]
    known = len(sizes) == len(axes) and len(table) > 0
    size = tuple(float(v) for v in _numbers(path, table, sizes)[0]) if known else None
    return Localisations(places, table, "imagefit", size)


def _picasso(path: str | Path, table: pd.DataFrame, size: tuple[float, ...] | None) -> Localisations:
    points = _numbers(path, table, ["frame", "y", "x"])
    if "z" in table.columns and size is not None:
        points = np.insert(points, 1, _numbers(path, table, ["z"])[:, 0] / size[0], axis=1)
    return Localisations(points, table, "picasso", size)


def _thunderstorm(path: str | Path, table: pd.DataFrame, size: tuple[float, ...]) -> Localisations:
    axes = "zyx"[-len(size) :]
    places = _numbers(path, table, [f"{axis} [nm]" for axis in axes]) / np.array(size)
    places[:, -2:] -= 0.5  # from the pixel's corner to its middle
    points = np.concatenate([_numbers(path, table, ["frame"]) - 1, places], axis=1)
    return Localisations(points, table, "thunderstorm", size)


def _numbers(path: str | Path, table: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    try:
        return np.asarray(table[names].to_numpy(dtype=float))
    except ValueError as error:
        raise FitInputError(f"{str(path)!r} holds something else than numbers: {error}") from None
