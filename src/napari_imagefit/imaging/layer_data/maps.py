"""From a result to layers: napari ``LayerData`` tuples made of plain arrays and keyword arguments.

Every tuple carries its role in ``metadata["napari_imagefit"]["role"]``, by which a later fit finds the layer to update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.attempts import ATTEMPTS
from ..fitting.status_labels import CONVERGED_LABEL as CONVERGED_LABEL
from ..fitting.status_labels import REASONS as REASONS
from ..fitting.status_labels import reason_labels, reasons, worth_a_look
from ..fitting.status_labels import status_labels as status_labels
from .outlines import ellipse_vertices, find_ellipses
from .sources import CurveSource, RegionSource

Units = Mapping[str, str]

# Outlines: the σ of a Gaussian, the edge of a Thomas–Fermi profile, and any of a fit that did not converge.
COLOURS = {"sigma": "#56B4E9", "gamma": "#56B4E9", "radius": "#2EE6A6"}
FAILED = "#E69F00"


def image_layers(
    result: FitResult, source: RegionSource, units: Units | None = None, names: Sequence[str] = ()
) -> list[LayerTuple]:
    """Fitted and residual image, reasons of failure by region, and outlines with every number as a feature."""
    return [
        *picture_layers(result, *source.pictures(result, as_fine_as(source.image)), units),
        status_layer(result, _paint(result, source)),
        outline_layer(result, source, units or {}, names),
    ]


def voxel_layers(result: FitResult, source: CurveSource, units: Units | None = None) -> list[LayerTuple]:
    """Return maps of parameters, standard errors and goodness, fitted and residual stack, reasons of failure."""
    fitted = source.fitted(result)
    residual = source.stack - fitted
    residual[~np.isfinite(residual)] = np.nan
    dtype = as_fine_as(source.stack)
    return [
        *picture_layers(result, fitted.astype(dtype), residual.astype(dtype), units),
        *map_layers(result, units or {}),
        status_layer(result, reason_labels(result), remarks=True),
    ]


def named(name: str, role: str, result: FitResult, unit: str = "") -> dict[str, Any]:
    """Return the name and the metadata of a layer of a result."""
    return {
        "name": f"{name}{f' [{unit}]' if unit else ''} · {result.model.name}",
        "metadata": {"napari_imagefit": {"role": role, "recipe": result.recipe()}},
    }


def as_fine_as(data: NDArray[Any]) -> np.dtype[Any]:
    """Return the type of pictures of the data, no finer.

    That would be twice the memory for digits that the data lack.
    """
    return np.result_type(np.float32, data.dtype)


def picture_layers(
    result: FitResult, fitted: NDArray[Any], residual: NDArray[Any], units: Units | None
) -> list[LayerTuple]:
    """Return the fitted and the residual image, with common limits of contrast."""
    unit = (units or {}).get("data", "")
    spread = robust_limits(np.abs(residual), 0.0)[1]
    return [
        (
            fitted,
            {
                **named("fitted", "fitted", result, unit),
                "contrast_limits": robust_limits(fitted, None),
                "colormap": "viridis",
                "visible": False,
            },
            "image",
        ),
        (
            residual,
            {
                **named("residual", "residual", result, unit),
                "contrast_limits": (-spread, spread),
                "colormap": "PiYG",
                "visible": False,
            },
            "image",
        ),
    ]


def map_layers(result: FitResult, units: Units) -> list[LayerTuple]:
    """Return a layer of each parameter, its error, and what tells how good the fits are."""
    maps: list[LayerTuple] = []
    shown = main_parameter(result)

    def add(values: NDArray[Any], name: str, role: str, unit: str, *, visible: bool) -> None:
        options = {"contrast_limits": robust_limits(values, None), "colormap": "viridis", "visible": visible}
        maps.append((values, {**named(name, role, result, unit), **options}, "image"))

    if result.attempt.any():
        maps.append(_attempt_layer(result))
    add(result.n_used.astype(np.int32), "samples used", "n_used", "", visible=False)
    add(result.r2, "R²", "r2", "", visible=False)
    add(result.reduced_chi2, "reduced χ²", "reduced_chi2", "", visible=False)
    # the one that is shown comes last, on top; one that is fixed has no maps
    fixed = result.recipe()["fixed"]
    names = [name for name in result.model.names if name not in fixed and name != shown] + [shown]
    for name in names:
        add(result.stderr[name], f"σ({name})", f"stderr:{name}", units.get(name, ""), visible=False)
    for name in names:
        add(result.params[name], name, f"param:{name}", units.get(name, ""), visible=name == shown)
    return maps


def main_parameter(result: FitResult) -> str:
    """Return what a map is made for: the first parameter with the coordinate's unit, such as a time constant."""
    free = [p for p in result.model.parameters if p.name not in result.recipe()["fixed"]]
    return next((p.name for p in free if p.unit.startswith("coord")), free[0].name)


# Values that limits are found from where there are more, and how many of them have to be finite.
MOST_LOOKED_AT, ENOUGH = 1 << 18, 1 << 13


def _some_finite(values: NDArray[Any]) -> NDArray[Any]:
    """Finite values: all, or of many some that are enough for percentiles."""
    # an odd step does not run down the columns of an image
    some = values.reshape(-1)[:: values.size // MOST_LOOKED_AT | 1]
    finite: NDArray[Any] = some[np.isfinite(some)]
    if finite.size <= ENOUGH and some.size < values.size:
        finite = values[np.isfinite(values)]
        finite = finite[:: finite.size // MOST_LOOKED_AT | 1]
    return finite


def robust_limits(values: NDArray[Any], low: float | None) -> tuple[float, float]:
    """Limits that hold 99 % of the finite values, never equal."""
    finite = _some_finite(values)
    if not finite.size:
        return (0.0, 1.0)
    first, last = np.percentile(finite, [0.5, 99.5])
    first = first if low is None else low
    if not first < last:
        first, last = (first, first + 1) if low is not None else (first - 0.5, first + 0.5)
    return float(first), float(last)


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
    return labels, {**named("status", "status", result), **options}, "labels"


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
    return labels, {**named("attempt", "attempt", result), **options}, "labels"


def outline_layer(result: FitResult, source: RegionSource, units: Units, names: Sequence[str]) -> LayerTuple:
    """Return an ellipse for each width of each fit; the row of its fit is its features.

    `names` are those of the regions, in the order of the labels.
    """
    table = result.to_dataframe()
    table["status"] = table.pop("message")
    if names and "label" in table:
        by_label = dict(zip(source.labels if source.labels is not None else (), names, strict=True))
        table.insert(0, "region", [by_label[label] for label in table.pop("label")])
    table = table.rename(columns={name: f"{name} [{unit}]" for name, unit in units.items() if unit})
    solution = {name: values.ravel() for name, values in result.solution.items()}
    to_index = _index_of(source)
    columns = source.index_columns()
    frames = [values for name, values in columns.items() if name != "label"]
    vertices, rows, kinds = [], [], []
    if to_index is not None:
        for row in range(result.status.size):
            if result.converged.flat[row] or result.status.flat[row] in (Status.SINGULAR, Status.ITERATION_LIMIT):
                leading = [int(values[row]) for values in frames]
                for ellipse in find_ellipses({name: float(values[row]) for name, values in solution.items()}):
                    corners = ellipse_vertices(ellipse.center, ellipse.radii, ellipse.theta, leading)
                    corners[:, -2:] = to_index(corners[:, -2:])
                    vertices.append(corners)
                    rows.append(row)
                    kinds.append(ellipse.kind)
    features = table.iloc[rows].reset_index(drop=True)
    features.insert(0, "drawn", kinds)
    good = result.converged.ravel()[rows]
    options = {
        "shape_type": "ellipse",
        "features": features,
        "ndim": source.image.ndim,
        "edge_color": [COLOURS[kind] if ok else FAILED for kind, ok in zip(kinds, good, strict=True)],
        "face_color": "transparent",
        "edge_width": _line_width(vertices, source),
    }
    if not vertices:
        options = {"ndim": source.image.ndim}
    return vertices, {**named("outlines", "outlines", result), **options}, "shapes"


def _line_width(vertices: Sequence[NDArray[np.float64]], source: RegionSource) -> float:
    """In pixels: a small part of the ellipses, or of the image where they are large in it."""
    sizes = [np.ptp(corners[:, -2:], axis=0).max() for corners in vertices]
    return float(min(0.05 * np.median(sizes), 0.004 * max(source.coords[0].shape))) if sizes else 1.0


def _index_of(source: RegionSource) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """From coordinates ``(…, 2)`` to pixel indices; None where the coordinates are not those of a grid."""
    if len(source.coords) != 2:
        return None
    y, x = source.coords
    axes = y[:, 0], x[0]
    if any(a.size < 2 or a[0] == a[-1] for a in axes):
        return None
    steps = [(a[-1] - a[0]) / (a.size - 1) for a in axes]
    straight = all(np.allclose(np.diff(a), s, rtol=1e-6) for a, s in zip(axes, steps, strict=True))
    if not straight or not (y == y[:, :1]).all() or not (x == x[:1]).all():
        return None
    origin = np.array([axes[0][0], axes[1][0]])
    return lambda points: (points - origin) / np.array(steps)
