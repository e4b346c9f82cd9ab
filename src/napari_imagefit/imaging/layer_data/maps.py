"""Layers of a result: napari ``LayerData`` tuples made of plain arrays and keyword arguments.

Every tuple carries its role in ``metadata["napari_imagefit"]["role"]``, by which a later fit finds the layer to update.
What a window does not show is not made: `roles` lists the layers that are wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import short_title, symbol_of
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.status_labels import ATTEMPTS, reason_labels, reasons, worth_a_look
from ..fitting.status_labels import CONVERGED_LABEL as CONVERGED_LABEL
from ..fitting.status_labels import REASONS as REASONS
from ..fitting.status_labels import status_labels as status_labels
from .contrast import residual_limits, robust_limits
from .drawn_fits import outline_layer as outline_layer
from .sources import CurveSource, PicturedSource, RegionSource, Units

METADATA_KEY = "napari_imagefit"  # of what a layer's metadata have from here
OUTLINES, STATUS, ATTEMPT, FITTED, RESIDUAL = "outlines", "status", "attempt", "fitted", "residual"
PICTURES = frozenset({FITTED, RESIDUAL})
_recipes: WeakKeyDictionary[FitResult, dict[str, Any]] = WeakKeyDictionary()
LARGEST_SHOWN = float(np.finfo(np.float32).max)  # graphics cards know no larger number


class Title(NamedTuple):
    """Title of a layer, and its unit."""

    what: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.what} [{self.unit}]" if self.unit else self.what


def image_titles(units: Units) -> dict[str, Title]:
    """Return what can be shown of fits of surfaces, by role, in the order of a menu."""
    data = units.get("data", "")
    return {
        OUTLINES: Title("outlines"),
        RESIDUAL: Title("residual", data),
        FITTED: Title("fitted", data),
        STATUS: Title("status"),
    }


def voxel_titles(result: FitResult, units: Units) -> dict[str, Title]:
    """Return what can be shown of fits of curves, by role, in the order of a menu: the main parameter first."""
    main, fixed = main_parameter(result), result.source.settings.fixed or {}
    # one that is fixed has no maps
    names = [main, *(name for name in result.model.names if name not in fixed and name != main)]
    found = {f"param:{name}": Title(symbol_of(name), units.get(name, "")) for name in names}
    found |= {f"stderr:{name}": Title(f"error of {symbol_of(name)}", units.get(name, "")) for name in names}
    found |= {"reduced_chi2": Title("reduced χ²"), "r2": Title("R²"), "n_used": Title("samples used")}
    found |= {ATTEMPT: Title("attempt")} if result.attempt.any() else {}
    data = units.get("data", "")
    return {**found, RESIDUAL: Title("residual", data), FITTED: Title("fitted", data), STATUS: Title("status")}


def image_layers(
    result: FitResult,
    source: PicturedSource,
    units: Units | None = None,
    names: Sequence[str] = (),
    roles: Collection[str] | None = None,
    *,
    table: bool = True,
) -> list[LayerTuple]:
    """Fitted and residual image, reasons of failure by region, and outlines with every number as a feature.

    Without `table` outlines have no features.
    """
    titles = image_titles(units or {})
    wanted = PICTURES | {OUTLINES, STATUS} if roles is None else set(roles)
    layers: list[LayerTuple] = []
    if wanted & PICTURES:
        layers += picture_layers(result, *source.pictures(result, as_fine_as(source.image)), titles, wanted)
    if STATUS in wanted:
        layers.append(status_layer(result, _paint(result, source)))
    if OUTLINES in wanted:
        data, options = outline_layer(result, source, units or {}, names, table=table)
        layers.append((data, {**named(titles[OUTLINES], OUTLINES, result), **options}, "shapes"))
    return layers


def voxel_layers(
    result: FitResult, source: CurveSource, units: Units | None = None, roles: Collection[str] | None = None
) -> list[LayerTuple]:
    """Return maps of parameters, standard errors and goodness, fitted and residual stack, reasons of failure."""
    titles = voxel_titles(result, units or {})
    wanted = set(titles if roles is None else roles)
    layers: list[LayerTuple] = []
    if wanted & PICTURES:
        fitted, dtype = source.fitted(result), as_fine_as(source.stack)
        residual = source.stack - fitted
        residual[~np.isfinite(residual)] = np.nan
        layers += picture_layers(result, fitted.astype(dtype), residual.astype(dtype), titles, wanted)
    layers += map_layers(result, titles, wanted)
    if STATUS in wanted:
        layers.append(status_layer(result, reason_labels(result), remarks=True))
    return layers


def named(title: Title, role: str, result: FitResult) -> dict[str, Any]:
    """Return the name and the metadata of a layer of a result."""
    return {
        "name": f"{short_title(result.model)} · {title}",
        "metadata": {METADATA_KEY: {"role": role, "title": str(title), "recipe": recipe_of(result)}},
    }


def recipe_of(result: FitResult) -> dict[str, Any]:
    """Return the recipe of a result, one for all of its layers: starts from a map are long lists."""
    if result not in _recipes:
        _recipes[result] = result.recipe()
    return _recipes[result]


def as_fine_as(data: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of pictures of the data, no finer.

    That would be twice the memory for digits that the data lack.
    """
    return np.result_type(np.float32, data.dtype)


def drawable(values: NDArray[Any]) -> NDArray[Any]:
    """Return values none of which is too large to be drawn.

    Examples
    --------
    >>> drawable(np.array([1e300, -np.inf, np.nan, 2.0])).tolist()
    [3.4028234663852886e+38, -3.4028234663852886e+38, nan, 2.0]
    """
    is_wide = isinstance(values, np.ndarray) and values.dtype.kind == "f" and values.dtype.itemsize > 4
    if not is_wide or not (np.abs(values) > LARGEST_SHOWN).any():
        return values
    within: NDArray[Any] = np.clip(values, -LARGEST_SHOWN, LARGEST_SHOWN)
    return within


def picture_layers(
    result: FitResult,
    fitted: NDArray[Any],
    residual: NDArray[Any],
    titles: Mapping[str, Title],
    wanted: Collection[str] = PICTURES,
) -> list[LayerTuple]:
    """Return the fitted and the residual image, whose limits of contrast are of their own."""
    looks: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {}
    if FITTED in wanted:
        looks[FITTED] = fitted, {"contrast_limits": robust_limits(fitted), "colormap": "viridis"}
    if RESIDUAL in wanted:
        looks[RESIDUAL] = residual, {"contrast_limits": residual_limits(residual), "colormap": "PiYG"}
    return [
        (drawable(data), {**named(titles[role], role, result), **look, "visible": False}, "image")
        for role, (data, look) in looks.items()
    ]


def map_layers(result: FitResult, titles: Mapping[str, Title], wanted: Collection[str]) -> list[LayerTuple]:
    """Return a layer of each wanted parameter, its error, and the goodness of the fits; the main one on top."""
    maps: list[LayerTuple] = [_attempt_layer(result)] if ATTEMPT in wanted else []
    main = f"param:{main_parameter(result)}"
    for role in reversed(list(titles)):
        if role in wanted and role not in {*PICTURES, STATUS, ATTEMPT}:
            maps.append(map_layer(result, _values(result, role), role, titles[role], visible=role == main))
    return maps


def map_layer(result: FitResult, values: NDArray[Any], role: str, title: Title, *, visible: bool = True) -> LayerTuple:
    """Return the layer of one map."""
    values = drawable(values)
    options = {"contrast_limits": robust_limits(values), "colormap": "viridis", "visible": visible}
    return values, {**named(title, role, result), **options}, "image"


def _values(result: FitResult, role: str) -> NDArray[Any]:
    kind, _, name = role.partition(":")
    if name:
        return {"param": result.params, "stderr": result.stderr}[kind][name]
    return result.n_used.astype(np.int32) if role == "n_used" else getattr(result, role)


def main_parameter(result: FitResult) -> str:
    """Return what a map is made for: the first parameter with the coordinate's unit, such as a time constant."""
    fixed = result.source.settings.fixed or {}
    free = [p for p in result.model.parameters if p.name not in fixed]
    return next((p.name for p in free if p.unit.startswith("coord")), free[0].name)


def _paint(result: FitResult, source: RegionSource) -> NDArray[np.uint8]:
    """Return the label of each region's status on its pixels."""
    plane = source.coords[0].shape
    canvas = np.zeros((int(np.prod(source.frames)), int(np.prod(plane))), np.uint8)
    labels = status_labels(result.status).ravel()
    for region in source.regions:
        canvas[region.frames[:, None], region.pixels] = labels[region.places][:, None]
    return canvas.reshape(source.image.shape)


def status_layer(result: FitResult, labels: NDArray[np.uint8], *, remarks: bool = False) -> LayerTuple:
    """Return a Labels layer of reasons, with their words, counts and colours."""
    found = reasons(result, remarks=remarks)
    features = {
        "index": [reason.label for reason in found],
        "reason": [reason.words for reason in found],
        "fits": [reason.fits for reason in found],
    }
    colours: dict[int | None, str] = {None: "transparent", **{reason.label: reason.colour for reason in found}}
    options = {"features": features, "colormap": colours, "opacity": 0.6, "visible": worth_a_look(found)}
    return labels, {**named(Title("status"), STATUS, result), **options}, "labels"


def _attempt_layer(result: FitResult) -> LayerTuple:
    labels = result.attempt.astype(np.uint8)
    features = {
        "index": list(ATTEMPTS),
        "attempt": [attempt.label for attempt in ATTEMPTS.values()],
        "fits": [int(np.count_nonzero((labels == number) & result.converged)) for number in ATTEMPTS],
    }
    colours: dict[int | None, str] = {None: "transparent"}
    colours |= {number: attempt.colour for number, attempt in ATTEMPTS.items()}
    options = {"features": features, "colormap": colours, "opacity": 0.6, "visible": False}
    return labels, {**named(Title("attempt"), ATTEMPT, result), **options}, "labels"
