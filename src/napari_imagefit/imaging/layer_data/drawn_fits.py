"""Fits of surfaces as shapes: an ellipse where a fit has one, a cross in its region where it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ..fitting.fit_report import fit_table
from .outlines import ellipse_vertices, find_ellipses
from .sources import RegionSource, Units

# Outlines: the σ of a Gaussian, the edge of a Thomas–Fermi profile, and the cross of a fit without an answer.
SIZE_COLOURS = {"sigma": "#56B4E9", "gamma": "#56B4E9", "radius": "#2EE6A6", "": "#56B4E9"}
MEANINGS = {"sigma": "σ of the Gaussian", "gamma": "γ, half the width", "radius": "R, the radius"}
FAILED = "#E69F00"
FARTHEST_DRAWN = 3  # sizes of the image beyond which nothing is drawn
CROSS = 0.04, 1.0  # half the size of a cross: a part of its region, and pixels at least

ToIndex = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Drawn(NamedTuple):
    """A shape of one fit.

    Attributes
    ----------
    row : int
        The fit, on the flat grid.
    component : str
        The width that an ellipse shows; empty for a cross.
    """

    row: int
    component: str
    vertices: NDArray[np.float64]


def outline_layer(
    result: FitResult, source: RegionSource, units: Units, names: Sequence[str], *, table: bool = True
) -> tuple[list[NDArray[np.float64]], dict[str, Any]]:
    """Return a shape for each width of each fit that converged, a cross for any other; its fit's row is its features.

    Nothing lies far from the image, or where napari cannot draw it. `names` are those of the regions, in the order of
    the labels. Without `table` there are no features: they take longer than the shapes.
    """
    drawn = list(_draw(result, source))
    if not drawn:
        return [], {"ndim": source.image.ndim}
    good = result.converged.ravel()
    options: dict[str, Any] = {
        "shape_type": ["ellipse" if one.component else "path" for one in drawn],
        "ndim": source.image.ndim,
        "edge_color": [SIZE_COLOURS[one.component] if good[one.row] else FAILED for one in drawn],
        "face_color": "transparent",
        "edge_width": _line_width([one.vertices for one in drawn if one.component], source),
    }
    if table:
        features = fit_table(result, units, names).iloc[[one.row for one in drawn]].reset_index(drop=True)
        features.insert(0, "component", [one.component for one in drawn])
        options["features"] = features
    return [one.vertices for one in drawn], options


def _draw(result: FitResult, source: RegionSource) -> Iterator[Drawn]:
    solution = {name: values.ravel() for name, values in result.solution.items()}
    status, converged = result.status.ravel(), result.converged.ravel()
    to_index = _index_of(source)
    frames = [values for name, values in source.index_columns().items() if name != "label"]
    crosses: dict[int, NDArray[np.float64]] | None = None
    for row in map(int, np.flatnonzero(status != Status.NOT_FITTED)):
        leading = [int(values[row]) for values in frames]
        ellipses = []
        if converged[row] and to_index is not None:
            params = {name: float(values[row]) for name, values in solution.items()}
            ellipses = list(_ellipses(row, params, leading, to_index, source))
        yield from ellipses
        if ellipses:
            continue
        crosses = dict(_crosses(source)) if crosses is None else crosses
        cross = crosses.get(row)
        if cross is not None:
            yield Drawn(row, "", np.hstack([np.tile(np.array(leading, float), (len(cross), 1)), cross]))


def _ellipses(
    row: int, params: dict[str, float], leading: Sequence[int], to_index: ToIndex, source: RegionSource
) -> Iterator[Drawn]:
    """Return the ellipses that are not far from the image."""
    plane = np.array(source.coords[0].shape)
    for ellipse in find_ellipses(params):
        corners = ellipse_vertices(ellipse.center, ellipse.radii, ellipse.theta, leading)
        corners[:, -2:] = to_index(corners[:, -2:])
        if (np.abs(corners[:, -2:] - plane / 2) <= FARTHEST_DRAWN * plane.max()).all():
            yield Drawn(row, ellipse.kind, corners)


def _crosses(source: RegionSource) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Return for each fit a cross on the pixel of its region that is nearest to the region's middle."""
    plane = source.coords[0].shape
    if len(plane) != 2:
        return
    for region in source.regions:
        pixels = np.stack(np.unravel_index(region.pixels, plane), axis=1)
        if len(pixels):
            middle = pixels[((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1).argmin()]
            part, least = CROSS
            half = max(least, part * float(np.ptp(pixels, axis=0).max()))
            # one line through the middle: a path has no gaps
            lines = np.array([[-1, -1], [1, 1], [0, 0], [-1, 1], [1, -1]])
            for place in region.places:
                yield int(place), middle + half * lines


def _line_width(vertices: Sequence[NDArray[np.float64]], source: RegionSource) -> float:
    """Return the width in pixels: a small part of the ellipses, or of the image where they are large in it."""
    sizes = [np.ptp(corners[:, -2:], axis=0).max() for corners in vertices]
    return (
        float(min(0.05 * np.median(sizes), 0.004 * max(source.coords[0].shape)))
        if sizes
        else max(0.5, 0.003 * max(source.coords[0].shape))
    )


def _index_of(source: RegionSource) -> ToIndex | None:
    """Convert coordinates ``(…, 2)`` to pixel indices; None where the coordinates are not those of a grid."""
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
