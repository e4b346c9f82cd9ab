"""Lookup of the fit under a point of the viewer, whatever layer of the fit is inspected, and from wherever.

In 2-D it is the voxel that holds the point. In 3-D the line of sight goes through many: the nearest one with a result
counts, because voxels without one are what a volume rendering lets see through; if there is none, the nearest that was
fitted at all, and if there is none of these either, the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.fitting.fit_report import Place
from ...imaging.inspection.fit_grid import FitGrid, SpotGrid
from ..geometry.output_layers import role_of
from ..geometry.transforms import FloatArray, grid_shape, to_data
from ..request.fit_request import Request

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer
    from napari.viewer import Viewer


@dataclass(frozen=True, eq=False)
class Sight:
    """A point in the viewer, and for 3-D views the direction of sight.

    Attributes
    ----------
    position : tuple of float
        In world coordinates, as ``event.position`` or ``viewer.cursor.position``.
    units : tuple or None
        ``viewer.dims.units``.
    displayed : tuple of int
        ``viewer.dims.displayed``.
    direction : tuple of float or None
        As ``event.view_direction``: away from the eye, in world coordinates; None in 2-D views.
    """

    position: tuple[float, ...]
    units: tuple[Any, ...] | None = None
    displayed: tuple[int, ...] = ()
    direction: tuple[float, ...] | None = None

    @classmethod
    def of_middle(cls, viewer: Viewer) -> Sight:
        """Return the middle of what is on screen."""
        dims = viewer.dims
        position = [float(p) for p in dims.point]
        centre = viewer.scene.camera.center[-len(dims.displayed) :]
        for axis, middle in zip(dims.displayed, centre, strict=True):
            position[axis] = float(middle)
        return cls(tuple(position), None if dims.units is None else tuple(dims.units))

    @classmethod
    def of(cls, event: Any, units: Sequence[Any] | None) -> Sight:
        """Return the sight of a mouse event of napari's."""
        direction = event.view_direction if len(event.dims_displayed) == 3 else None
        return cls(
            tuple(float(p) for p in event.position),
            None if units is None else tuple(units),
            tuple(int(axis) for axis in event.dims_displayed),
            None if direction is None else tuple(float(d) for d in direction),
        )


def pick(layers: LayerList, request: Request, result: FitResult, sight: Sight) -> Place | None:
    """Return the fit under a point: looks in the visible layers of the fit, and the one that was fitted, topmost first.

    Returns
    -------
    tuple of int or None
        Its position on the grid of fits; None where no layer of the group lies there.
    """
    for layer in reversed(layers):
        if layer.visible and (str(layer.unique_id) == request.source or role_of(layer, request.group) is not None):
            place = pick_in(layer, result, sight)
            if place is not None:
                return place
    return None


def sample_in(layers: LayerList, source: str, sight: Sight) -> FloatArray | None:
    """Return a point as an index into the data of the layer with that unique id; None without the layer."""
    layer = next((layer for layer in layers if str(layer.unique_id) == source), None)
    return None if layer is None else to_data(layer, sight.position, sight.units)


def pick_in(layer: Layer, result: FitResult, sight: Sight) -> Place | None:
    """Return the fit under a point in one layer of the fit: its input, a map, fitted, residual, status or outlines.

    Examples
    --------
    >>> from napari.layers import Image
    >>> from napari_imagefit import fit_voxels
    >>> stack = np.arange(8.0)[:, None, None] * np.ones((4, 5))
    >>> result = fit_voxels(stack, "linear")
    >>> pick_in(Image(stack, scale=(2, 0.1, 0.1)), result, Sight((4.0, 0.3, 0.2)))
    (3, 2)
    >>> pick_in(Image(result.params["slope"], scale=(0.1, 0.1)), result, Sight((4.0, 0.3, 0.2)))
    (3, 2)
    """
    grid = FitGrid.of(result)
    if isinstance(grid, SpotGrid):
        return spot_under(layer, grid, sight)
    shape = _shape_in(layer, grid)
    if shape is None:
        return None
    samples = _samples_under(layer, shape, sight)
    if not samples.size:
        return None
    if len(shape) < len(grid.shape):
        places = list(dict.fromkeys(tuple(int(i) for i in sample) for sample in samples))
    else:
        places = grid.places(samples)
    return _nearest_with_answer(places, result)


def spot_under(layer: Layer, grid: SpotGrid, sight: Sight) -> Place | None:
    """Return the spot whose window holds the point; in 3-D views the one nearest to the line of sight."""
    if layer.ndim != len(grid.shape):
        return None
    start = to_data(layer, sight.position, sight.units)
    if sight.direction is None:
        return grid.under(start)
    ahead = np.asarray(sight.position) + np.asarray(sight.direction)
    step = to_data(layer, ahead, sight.units) - start
    step /= np.linalg.norm(step)
    # each spot is looked at where the line comes nearest to it
    along = (grid.positions - start) @ step
    away = np.abs(grid.positions - start - along[:, None] * step)
    within = (away <= grid.reach).all(axis=1)
    if not within.any():
        return None
    return (int(np.argmin(np.where(within, (away**2).sum(axis=1), np.inf))),)


def _shape_in(layer: Layer, grid: FitGrid) -> tuple[int, ...] | None:
    """Return the shape of the layer's data.

    Of shapes, that of the data they are drawn on. None if it is none of the fit's.
    """
    if layer._type_string not in ("image", "labels"):
        return grid.shape if layer.ndim == len(grid.shape) else None
    shape = grid_shape(layer)
    if shape == grid.shape:
        return shape
    if grid.axis is None:
        return None
    thin = tuple(1 if axis == grid.axis else n for axis, n in enumerate(grid.shape))
    return shape if shape in (grid.grid, thin) else None


def _nearest_with_answer(places: Sequence[Place], result: FitResult) -> Place | None:
    codes = [int(result.status[place]) for place in places]
    for good in ([code > 0 for code in codes], [code != Status.NOT_FITTED for code in codes]):
        if any(good):
            return places[good.index(True)]
    return places[0] if places else None


def _samples_under(layer: Layer, shape: tuple[int, ...], sight: Sight) -> NDArray[np.intp]:
    """Return indices ``(n, layer.ndim)`` into the layer's data, the nearest first."""
    n = np.array(shape)
    start = to_data(layer, sight.position, sight.units)
    if sight.direction is None:
        index = np.floor(start + 0.5).astype(np.intp)
        return index[None] if ((index >= 0) & (index < n)).all() else np.empty((0, len(shape)), np.intp)
    ahead = np.asarray(sight.position) + np.asarray(sight.direction)
    step = to_data(layer, ahead, sight.units) - start
    # axes that the layer lacks: where they are on display, napari draws it at 0 and one unit thick
    missing = [axis for axis in sight.displayed if axis < len(sight.position) - layer.ndim]
    start = np.concatenate([[sight.position[axis] for axis in missing], start])
    step = np.concatenate([[sight.direction[axis] for axis in missing], step])
    along = _walk(start, step, np.concatenate([np.ones(len(missing), int), n]))
    return along[:, len(missing) :]


def _walk(start: FloatArray, step: FloatArray, shape: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the voxels that the line ``start + t·step`` goes through, in the order of rising t."""
    nothing = np.empty((0, shape.size), np.intp)
    moves = np.abs(step) > 1e-12 * np.abs(step).max()
    still = start[~moves]
    if not moves.any() or (still < -0.5).any() or (still >= shape[~moves] - 0.5).any():
        return nothing
    ends = (np.stack([np.full(shape.size, -0.5), shape - 0.5])[:, moves] - start[moves]) / step[moves]
    first, last = ends.min(axis=0).max(), ends.max(axis=0).min()
    if not first < last:
        return nothing
    # between two crossings of a face the line is within one voxel
    faces = [(np.arange(shape[axis] + 1) - 0.5 - start[axis]) / step[axis] for axis in np.flatnonzero(moves)]
    crossings = np.unique(np.concatenate([[first, last], *faces]))
    crossings = crossings[(crossings >= first) & (crossings <= last)]
    middles = (crossings[1:] + crossings[:-1]) / 2
    index = np.floor(start + middles[:, None] * step + 0.5).astype(np.intp)
    inside: NDArray[np.intp] = np.clip(index, 0, shape - 1)
    return inside
