"""The parameter table: start, bounds and fix for each parameter, and after a fit its value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from ..engine.errors import FitInputError
from ..engine.model import Model
from ..layers.choices import Row

NAME, START, LOWER, UPPER, FIX, VALUE = range(6)
TITLES = ("Parameter", "Start", "Min", "Max", "Fix", "Value ± error")
TIPS = (
    "The model's parameters, with their units",
    "Where the fit begins; empty or 'auto': estimated from the data. The value itself if Fix is ticked",
    "Lower bound; empty: the model's own",
    "Upper bound; empty: the model's own",
    "Hold the parameter at its start",
    "What the last fit found",
)
AUTO = "auto"


class ParameterTable(QTableWidget):
    """One row per parameter of the chosen model.

    Numbers are typed into the cells; a cell that holds no number turns red and says why in its tooltip.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(TITLES), parent)
        self._model: Model | None = None
        self.setAccessibleName("Parameters")
        self.setHorizontalHeaderLabels(TITLES)
        for column, tip in enumerate(TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(36)
        header.setStretchLastSection(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
        self.setMinimumWidth(400)  # name, start, bounds, fix and a value with its error, side by side
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)

        self.cellChanged.connect(self._on_cell_changed)

    def set_model(self, model: Model, units: Mapping[str, str]) -> None:
        """Show another model's parameters, or the same ones in other units; what was typed stays if the model does."""
        if model is self._model:
            self._set_units(units)
            return
        self._model = model
        blocked = self.blockSignals(True)
        self.setRowCount(len(model.parameters))
        for row, parameter in enumerate(model.parameters):
            name = QTableWidgetItem(parameter.name)
            name.setToolTip(f"{parameter.name}: {parameter.description}")
            name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            self.setItem(row, NAME, name)
            for column, text in (
                (START, AUTO),
                (LOWER, _bound(parameter.lower)),
                (UPPER, _bound(parameter.upper)),
            ):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
            self.setCellWidget(row, FIX, self._check_box(parameter.name))
            value = QTableWidgetItem("")
            value.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            self.setItem(row, VALUE, value)
            for column in (START, LOWER, UPPER):
                self._mark(row, column)
        self.blockSignals(blocked)
        self._set_units(units)
        self._fit_height()

    def rows(self) -> tuple[Row, ...]:
        """What is typed.

        Raises
        ------
        FitInputError
            If a cell holds no number.
        """
        if self._model is None:
            return ()
        return tuple(
            Row(
                name,
                self._number(row, START),
                self._number(row, LOWER),
                self._number(row, UPPER),
                self.fix_box(row).isChecked(),
            )
            for row, name in enumerate(self._model.names)
        )

    def set_row(self, row: Row) -> None:
        """Type a row, as a sample or a recipe asks for it."""
        assert self._model is not None
        at = self._model.index(row.name)
        for column, value in ((START, row.start), (LOWER, row.lower), (UPPER, row.upper)):
            if value is not None:
                self.item(at, column).setText(_bound(value))
        self.fix_box(at).setChecked(row.fixed)

    def fix_box(self, row: int) -> QCheckBox:
        """The box that holds the parameter of that row."""
        return cast("QCheckBox", self.cellWidget(row, FIX).findChild(QCheckBox))

    def show_values(self, values: Mapping[str, tuple[float, float]], title: str = TITLES[VALUE]) -> None:
        """Show value and error of each parameter, a dash where there is no answer, nothing where there was no fit."""
        if self._model is None:
            return
        self.horizontalHeaderItem(VALUE).setText(title)
        blocked = self.blockSignals(True)
        for row, name in enumerate(self._model.names):
            self.item(row, VALUE).setText(format_value(*values[name]) if name in values else "")
        self.blockSignals(blocked)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy the selected cells as text that a spreadsheet takes."""
        if not event.matches(QKeySequence.StandardKey.Copy):
            super().keyPressEvent(event)
            return
        lines: dict[int, list[str]] = {}
        for index in sorted(self.selectedIndexes(), key=lambda i: (i.row(), i.column())):
            item = self.item(index.row(), index.column())
            text = item.text() if item is not None else str(self.fix_box(index.row()).isChecked())
            lines.setdefault(index.row(), []).append(text)
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in lines.values()))

    def _check_box(self, name: str) -> QWidget:
        """A box in the middle of its cell; a check mark of the cell's own can hardly be seen in napari's dark theme."""
        box = QCheckBox()
        box.setToolTip(TIPS[FIX])
        box.setAccessibleName(f"Fix {name}")
        box.toggled.connect(lambda _: self.edited.emit())
        cell = QWidget()
        layout = QHBoxLayout(cell)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box, alignment=Qt.AlignmentFlag.AlignCenter)
        return cell

    def _set_units(self, units: Mapping[str, str]) -> None:
        assert self._model is not None
        blocked = self.blockSignals(True)
        for row, name in enumerate(self._model.names):
            unit = units.get(name, "")
            self.item(row, NAME).setText(f"{name} [{unit}]" if unit else name)
        self.blockSignals(blocked)

    def _number(self, row: int, column: int) -> float | None:
        assert self._model is not None
        text = self.item(row, column).text().strip()
        try:
            return parse_number(text)
        except ValueError:
            what = f"{TITLES[column]} of {self._model.names[row]!r}"
            raise FitInputError(f"{what} is {text!r}, which is not a number; type one, or clear the cell.") from None

    def _on_cell_changed(self, row: int, column: int) -> None:
        if column in (START, LOWER, UPPER):
            blocked = self.blockSignals(True)
            if column == START and not self.item(row, column).text().strip():
                self.item(row, column).setText(AUTO)
            self._mark(row, column)
            self.blockSignals(blocked)
            self.edited.emit()

    def _mark(self, row: int, column: int) -> None:
        item = self.item(row, column)
        item.setToolTip(TIPS[column])
        item.setBackground(QBrush())
        try:
            self._number(row, column)
        except FitInputError as error:
            item.setBackground(QColor("#a03030"))
            item.setToolTip(str(error))

    def _fit_height(self) -> None:
        """Show all rows without scrolling."""
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        height += sum(self.rowHeight(row) for row in range(self.rowCount()))
        height += self.horizontalScrollBar().sizeHint().height()
        self.setMinimumHeight(min(height, 420))
        self.setMaximumHeight(height)


def parse_number(text: str) -> float | None:
    """A typed number; None for nothing or ``auto``.

    Raises
    ------
    ValueError
        If the text is no number, or NaN.

    Examples
    --------
    >>> parse_number("1.5e3"), parse_number("-∞"), parse_number("auto")
    (1500.0, -inf, None)
    """
    plain = text.strip().replace("−", "-").replace("∞", "inf")
    if not plain or plain == AUTO:
        return None
    value = float(plain)
    if math.isnan(value):
        raise ValueError(text)
    return value


def format_value(value: float, error: float) -> str:
    """A value with its error, as many digits as the error warrants.

    Examples
    --------
    >>> format_value(31.8231, 0.0423), format_value(31.8231, float("nan")), format_value(float("nan"), 1.0)
    ('31.823 ± 0.042', '31.8231', '—')
    """
    if not math.isfinite(value):
        return "—"
    if not math.isfinite(error) or error <= 0:
        return f"{value:.6g}"
    decimals = 1 - math.floor(math.log10(error))
    if abs(value) >= 1e7 or decimals > 8:
        significant = decimals + 1 + math.floor(math.log10(max(abs(value), error)))
        return f"{value:.{max(2, significant)}g} ± {error:.2g}"
    return f"{value:.{max(decimals, 0)}f} ± {error:.{max(decimals, 0)}f}"


def _bound(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.10g}"
