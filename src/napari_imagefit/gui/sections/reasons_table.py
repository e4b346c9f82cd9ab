"""The table of reasons: what became of the fits, with the colours of the status layer."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...imaging.fitting.status_labels import Reason
from ...layers.request.naming import spaced

MOST_ROWS = 7
TIP = "Click, or press Enter, to go to a voxel of this kind; again for the next one"


class ReasonsTable(QTableWidget):
    """One line per reason: its colour, its words, and how many."""

    chosen = Signal(object)  # Reason

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._reasons: list[Reason] = []
        self.setAccessibleName("What became of the fits")
        self.setHorizontalHeaderLabels(["Reason", "Count"])
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(True)

        self.cellClicked.connect(self._choose)
        self.activated.connect(lambda index: self._choose(index.row()))

    def show_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show other reasons."""
        self._reasons = list(reasons)
        self.setRowCount(len(reasons))
        for row, reason in enumerate(reasons):
            words = QTableWidgetItem(reason.words)
            words.setToolTip(f"{reason.words[0].upper()}{reason.words[1:]}. {TIP}")
            words.setIcon(_swatch(reason.colour))
            count = QTableWidgetItem(spaced(reason.fits))
            count.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            count.setToolTip(TIP)
            self.setItem(row, 0, words)
            self.setItem(row, 1, count)
        self.fit_height()

    def fit_height(self) -> None:
        """Show all rows without scrolling, if they are few."""
        self.resizeRowsToContents()
        rows = min(self.rowCount(), MOST_ROWS)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        self.setFixedHeight(height + sum(self.rowHeight(row) for row in range(rows)))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Words wrap otherwise in another width."""
        super().resizeEvent(event)
        self.fit_height()

    def _choose(self, row: int, _column: int = 0) -> None:
        self.chosen.emit(self._reasons[row])


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(14, 14)
    picture.fill(QColor(colour))
    return QIcon(picture)
