"""Why fits have no answer, or are to be looked at twice: in words, with the colours of the status layer, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine.result import FitResult
from ..engine.status import Flag, Status
from ..imaging.maps import CONVERGED_LABEL, REASONS
from .geometry import unit_factors

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import ViewerModel


@dataclass(frozen=True)
class Reason:
    """One line of the table of reasons.

    Attributes
    ----------
    words : str
    count : int
        How many fits it holds for.
    label : int
        In the status layer; 0 where it has none.
    colour : str
        Of the label; empty where it has none.
    statuses : tuple of Status
    flag : Flag or None
        A remark on fits that have an answer, instead of a status.
    """

    words: str
    count: int
    label: int = 0
    colour: str = ""
    statuses: tuple[Status, ...] = ()
    flag: Flag | None = None

    def places(self, result: FitResult) -> NDArray[np.bool_]:
        """Where it holds, ``(*grid,)``."""
        if self.flag is not None:
            return (result.flags & np.uint16(self.flag)).astype(bool) & result.converged
        return np.isin(result.status, self.statuses)


def reasons_of(result: FitResult) -> list[Reason]:
    """What became of the fits: converged, the reasons of failure, then remarks on those that converged.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0]))
    >>> stack[2:, 1] = np.nan
    >>> [(reason.words, reason.count) for reason in reasons_of(fit_voxels(stack, "exponential_decay"))]
    [('converged', 1), ('not fitted: fewer usable samples than free parameters', 1)]
    """
    counts = result.counts()
    good = tuple(status for status in Status if status.converged)
    found = [Reason("converged", sum(counts.get(s, 0) for s in good), CONVERGED_LABEL, "", good)]
    for status, n in counts.items():
        if not status.converged:
            label, colour = REASONS.get(status, (0, ""))
            found.append(Reason(status.message, n, label, colour, (status,)))
    for flag in Flag:
        reason = Reason(flag.message, 0, flag=flag)
        n = int(np.count_nonzero(reason.places(result)))
        if n:
            found.append(Reason(flag.message, n, flag=flag))
    return found


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
