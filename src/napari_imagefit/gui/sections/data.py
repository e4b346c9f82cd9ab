"""The section Data: which layer, what to fit in it, and for curves along which axis, at which coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QRadioButton, QWidget

from ...layers.geometry.output_layers import is_output
from ...layers.geometry.transforms import grid_shape, unit_symbol
from ...layers.request.choices import Job
from ..widgets.forms import Combo, form, label
from ..widgets.layer_combo import LayerCombo
from .coordinates import CoordinatesEdit

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image, Layer

JOBS: dict[Job, tuple[str, str]] = {
    "region": ("Region", "Fit one surface to the pixels of each region, frame by frame"),
    "spots": ("Spots", "Fit one surface in a small window around each of many points"),
    "voxels": ("Voxels", "Fit one curve to each voxel, along an axis of the stack"),
}


class DataSection(QWidget):
    """The layer, the job, and the axis with its coordinates."""

    layer_chosen = Signal(object)
    job_chosen = Signal(str)
    axis_chosen = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = LayerCombo(layers, is_data)
        self.layers.setToolTip("The image layer to fit")
        self._axes: dict[str, int] = {}  # that were chosen, by the layer
        self._jobs = QButtonGroup(self)
        self._buttons: dict[Job, QRadioButton] = {}
        for job, (title, tip) in JOBS.items():
            button = QRadioButton(title)
            button.setToolTip(tip)
            self._buttons[job] = button
            self._jobs.addButton(button)
        self.axis = Combo()
        self.axis.setToolTip("The axis along which the curves run")
        self.coordinates = CoordinatesEdit()

        jobs = QHBoxLayout()
        for button in self._buttons.values():
            jobs.addWidget(button)
        jobs.addStretch()
        rows = form(self)
        rows.addRow(label("&Data", self.layers), self.layers)
        rows.addRow(label("Fit"), jobs)
        rows.addRow(label("&Axis", self.axis), self.axis)
        rows.addRow(label("C&oordinates", self.coordinates.kinds), self.coordinates)
        self._form = rows

        self.layers.chosen.connect(self._on_layer)
        self._jobs.buttonToggled.connect(self._on_job)
        self.axis.activated.connect(lambda _: self._on_axis())
        self.coordinates.changed.connect(self._on_axis)
        self._buttons["region"].setChecked(True)
        self._fill_axes()

    @property
    def image(self) -> Image | None:
        """The chosen layer."""
        return self.layers.layer()

    @property
    def job(self) -> Job:
        """Job: what to fit."""
        return next(job for job, button in self._buttons.items() if button.isChecked())

    @property
    def chosen_axis(self) -> int:
        """The axis along which curves run."""
        return self.axis.currentData() or 0

    def set_job(self, job: Job) -> None:
        """Choose what to fit."""
        self._buttons[job].setChecked(True)

    def set_axis(self, axis: int) -> None:
        """Choose the axis along which curves run."""
        self.axis.setCurrentIndex(self.axis.findData(axis))
        self._on_axis()

    def _on_layer(self, layer: Image | None) -> None:
        self._fill_axes()
        self.layer_chosen.emit(layer)

    def _on_job(self, _button: object, checked: bool) -> None:
        for widget in (self.axis, self.coordinates):
            self._form.setRowVisible(widget, self.job == "voxels")
        if checked:
            self.job_chosen.emit(self.job)

    def _on_axis(self) -> None:
        if self.image is not None:
            self._axes[str(self.image.unique_id)] = self.chosen_axis
        self.coordinates.show_preview(self.image, self.chosen_axis)
        self.axis_chosen.emit()

    def _fill_axes(self) -> None:
        image = self.image
        self.axis.clear()
        if image is None:
            return
        for axis, length in enumerate(grid_shape(image)):
            words = image.axis_labels[axis]
            name = f"axis {axis}" if words.lstrip("-").isdigit() else f"{words} (axis {axis})"
            unit = unit_symbol(image.units[axis])
            self.axis.addItem(f"{name} · {length} samples{'' if unit == 'px' else f' · {unit}'}", axis)
        before = self.axis.findData(self._axes.get(str(image.unique_id), 0))
        self.axis.setCurrentIndex(max(before, 0))
        self.coordinates.show_preview(image, self.chosen_axis)


def is_data(layer: Layer) -> bool:
    """Whether a layer can be fitted: an image, and not one that a fit has made."""
    return layer._type_string == "image" and not is_output(layer)
