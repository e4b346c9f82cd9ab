"""Live fits of curves: the mean of what is drawn or painted, and the voxel under the pointer; maps are for a click."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

from ...engine.core.progress import Progress
from ...layers.inspection.pick import Sight, sample_in
from ...layers.request.fit_request import MeanFit, Outcome, Request, Stop
from ...layers.request.live import Place, voxel_at
from ...layers.tasks.live_tasks import VoxelFit, fit_mean, fit_voxel
from .runner import Task

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..widget import ImageFitWidget


@dataclass(frozen=True, eq=False)
class LiveCurves:
    """Curves that were fitted; None where there is no region, or no voxel under the pointer.

    Attributes
    ----------
    request : Request
        Of the map that they stand for.
    """

    request: Request
    mean: MeanFit | None
    voxel: VoxelFit | None


class Curves:
    """Knows the voxel under the pointer, and shows what is fitted.

    Parameters
    ----------
    widget : ImageFitWidget
    viewer : Viewer
    """

    moved = Signal()  # the pointer is over another voxel

    def __init__(self, widget: ImageFitWidget, viewer: Viewer) -> None:
        self._widget, self._viewer = widget, viewer
        self._mean: MeanFit | None = None
        self.place: Place | None = None

    def listen(self) -> None:
        """Follow the pointer from now on."""
        self._widget.inspection.follow_always(True)
        self._widget.inspection.follower.moved.connect(self._on_moved)

    def stop(self) -> None:
        """Follow it no more; what was fitted under it is taken out of the plots."""
        self._widget.inspection.follower.moved.disconnect(self._on_moved, missing_ok=True)
        self._widget.inspection.follow_always(False)
        self._widget.inspection.take_voxel(None)
        self._widget.values.end_curves()
        self._mean = self.place = None

    def task(self, request: Request, *, same_settings: bool) -> Task:
        """Return what is to be done for a request; with the `same_settings` as before the mean curve is still right."""
        known, place = self._mean if same_settings else None, self.place

        def steps(should_stop: Stop) -> Generator[Progress, None, LiveCurves]:
            mean = known if known is not None else (yield from fit_mean(request, should_stop))
            voxel = None if place is None else (yield from fit_voxel(request, place, mean, should_stop))
            return LiveCurves(request, mean, voxel)

        return steps

    def show(self, found: LiveCurves) -> None:
        """Show curves in the plots, and numbers in the list: those of the voxel before those of the mean."""
        is_new = found.mean is not self._mean
        self._mean = found.mean
        inspection = self._widget.inspection
        inspection.take_voxel(found.voxel)
        if is_new and found.mean is None:
            inspection.forget_mean()
        elif is_new:
            inspection.take_mean(Outcome(found.request, mean=found.mean, complete=False))
        self._widget.values.show_curves(found.request, found.mean, found.voxel)

    def _on_moved(self, sight: Sight) -> None:
        widget, image = self._widget, self._widget.data.image
        if widget.data.job != "voxels" or image is None:
            return
        sample = sample_in(self._viewer.layers, str(image.unique_id), sight)
        place = None if sample is None else voxel_at(image, sample, widget.data.chosen_axis)
        if place != self.place:
            self.place = place
            self.moved.emit()
