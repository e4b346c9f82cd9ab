"""The section Options: the noise, outliers, and how the fit is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtWidgets import QSpinBox, QWidget

from ...engine.core.errors import FitInputError
from ...engine.core.types import LOSSES, DType, Loss
from ...layers.request.choices import Computing, Job, NoiseChoice, NoiseKind
from ..widgets.forms import Combo, Fold, NumberEdit, form, label, pair, slim
from ..widgets.layer_combo import LayerCombo
from .data import is_data

if TYPE_CHECKING:
    from napari.components import LayerList

NOISE_CHOICES: dict[NoiseKind, tuple[str, str]] = {
    "unknown": ("Gaussian, of unknown size", "Least squares; errors are scaled by what the residuals say of the noise"),
    "sigma": ("Gaussian, known σ", "Least squares weighted by 1/σ²; errors are absolute, and χ² has a meaning"),
    "poisson": ("Poisson counts", "Maximum likelihood of counts: photons, decays. The data must not be negative"),
    "camera": ("Camera: gain, offset, read noise", "Maximum likelihood of photoelectrons that a camera has read out"),
    "rician": ("Rician magnitude (MRI)", "Maximum likelihood of magnitudes; σ is the noise of one channel"),
}
LOSS_TIPS: dict[Loss, str] = {
    "linear": "Every residual counts with its square",
    "soft_l1": "Outliers count less: smooth, gentle",
    "huber": "Residuals beyond the limit count linearly",
    "cauchy": "Outliers count little",
    "arctan": "Outliers count next to nothing",
}
DEVICES = {"automatic": None, "cpu": "cpu", "gpu": "gpu"}
PRECISIONS: dict[str, DType] = {"double (float64)": "float64", "single (float32)": "float32"}


class OptionsSection(QWidget):
    """Noise, loss, iterations, tolerance, precision and device."""

    changed = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.noise = Combo()
        for kind, (text, tip) in NOISE_CHOICES.items():
            self.noise.addItem(text, kind)
            self.noise.setItemData(self.noise.count() - 1, tip, 3)  # Qt.ToolTipRole
        self.sigma = NumberEdit("σ", "Standard deviation of the noise, in units of the data", "σ")
        self.sigma_layer = LayerCombo(layers, is_data, none="one number")
        self.sigma_layer.setToolTip("One σ for all, or a layer that holds it for each voxel or each sample")
        self.sigma_layer.setAccessibleName("Layer of σ")
        self.gain = NumberEdit("The gain", "Data units per photoelectron", "1")
        self.offset = NumberEdit("The camera's offset", "The data without light, in data units", "0")
        self.read_noise = NumberEdit("The read noise", "Standard deviation of the read noise, in electrons", "0")
        self.loss = Combo()
        self.loss.addItems(list(LOSSES))
        self.f_scale = NumberEdit(
            "The outlier limit",
            "The residual from which on a sample is taken for an outlier: in units of σ where it is known, else of the "
            "data",
            "1",
        )
        self.iterations = slim(QSpinBox())
        self.iterations.setRange(1, 100_000)
        self.iterations.setValue(100)
        self.iterations.setToolTip("Trial steps after which a fit gives up")
        self.tolerance = NumberEdit("The tolerance", "Relative change below which a fit has converged", "1e-8")
        self.precision, self.device = Combo(), Combo()
        self.precision.addItems(list(PRECISIONS))
        self.precision.setToolTip("Single precision is faster, and good for about 6 digits")
        self.device.addItems(list(DEVICES))
        self.device.setToolTip("Compute device; 'automatic' uses a GPU if one is available")

        self._sigma = pair(self.sigma, self.sigma_layer)
        self._camera = pair(self.gain, "offset", self.offset)
        self._read = pair(self.read_noise)
        self._limit = pair("limit", self.f_scale)
        rows = form(self)
        rows.addRow(label("Noise", self.noise), self.noise)
        rows.addRow(label("σ", self.sigma), self._sigma)
        rows.addRow(label("Gain", self.gain), self._camera)
        rows.addRow(label("Read noise", self.read_noise), self._read)
        rows.addRow(label("Outliers", self.loss), pair(self.loss, self._limit))
        rows.addRow(label("Iterations", self.iterations), self.iterations)
        rows.addRow(label("Tolerance", self.tolerance), self.tolerance)
        rows.addRow(label("Precision", self.precision), self.precision)
        rows.addRow(label("Device", self.device), self.device)
        self._form = rows

        for combo in (self.noise, self.loss, self.precision, self.device):
            combo.currentIndexChanged.connect(self._on_choice)
        self.sigma_layer.chosen.connect(self._on_choice)
        self.iterations.valueChanged.connect(lambda _: self.changed.emit())
        for edit in (self.sigma, self.gain, self.offset, self.read_noise, self.f_scale, self.tolerance):
            edit.editingFinished.connect(self.changed.emit)
        # what another noise or job has set aside, and comes back with the one before
        self._loss_aside, self._rician_aside = 0, False
        self._on_choice()

    @property
    def kind(self) -> NoiseKind:
        """Kind of noise."""
        return cast("NoiseKind", self.noise.currentData())

    def set_job(self, job: Job) -> None:
        """Magnitudes with Rician noise are curves."""
        row = self.noise.findData("rician")
        self.noise.model().item(row).setEnabled(job == "voxels")
        if job != "voxels" and self.kind == "rician":
            self._rician_aside = True
            self.noise.setCurrentIndex(0)
        elif job == "voxels" and self._rician_aside:
            self._rician_aside = False
            if self.noise.currentIndex() == 0:
                self.noise.setCurrentIndex(row)

    def noise_choice(self) -> NoiseChoice:
        """Return what is known of the noise, with its numbers.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        if self.kind in ("sigma", "rician"):
            layer = self.sigma_layer.layer()
            return NoiseChoice(self.kind, sigma=self.sigma.number() if layer is None else layer)
        if self.kind == "camera":
            gain, offset, read = (edit.number() for edit in (self.gain, self.offset, self.read_noise))
            return NoiseChoice("camera", None, 1.0 if gain is None else gain, offset or 0.0, read or 0.0)
        return NoiseChoice(self.kind)

    def set_noise(self, choice: NoiseChoice) -> None:
        """Show what is known of the noise, where its σ is a number."""
        self.noise.setCurrentIndex(self.noise.findData(choice.kind))
        gain = choice.gain if choice.kind == "camera" else None
        numbers = choice.sigma, gain, choice.offset or None, choice.read_noise or None
        for edit, value in zip((self.sigma, self.gain, self.offset, self.read_noise), numbers, strict=True):
            edit.setText("" if value is None else f"{value:g}")
        self.changed.emit()

    def set_device(self, name: str) -> None:
        """Choose where is computed."""
        self.device.setCurrentText(name)

    def computing(self) -> Computing:
        """Return the options of the computation.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        limit, tolerance = self.f_scale.number(), self.tolerance.number()
        return Computing(
            loss=cast("Loss", self.loss.currentText()),
            f_scale=1.0 if limit is None else limit,
            max_iterations=self.iterations.value(),
            tolerance=1e-8 if tolerance is None else tolerance,
            dtype=PRECISIONS[self.precision.currentText()],
            device=DEVICES[self.device.currentText()],
        )

    def summary(self) -> str:
        """Return what is chosen in a few words, for the title of a part that is folded."""
        words = [self.noise.currentText()]
        words += [self.loss.currentText()] if self.loss.currentText() != "linear" else []
        try:
            computing = self.computing()
            self.noise_choice()
        except FitInputError as error:
            return f"⚠ {error}"
        words += ["float32"] if computing.dtype == "float32" else []
        words += [computing.device] if computing.device else []
        return ", ".join(words)

    def _on_choice(self, _index: object = None) -> None:
        kind = self.kind
        self.noise.setToolTip(NOISE_CHOICES[kind][1])
        self._form.setRowVisible(self._sigma, kind in ("sigma", "rician"))
        for row in (self._camera, self._read):
            self._form.setRowVisible(row, kind == "camera")
        self.sigma.setVisible(self.sigma_layer.layer() is None)
        robust = kind in ("unknown", "sigma")
        self._set_loss_aside(not robust)
        self.loss.setEnabled(robust)
        loss = cast("Loss", self.loss.currentText())
        self.loss.setToolTip(LOSS_TIPS[loss] if robust else "Outliers count in full where the noise has a likelihood")
        self._limit.setVisible(loss != "linear")
        self.changed.emit()

    def _set_loss_aside(self, aside: bool) -> None:
        """Outliers count in full where the noise has a likelihood; with other noise the choice comes back."""
        if aside and self.loss.currentIndex():
            self._loss_aside = self.loss.currentIndex()
            self.loss.setCurrentIndex(0)
        elif not aside and self._loss_aside:
            back, self._loss_aside = self._loss_aside, 0
            self.loss.setCurrentIndex(back)


def options_fold(section: OptionsSection) -> Fold:
    """Return the section under a title that sums up its settings."""
    fold = Fold("Options", section, "Noise, outliers, iterations, tolerance, precision and device")
    section.changed.connect(lambda: fold.set_summary(section.summary()))
    fold.set_summary(section.summary())
    return fold
