"""The button *Starts*: the model at its starts over the image or in the curve's plot, to be dragged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engine.models.handles import Ellipse, handles_of
from ..background.timers import single_shot
from .region_starts import RegionStarts

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..inspector.inspector import Inspector
    from .curve_starts import CurveStarts
    from .dock import Dock, OneChange

START_TIPS = {
    "region": "Show where the fit starts, over the image, and drag it: the centre, the widths (squares), the angle "
    "(diamond). It is drawn in one region, the one clicked last or in the middle; all regions start there. "
    "What is fixed or tied is hollow",
    "voxels": "Show where the fit of the curve in the inspector starts, and drag its lines: centre, width, height. "
    "All voxels start there",
}
NO_HANDLES_TIPS = {
    "region": "This model has no centre or width that could be dragged; type its starts into the rows below",
    "voxels": "This model has nothing that could be dragged; type its starts into the rows below",
    "spots": "Each spot starts where its own pixels say; type starts for all into the rows below",
}
OPENED = 50  # ms until an inspector that is being opened is there


class StartHandles:
    """Shows handles of starts while the button is on.

    Parameters
    ----------
    widget : Dock
    viewer : Viewer
    undo : OneChange
    """

    def __init__(self, widget: Dock, viewer: Viewer, undo: OneChange) -> None:
        self._widget, self._viewer, self._undo = widget, viewer, undo
        self.region: RegionStarts | None = None
        self.curves: dict[Inspector, CurveStarts] = {}
        self._button = widget.parameters.starts_button
        self._opened = single_shot(widget.parameters, OPENED, self._find_inspectors)
        self._button.toggled.connect(self._on_toggled)
        for signal in (
            widget.model.model_chosen,
            widget.data.job_chosen,
            widget.data.layer_chosen,
            widget.region.layers.chosen,
            widget.options.changed,
            undo.applied,
        ):
            signal.connect(self._on_changed, check_nargs=False)
        widget.fit_bar.frames_chosen.connect(self._on_changed, check_nargs=False)
        widget.inspection.fed.connect(self._on_opened)
        widget.results.inspect_button.clicked.connect(self._on_opened)

    @property
    def busy(self) -> bool:
        """Whether what is drawn is about to be another."""
        parts = (*((self.region,) if self.region is not None else ()), *self.curves.values())
        return self._opened.isActive() or any(part.busy for part in parts)

    def stop(self) -> None:
        """Take everything out of the viewer, and let go of it."""
        self._opened.stop()
        self._widget.inspection.fed.disconnect(self._on_opened)
        self._button.setChecked(False)

    def _on_opened(self, *_: object) -> None:
        """Wait until an inspector that may have opened has its place."""
        self._opened.start()

    def _on_changed(self, *_: object) -> None:
        """Offer the button where there is something to drag, and look anew at what is shown."""
        job = self._widget.data.job
        wanted = {"region": True, "voxels": False}.get(job)
        has = any(isinstance(one, Ellipse) == wanted for one in handles_of(self._widget.model.model))
        self._button.setEnabled(has)
        self._button.setToolTip(START_TIPS[job] if has else NO_HANDLES_TIPS[job])
        for part in (self.region, *self.curves.values()):
            if part is not None:
                part.refresh()

    def _on_toggled(self, on: bool) -> None:
        if on:
            self.region = RegionStarts(self._widget, self._viewer, self._undo)
            self._find_inspectors()
            return
        for part in (self.region, *self.curves.values()):
            if part is not None:
                part.stop()
        self.region, self.curves = None, {}

    def _find_inspectors(self) -> None:
        """Draw in the inspectors that are open."""
        if not self._button.isChecked():
            return
        found = self._widget.inspection.inspectors()
        if found:
            from .curve_starts import CurveStarts  # plots take long to import: only where there are some

            for inspector in found:
                if inspector not in self.curves:
                    self.curves[inspector] = CurveStarts(self._widget, inspector, self._undo)
                    self.curves[inspector].gone.connect(self._on_gone)

    def _on_gone(self, inspector: Inspector) -> None:
        self.curves.pop(inspector)
