"""The section Region: where to fit, and for curves what the region's mean curve is good for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from ...layers.geometry.output_layers import is_output
from ...layers.request.choices import Frames, Job, MeanUse
from ..widgets.forms import NumberEdit, form, label
from ..widgets.layer_combo import LayerCombo

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image, Labels, Layer, Shapes

FRAMES: dict[Frames, str] = {"all": "all frames", "current": "this frame", "drawn": "where drawn"}
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
    """Where to fit: everywhere, in drawn shapes, or in labels."""

    draw = Signal()
    fit_mean = Signal()
    changed = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = LayerCombo(layers, _is_region, none="Whole image")
        self.layers.setToolTip(
            "Where to fit: each shape of a Shapes layer, or each label of a Labels layer, is a region"
        )
        self.draw_button = QPushButton("Dra&w")
        self.draw_button.setToolTip("Make a Shapes layer over the image, ready to draw a region in (Alt+W)")
        self.frames = QComboBox()
        self.frames.setToolTip("In which frames of a stack a region is fitted")
        self.frames.setAccessibleName("Frames")
        for key, text in FRAMES.items():
            self.frames.addItem(text, key)
        self.means = QComboBox()
        for use, (text, tip) in MEANS.items():
            self.means.addItem(text, use)
            self.means.setItemData(self.means.count() - 1, tip, 3)  # Qt.ToolTipRole
        self.means.setToolTip("Where the fits of the voxels start, if the table below does not say it")
        self.factor = NumberEdit("The factor", "How far a voxel's parameters may be from the mean curve's", "× 3")
        self.factor.setMaximumWidth(60)
        self.mean_button = QPushButton("Fit mean c&urve")
        self.mean_button.setToolTip("Fit the region's mean curve alone, and show its values in the table (Alt+U)")

        row = QHBoxLayout()
        row.addWidget(self.layers, 1)
        row.addWidget(self.draw_button)
        row.addWidget(self.frames)
        starts = QHBoxLayout()
        starts.addWidget(self.means, 1)
        starts.addWidget(self.factor)
        starts.addWidget(self.mean_button)
        self._starts = QWidget()
        self._starts.setLayout(starts)
        starts.setContentsMargins(0, 0, 0, 0)
        rows = form(self)
        rows.addRow(label("&Region", self.layers), row)
        rows.addRow(label("&Start", self.means), self._starts)
        self._form = rows

        self.draw_button.clicked.connect(lambda: self.draw.emit())
        self.mean_button.clicked.connect(lambda: self.fit_mean.emit())
        self.means.currentIndexChanged.connect(self._on_mean)
        self._on_mean()

    @property
    def layer(self) -> Shapes | Labels | None:
        """The layer that holds the regions, None for the whole image."""
        return self.layers.layer()

    @property
    def frame_choice(self) -> Frames:
        """In which frames to fit."""
        return cast("Frames", self.frames.currentData())

    @property
    def mean_use(self) -> MeanUse:
        """What the mean curve is good for."""
        return cast("MeanUse", self.means.currentData())

    def set_context(self, job: Job, image: Image | None) -> None:
        """Offer the frames only where there are some, and a mean curve only where there are curves."""
        self.frames.setVisible(job == "region" and image is not None and image.ndim > 2)
        self._form.setRowVisible(self._starts, job == "voxels")
        self.setVisible(job != "spots")

    def _on_mean(self, _index: int = 0) -> None:
        self.factor.setVisible(self.mean_use == "bounds")
        self.means.setToolTip(MEANS[self.mean_use][1])
        self.changed.emit()


def _is_region(layer: Layer) -> bool:
    return layer._type_string in ("shapes", "labels") and not is_output(layer)
