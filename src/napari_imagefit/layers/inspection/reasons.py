"""What became of the fits, as the status layer has it, and where in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...engine.results.fit_result import FitResult
from ...imaging.fitting.status_labels import Reason, reasons
from ..geometry.transforms import unit_factors

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import ViewerModel


def reasons_of(result: FitResult) -> list[Reason]:
    """Return the labels that the status layer of a result has, with their words, colours and counts.

    None that no fit has.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0]))
    >>> stack[2:, 1] = np.nan
    >>> [(reason.words, reason.fits) for reason in reasons_of(fit_voxels(stack, "exponential_decay"))]
    [('converged', 1), ('not fitted: fewer usable samples than free parameters', 1)]
    """
    return [reason for reason in reasons(result, remarks=result.model.ndim == 1) if reason.label and reason.fits]


def go_to(viewer: ViewerModel, layer: Layer, index: tuple[int, ...]) -> None:
    """Bring a pixel of a layer into the middle of the view."""
    world = np.array(layer.data_to_world(index), dtype=float)
    dims = viewer.dims
    if dims.units is not None:
        world *= unit_factors(layer.units, dims.units[-layer.ndim :])
    for axis, value in zip(range(dims.ndim - layer.ndim, dims.ndim), world, strict=True):
        if axis not in dims.displayed:
            dims.set_point(axis, value)
    camera = viewer.scene.camera
    centre = list(camera.center)
    shown = dims.displayed[-len(centre) :]
    for place, axis in zip(range(len(centre) - len(shown), len(centre)), shown, strict=True):
        if axis >= dims.ndim - layer.ndim:
            centre[place] = float(world[axis - (dims.ndim - layer.ndim)])
    camera.center = tuple(centre)
