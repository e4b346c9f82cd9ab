"""The section Results: what became of the fits, and what can be done next."""

from __future__ import annotations

import numpy as np
from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.voxels.voxel_fits import VoxelSource
from ...layers.inspection.reasons import reasons_of
from ..widgets.forms import label
from .model import offered_models
from .reasons_table import ReasonsTable

EXPORT = "E&xport…"
NEEDS_MEMORY = (
    "This layer's data are a Dask array, fitted piece by piece: second chances, comparisons, expressions and maps that "
    "fill in from a sparse grid need a stack in memory. Where it fits in, add layer.data.compute() as a layer."
)
NEEDS_NOTHING_SHARED = (
    "These fits share a parameter and are one problem, which cannot be solved in part; fit all of them again."
)


class ResultsSection(QWidget):
    """Counts by reason, second chances, further maps, comparison, and ways out.

    Parameters
    ----------
    inspect_button : QPushButton
        Stands beside the ways out.
    """

    refit = Signal()
    go_on = Signal()
    paint = Signal()
    refit_painted = Signal()
    add_map = Signal(str)
    compare = Signal(str)
    keep = Signal()
    export = Signal()
    copy_script = Signal()

    def __init__(self, inspect_button: QPushButton, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reasons = ReasonsTable()
        self.refit_button = QPushButton("R&efit failed from neighbours")
        self.refit_button.setToolTip(
            "Fit again what failed: from the median of good neighbours, then from many starts, then within wider "
            "bounds; the better answer is kept (Alt+E)"
        )
        self.go_on_button = QPushButton("&Go on")
        self.go_on_button.setToolTip("Fit the voxels that a cancelled fit has left (Alt+G)")
        self.paint_button = QPushButton("Pai&nt voxels")
        self.paint_button.setToolTip(
            "Make a layer to paint in: 1 is to be fitted again, 2 is to be left out, of the next fits too (Alt+N)"
        )
        self.painted_button = QPushButton("Refit painted")
        self.painted_button.setToolTip("Fit again what is painted with 1, and leave out what is painted with 2")
        self.expression = QLineEdit()
        self.expression.setPlaceholderText("such as 1/tau")
        self.expression.setToolTip(
            "An expression of the parameters; its map, and that of its error, are computed with all covariances"
        )
        self.map_button = QPushButton("Add map")
        self.map_button.setToolTip("Make the map of the expression; later fits make it again (Enter)")
        self.other = QComboBox()
        self.other.setToolTip("Another model, to be fitted to the same samples of the same voxels")
        self.compare_button = QPushButton("Compare")
        self.compare_button.setToolTip("Fit the other model, and map ΔAICc, ΔBIC and which of the two is better")
        self.keep_button = QPushButton("&Keep")
        self.keep_button.setToolTip("Keep these layers as they are: the next fit makes new ones (Alt+K)")
        self.export_button = QPushButton(EXPORT)
        self.export_button.setToolTip(
            "Save the maps: OME-TIFF, NIfTI, Zarr, or a table, with the recipe beside (Alt+X)"
        )
        self.script_button = QPushButton("Copy as P&ython")
        self.script_button.setToolTip("Copy a script that gives the same numbers without napari (Alt+Y)")

        buttons = QGridLayout()
        buttons.addWidget(self.refit_button, 0, 0)
        buttons.addWidget(self.paint_button, 0, 1)
        buttons.addWidget(self.go_on_button, 1, 0)
        buttons.addWidget(self.painted_button, 1, 1)
        buttons.setColumnStretch(0, 3)
        buttons.setColumnStretch(1, 2)
        self._in_memory = {
            button: button.toolTip()
            for button in (
                self.refit_button,
                self.go_on_button,
                self.painted_button,
                self.map_button,
                self.compare_button,
            )
        }
        self.memory_note = QLabel(NEEDS_MEMORY)
        self.memory_note.setWordWrap(True)
        self.memory_note.setVisible(False)
        self._voxels = QWidget()
        more = QGridLayout(self._voxels)
        more.setContentsMargins(0, 0, 0, 0)
        more.addLayout(buttons, 0, 0, 1, 3)
        more.addWidget(label("Map", self.expression), 1, 0)
        more.addWidget(self.expression, 1, 1)
        more.addWidget(self.map_button, 1, 2)
        more.addWidget(label("Compare with", self.other), 2, 0)
        more.addWidget(self.other, 2, 1)
        more.addWidget(self.compare_button, 2, 2)
        more.addWidget(self.memory_note, 3, 0, 1, 3)
        more.setColumnStretch(1, 1)
        ways_out = QHBoxLayout()
        for button in (inspect_button, self.keep_button, self.export_button, self.script_button):
            ways_out.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.reasons)
        layout.addWidget(self._voxels)
        layout.addLayout(ways_out)

        self.refit_button.clicked.connect(lambda: self.refit.emit())
        self.go_on_button.clicked.connect(lambda: self.go_on.emit())
        self.paint_button.clicked.connect(lambda: self.paint.emit())
        self.painted_button.clicked.connect(lambda: self.refit_painted.emit())
        self.map_button.clicked.connect(lambda: self.add_map.emit(self.expression.text().strip()))
        self.expression.returnPressed.connect(self.map_button.click)
        self.compare_button.clicked.connect(lambda: self.compare.emit(self.other.currentText()))
        self.keep_button.clicked.connect(lambda: self.keep.emit())
        self.export_button.clicked.connect(lambda: self.export.emit())
        self.script_button.clicked.connect(lambda: self.copy_script.emit())

    def set_exporting(self, now: bool) -> None:
        """Whether a file is being written: one at a time."""
        self.export_button.setText("Exporting…" if now else EXPORT)
        self.export_button.setEnabled(not now)

    def show_result(self, result: FitResult) -> None:
        """Show what became of the fits, and offer what can be done."""
        self.reasons.show_reasons(reasons_of(result))
        voxels = result.model.ndim == 1
        in_memory = isinstance(result.source, VoxelSource)
        self._voxels.setVisible(voxels)
        as_one = bool(np.any(result.n_shared)) if in_memory else False
        for button, tip in self._in_memory.items():
            cannot = not in_memory or (as_one and button in (self.refit_button, self.go_on_button))
            button.setEnabled(not cannot)
            button.setToolTip((NEEDS_NOTHING_SHARED if in_memory else NEEDS_MEMORY) if cannot else tip)
        self.memory_note.setVisible(not in_memory)
        unfinished = bool((result.status == Status.STOPPED).any())
        self.go_on_button.setVisible(unfinished)
        others = [name for name in offered_models("voxels") if name != result.model.name]
        before = self.other.currentText()
        self.other.clear()
        self.other.addItems(others)
        self.other.setCurrentText(before if before in others else others[0])

    def set_painting(self, there: bool) -> None:
        """Offer to fit again what is painted only where there is something to paint in."""
        self.painted_button.setVisible(there)
