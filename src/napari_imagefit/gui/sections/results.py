"""The section Results: what became of the fits, and what can be done next."""

from __future__ import annotations

import numpy as np
from psygnal import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt import QFlowLayout

from ...catalogue import models
from ...catalogue.titles import title_of
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.files.formats import FORMATS
from ...imaging.inspection.saturation_value import saturation_value
from ...layers.history.memory import budget
from ...layers.inspection.reasons import statements_of
from ..widgets.forms import Combo, label
from ..widgets.help import help_button
from .history import HistorySection
from .model import offered_models
from .reasons_table import ReasonsTable
from .show_menu import ShowMenu

EXPORT = "E&xport…"
NEEDS_MEMORY = (
    "This layer's data are a Dask array, fitted piece by piece: second chances, comparisons, expressions and maps that "
    "fill in from a sparse grid need a stack in memory. Where it fits in, add layer.data.compute() as a layer."
)
NEEDS_NOTHING_SHARED = "These fits share a parameter; run the whole fit again."


class ResultsSection(QWidget):
    """Counts by reason, second chances, further maps, comparison, and ways out."""

    refit = Signal()
    resume = Signal()
    paint = Signal()
    refit_painted = Signal()
    add_map = Signal(str)
    compare = Signal(str)
    leave_out = Signal(float)  # samples from this value on
    export = Signal()
    copy_script = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = HistorySection(
            lambda: f"Entries hold arrays up to {budget() / 2**20:.0f} MiB; the oldest let go first."
        )
        self.reasons = ReasonsTable()
        self.show_menu = ShowMenu()
        self.inspect_button = QPushButton("Inspec&t")
        self.inspect_button.setToolTip("Show the fit under the pointer below the canvas (Alt+T)")
        self.saturation_button = QPushButton()
        self.saturation_button.setVisible(False)
        self._saturation: float | None = None
        self.refit_button = QPushButton("R&efit failed from neighbours")
        self.refit_button.setToolTip(
            "Fit again what failed: from the median of good neighbours, then from many starts, then within wider "
            "bounds; the better answer is kept (Alt+E)"
        )
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip("Fit the voxels that a cancelled fit has left (Alt+G)")
        self.resume_button.setShortcut("Alt+G")  # each letter of its name is another control's
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
        self.other = Combo()
        self.other.setToolTip("Another model, to be fitted to the same samples of the same voxels")
        self.compare_button = QPushButton("Compare")
        self.compare_button.setToolTip("Fit the other model, and map ΔAICc, ΔBIC and which of the two is better")
        self.export_button = QPushButton(EXPORT)
        self.export_button.setToolTip(
            f"Save the maps: {', '.join(one.name for one in FORMATS.values())}, with the recipe beside (Alt+X)"
        )
        self.script_button = QPushButton("Copy as P&ython")
        self.script_button.setToolTip("Copy a script that gives the same numbers without napari (Alt+Y)")

        buttons = QGridLayout()
        buttons.addWidget(self.refit_button, 0, 0)
        buttons.addWidget(self.paint_button, 0, 1)
        buttons.addWidget(self.resume_button, 1, 0)
        buttons.addWidget(self.painted_button, 1, 1)
        buttons.setColumnStretch(0, 3)
        buttons.setColumnStretch(1, 2)
        self._in_memory = {
            button: button.toolTip()
            for button in (
                self.refit_button,
                self.resume_button,
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
        ways_out = QFlowLayout()
        ways_out.setHorizontalSpacing(6)
        ways_out.setVerticalSpacing(4)
        for button in (
            self.show_menu,
            self.inspect_button,
            self.export_button,
            self.script_button,
            help_button("results"),
        ):
            ways_out.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._about = QWidget()
        about = QVBoxLayout(self._about)
        about.setContentsMargins(0, 0, 0, 0)
        about.addWidget(self.reasons)
        about.addWidget(self.saturation_button)
        about.addWidget(self._voxels)
        about.addLayout(ways_out)
        layout.addWidget(self.history)
        layout.addWidget(self._about)
        self.set_about_fit(False)

        self.saturation_button.clicked.connect(self._leave_out)
        self.refit_button.clicked.connect(lambda: self.refit.emit())
        self.resume_button.clicked.connect(lambda: self.resume.emit())
        self.paint_button.clicked.connect(lambda: self.paint.emit())
        self.painted_button.clicked.connect(lambda: self.refit_painted.emit())
        self.map_button.clicked.connect(lambda: self.add_map.emit(self.expression.text().strip()))
        self.expression.returnPressed.connect(self.map_button.click)
        self.compare_button.clicked.connect(lambda: self.compare.emit(self.other.currentData()))
        self.export_button.clicked.connect(lambda: self.export.emit())
        self.script_button.clicked.connect(lambda: self.copy_script.emit())

    @property
    def is_about_fit(self) -> bool:
        """Whether there is a fit that it is about, rather than the history alone."""
        return not self._about.isHidden()

    def set_about_fit(self, there: bool) -> None:
        """Show what can be done with a fit only where there is one."""
        self._about.setVisible(there)

    def set_exporting(self, now: bool) -> None:
        """Whether a file is being written: one at a time."""
        self.export_button.setText("Exporting…" if now else EXPORT)
        self.export_button.setEnabled(not now)

    def show_result(self, result: FitResult) -> None:
        """Show what became of the fits, and offer what can be done."""
        self.reasons.show_statements(statements_of(result))
        self._offer_saturation(result)
        voxels = result.model.ndim == 1
        in_memory = result.source.in_memory
        self._voxels.setVisible(voxels)
        as_one = bool(np.any(result.n_shared)) if in_memory else False
        for button, tip in self._in_memory.items():
            cannot = not in_memory or (as_one and button in (self.refit_button, self.resume_button))
            button.setEnabled(not cannot)
            button.setToolTip((NEEDS_NOTHING_SHARED if in_memory else NEEDS_MEMORY) if cannot else tip)
        self.memory_note.setVisible(not in_memory)
        unfinished = bool((result.status == Status.STOPPED).any())
        self.resume_button.setVisible(unfinished)
        others = [name for name in offered_models("voxels") if name != result.model.name]
        before = self.other.currentData()
        self.other.clear()
        for name in others:
            self.other.addItem(title_of(models[name]), name)
        self.other.setCurrentIndex(max(self.other.findData(before), 0))

    def _offer_saturation(self, result: FitResult) -> None:
        """Offer to leave out samples that were cut off, where the fits have an option for it."""
        self._saturation = None if result.source.job == "region" else saturation_value(result)
        self.saturation_button.setVisible(self._saturation is not None)
        if self._saturation is not None:
            self.saturation_button.setText(f"Leave out samples ≥ {self._saturation:g}")
            self.saturation_button.setToolTip(
                f"Samples at {self._saturation:g} are cut off: enter this as Saturation, from which on samples do not "
                "count in the next fit"
            )

    def _leave_out(self) -> None:
        if self._saturation is not None:
            self.leave_out.emit(self._saturation)
            self.saturation_button.hide()

    def set_painting(self, there: bool) -> None:
        """Offer to fit again what is painted only where there is something to paint in."""
        self.painted_button.setVisible(there)
