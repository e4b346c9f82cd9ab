"""The sections of the dock widget above the parameter table: Data, Model and Region."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)

from ..catalogue import models
from ..engine.errors import FitInputError
from ..engine.model import Model
from ..layers.choices import Frames, Job
from ..layers.geometry import grid_shape, unit_symbol
from ..layers.outputs import is_output
from .layer_combo import LayerCombo

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Image, Labels, Layer, Shapes

JOBS: dict[Job, tuple[str, str]] = {
    "region": ("Region", "Fit one surface to the pixels of each region, frame by frame"),
    "voxels": ("Voxels", "Fit one curve to each voxel, along an axis of the stack"),
}
FRAMES: dict[Frames, str] = {"all": "all frames", "current": "this frame", "drawn": "where drawn"}


def _label(text: str, buddy: QWidget | None = None) -> QLabel:
    """A row's label, as wide as the widest of all sections, so that their fields stand in one column."""
    label = QLabel(text)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance("Coordinates "))
    label.setBuddy(buddy)
    return label


def _form(parent: QWidget) -> QFormLayout:
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


class DataSection(QWidget):
    """Which layer, what to fit in it, and for curves along which axis and at which coordinates."""

    layer_chosen = Signal(object)
    job_chosen = Signal(str)
    axis_chosen = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = LayerCombo(layers, _is_data)
        self.layers.setToolTip("The image layer to fit")
        self._jobs = QButtonGroup(self)
        self._buttons: dict[Job, QRadioButton] = {}
        for job, (title, tip) in JOBS.items():
            button = QRadioButton(title)
            button.setToolTip(tip)
            self._buttons[job] = button
            self._jobs.addButton(button)
        self.axis = QComboBox()
        self.axis.setToolTip("The axis along which the curves run")
        self.x_values = QLineEdit()
        self.x_values.setPlaceholderText("the layer's scale and units")
        self.x_values.setToolTip(
            "Coordinates of the samples along the axis, such as echo times or b-values: one number for each, separated "
            "by commas or spaces. Empty: the layer's own scale, translate and unit"
        )

        jobs = QHBoxLayout()
        for button in self._buttons.values():
            jobs.addWidget(button)
        jobs.addStretch()
        form = _form(self)
        form.addRow(_label("&Data", self.layers), self.layers)
        form.addRow(_label("Fit"), jobs)
        form.addRow(_label("&Axis", self.axis), self.axis)
        form.addRow(_label("C&oordinates", self.x_values), self.x_values)
        self._form = form

        self.layers.chosen.connect(self._on_layer)
        self._jobs.buttonToggled.connect(self._on_job)
        self.axis.activated.connect(lambda _: self.axis_chosen.emit())
        self.x_values.editingFinished.connect(self.axis_chosen.emit)
        self._buttons["region"].setChecked(True)
        self._fill_axes()

    @property
    def image(self) -> Image | None:
        """The chosen layer."""
        return self.layers.layer()

    @property
    def job(self) -> Job:
        """What to fit."""
        return next(job for job, button in self._buttons.items() if button.isChecked())

    def set_job(self, job: Job) -> None:
        """Choose what to fit."""
        self._buttons[job].setChecked(True)

    def coordinates(self) -> tuple[float, ...] | None:
        """The typed coordinates, None if there are none.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        words = self.x_values.text().replace(",", " ").replace(";", " ").split()
        if not words:
            return None
        try:
            return tuple(float(word) for word in words)
        except ValueError:
            wrong = next(word for word in words if not _is_number(word))
            raise FitInputError(
                f"The coordinate {wrong!r} is not a number; type numbers separated by commas or spaces."
            ) from None

    def _on_layer(self, layer: Image | None) -> None:
        self._fill_axes()
        self.layer_chosen.emit(layer)

    def _on_job(self, _button: object, checked: bool) -> None:
        for widget in (self.axis, self.x_values):
            self._form.setRowVisible(widget, self.job == "voxels")
        if checked:
            self.job_chosen.emit(self.job)

    def _fill_axes(self) -> None:
        image = self.image
        self.axis.clear()
        if image is None:
            return
        for axis, length in enumerate(grid_shape(image)):
            label = image.axis_labels[axis]
            name = f"axis {axis}" if label.lstrip("-").isdigit() else label
            unit = unit_symbol(image.units[axis])
            self.axis.addItem(f"{name} · {length} samples{'' if unit == 'px' else f' · {unit}'}", axis)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_data(layer: Layer) -> bool:
    return layer._type_string == "image" and not is_output(layer)


class ModelSection(QWidget):
    """Which model, with its formula."""

    model_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names = QComboBox()
        self.names.setToolTip("The model to fit")
        self.formula = QLabel()
        self.formula.setWordWrap(True)
        self.formula.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        form = _form(self)
        form.addRow(_label("&Model", self.names), self.names)
        form.addRow(self.formula)

        self.names.currentTextChanged.connect(self._on_name)

    @property
    def model(self) -> Model:
        """The chosen model."""
        return models[self.names.currentText()]

    def set_job(self, job: Job) -> None:
        """Offer the models of that job: surfaces for regions, curves for voxels."""
        offered = [model.name for model in models.values() if model.ndim == (1 if job == "voxels" else 2)]
        if offered == [self.names.itemText(i) for i in range(self.names.count())]:
            return
        blocked = self.names.blockSignals(True)
        self.names.clear()
        self.names.addItems(offered)
        self.names.blockSignals(blocked)
        self._on_name(self.names.currentText())

    def set_model(self, name: str) -> None:
        """Choose a model of the job."""
        self.names.setCurrentText(name)

    def _on_name(self, name: str) -> None:
        model = models[name]
        self.formula.setText(model.formula)
        self.names.setToolTip(f"{model.name}: {model.formula}\nReference: {model.reference}")
        self.model_chosen.emit(model)


class RegionSection(QWidget):
    """Where to fit: everywhere, in drawn shapes, or in labels."""

    draw = Signal()

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
        for key, text in FRAMES.items():
            self.frames.addItem(text, key)

        row = QHBoxLayout()
        row.addWidget(self.layers, 1)
        row.addWidget(self.draw_button)
        row.addWidget(self.frames)
        form = _form(self)
        form.addRow(_label("&Region", self.layers), row)

        self.draw_button.clicked.connect(lambda: self.draw.emit())

    @property
    def layer(self) -> Shapes | Labels | None:
        """The layer that holds the regions, None for the whole image."""
        return self.layers.layer()

    @property
    def frame_choice(self) -> Frames:
        """In which frames to fit."""
        return cast("Frames", self.frames.currentData())

    def set_context(self, job: Job, image: Image | None) -> None:
        """Offer the frames only where there are some."""
        self.frames.setVisible(job == "region" and image is not None and image.ndim > 2)


def _is_region(layer: Layer) -> bool:
    return layer._type_string in ("shapes", "labels") and not is_output(layer)
