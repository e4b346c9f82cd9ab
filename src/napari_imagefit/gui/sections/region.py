"""The section Region: where to fit and where not, and for curves what the region's mean curve is good for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from ...layers.geometry.output_layers import is_output
from ...layers.request.choices import Job, MeanUse
from ..widgets.forms import Combo, NumberEdit, form, label, pair
from ..widgets.layer_combo import LayerCombo
from .region_numbers import RegionNumbers

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Labels, Layer, Shapes

MEANS: dict[MeanUse, tuple[str, str]] = {
    "no": ("from each voxel", "The start of each voxel's fit is estimated from its own samples"),
    "start": (
        "from the mean curve",
        "The region's mean curve is fitted first, and every voxel starts from what it gave",
    ),
    "bounds": (
        "near the mean curve",
        "As before, and each voxel's parameters stay within a factor of the mean curve's",
    ),
}


class RegionSection(QWidget):
    """Choice of where to fit: everywhere, in drawn shapes, or in labels, and not in others."""

    draw = Signal(bool)  # whether what is drawn is left out
    fit_mean = Signal()
    changed = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = LayerCombo(layers, _is_region, none="Whole image")
        self.layers.setToolTip(
            "Where to fit: each shape of a Shapes layer, or each label of a Labels layer, is a region"
        )
        self.draw_button = QPushButton("Dra&w")
        self.draw_button.setToolTip(
            "Draw a region into the chosen Shapes layer; one is made over the image if there is none (Alt+W)"
        )
        self.leave_out = LayerCombo(layers, _is_region, none="nothing")
        self.leave_out.setToolTip(
            "What does not count: pixels in any shape of a Shapes layer, or any label of a Labels layer"
        )
        self.leave_out.setAccessibleName("Leave out")
        self.leave_out_button = QPushButton("Draw")
        self.leave_out_button.setAccessibleName("Draw what is left out")
        self.leave_out_button.setToolTip("Draw a shape whose pixels do not count; the next one is added to it")
        self.means = Combo()
        for use, (text, tip) in MEANS.items():
            self.means.addItem(text, use)
            self.means.setItemData(self.means.count() - 1, tip, 3)  # Qt.ToolTipRole
        self.means.setToolTip("Where the fits of the voxels start, if the table below does not say it")
        self.factor = NumberEdit("The factor", "How far a voxel's parameters may be from the mean curve's", "× 3")
        self.factor.setMaximumWidth(60)
        self.mean_button = QPushButton("Fit mean c&urve")
        self.mean_button.setToolTip("Fit the region's mean curve alone, and show its values in the table (Alt+U)")

        self.numbers_button = QPushButton("#")
        self.numbers_button.setCheckable(True)
        self.numbers_button.setFixedWidth(28)
        self.numbers_button.setAccessibleName("Region by numbers")
        self.numbers_button.setToolTip("Give a region by numbers: corner or centre, and size")
        self.numbers = RegionNumbers()
        self.numbers.hide()

        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.layers, 1)
        row.addWidget(self.draw_button)
        row.addWidget(self.numbers_button)
        self._starts = pair(self.means, self.factor)
        rows = form(self)
        rows.addRow(label("&Region", self.layers), row)
        rows.addRow(self.numbers)
        without = QHBoxLayout()
        without.setSpacing(4)
        without.addWidget(self.leave_out, 1)
        without.addWidget(self.leave_out_button)
        rows.addRow(label("Leave out", self.leave_out), without)
        rows.addRow(label("&Start", self.means), self._starts)
        rows.addRow("", self.mean_button)
        self._form, self._where = rows, row

        self.numbers_button.toggled.connect(self.numbers.setVisible)
        self.draw_button.clicked.connect(lambda: self.draw.emit(False))
        self.leave_out_button.clicked.connect(lambda: self.draw.emit(True))
        self.leave_out.chosen.connect(lambda _: self.changed.emit())
        self.mean_button.clicked.connect(lambda: self.fit_mean.emit())
        self.means.currentIndexChanged.connect(self._on_mean)
        self._on_mean()

    @property
    def layer(self) -> Shapes | Labels | None:
        """The layer that holds the regions, None for the whole image."""
        return self.layers.layer()

    @property
    def mean_use(self) -> MeanUse:
        """Use of the mean curve."""
        return cast("MeanUse", self.means.currentData())

    def set_context(self, job: Job) -> None:
        """Offer a mean curve only where there are curves, and no region where points say where to fit."""
        for row in (self._starts, self.mean_button):
            self._form.setRowVisible(row, job == "voxels")
        self._form.setRowVisible(self._where, job != "spots")
        self.numbers.setVisible(job != "spots" and self.numbers_button.isChecked())

    def _on_mean(self, _index: int = 0) -> None:
        self.factor.setVisible(self.mean_use == "bounds")
        self.means.setToolTip(MEANS[self.mean_use][1])
        self.changed.emit()


def _is_region(layer: Layer) -> bool:
    return layer._type_string in ("shapes", "labels") and not is_output(layer)
