"""The section Samples: which samples of a curve count, and which curves are worth fitting."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QSpinBox, QWidget

from ...engine.core.errors import FitInputError
from ...imaging.fitting.selection import Selection
from ...layers.request.coordinates import parse_ranges
from ..widgets.forms import Fold, NumberEdit, form, label, slim
from ..widgets.numbers import exact


class SamplesSection(QWidget):
    """Samples that are skipped or excluded, and limits of what counts as signal."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first, self.last = slim(QSpinBox()), slim(QSpinBox())
        for box, which in ((self.first, "first"), (self.last, "last")):
            box.setRange(0, 9999)
            box.setToolTip(f"How many of the {which} samples of each curve do not count")
            box.setAccessibleName(f"Samples to skip: {which}")
        self.exclude = QLineEdit()
        self.exclude.setPlaceholderText("none, or 40–60, 100–120")
        self.exclude.setToolTip("Ranges of the coordinate whose samples do not count, both ends included")
        self.floor = NumberEdit("The noise floor", "Samples below it do not count", "none")
        self.saturation = NumberEdit("The saturation", "Samples at or above it do not count", "none")
        self.signal = NumberEdit(
            "The minimum signal", "Voxels whose largest sample is below it are not fitted: background", "none"
        )

        rows = form(self)
        rows.addRow(label("Skip first", self.first), self.first)
        rows.addRow(label("Skip last", self.last), self.last)
        rows.addRow(label("Exclude", self.exclude), self.exclude)
        rows.addRow(label("Noise floor", self.floor), self.floor)
        rows.addRow(label("Saturation", self.saturation), self.saturation)
        rows.addRow(label("Min. signal", self.signal), self.signal)

        for box in (self.first, self.last):
            box.valueChanged.connect(lambda _: self.changed.emit())
        for edit in (self.exclude, self.floor, self.saturation, self.signal):
            edit.editingFinished.connect(self.changed.emit)

    def selection(self) -> Selection | None:
        """Return what is chosen; None if all samples count.

        Raises
        ------
        FitInputError
            If something typed is no number or range, or makes no sense.
        """
        chosen = Selection(
            skip_first=self.first.value(),
            skip_last=self.last.value(),
            exclude=parse_ranges(self.exclude.text()),
            noise_floor=self.floor.number(),
            saturation=self.saturation.number(),
            min_signal=self.signal.number(),
        )
        return None if chosen == Selection() else chosen

    def set_exclude(self, ranges: Sequence[tuple[float, float]]) -> None:
        """Fill in the ranges whose samples do not count."""
        self.exclude.setText(ranges_text(ranges))
        self.changed.emit()

    def set_saturation(self, value: float) -> None:
        """Fill in from which value on samples do not count."""
        self.saturation.setText(f"{value:g}")
        self.changed.emit()

    def summary(self) -> str:
        """Return what is chosen in a few words, for the title of a part that is folded."""
        try:
            chosen = self.selection()
        except FitInputError as error:
            return f"⚠ {error}"
        if chosen is None:
            return "all count"
        words = []
        for n, which in ((chosen.skip_first, "first"), (chosen.skip_last, "last")):
            words += [f"without the {which} {n}"] if n else []
        words += ["ranges excluded"] if chosen.exclude else []
        words += [f"≥ {chosen.noise_floor:g}"] if chosen.noise_floor is not None else []
        words += [f"< {chosen.saturation:g}"] if chosen.saturation is not None else []
        words += [f"signal ≥ {chosen.min_signal:g}"] if chosen.min_signal is not None else []
        return ", ".join(words)


def ranges_text(ranges: Sequence[tuple[float, float]]) -> str:
    """Return ranges so that they are read back as they were."""
    return ", ".join(f"{exact(low)}–{exact(high)}" for low, high in ranges)


def samples_fold(section: SamplesSection) -> Fold:
    """Return the section under a title that sums up its settings."""
    fold = Fold("Samples", section, "Which samples of each curve count: skip, exclude, noise floor, saturation")
    section.changed.connect(lambda: fold.set_summary(section.summary()))
    fold.set_summary(section.summary())
    return fold
