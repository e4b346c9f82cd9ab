"""The table of spots: a row for each, sorted and filtered by NumPy, so that a hundred thousand rows are no burden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QItemSelection, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

if TYPE_CHECKING:
    import pandas as pd

STATE_SIGNS = {"counts": "", "filtered": "×", "failed": "✚"}
NO_INDEX = QModelIndex()
MOST_RUNS = 2000  # ranges of rows that are selected at once
MOST_COPIED = 100_000  # rows


class SpotTableModel(QAbstractTableModel):
    """The rows of a table of spots, in an order of their own.

    Qt's own sorting asks for two cells at a time, which takes seconds for 10⁵ rows; here a column is sorted at once.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: dict[str, NDArray[Any]] = {}
        self._names: list[str] = []
        self._kinds: NDArray[Any] = np.empty(0, object)
        self._shown: NDArray[np.bool_] = np.empty(0, bool)
        self._sorted_by: tuple[str, bool] = ("", True)
        self.order: NDArray[np.intp] = np.empty(0, np.intp)

    @property
    def names(self) -> list[str]:
        """The columns, in their order."""
        return self._names

    def set_table(self, table: pd.DataFrame, kinds: NDArray[Any], shown: NDArray[np.bool_]) -> None:
        """Show another table, sorted as before where it has the column.

        Parameters
        ----------
        kinds : array of str, ``(N,)``
            ``"counts"``, ``"filtered"`` or ``"failed"``.
        shown : bool array, ``(N,)``
            Which rows are shown.
        """
        self.beginResetModel()
        self._columns = {str(name): table[name].to_numpy() for name in table.columns}
        self._names = list(self._columns)
        self._kinds, self._shown = kinds, shown
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what has no value comes last."""
        if not 0 <= column < len(self._names):
            return
        self.layoutAboutToBeChanged.emit()
        self._sorted_by = (self._names[column], order == Qt.SortOrder.AscendingOrder)
        self._arrange()
        self.layoutChanged.emit()

    def rows_of(self, spots: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows in which spots stand, ascending; spots that are not shown have none."""
        row = np.full(self._shown.size, -1, np.intp)
        row[self.order] = np.arange(self.order.size)
        # another table may have fewer
        found = row[spots[spots < row.size]]
        return np.sort(found[found >= 0])

    def rowCount(self, parent: QModelIndex = NO_INDEX) -> int:
        """Return the number of rows that are shown."""
        return 0 if parent.isValid() else int(self.order.size)

    def columnCount(self, parent: QModelIndex = NO_INDEX) -> int:
        """Return the number of columns of the table."""
        return 0 if parent.isValid() else len(self._names)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Return the column's name, or the spot's number with the sign of its kind."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        if orientation == Qt.Orientation.Horizontal:
            return self._names[section]
        spot = int(self.order[section])
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"spot {spot}"
        sign = STATE_SIGNS[self._kinds[spot]]
        return f"{sign} {spot}" if sign else str(spot)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        values, spot = self._columns[self._names[index.column()]], int(self.order[index.row()])
        if role == Qt.ItemDataRole.DisplayRole:
            return shown_as(values[spot])
        if role == Qt.ItemDataRole.TextAlignmentRole and values.dtype != object:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(self._columns["reason"][spot]) or "counts"
        return None

    def text(self, rows: NDArray[np.intp]) -> str:
        """Rows as text with tabs between the columns, their names first."""
        chosen = self.order[rows]
        lines = ["\t".join(self._names)]
        columns = [self._columns[name][chosen] for name in self._names]
        lines += ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
        return "\n".join(lines)

    def _arrange(self) -> None:
        rows = np.flatnonzero(self._shown)
        name, ascending = self._sorted_by
        if name in self._columns:
            rows = rows[_sorted(self._columns[name][rows], ascending)]
        self.order = rows


class SpotTable(QTableView):
    """The view of it: whole rows are selected, and copied as text."""

    selected = Signal(object, object)  # the spots of all selected rows, and the one of the current row or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = SpotTableModel(self)
        self.setModel(self.rows)
        self._quiet = False
        self.setAccessibleName("Spots")
        self.setToolTip("Click on a row to see its spot, on a column's name to sort by it; Ctrl+C copies rows")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setResizeContentsPrecision(20)
        self.horizontalHeader().setSectionsMovable(True)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.selectionModel().selectionChanged.connect(self._on_selection)
        self._kept: NDArray[np.intp] = np.empty(0, np.intp)
        self.rows.layoutAboutToBeChanged.connect(self._keep)
        self.rows.layoutChanged.connect(self._restore)

    def set_table(self, table: pd.DataFrame, kinds: NDArray[Any], shown: NDArray[np.bool_]) -> None:
        """Show another table; spots that are selected stay so."""
        before, names = self.selected_spots(), list(self.rows.names)
        self._quiet = True
        self.rows.set_table(table, kinds, shown)
        self._quiet = False
        if list(self.rows.names) != names:
            self.resizeColumnsToContents()
        # the longest that there can be: Qt measures a few rows, and not again when their signs change
        widest = self.fontMetrics().horizontalAdvance(f"× {max(len(table) - 1, 0)}")
        self.verticalHeader().setFixedWidth(widest + 16)
        self.select_spots(before)

    def selected_rows(self) -> NDArray[np.intp]:
        """Return the selected rows, ascending."""
        ranges = [np.arange(one.top(), one.bottom() + 1) for one in self.selectionModel().selection()]
        return np.unique(np.concatenate(ranges)).astype(np.intp) if ranges else np.empty(0, np.intp)

    def selected_spots(self) -> NDArray[np.intp]:
        """Return the spots of the selected rows."""
        rows = self.selected_rows()
        return self.rows.order[rows[rows < self.rows.order.size]]

    def select_spots(self, spots: NDArray[np.intp]) -> bool:
        """Select the rows of spots without telling of it; False if they are too scattered to be shown."""
        rows = self.rows.rows_of(spots)
        ends = np.flatnonzero(np.diff(rows) > 1)
        firsts, lasts = np.concatenate([[0], ends + 1]), np.concatenate([ends, [rows.size - 1]])
        if rows.size and firsts.size > MOST_RUNS:
            # others must not stay selected in their place
            self._quiet = True
            self.clearSelection()
            self._quiet = False
            return False
        chosen = QItemSelection()
        last_column = max(self.rows.columnCount() - 1, 0)
        if rows.size:
            for first, last in zip(rows[firsts], rows[lasts], strict=True):
                chosen.select(self.rows.index(int(first), 0), self.rows.index(int(last), last_column))
        self._quiet = True
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._quiet = False
        if rows.size:
            self.scrollTo(self.rows.index(int(rows[0]), max(self.columnAt(0), 0)))
        return True

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Copy the selected rows."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.rows.text(self.selected_rows()[:MOST_COPIED]))
            return
        super().keyPressEvent(event)

    def _keep(self) -> None:
        self._kept = self.selected_spots()

    def _restore(self) -> None:
        """Rows were sorted: spots stay selected, not the rows in which they stood."""
        self.select_spots(self._kept)

    def _on_selection(self, _new: object = None, _old: object = None) -> None:
        if self._quiet:
            return
        current = self.selectionModel().currentIndex()
        spot = int(self.rows.order[current.row()]) if current.isValid() else None
        self.selected.emit(self.selected_spots(), spot)


def shown_as(value: Any) -> str:
    """Return a cell's value as a person reads it."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return "—" if np.isnan(value) else f"{float(value):.6g}"
    return str(value)


def _sorted(values: NDArray[Any], ascending: bool) -> NDArray[np.intp]:
    if values.dtype == object:
        values = values.astype(str)
    order = np.argsort(values, kind="stable")
    if not ascending:
        order = order[::-1]
    if values.dtype.kind != "f":
        return order
    missing = np.isnan(values[order])
    return np.concatenate([order[~missing], order[missing]])
