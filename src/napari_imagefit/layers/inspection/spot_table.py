"""Table and look of the Points layer of fitted spots: every spot has a row, and a reason if it fails."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.fitting.fit_report import fit_table
from ...imaging.inspection.fit_grid import FitGrid, SpotGrid
from ...imaging.layer_data.drawn_fits import FAILED
from ...imaging.spot_analysis.photometry import photometry
from ...imaging.spots.filters import SpotFilter, judge
from ..geometry.world_columns import world_columns

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Points

    from ..request.fit_request import Outcome, Request

FITTED = "#56B4E9"
DIM = 0.35  # opacity of a spot that was filtered out
SYMBOLS = {"counts": "disc", "filtered": "x", "failed": "cross"}
SIZES = (0.35, 1.3)  # of the window: the smallest and the largest ring where a column makes the size
DARKEST = 0.25  # where viridis begins to be seen on a dark image
COLOUR_PERCENTILES = (2, 98)  # per cent of the values at the ends of the colours
LAST = (
    *("attempt", "converged", "status_code", "flags", "cost", "chi2", "aicc", "bic"),
    *("n_used", "n_left_out", "n_iterations"),
)
WORD_COLUMNS = ("reason", "status", "remarks")


@dataclass(frozen=True)
class Look:
    """Columns by which spots are coloured and sized; empty for the plain colour, and the fitted width."""

    colour: str = ""
    size: str = ""


def spot_table(result: FitResult, request: Request, filters: Sequence[SpotFilter] = ()) -> pd.DataFrame:
    """Return a row per spot.

    Where it is, all parameters and errors with units, and in words how it ended and why it fails.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, on the grid ``(N,)``.
    filters : sequence of SpotFilter

    Returns
    -------
    DataFrame
        ``status`` and ``remarks`` are words; ``reason`` is why a spot does not count, and empty where it does.
    """
    table = fit_table(result, request.units)
    for name, column in _derived(result, request).items():
        if name not in table.columns:
            table[name] = column
    grid = FitGrid.of(result)
    assert isinstance(grid, SpotGrid)
    for name, column in world_columns(grid.positions, request.transform).items():
        table[name] = column
    table["reason"] = reasons_of_spots(table, result.status, filters)
    return table[sorted(table.columns, key=_rank)]


def facts_of(outcome: Outcome) -> pd.DataFrame:
    """Return the table that was made with the layer of an outcome, with the reasons by the filters that hold now."""
    assert outcome.result is not None
    assert outcome.facts is not None
    table = outcome.facts.copy(deep=False)
    table["reason"] = reasons_of_spots(table, outcome.result.status, outcome.request.filters)
    return table


def _rank(column: Hashable) -> int:
    """Order the columns: values, why they do not count, their errors, and what is for programs."""
    name = str(column)
    if name in LAST or name.startswith("point_"):
        return 3
    if name in WORD_COLUMNS:
        return 1
    return 2 if "_stderr" in name else 0


def _derived(result: FitResult, request: Request) -> dict[str, NDArray[np.float64]]:
    """Photons, widths in the layer's unit and shape, with errors."""
    columns = {}
    for name, one in photometry(result, pixel_size=request.pixel_size, units=request.pixel_unit).items():
        unit = f" [{one.unit}]" if one.unit and one.unit != name else ""
        columns[f"{name}{unit}"] = one.values
        if np.isfinite(one.stderr).any():
            columns[f"{name}_stderr{unit}"] = one.stderr
    return columns


def reasons_of_spots(
    table: Any, status: NDArray[np.integer[Any]], filters: Sequence[SpotFilter]
) -> NDArray[np.object_]:
    """Return why spots do not count: how their fit failed, or which filter rejects them; empty where they count."""
    failed = np.array([Status(int(code)).message for code in np.unique(status)], object)
    codes, which = np.unique(status, return_inverse=True)
    return np.where(status > 0, judge(table, filters), failed[which] if codes.size else "")


def kinds(table: Any) -> NDArray[np.object_]:
    """Whether each spot ``"counts"``, was ``"filtered"`` out, or ``"failed"``."""
    failed = ~np.asarray(table["converged"], bool)
    rejected = np.asarray(table["reason"], object) != ""
    return np.where(failed, "failed", np.where(rejected, "filtered", "counts")).astype(object)


def number_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns by which spots can be coloured, sized and filtered."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    skipped = ("status_code", "flags")
    return [
        str(name)
        for name, kind in table.dtypes.items()
        if is_numeric_dtype(kind) and not is_bool_dtype(kind) and name not in skipped
    ]


def appearance(table: Any, look: Look, diameters: NDArray[np.float64]) -> dict[str, Any]:
    """Sizes, symbols and colours of the rings: a cross where a fit failed, a dim × where a filter rejects the spot.

    Parameters
    ----------
    diameters : array, ``(N,)``
        In pixels, where no column makes the size.
    """
    from napari.utils.colormaps import ensure_colormap
    from napari.utils.colormaps.standardize_color import transform_color

    what = kinds(table)
    colours = np.repeat(transform_color(FITTED), len(what), axis=0)
    if look.colour in table:
        share = _shares(np.asarray(table[look.colour], float))
        known = np.isfinite(share)
        colours[known] = ensure_colormap("viridis").map(DARKEST + (1 - DARKEST) * share[known])
        colours[~known] = transform_color(FAILED)
    colours[what == "failed"] = transform_color(FAILED)
    colours[what == "filtered", 3] = DIM
    sizes = np.asarray(diameters, float)
    if look.size in table and sizes.size:
        small, large = (end * float(np.max(sizes)) for end in SIZES)
        share = np.nan_to_num(_shares(np.asarray(table[look.size], float)), nan=0.0)
        sizes = small + share * (large - small)
    symbols = np.array([SYMBOLS[kind] for kind in what], object)
    return {"size": sizes, "symbol": symbols, "border_color": colours}


def dress(layer: Points, table: pd.DataFrame, look: Look, diameters: NDArray[np.float64]) -> None:
    """Give a layer of spots that look, and the table whose reasons may have changed."""
    found = appearance(table, look, diameters)
    # each of them would hand all points to the canvas again
    with layer.events.blocker_all():
        layer.features = table
        for name, value in found.items():
            setattr(layer, name, value)
    layer.refresh(extent=False, thumbnail=False)
    layer.events.features()


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the position of each value between the extremes, 0 to 1; NaN stays NaN."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.full(values.shape, np.nan)
    low, high = np.percentile(finite, COLOUR_PERCENTILES)
    if not high > low:
        return np.where(np.isfinite(values), 0.5, np.nan)
    return np.where(np.isfinite(values), np.clip((values - low) / (high - low), 0, 1), np.nan)


def with_filters(recipe: Mapping[str, Any], filters: Sequence[SpotFilter]) -> dict[str, Any]:
    """Return a recipe with the filters of spots."""
    plain = {name: value for name, value in recipe.items() if name != "filters"}
    return {**plain, "filters": [one.recipe() for one in filters]} if filters else plain
