"""Actions of the buttons under a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtGui import QGuiApplication

from ..catalogue import models
from ..engine.core.errors import FitInputError
from ..imaging.fitting.status_labels import CONVERGED_LABEL
from ..imaging.inspection.fit_grid import FitGrid
from ..imaging.layer_data.maps import FITTED, RESIDUAL
from ..layers.geometry.output_layers import role_of, shown_roles
from ..layers.inspection.reasons import go_to
from ..layers.inspection.state_counts import Statement, places_of
from ..layers.request.fit_request import Outcome, Stop, Task
from ..layers.request.paint import LEAVE_OUT, PAINT_NAMES, REFIT, find_paint, paint_layer, painted
from ..layers.tasks.voxel_tasks import add_map, check_expression, compare_with, refit, refit_painted, run_voxels
from .background.latest_worker import Latest
from .canvas.shown_layers import ShownLayers
from .sections.results import ResultsSection
from .state.session import Session

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class FollowUps:
    """Actions that connect the section Results, the session, and the last outcome.

    Parameters
    ----------
    viewer : Viewer
    section : ResultsSection
    session : Session
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem
    looked_at = Signal(object)  # the place of a fit that was gone to

    def __init__(self, viewer: Viewer, section: ResultsSection, session: Session) -> None:
        self._viewer, self._section, self._session = viewer, section, session
        self._visited: dict[str, int] = {}
        self.outcome: Outcome | None = None
        self.shown = ShownLayers(viewer, section.show_menu)
        self.shown.said.connect(self.said.emit)
        # a large table takes seconds to write
        self.exports = Latest(lambda write: write(), section)
        self.exports.done.connect(lambda _, written: self._on_exported(written))
        self.exports.refused.connect(self._on_not_exported)

        section.refit.connect(lambda: self._start(lambda outcome: partial(refit, outcome)))
        section.resume.connect(lambda: self._start(_resume))
        section.add_map.connect(self._on_map)
        section.compare.connect(self._on_compare)
        section.paint.connect(self._paint)
        section.refit_painted.connect(self._on_painted)
        section.export.connect(lambda: self.export(self.outcome))
        section.copy_script.connect(lambda: self.copy(self.outcome))
        section.reasons.chosen.connect(self._on_statement)

    def take(self, outcome: Outcome) -> None:
        """Set the outcome that the buttons are about."""
        self.outcome = outcome
        self._visited = {}
        assert outcome.result is not None
        self._section.show_result(outcome.result)
        self.shown.take(outcome)
        self._section.set_painting(find_paint(self._viewer.layers, outcome.request.source) is not None)

    def forget(self) -> None:
        """Forget the outcome: there is none any more, or not of what is chosen."""
        self.outcome = None
        self.shown.forget()

    def stop(self) -> None:
        """Say nothing any more; what is being written is written to its end."""
        self.exports.forget()
        self.shown.stop()

    def _start(self, task: Callable[[Outcome], Callable[[Stop], Task]], *, stoppable: bool = True) -> None:
        """Run a task on the last outcome, whose layers may have come or gone since."""
        if self.outcome is None:
            return
        shown = shown_roles(self._viewer.layers, self.outcome.request.group)
        outcome = replace(self.outcome, request=replace(self.shown.with_choice(self.outcome.request), shown=shown))
        try:
            steps = task(outcome)
        except FitInputError as error:
            self.said.emit(str(error), True)
            return
        self._session.start(outcome.request, steps, stoppable=stoppable)

    def _on_map(self, expression: str) -> None:
        def task(outcome: Outcome) -> Callable[[Stop], Task]:
            check_expression(outcome, expression)
            return partial(add_map, outcome, expression)

        self._start(task)

    def _on_compare(self, name: str) -> None:
        # half a comparison is none
        self._start(lambda outcome: partial(compare_with, outcome, models.find(name)), stoppable=False)

    def _on_painted(self) -> None:
        def task(outcome: Outcome) -> Callable[[Stop], Task]:
            layer = find_paint(self._viewer.layers, outcome.request.source)
            assert outcome.result is not None
            if layer is None:
                raise FitInputError("There is no layer that was painted; click 'Paint voxels', and paint in it.")
            labels = painted(layer, outcome.result.shape)
            fitted = outcome.result.n_used > 0
            again: NDArray[np.bool_] = (labels == REFIT) & fitted
            left: NDArray[np.bool_] = (labels == LEAVE_OUT) & fitted
            if not (again.any() or left.any()):
                raise FitInputError(
                    f"Nothing that was fitted is painted in {layer.name!r}; paint with 1 what is to be fitted again, "
                    "with 2 what is to be left out."
                )
            return partial(refit_painted, outcome, again, left)

        self._start(task)

    def _paint(self) -> None:
        if self.outcome is None or self.outcome.result is None:
            return
        request, layers = self.outcome.request, self._viewer.layers
        layer = find_paint(layers, request.source)
        if layer is None:
            data, options, _ = paint_layer(request, self.outcome.result.shape)
            layer = self._viewer.add_labels(data, **options)
        layers.selection.active = layer
        layer.mode, layer.selected_label = "paint", REFIT
        layer.brush_size = max(1, round(min(self.outcome.result.shape[-2:]) / 40))
        self._section.set_painting(True)
        self.said.emit(
            f"Paint with label {REFIT} what is to be fitted again, with {LEAVE_OUT} what is to be left out "
            f"({PAINT_NAMES[LEAVE_OUT]}); then click 'Refit painted'.",
            False,
        )

    def export(self, outcome: Outcome | None) -> None:
        """Ask where an outcome is to be saved, and save it."""
        if outcome is None or outcome.fit is None or self.exports.busy:
            return
        from .export_dialog import ask_where  # formats of files take long to import: not while the dock opens

        write = ask_where(self._section, outcome, self._fitted_layer(outcome))
        if write is not None:
            self._section.set_exporting(True)
            self.exports.ask(write)

    def _on_exported(self, written: list[Path]) -> None:
        self._section.set_exporting(False)
        others = f" and {len(written) - 1} more, the recipe beside" if len(written) > 1 else ""
        self.said.emit(f"Exported to {written[0]}{others}.", False)

    def _on_not_exported(self, why: str) -> None:
        self._section.set_exporting(False)
        self.said.emit(f"Export failed: {why}", True)

    def copy(self, outcome: Outcome | None) -> None:
        """Put a script of an outcome into the clipboard."""
        if outcome is None:
            return
        from ..layers.files.script import as_python

        try:
            script = as_python(outcome, self._fitted_layer(outcome))
        except FitInputError as error:
            self.said.emit(str(error), True)
            return
        QGuiApplication.clipboard().setText(script)
        self.said.emit("A script that gives these numbers without napari is in the clipboard.", False)

    def visit(self, state: str) -> None:
        """Go to the next fit that is ``"converged"``, has ``"remarks"``, or has ``"failed"``."""
        if self.outcome is not None and self.outcome.result is not None:
            self._visit(state, places_of(self.outcome.result, state))

    def _on_statement(self, said: Statement) -> None:
        layer = self._layer_as("status")
        if layer is not None and said.label in set(layer.features.get("index", ())):
            layer.selected_label = said.label
            layer.visible = layer.visible or said.label != CONVERGED_LABEL
        self._visit(said.words, said.places)

    def _visit(self, what: str, places: NDArray[np.intp]) -> None:
        """Go to one fit after the other, and begin again after the last."""
        if self.outcome is None or self.outcome.result is None or not places.size:
            return
        result = self.outcome.result
        layer = self._fitted_layer() or self._layer_as(FITTED) or self._layer_as(RESIDUAL)
        if layer is None:
            self.said.emit(
                "The layer that was fitted is not in the viewer any more, so that its fits have no place.", True
            )
            return
        number = self._visited[what] = self._visited.get(what, -1) + 1
        place = tuple(int(i) for i in np.unravel_index(places[number % places.size], result.shape))
        grid = FitGrid.of(result)
        go_to(self._viewer, layer, grid.sample_of(place), still=grid.axis)
        self.looked_at.emit(place)

    def _fitted_layer(self, outcome: Outcome | None = None) -> Layer | None:
        """Return the layer that was fitted, if it is still there; of the outcome that the buttons are about, or one."""
        outcome = outcome or self.outcome
        if outcome is None:
            return None
        source = outcome.request.source
        return next((layer for layer in self._viewer.layers if str(layer.unique_id) == source), None)

    def _layer_as(self, role: str) -> Layer | None:
        """Return the layer of the fit that shows it in that role, if it is still there."""
        if self.outcome is None:
            return None
        group = self.outcome.request.group
        return next((layer for layer in self._viewer.layers if role_of(layer, group) == role), None)


def _resume(outcome: Outcome) -> Callable[[Stop], Task]:
    return lambda stop: run_voxels(outcome.request, stop, outcome)
