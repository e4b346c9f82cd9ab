"""Numbers and words of the fits that are looked at, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...imaging.fitting.fit_report import FitFacts, ParameterFacts
from ..widgets.numbers import format_value

WORDS = ("status", "remarks", "steps · samples", "reduced χ² · R²", "found by")
COLUMN, HEADER = 205, 116  # pixels: a value with its error and start in one line
NARROW = 120  # pixels: the same in two lines
TIPS = {
    "status": "How the fit ended",
    "remarks": "What is to be remarked of the answer",
    "steps · samples": "Trial steps of the fit, and samples that it used; those left out are NaN or were excluded",
    "reduced χ² · R²": "χ² over the degrees of freedom, and the share of the data's variance that the fit explains",
    "found by": "Which attempt led to the answer",
}


class FactsTable(QTableWidget):
    """One column per fit, one row per parameter, and below what is to be said in words."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self.setAccessibleName("Values of the inspected fits")
        self.setToolTip("Values ± errors and starts of the fit under the cursor and of the pinned ones; Ctrl+C copies")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(True)
        self.setMinimumWidth(240)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setMinimumSectionSize(NARROW)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)

    def show_facts(self, columns: Mapping[str, FitFacts], units: Mapping[str, str]) -> None:
        """Show these fits, by their titles."""
        found = list(columns.values())
        names = [p.name for p in found[0].parameters] if found else []
        words = WORDS if any(one.how for one in found) else WORDS[:-1]
        titles = [f"{name} [{units[name]}]" if units.get(name) else name for name in names] + list(words)
        self._set_shape(titles if found else [], list(columns))
        for column, one in enumerate(found):
            texts = [_value(p) for p in one.parameters] + _words(one)[: len(words)]
            for row, text in enumerate(texts):
                item = self.item(row, column)
                if item.text() != text:
                    item.setText(text)
                    item.setToolTip(text)

    def wanted_width(self) -> int:
        """Return the width at which every column is seen whole, up to three of them."""
        return HEADER + COLUMN * min(max(self.columnCount(), 1), 3) + 24

    def column_of(self, title: str) -> dict[str, str]:
        """Return what stands in a column, by the titles of the rows."""
        titles = [self.horizontalHeaderItem(i).text() for i in range(self.columnCount())]
        column = titles.index(title)
        return {self.verticalHeaderItem(r).text(): self.item(r, column).text() for r in range(self.rowCount())}

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy the selected cells as text that a spreadsheet takes."""
        if not event.matches(QKeySequence.StandardKey.Copy):
            super().keyPressEvent(event)
            return
        lines: dict[int, list[str]] = {}
        for index in sorted(self.selectedIndexes(), key=lambda i: (i.row(), i.column())):
            lines.setdefault(index.row(), []).append(self.item(index.row(), index.column()).text())
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in lines.values()))

    def _set_shape(self, rows: Sequence[str], columns: Sequence[str]) -> None:
        if self.rowCount() != len(rows) or self.columnCount() != len(columns):
            self.setRowCount(len(rows))
            self.setColumnCount(len(columns))
            for row in range(len(rows)):
                for column in range(len(columns)):
                    if self.item(row, column) is None:
                        item = QTableWidgetItem("")
                        item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
                        self.setItem(row, column, item)
        for row, title in enumerate(rows):
            if self.verticalHeaderItem(row) is None or self.verticalHeaderItem(row).text() != title:
                header = QTableWidgetItem(title)
                header.setToolTip(TIPS.get(title, "Value ± standard error, and where the fit started"))
                self.setVerticalHeaderItem(row, header)
        for column, title in enumerate(columns):
            if self.horizontalHeaderItem(column) is None or self.horizontalHeaderItem(column).text() != title:
                self.setHorizontalHeaderItem(column, QTableWidgetItem(title))


def _value(parameter: ParameterFacts) -> str:
    text = format_value(parameter.value, parameter.error)
    if parameter.remark:
        text += f", {parameter.remark}"
    if math.isfinite(parameter.start) and parameter.remark != "fixed":
        text += f"  (start {parameter.start:.4g})"
    return text


def _words(one: FitFacts) -> list[str]:
    left_out = f", {one.n_left_out} left out" if one.n_left_out else ""
    return [
        one.status.message,
        "\n".join(one.remarks) or "none",
        f"{one.n_iterations} · {one.n_used}{left_out}",
        f"{_short(one.reduced_chi2)} · {_short(one.r2)}",
        one.how,
    ]


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "—"
