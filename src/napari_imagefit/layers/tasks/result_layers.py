"""Layers of a result over its input: those that are shown at first, and those that are asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ...imaging.fitting.chunks import is_dask
from ...imaging.fitting.status_labels import reasons, worth_a_look
from ...imaging.layer_data.maps import (
    OUTLINES,
    STATUS,
    image_layers,
    image_titles,
    main_parameter,
    voxel_layers,
    voxel_titles,
)
from ...imaging.layer_data.spot_layers import FITTED_SPOTS
from ..geometry.output_layers import METADATA_KEY, Output, place_maps, role
from ..inspection.spot_table import Look, appearance, spot_table, with_filters
from ..request.fit_request import Outcome, Request

if TYPE_CHECKING:
    import pandas as pd

SPOTS = "spots"


def titles_of(request: Request, result: FitResult) -> dict[str, str]:
    """Return the layers that a result has, by role, in the order of a menu."""
    if request.job == "spots":
        return {SPOTS: str(FITTED_SPOTS)}
    if request.job == "region":
        found = image_titles(request.units)
    else:
        from ...imaging.voxels.maps import derived_titles

        found = voxel_titles(result, request.units)
        for expression in _fitting(request, result):
            found |= derived_titles(expression)
    return {role: str(title) for role, title in found.items()}


def what_can_be_shown(outcome: Outcome) -> dict[str, str]:
    """Return the layers that an outcome has, by role, in the order of a menu; those that are made already, too."""
    made = {role(new): str(new[1]["metadata"][METADATA_KEY]["title"]) for new in outcome.offers}
    return made if outcome.result is None else {**titles_of(outcome.request, outcome.result), **made}


def roles_at_first(request: Request, result: FitResult) -> frozenset[str]:
    """Return what is shown where nobody has chosen: what fits are made for, and why some of them failed."""
    if request.job == "spots":
        return frozenset({SPOTS})
    if request.job == "region":
        failed = (~result.converged & (result.status != Status.NOT_FITTED)).any()
        return frozenset({OUTLINES, STATUS} if failed else {OUTLINES})
    found = {f"param:{main_parameter(result)}"}
    found |= {f"derived:{expression}" for expression in _fitting(request, result)}
    return frozenset(found | {STATUS} if worth_a_look(reasons(result)) else found)


def wanted_roles(request: Request, result: FitResult) -> frozenset[str]:
    """Return what is to be made of a new result: what was chosen, what is in the viewer, and what is shown at first."""
    first = roles_at_first(request, result)
    titles = titles_of(request, result)
    return frozenset(name for name in titles if request.chosen_roles.get(name, name in first or name in request.shown))


def outputs_of(request: Request, result: FitResult) -> tuple[Output, ...]:
    """Return the layers of a new result."""
    return make_outputs(request, result, wanted_roles(request, result))


def make_outputs(request: Request, result: FitResult, roles: Collection[str]) -> tuple[Output, ...]:
    """Return the layers of these roles, from bottom to top; what the result has not is left out."""
    if request.job == "spots":
        return spot_outputs(request, result, spot_table(result, request, request.filters)) if SPOTS in roles else ()
    source: Any = result.source
    if is_dask(request.data):
        layers = source.layers(result, request.units, request.region_names, roles)
    elif request.job == "region":
        layers = image_layers(result, source, request.units, request.region_names, roles)
    else:
        # below what is shown first
        layers = [*_derived(request, result, roles), *voxel_layers(result, source, request.units, roles)]
    return ready(request, place(request, layers))


def make_more(outcome: Outcome, roles: Collection[str]) -> tuple[Output, ...]:
    """Return the layers of these roles of an outcome, for a worker thread: the pictures of large data take seconds."""
    request = replace(outcome.request, shown=frozenset())  # none of them is in the viewer
    made = ready(request, [new for new in outcome.offers if role(new) in roles])
    return made if outcome.result is None else (*made, *make_outputs(request, outcome.result, roles))


def place(request: Request, layers: Sequence[LayerTuple]) -> tuple[LayerTuple, ...]:
    """Put layers over the request's data."""
    return place_maps(layers, request.group, request.layer_name, request.transform, request.map_transform, request.axis)


def ready(request: Request, placed: Sequence[LayerTuple]) -> tuple[Output, ...]:
    """Make those that will be new in the viewer: it takes longer than showing them, and needs no window."""
    return tuple(Output.of(new, make=is_dask(new[0]) or role(new) not in request.shown) for new in placed)


def spot_outputs(request: Request, result: FitResult, table: pd.DataFrame) -> tuple[Output, ...]:
    """Return the layer of spots with their table as its features."""
    ((places, options, kind),) = result.to_layers()
    diameters = np.asarray(options["size"], dtype=float)
    about = {"recipe": with_filters(result.recipe(), request.filters), "diameters": diameters}
    made: dict[str, Any] = {
        **options,
        **appearance(table, Look(), diameters),
        "features": table,
        "border_width": 0.1,
        "canvas_size_limits": (5, 10000),
        "metadata": {METADATA_KEY: {**options["metadata"][METADATA_KEY], **about}},
    }
    return ready(request, place(request, [(places, made, kind)]))


def _fitting(request: Request, result: FitResult) -> list[str]:
    """Return the expressions that the model has the parameters of."""
    from ...engine.functions.expression import term

    return [text for text in request.derived if set(term(text)[0]) <= set(result.model.names)]


def _derived(request: Request, result: FitResult, roles: Collection[str]) -> list[LayerTuple]:
    from ...imaging.fitting.derived_maps import derive
    from ...imaging.voxels.maps import derived_layers, derived_titles

    layers: list[LayerTuple] = []
    for text in _fitting(request, result):
        if derived_titles(text).keys() & set(roles):
            layers += derived_layers(result, derive(result, text, dict(request.units)), roles)
    return layers
