"""The section Detection: what counts as a spot, and how many the frame on screen has by that."""

from __future__ import annotations

from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QLabel, QSpinBox, QWidget

from ...engine.core.errors import FitInputError
from ...imaging.spots.detection import Detection
from ..widgets.forms import Combo, Fold, form, label, slim

SIGN_CHOICES = {"bright": True, "dark": False}
SPACES = {"each frame (2-D)": 2, "volumes (3-D)": 3}


class DetectSection(QWidget):
    """Scale, threshold, distance, border, sign, frames or volumes, and the preview's count."""

    changed = Signal()
    space_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scale = _spin(0.3, 100, 0.1, "Standard deviation σ of the spots that are searched, in pixels", " px")
        self.along_z = _spin(0.3, 100, 0.1, "Standard deviation σ of the spots along z, in planes", " planes")
        self.threshold = _spin(0.5, 1e6, 0.5, "By how many times the noise a spot must stand out", " × noise")
        self.distance = _spin(0, 1000, 0.5, "Of spots that are less than this apart the strongest is kept", " px")
        self.border = slim(QSpinBox())
        self.border.setRange(0, 9999)
        self.border.setSuffix(" px")
        self.border.setToolTip("So many pixels at each edge are not searched")
        self.sign, self.space = Combo(), Combo()
        self.sign.addItems(list(SIGN_CHOICES))
        self.sign.setToolTip("Whether spots are brighter or darker than what is around them")
        self.space.addItems(list(SPACES))
        self.space.setToolTip("Whether spots are searched in each plane by itself, or in volumes")
        self.preview = QCheckBox("Preview")
        self.preview.setToolTip("Draw what would be found in the frame on screen, while settings and frame change")
        self.preview.setChecked(True)
        self.note = QLabel()
        self.note.setAccessibleName("What the preview has found")
        self.note.setWordWrap(True)
        self._volumes_aside = False  # chosen, and comes back with an image that has some
        self.reset()

        last = QHBoxLayout()
        last.addWidget(self.preview)
        last.addWidget(self.note, 1)
        rows = form(self)
        rows.addRow(label("Scale σ", self.scale), self.scale)
        rows.addRow(label("σ along z", self.along_z), self.along_z)
        rows.addRow(label("Spots are", self.sign), self.sign)
        rows.addRow(label("Threshold", self.threshold), self.threshold)
        rows.addRow(label("Distance", self.distance), self.distance)
        rows.addRow(label("Border", self.border), self.border)
        rows.addRow(label("Search", self.space), self.space)
        rows.addRow(last)
        self._form = rows

        for box in (self.scale, self.along_z, self.threshold, self.distance, self.border):
            box.valueChanged.connect(lambda _: self.changed.emit())
        self.sign.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.preview.toggled.connect(lambda _: self.changed.emit())
        self.space.currentIndexChanged.connect(self._on_space)
        self._on_space()

    @property
    def ndim(self) -> int:
        """Axes of what is searched: 2 for planes, 3 for volumes."""
        return SPACES[self.space.currentText()]

    def detection(self) -> Detection:
        """Return what is chosen.

        Raises
        ------
        FitInputError
            If it makes no sense.
        """
        scale: Any = self.scale.value()
        return Detection(
            scale=(self.along_z.value(), scale, scale) if self.ndim == 3 else scale,
            threshold=self.threshold.value(),
            min_distance=self.distance.value(),
            border=self.border.value(),
            bright=SIGN_CHOICES[self.sign.currentText()],
        )

    def set_detection(self, said: dict[str, Any]) -> None:
        """Fill the fields in, as a sample asks for it: the settings of a recipe, and ``ndim``."""
        chosen = Detection.of_recipe({name: value for name, value in said.items() if name != "ndim"})
        self.show_detection(chosen, int(said.get("ndim", 2)))

    def show_detection(self, chosen: Detection, ndim: int) -> None:
        """Fill the fields in, for planes or volumes."""
        self.set_space(ndim)
        scales = chosen.per_axis("scale", self.ndim)
        self.along_z.setValue(scales[0])
        self.scale.setValue(scales[-1])
        self.threshold.setValue(chosen.threshold)
        self.distance.setValue(chosen.per_axis("min_distance", self.ndim)[-1])
        self.border.setValue(int(chosen.per_axis("border", self.ndim)[-1]))
        self.sign.setCurrentText("bright" if chosen.bright else "dark")

    def reset(self) -> None:
        """Restore the defaults; planes or volumes stay."""
        plain = Detection()
        self.scale.setValue(float(plain.scale if isinstance(plain.scale, float) else plain.scale[-1]))
        self.along_z.setValue(3.0)
        self.threshold.setValue(plain.threshold)
        self.distance.setValue(float(plain.min_distance if isinstance(plain.min_distance, float) else 3.0))
        self.border.setValue(0)
        self.sign.setCurrentText("bright")

    def set_space(self, ndim: int) -> None:
        """Search in planes or volumes."""
        self.space.setCurrentIndex(list(SPACES.values()).index(ndim))

    def set_axes(self, n_axes: int) -> None:
        """Offer volumes only where the image can have some."""
        self.space.model().item(1).setEnabled(n_axes > 2)
        if n_axes < 3 and self.ndim == 3:
            self._volumes_aside = True
            self.set_space(2)
        elif n_axes > 2 and self._volumes_aside:
            self._volumes_aside = False
            self.set_space(3)

    def say(self, text: str, *, problem: bool = False) -> None:
        """Show what the preview found, or why it found nothing."""
        self.note.setText(f"⚠ {text}" if problem else text)

    def summary(self) -> str:
        """Return what is chosen in a few words, for the title of a part that is folded."""
        try:
            chosen = self.detection()
        except FitInputError as error:
            return f"⚠ {error}"
        return f"{self.sign.currentText()}, σ {self.scale.value():g} px, {chosen.threshold:g} × noise"

    def _on_space(self, _index: int = 0) -> None:
        self._form.setRowVisible(self.along_z, self.ndim == 3)
        self.space_chosen.emit(self.ndim)
        self.changed.emit()


def detect_fold(section: DetectSection) -> Fold:
    """Return the section under a title that sums up its settings."""
    fold = Fold("Detection", section, "What counts as a spot; what would be found is drawn while this is open")
    section.changed.connect(lambda: fold.set_summary(section.summary()))
    fold.set_summary(section.summary())
    return fold


def _spin(low: float, high: float, step: float, tip: str, suffix: str) -> QDoubleSpinBox:
    made = slim(QDoubleSpinBox())
    made.setRange(low, high)
    made.setSingleStep(step)
    made.setDecimals(2)
    made.setSuffix(suffix)
    made.setToolTip(tip)
    # what is typed counts when it is typed: half a number would filter the image for nothing
    made.setKeyboardTracking(False)
    return made
