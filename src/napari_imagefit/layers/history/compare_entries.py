"""Two entries of the same data: their difference as layers, and in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult, LayerTuple
from ...imaging.fitting.chunks import is_dask
from ...imaging.fitting.model_comparison import Difference, differ
from ...imaging.layer_data.contrast import even_limits
from ...imaging.layer_data.maps import OUTLINES, image_layers
from ..geometry.output_layers import METADATA_KEY, place_maps, shortened
from ..request.fit_request import Request
from ..request.naming import place_title
from .entry import Entry

if TYPE_CHECKING:
    import pandas as pd

AICC = "ΔAICc"
RESIDUAL = "Δresidual"
MOST_TOLD = 6  # fits whose ΔAICc stand in a sentence
DECIDES = 2.0  # a difference of AICc from which on one of the two is better
COMPARISON_COLOUR = "#CC79A7"
CARRIERS = {"region": "outlines", "spots": "spots"}  # by job, the layer whose positions the differences of fits get


def compare_entries(entry: Entry, other: Entry) -> tuple[list[LayerTuple], str]:
    """Return layers of how an entry differs from another, for `Entry.take_layer`, and a sentence about them.

    Of voxels they are maps; of regions a picture of the residuals' difference, and features of a layer at their places,
    as of spots. Takes as long as computing such pictures does: for a worker thread.

    Raises
    ------
    FitInputError
        If the two cannot be compared.
    """
    here, there = entry.outcome, other.outcome
    if here is None or there is None or here.result is None or there.result is None:
        raise FitInputError("the arrays of one of the two were let go; restore its settings and fit again")
    request = here.request
    if request.job != there.request.job or request.source != there.request.source:
        raise FitInputError("the two are of other data, or of another kind; compare fits of the same data")
    here_at, there_at = (np.empty(0) if one.points is None else one.points for one in (request, there.request))
    if not np.array_equal(here_at, there_at):
        raise FitInputError("the two were fitted at other points; compare fits of the same points")
    if request.job == "voxels" and request.axis != there.request.axis:
        raise FitInputError("the two were fitted along other axes; compare fits along the same axis")
    found = differ(there.result, here.result)
    if request.job == "voxels":
        made = _maps(entry, other, request, found)
    else:
        made = _features(entry, other, request, found)
        if request.job == "region" and not is_dask(request.data):
            made = [_picture(entry, other, request, here.result, there.result), *made]
    return made, _words(entry, other, request, found)


def _maps(entry: Entry, other: Entry, request: Request, found: Difference) -> list[LayerTuple]:
    made: list[LayerTuple] = []
    for i, (title, values) in enumerate(_columns(request, found).items()):
        options = {
            **_named(entry, other, title),
            "contrast_limits": even_limits(values),
            "colormap": "PiYG",
            "visible": i == 0,
        }
        made.append((values, options, "image"))
    return list(
        place_maps(made, entry.group, request.layer_name, request.transform, request.map_transform, request.axis)
    )


def _features(entry: Entry, other: Entry, request: Request, found: Difference) -> list[LayerTuple]:
    carrier = entry.outputs.get(CARRIERS[request.job])
    if carrier is None and request.job == "region" and not is_dask(request.data):
        carrier = _outlines(entry, request)
    if carrier is None or not len(carrier[0]):
        return []
    data, options, kind = carrier
    import pandas as pd

    table = pd.DataFrame({title: values.ravel() for title, values in _columns(request, found).items()})
    features: Any = options["features"]
    if request.job == "region":
        table = _by_place(entry, table, features)
    named = _named(entry, other, "differences")
    named["name"] = f"{shortened(request.layer_name)} · {named['name']}"
    named["metadata"][METADATA_KEY]["group"] = entry.group
    looks = {**options, **named, "features": table, "visible": True}
    looks["edge_color" if kind == "shapes" else "border_color"] = COMPARISON_COLOUR
    return [(data, looks, kind)]


def _outlines(entry: Entry, request: Request) -> LayerTuple:
    """Return the outlines of a fit that does not show any."""
    outcome = entry.outcome
    assert outcome is not None
    assert outcome.result is not None
    source: Any = outcome.result.source
    made = image_layers(outcome.result, source, request.units, request.region_names, {OUTLINES})
    return _placed(entry, request, made)[0]


def _picture(entry: Entry, other: Entry, request: Request, here: FitResult, there: FitResult) -> LayerTuple:
    """Return the residual of one fit minus that of the other: what only one of the two models explains."""
    sources: tuple[Any, Any] = (here.source, there.source)
    first, second = sources[0].pictures(here, np.float32)[1], sources[1].pictures(there, np.float32)[1]
    options = {
        **_named(entry, other, RESIDUAL),
        "contrast_limits": even_limits(first - second),
        "colormap": "PiYG",
    }
    return _placed(entry, request, [(first - second, options, "image")])[0]


def _placed(entry: Entry, request: Request, made: list[LayerTuple]) -> list[LayerTuple]:
    """Put layers that lie where the data do over them."""
    return list(place_maps(made, entry.group, request.layer_name, request.transform, request.transform, request.axis))


def _by_place(entry: Entry, table: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Return for each outline the row of its fit: there may be several of one fit, and none of another."""
    outcome = entry.outcome
    assert outcome is not None
    assert outcome.result is not None
    import pandas as pd

    places = pd.DataFrame(outcome.result.source.index_columns())
    if "label" in places and "region" in features:
        names = outcome.request.region_names
        places["region"] = [names[int(label) - 1] for label in places.pop("label")]
    keys = list(places.columns)
    return features[keys].merge(pd.concat([places, table], axis=1), on=keys, how="left")


def _columns(request: Request, found: Difference) -> dict[str, NDArray[np.float64]]:
    """Return what differs, by its title."""
    titles = {name: f"Δ{name} [{unit}]" if (unit := request.units.get(name)) else f"Δ{name}" for name in found.params}
    columns = {titles[name]: values for name, values in found.params.items()}
    return columns if found.delta_aicc is None else {AICC: found.delta_aicc, **columns}


def _named(entry: Entry, other: Entry, title: str) -> dict[str, Any]:
    outcome = entry.outcome
    assert outcome is not None
    assert outcome.result is not None
    made = {
        "role": f"difference:{other.number}:{title}",
        "title": title,
        "recipe": outcome.result.recipe(),
        "against": other.facts.title,
    }
    return {
        # the name of the data comes before it, where it is placed over them
        "name": f"fit {entry.number} − fit {other.number} · {title}",
        "metadata": {METADATA_KEY: made},
    }


def _words(entry: Entry, other: Entry, request: Request, found: Difference) -> str:
    pair = f"Fit {entry.number} minus fit {other.number}"
    if found.delta_aicc is None:
        return f"{pair} is in the layers; there is no {AICC}, for {found.why_not}."
    known = found.delta_aicc[np.isfinite(found.delta_aicc)]
    better = [int(np.count_nonzero(side * known > DECIDES)) for side in (-1, 1)]
    return (
        f"{pair} is in the layers. By {AICC} fit {entry.number} ({entry.facts.title}) is better in {better[0]}, "
        f"fit {other.number} ({other.facts.title}) in {better[1]} of {known.size} fits.{_by_fit(request, found)}"
    )


def _by_fit(request: Request, found: Difference) -> str:
    """Return ΔAICc of each fit, of a few; of many the range."""
    assert found.delta_aicc is not None
    values = found.delta_aicc
    places = [tuple(map(int, place)) for place in np.argwhere(np.isfinite(values))]
    if request.job != "region" or not places:
        return ""
    if len(places) > MOST_TOLD:
        least, most = (f"{end:+.3g}" for end in (np.nanmin(values), np.nanmax(values)))
        return f" {AICC} is from {least} to {most}."
    return f" {AICC}: {'; '.join(f'{place_title(request, at)} {values[at]:+.3g}' for at in places)}."
