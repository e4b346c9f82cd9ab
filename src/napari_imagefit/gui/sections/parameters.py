"""The parameter table: start, bounds, fix, share and tie for each parameter, and after a fit its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtCore import QPoint, Qt
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

from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ...imaging.fitting.run import Settings
from ...layers.request.choices import Row
from ..widgets.layer_menu import layer_menu, layer_named, name_of, names_layer
from ..widgets.numbers import AUTO, format_bound, format_value, parse_number

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

NAME, START, LOWER, UPPER, FIX, SHARE, TIE, VALUE = range(8)
TITLES = ("Parameter", "Start", "Min", "Max", "Fix", "Share", "Tie", "Value ± error")
TIPS = (
    "The model's parameters, with their units",
    "Where the fit begins; empty or 'auto': estimated from the data. The value itself if Fix is ticked. "
    "'layer:NAME' takes each voxel's from a layer (right click offers them)",
    "Lower bound; empty: the model's own",
    "Upper bound; empty: the model's own",
    "Hold the parameter at its start: a number for all, or 'layer:NAME' for each voxel",
    "One value for all fits of this run: all spots, voxels, or regions and frames are then solved as one problem. "
    "Where all are dim, a shared width comes out too small: fix it at that of bright ones instead",
    "An expression of other parameters that gives this one, such as 2*tau_1; empty: it is fitted",
    "What the last fit found",
)
TYPED = (START, LOWER, UPPER, TIE)
TICKED = (FIX, SHARE)


class ParameterTable(QTableWidget):
    """One row per parameter of the chosen model.

    Numbers are typed into the cells; a cell that holds no number turns red and says why in its tooltip.

    Parameters
    ----------
    layers : LayerList
        From which starts and fixed values may be taken.
    """

    edited = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(0, len(TITLES), parent)
        self._layers = layers
        self._model: Model | None = None
        self.setAccessibleName("Parameters")
        self.setHorizontalHeaderLabels(TITLES)
        for column, tip in enumerate(TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(30)
        header.setStretchLastSection(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
        self.setMinimumWidth(500)  # all columns side by side, with a value and its error
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)

        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)

        self.cellChanged.connect(self._on_cell_changed)
        self.customContextMenuRequested.connect(self._offer_layers)

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
                (LOWER, format_bound(parameter.lower)),
                (UPPER, format_bound(parameter.upper)),
                (TIE, ""),
            ):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
            for column in TICKED:
                self.setCellWidget(row, column, self._check_box(parameter.name, column))
            value = QTableWidgetItem("")
            value.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            self.setItem(row, VALUE, value)
            for column in TYPED:
                self._mark(row, column)
        self.blockSignals(blocked)
        self._set_units(units)
        self._fit_height()

    def rows(self) -> tuple[Row, ...]:
        """Return what is typed.

        Raises
        ------
        FitInputError
            If a cell holds no number, or names a layer that is not there.
        """
        if self._model is None:
            return ()
        return tuple(
            Row(
                name,
                self._start(row),
                self._number(row, LOWER),
                self._number(row, UPPER),
                self.fix_box(row).isChecked(),
                self.item(row, TIE).text().strip().lstrip("=").strip(),
                self.share_box(row).isChecked(),
            )
            for row, name in enumerate(self._model.names)
        )

    def set_row(self, row: Row) -> None:
        """Type a row, as a sample or a recipe asks for it."""
        assert self._model is not None
        at = self._model.index(row.name)
        for column, value in ((START, row.start), (LOWER, row.lower), (UPPER, row.upper)):
            if value is not None:
                self.item(at, column).setText(
                    format_bound(value) if isinstance(value, (int, float)) else name_of(value)
                )
        self.item(at, TIE).setText(row.tied)
        self.fix_box(at).setChecked(row.fixed)
        self.share_box(at).setChecked(row.shared)

    def fix_box(self, row: int) -> QCheckBox:
        """Return the box that holds the parameter of that row."""
        return self._box(row, FIX)

    def share_box(self, row: int) -> QCheckBox:
        """Return the box that makes the parameter of that row one for all fits."""
        return self._box(row, SHARE)

    def _box(self, row: int, column: int) -> QCheckBox:
        return cast("QCheckBox", self.cellWidget(row, column).findChild(QCheckBox))

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
            text = item.text() if item is not None else str(self._box(index.row(), index.column()).isChecked())
            lines.setdefault(index.row(), []).append(text)
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in lines.values()))

    def _check_box(self, name: str, column: int) -> QWidget:
        """Return a box in the middle of its cell.

        A check mark of the cell's own can hardly be seen in napari's dark theme.
        """
        box = QCheckBox()
        box.setToolTip(TIPS[column])
        box.setAccessibleName(f"{TITLES[column]} {name}")
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

    def _start(self, row: int) -> float | Layer | None:
        text = self.item(row, START).text()
        return layer_named(text, self._layers) if names_layer(text) else self._number(row, START)

    def _offer_layers(self, where: QPoint) -> None:
        """Return a menu of the layers that a start or a fixed value can be taken from."""
        row = self.rowAt(where.y()) if self.rowAt(where.y()) >= 0 else self.currentRow()
        if self._model is None or row < 0:
            return

        def take(text: str, fixed: bool) -> None:
            self.item(row, START).setText(text)
            self.fix_box(row).setChecked(fixed)

        menu = layer_menu(self, self._model.names[row], self._layers, take)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.viewport().mapToGlobal(where))

    def _number(self, row: int, column: int) -> float | None:
        assert self._model is not None
        text = self.item(row, column).text().strip()
        try:
            return parse_number(text)
        except ValueError:
            what = f"{TITLES[column]} of {self._model.names[row]!r}"
            raise FitInputError(f"{what} is {text!r}, which is not a number; type one, or clear the cell.") from None

    def _on_cell_changed(self, row: int, column: int) -> None:
        if column in TYPED:
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
            if column == START:
                self._start(row)
            elif column != TIE:
                self._number(row, column)
            elif item.text().strip():
                self._check_tie(row)
        except FitInputError as error:
            item.setBackground(QColor("#a03030"))
            item.setToolTip(str(error))

    def _check_tie(self, row: int) -> None:
        assert self._model is not None
        Settings(tied={self._model.names[row]: self.item(row, TIE).text().strip().lstrip("=")}).model(self._model)

    def _fit_height(self) -> None:
        """Show all rows without scrolling."""
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        height += sum(self.rowHeight(row) for row in range(self.rowCount()))
        height += self.horizontalScrollBar().sizeHint().height()
        self.setMinimumHeight(min(height, 420))
        self.setMaximumHeight(height)
