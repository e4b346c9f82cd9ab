"""Reasons why fits have no result, or a doubtful one, and the way to them in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import symbol_of
from ...engine.core.refusal import setting
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.fitting.status_labels import CONVERGED_LABEL, REASONS
from ..geometry.transforms import unit_factors
from .state_counts import Statement, remarks_of, told

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import ViewerModel

EDGE = 0.96  # of what is on screen: what lies further out counts as out of view


def statements_of(result: FitResult) -> list[Statement]:
    """Return all statements: how many converged, why others did not, and remarks.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0]))
    >>> stack[2:, 1] = np.nan
    >>> [(said.words, said.fits) for said in statements_of(fit_voxels(stack, "exponential_decay"))]
    [('converged', 1), ('not fitted: fewer usable samples than free parameters', 1)]
    """
    status = result.status
    said = [("converged", "transparent", CONVERGED_LABEL, result.converged)]
    for reason, (label, colour) in REASONS.items():
        if reason is not Status.BAD_SETTINGS:
            said.append((reason.message, colour, label, status == reason))
            continue
        for number in np.unique(result.refused[status == reason]):
            which = setting(int(number), [symbol_of(name) for name in result.model.names]).replace("'", "")
            said.append((f"not fitted: {which} cannot be used", colour, label, result.refused == number))
    return [*told(result, said), *remarks_of(result)]


def go_to(viewer: ViewerModel, layer: Layer, index: Sequence[float], *, still: int | None = None) -> None:
    """Show the frame of a pixel of a layer, and bring it into the middle of the view where it is out of it.

    Parameters
    ----------
    still : int, optional
        An axis of the layer along which nothing moves: curves have no place along theirs.
    """
    world = np.array(layer.data_to_world(index), dtype=float)
    dims = viewer.dims
    if dims.units is not None:
        world *= unit_factors(layer.units, dims.units[-layer.ndim :])
    first = dims.ndim - layer.ndim
    place = {first + axis: value for axis, value in enumerate(world) if axis != still}
    for axis, value in place.items():
        if axis not in dims.displayed:
            dims.set_point(axis, value)
    camera = viewer.scene.camera
    shown = dims.displayed[-len(camera.center) :]
    before = np.array(camera.center, dtype=float)
    wanted = before.copy()
    for at, axis in zip(range(before.size - len(shown), before.size), shown, strict=True):
        wanted[at] = place.get(axis, before[at])
    if len(shown) != 2 or viewer.canvas.grid.enabled or not _in_view(viewer, wanted[-2:] - before[-2:]):
        camera.center = tuple(float(value) for value in wanted)


def _in_view(viewer: ViewerModel, away: NDArray[np.float64]) -> bool:
    """Whether a point so far from the middle of a plane is on screen."""
    half = np.array(viewer.canvas.size, dtype=float) / (2 * viewer.scene.camera.zoom)
    return bool((np.abs(away) <= EDGE * half).all())
