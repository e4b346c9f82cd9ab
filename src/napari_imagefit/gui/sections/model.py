"""The section Model: which one, with its formula."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QWidget

from ...catalogue import models
from ...engine.models.model import Model
from ...layers.request.choices import Job
from ..widgets.forms import form, label


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

        rows = form(self)
        rows.addRow(label("&Model", self.names), self.names)
        rows.addRow(self.formula)

        self.names.currentTextChanged.connect(self._on_name)

    @property
    def model(self) -> Model:
        """The chosen model."""
        return models[self.names.currentText()]

    def set_job(self, job: Job) -> None:
        """Offer the models of that job: surfaces for regions, volumes too for spots, curves for voxels."""
        offered = offered_models(job)
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


def offered_models(job: Job) -> list[str]:
    """Return the names of the models for that job."""
    axes = {"voxels": (1,), "spots": (2, 3), "region": (2,)}[job]
    return [model.name for n in axes for model in models.values() if model.ndim == n]
