"""Coordinates of the samples of a curve along the fitted axis: five ways to give them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ...engine.core.errors import FitInputError
from ...layers.request.choices import CoordinateKind, Coordinates
from ...layers.request.coordinates import parse_numbers, read_columns, resolve
from ..widgets.forms import Combo, NumberEdit
from ..widgets.numbers import exact

if TYPE_CHECKING:
    from napari.layers import Image

COORDINATE_CHOICES: dict[CoordinateKind, tuple[str, str]] = {
    "layer": ("the layer's scale and units", "The layer's own scale, translate and unit along the axis"),
    "index": ("index", "0, 1, 2, … without a unit"),
    "steps": ("start + step", "Evenly spaced: the first coordinate, the step to the next, and their unit"),
    "typed": ("typed or pasted values", "One number for each sample, such as echo times or b-values"),
    "column": ("column of a file", "A column of a CSV or text file, one row for each sample; FSL's b-values too"),
}
NAME_WIDTH = 150  # pixels of a file's name on its button
BROWSE = "&Browse…"
FILE_TIP = "Choose a CSV or text file with the coordinates in a column"
FILTER = "Tables (*.csv *.tsv *.txt *.dat *.bval *.bvals);;All files (*)"


class CoordinatesEdit(QWidget):
    """One choice out of five, the fields that it needs, and the coordinates that it gives."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: dict[str, tuple[float, ...]] = {}
        self.kinds = Combo()
        self.kinds.setToolTip("Where the coordinates of the samples along the axis come from")
        self.kinds.setAccessibleName("Coordinates")
        for kind, (text, tip) in COORDINATE_CHOICES.items():
            self.kinds.addItem(text, kind)
            self.kinds.setItemData(self.kinds.count() - 1, tip, 3)  # Qt.ToolTipRole
        self.start = NumberEdit("The first coordinate", "Coordinate of the first sample", "start (0)")
        self.step = NumberEdit("The step", "From one sample's coordinate to the next one's", "step (1)")
        self.values = QLineEdit()
        self.values.setPlaceholderText("5, 10, 20, 40 …")
        self.values.setAccessibleName("Coordinates of the samples")
        self.values.setToolTip("One number for each sample, separated by commas, spaces or lines")
        self.file_button = QPushButton(BROWSE)
        # the name of a file is as long as it likes
        self.file_button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.file_button.setToolTip(FILE_TIP)
        self.column = Combo()
        self.column.setToolTip("The column that holds the coordinates")
        self.column.setAccessibleName("Column with the coordinates")
        self.unit = QLineEdit()
        self.unit.setPlaceholderText("unit")
        self.unit.setAccessibleName("Unit of the coordinates")
        self.unit.setToolTip("The coordinates' unit, such as ms or s/mm²; time constants come back in it")
        self.unit.setMaximumWidth(60)
        self.preview = QElidingLabel()
        self.preview.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.preview.setAccessibleName("The coordinates that this gives")

        fields = QHBoxLayout()
        fields.setContentsMargins(0, 0, 0, 0)
        for widget in (self.start, self.step, self.values, self.column):
            fields.addWidget(widget, 1)
        fields.addWidget(self.unit)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.kinds)
        layout.addWidget(self.file_button)
        layout.addLayout(fields)
        layout.addWidget(self.preview)

        self.kinds.currentIndexChanged.connect(self._on_kind)
        for edit in (self.start, self.step, self.values, self.unit):
            edit.editingFinished.connect(self.changed.emit)
        self.column.activated.connect(lambda _: self.changed.emit())
        self.file_button.clicked.connect(lambda: self.choose_file())
        self._on_kind()

    @property
    def kind(self) -> CoordinateKind:
        """Chosen one of the five."""
        return cast("CoordinateKind", self.kinds.currentData())

    def coordinates(self) -> Coordinates:
        """Return what is chosen.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        unit = self.unit.text().strip()
        if self.kind == "steps":
            start, step = self.start.number(), self.step.number()
            return Coordinates("steps", 0.0 if start is None else start, 1.0 if step is None else step, unit=unit)
        if self.kind == "typed":
            return Coordinates("typed", values=parse_numbers(self.values.text()), unit=unit)
        if self.kind == "column":
            return Coordinates("column", values=self._columns.get(self.column.currentText(), ()), unit=unit)
        return Coordinates(self.kind)

    def set_coordinates(self, chosen: Coordinates) -> None:
        """Fill the fields in; of a file that was read only the column's numbers are known."""
        self.kinds.setCurrentIndex(self.kinds.findData(chosen.kind))
        self.unit.setText(chosen.unit)
        if chosen.kind == "steps":
            self.start.setText(exact(chosen.start))
            self.step.setText(exact(chosen.step))
        elif chosen.kind == "typed":
            self.values.setText(", ".join(map(exact, chosen.values)))
        elif chosen.kind == "column":
            name = next((name for name, values in self._columns.items() if values == chosen.values), None)
            if name is None:
                name = "as it was"
                self._columns[name] = chosen.values
                if self.column.findText(name) < 0:
                    self.column.addItem(name)
            self.column.setCurrentText(name)
        self.changed.emit()

    def choose_file(self) -> None:
        """Ask for a file."""
        path, _ = QFileDialog.getOpenFileName(self, "Coordinates of the samples", "", FILTER)
        if path:
            self.load(path)

    def load(self, path: str) -> None:
        """Offer the columns of a file."""
        self.column.clear()
        self._columns = {}
        try:
            self._columns = dict(read_columns(path))
        except FitInputError as error:
            self.file_button.setText(BROWSE)
            self.file_button.setToolTip(FILE_TIP)
            self._say(f"⚠ {error}")
            return
        self.column.addItems(list(self._columns))
        name = Path(path).name
        metrics = self.file_button.fontMetrics()
        self.file_button.setText(metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, NAME_WIDTH).replace("&", "&&"))
        self.file_button.setToolTip(f"{FILE_TIP}\n{path}")
        self.changed.emit()

    def show_preview(self, image: Image | None, axis: int) -> None:
        """Say what coordinates come out, or why none do."""
        if image is None or axis >= image.ndim:
            self._say("")
            return
        try:
            x, unit = resolve(self.coordinates(), image, axis)
        except FitInputError as error:
            self._say(f"⚠ {error}")
            return
        self._say(describe(x, unit))

    def _say(self, text: str) -> None:
        self.preview.setText(text)
        self.preview.setToolTip(text)

    def _on_kind(self, _index: int = 0) -> None:
        kind = self.kind
        for widget, kinds in (
            (self.start, ("steps",)),
            (self.step, ("steps",)),
            (self.values, ("typed",)),
            (self.file_button, ("column",)),
            (self.column, ("column",)),
            (self.unit, ("steps", "typed", "column")),
        ):
            widget.setVisible(kind in kinds)
        self.kinds.setToolTip(COORDINATE_CHOICES[kind][1])
        self.changed.emit()


def describe(x: object, unit: str) -> str:
    """Coordinates in a few words.

    Examples
    --------
    >>> describe([8.0, 16.0, 24.0, 32.0], "ms")
    '8, 16, 24 … 32 ms'
    """
    values = [f"{value:.6g}" for value in x]  # type: ignore[attr-defined]
    text = ", ".join(values) if len(values) < 4 else f"{', '.join(values[:3])} … {values[-1]}"
    return f"{text} {unit}".strip()
