"""The table of statements on the fits, with the colours of the status layer; a click goes to the fits themselves."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...layers.inspection.state_counts import Statement
from ...layers.request.naming import spaced

MOST_ROWS = 7
REASON_TIP = "Click, or press Enter, to go to the first fit of this kind; again for the next one"


class ReasonsTable(QTableWidget):
    """One line per statement: its colour, its words, and of how many fits it holds."""

    chosen = Signal(object)  # Statement

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._said: list[Statement] = []
        self.setAccessibleName("What became of the fits")
        self.setHorizontalHeaderLabels(["What became of the fits", "Fits"])
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

        # words wrap otherwise in another width, which Qt knows only after it has told of it
        self._wrap = QTimer(self)
        self._wrap.setSingleShot(True)
        self._wrap.timeout.connect(self.fit_height)
        self.horizontalHeader().sectionResized.connect(lambda *_: self._wrap.start(0))
        self.cellClicked.connect(self._choose)
        self.activated.connect(lambda index: self._choose(index.row()))

    def show_statements(self, statements: Sequence[Statement]) -> None:
        """Show the statements about another result."""
        self._said = list(statements)
        self.setRowCount(len(statements))
        for row, said in enumerate(statements):
            words = QTableWidgetItem(said.words)
            words.setToolTip(f"{said.words[0].upper()}{said.words[1:]}. {REASON_TIP}")
            words.setIcon(_swatch(said.colour))
            count = QTableWidgetItem(spaced(said.fits))
            count.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            count.setToolTip(REASON_TIP)
            self.setItem(row, 0, words)
            self.setItem(row, 1, count)
        self.fit_height()

    def fit_height(self) -> None:
        """Show all rows without scrolling, if they are few."""
        self.resizeRowsToContents()
        rows = min(self.rowCount(), MOST_ROWS)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        self.setFixedHeight(height + sum(self.rowHeight(row) for row in range(rows)))

    def _choose(self, row: int, _column: int = 0) -> None:
        self.chosen.emit(self._said[row])


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(14, 14)
    picture.fill(QColor(colour))
    return QIcon(picture)
