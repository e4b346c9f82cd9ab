"""Layers beside the maps of one finished fit: of a fit under way, of an expression, of a comparison of two models."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import short_title, title_of
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.model_comparison import FIRST, SECOND, UNDECIDED
from ..layer_data.contrast import even_limits
from ..layer_data.maps import (
    METADATA_KEY,
    STATUS,
    Title,
    map_layer,
    recipe_of,
    status_labels,
    status_layer,
    voxel_titles,
)
from ..layer_data.sources import Units
from .coarse_to_fine import LARGEST_STEP
from .neighbours import SPATIAL

if TYPE_CHECKING:
    from ..fitting.derived_maps import DerivedMap
    from ..fitting.model_comparison import Comparison

WINNER = "comparison:winner"
BOTH = 3  # the label of voxels that either model explains as well, beside `FIRST` and `SECOND`
# Okabe and Ito's, distinguishable for the colour blind too
WINNER_COLOURS = {None: "transparent", 0: "transparent", FIRST: "#E69F00", SECOND: "#0072B2", BOTH: "#999999"}


def unfinished_layers(result: FitResult, units: Units | None = None, roles: Collection[str] = ()) -> list[LayerTuple]:
    """Return maps of the parameters of a fit that is under way: what a person looks at meanwhile.

    Voxels whose turn has not come show the value of the coarse grid's voxel before them, and the names of the layers
    show that this is how it stands so far. Of `roles` those are made that parameters have, and the status.
    """
    titles = voxel_titles(result, units or {})
    layers = [status_layer(result, status_labels(result.status))] if STATUS in roles else []
    # the first is what is looked at, and comes last, on top
    for role in reversed([role for role in titles if role.startswith("param:") and role in roles]):
        values = coarse_map(result.params[role.removeprefix("param:")], result.status)
        data, options, kind = map_layer(result, values, role, titles[role])
        layers.append((data, {**options, "name": f"{options['name']} (so far)"}, kind))
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


def derived_titles(expression: str, unit: str = "") -> dict[str, Title]:
    """Return the layers of an expression of the parameters, by role: its map, and that of its standard error."""
    return {
        f"derived:{expression}": Title(expression, unit),
        f"derived_stderr:{expression}": Title(f"error of {expression}", unit),
    }


def derived_layers(result: FitResult, derived: DerivedMap, roles: Collection[str] | None = None) -> list[LayerTuple]:
    """Return the map of an expression, and below it its standard error, hidden."""
    titles = derived_titles(derived.expression, derived.unit)
    layers = []
    for (role, title), values in zip(titles.items(), (derived.values, derived.stderr), strict=True):
        if roles is None or role in roles:
            layers.append(map_layer(result, values, role, title, visible=values is derived.values))
    return layers[::-1]


def comparison_layers(first: FitResult, second: FitResult, comparison: Comparison) -> list[LayerTuple]:
    """ΔAICc and ΔBIC, hidden, and which model explains each voxel better."""
    names = [title_of(result.model) for result in (first, second)]
    one, two = (short_title(result.model) for result in (first, second))
    recipes = {"recipe": recipe_of(first), "against": recipe_of(second)}

    def named(title: str, role: str) -> dict[str, Any]:
        return {"name": title, "metadata": {METADATA_KEY: {"role": role, "title": title, **recipes}}}

    layers: list[LayerTuple] = []
    for values, name in ((comparison.delta_bic, "ΔBIC"), (comparison.delta_aicc, "ΔAICc")):
        look = {"contrast_limits": even_limits(values), "colormap": "PiYG", "visible": False}
        layers.append((values, {**named(f"{name} ({one} − {two})", f"comparison:{name}"), **look}, "image"))
    # within contours of what is better, what is undecided would be taken for it
    undecided = (comparison.winner == UNDECIDED) & (first.converged | second.converged)
    winner: NDArray[Any] = np.where(undecided, BOTH, comparison.winner).astype(np.uint8)
    counts = [int(np.count_nonzero(winner == label)) for label in range(4)]
    options = {
        **named(f"better: {one} or {two}", WINNER),
        "features": {
            "index": list(range(4)),
            "better model": ["not compared", *names, "undecided"],
            "voxels": counts,
        },
        "colormap": WINNER_COLOURS,
        "opacity": 0.7,
        "visible": True,
    }
    return [*layers, (winner, options, "labels")]
