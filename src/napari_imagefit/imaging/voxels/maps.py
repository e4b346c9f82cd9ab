"""Layers beside the maps of one finished fit: of a fit under way, of an expression, of a comparison of two models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ..layer_data.maps import Units, main_parameter, named, robust_limits, status_labels, status_layer
from .coarse_to_fine import LARGEST_STEP
from .neighbours import SPATIAL

if TYPE_CHECKING:
    from ..fitting.derived_maps import DerivedMap
    from ..fitting.model_comparison import Comparison

WINNER = "winner"
# Okabe and Ito's, told apart by the colour blind too; undecided lets what is below shine through
WINNER_COLOURS = {None: "transparent", 0: "transparent", 1: "#E69F00", 2: "#0072B2"}
MOST_LOOKED_AT = 100_000  # values from which a contrast is judged while a fit is under way


def unfinished_layers(result: FitResult, units: Units | None = None, *, status: bool) -> list[LayerTuple]:
    """Return maps of the parameters of a fit that is under way: what a person looks at meanwhile.

    Voxels whose turn has not come show the value of the coarse grid's voxel before them, and the names of the layers
    say that this is how it stands so far. With `status` that map, too; without, nothing covers them.
    """
    shown = main_parameter(result)
    fixed = result.source.recipe()["fixed"]
    layers = [status_layer(result, status_labels(result.status))] if status else []
    # the one that is shown comes last, on top
    names = [name for name in result.model.names if name not in fixed and name != shown] + [shown]
    for name in names:
        values = coarse_map(result.params[name], result.status)
        limits = robust_limits(values.ravel()[:: max(1, values.size // MOST_LOOKED_AT)], None)
        options = {"contrast_limits": limits, "colormap": "viridis", "visible": name == shown}
        said = named(name, f"param:{name}", result, (units or {}).get(name, ""))
        layers.append((values, {**said, **options, "name": f"{said['name']} (so far)"}, "image"))
    return layers


def coarse_map(values: NDArray[np.float64], status: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return a map in which voxels that wait for their fit have the value of the finest known grid's voxel.

    Examples
    --------
    >>> waiting = np.full((2, 4), Status.STOPPED)
    >>> waiting[0, 0], waiting[0, 2] = 1, 1
    >>> coarse_map(np.array([[5, np.nan, 7, np.nan], 4 * [np.nan]]), waiting)
    array([[5., 5., 7., 7.],
           [5., 5., 7., 7.]])
    """
    found = values.copy()
    waiting = status == Status.STOPPED
    step = 2
    while step <= LARGEST_STEP:
        block = values
        for axis in range(max(0, values.ndim - SPATIAL), values.ndim):
            nearest = np.arange(values.shape[axis]) // step * step
            block = np.take(block, nearest, axis=axis)
        np.copyto(found, block, where=waiting & np.isnan(found))
        step *= 2
    return found


def derived_layers(result: FitResult, derived: DerivedMap) -> list[LayerTuple]:
    """Return the map of an expression, and its standard error, hidden."""
    layers = []
    for values, name, role, visible in (
        (derived.stderr, f"σ({derived.expression})", f"derived_stderr:{derived.expression}", False),
        (derived.values, derived.expression, f"derived:{derived.expression}", True),
    ):
        options = {"contrast_limits": robust_limits(values, None), "colormap": "viridis", "visible": visible}
        layers.append((values, {**named(name, role, result, derived.unit), **options}, "image"))
    return layers


def comparison_layers(first: FitResult, second: FitResult, comparison: Comparison) -> list[LayerTuple]:
    """ΔAICc and ΔBIC, hidden, and which model explains each voxel better."""
    names = comparison.names
    between = f"{names[0]} − {names[1]}"
    layers: list[LayerTuple] = []
    for values, name in ((comparison.delta_bic, "ΔBIC"), (comparison.delta_aicc, "ΔAICc")):
        most = robust_limits(np.abs(values), 0.0)[1]
        layers.append(
            (
                values,
                {
                    "name": f"{name} ({between})",
                    "metadata": _metadata(name, first, second),
                    "contrast_limits": (-most, most),
                    "colormap": "PiYG",
                    "visible": False,
                },
                "image",
            )
        )
    winner: NDArray[Any] = comparison.winner.astype(np.uint8)
    counts = [int(np.count_nonzero(winner == label)) for label in range(3)]
    options = {
        "name": f"better: {names[0]} or {names[1]}",
        "metadata": _metadata(WINNER, first, second),
        "features": {"index": [0, 1, 2], "better model": ["undecided", *names], "voxels": counts},
        "colormap": WINNER_COLOURS,
        "opacity": 0.7,
        "visible": True,
    }
    return [*layers, (winner, options, "labels")]


def _metadata(role: str, first: FitResult, second: FitResult) -> dict[str, Any]:
    recipes = [first.recipe(), second.recipe()]
    return {"napari_imagefit": {"role": f"comparison:{role}", "recipe": recipes[0], "against": recipes[1]}}
