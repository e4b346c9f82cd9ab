"""The history in the section Results: a row for each fit, the newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

EYE, WORDS = 0, 1
SHOWN, HIDDEN = "◉", "○"
MOST_ROWS = 4  # that are seen without scrolling
ENTRY_TIP = (
    "Every fit, the newest first. Space: show or hide its layers. Enter or double click: show it instead of the "
    "others, with its results. Delete: remove it with its layers."
)


@dataclass(frozen=True)
class HistoryRow:
    """An entry as its row shows it.

    Attributes
    ----------
    number : int
    first, second : str
        The two lines.
    tip : str
        All that is known of it.
    shown, current, has_arrays : bool
        Whether its layers are to be seen, whether results are about it, and whether it still has them.
    """

    number: int
    first: str
    second: str
    tip: str
    shown: bool
    current: bool
    has_arrays: bool


class HistorySection(QWidget):
    """Rows of entries, and what can be done with the one that is chosen; signals carry its number.

    Parameters
    ----------
    memory_note : callable
        Returns how many arrays are kept, for the tooltip.

    Attributes
    ----------
    others_of : callable
        Returns numbers and titles of the entries that one can be compared with.
    """

    show_entry = Signal(int)
    toggle = Signal(int)
    restore = Signal(int)
    compare = Signal(int, int)  # the entry, and the one that it is compared with
    export = Signal(int)
    copy_script = Signal(int)
    remove = Signal(int)

    def __init__(self, memory_note: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[HistoryRow, ...] = ()
        self.others_of: Callable[[int], Sequence[tuple[int, str]]] = lambda _number: ()
        self.list = _Entries()
        self._memory_note = memory_note
        self.list.setAccessibleName("History of fits")
        self.show_button = _button(
            "Show fit", "Show this fit instead of the others of its data, with its results (Enter)"
        )
        self.compare_button = _button("Compare ▾", "Map the difference to another fit of the same data")
        self.more_button = _button("⋯", "Restore settings, export, copy, remove")
        self.more_button.setAccessibleName("More for this fit")
        self.compare_menu, self.more_menu = QMenu(self), QMenu(self)
        for button, menu in ((self.compare_button, self.compare_menu), (self.more_button, self.more_menu)):
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            button.setMenu(menu)

        buttons = QHBoxLayout()
        for button in (self.show_button, self.compare_button, self.more_button):
            buttons.addWidget(button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.list)
        layout.addLayout(buttons)

        self.list.itemClicked.connect(self._on_clicked)
        self.list.itemDoubleClicked.connect(self._on_double_clicked)
        self.list.currentItemChanged.connect(lambda *_: self._offer())
        self.list.customContextMenuRequested.connect(self._on_menu)
        self.list.pressed_key = self._on_key
        self.show_button.clicked.connect(lambda: self._tell(self.show_entry))
        self.compare_menu.aboutToShow.connect(lambda: self._fill_compare(self.compare_menu))
        self.more_menu.aboutToShow.connect(lambda: self._fill(self.more_menu))
        self.setVisible(False)

    @property
    def chosen(self) -> HistoryRow | None:
        """The row that is chosen."""
        item = self.list.currentItem()
        number = None if item is None else item.data(EYE, Qt.ItemDataRole.UserRole)
        return next((row for row in self._rows if row.number == number), None)

    def show_rows(self, rows: Sequence[HistoryRow]) -> None:
        """Show the entries; the same one stays chosen, unless another one is current now."""
        before, was = self.chosen, next((row.number for row in self._rows if row.current), None)
        current = next((row for row in rows if row.current), None)
        if current is not None and current.number != was:
            before = current
        self._rows = tuple(rows)
        blocked = self.list.blockSignals(True)
        self.list.clear()
        for row in rows:
            item = QTreeWidgetItem([SHOWN if row.shown else HIDDEN, f"{row.first}\n{row.second}"])
            item.setData(EYE, Qt.ItemDataRole.UserRole, row.number)
            item.setTextAlignment(EYE, Qt.AlignmentFlag.AlignCenter)
            item.setSizeHint(EYE, QSize(0, 2 * self.list.fontMetrics().lineSpacing() + 6))
            item.setToolTip(EYE, "Show or hide its layers (Space)")
            item.setToolTip(WORDS, row.tip)
            state = "shown" if row.shown else "hidden"
            item.setData(WORDS, Qt.ItemDataRole.AccessibleTextRole, f"{row.first}, {row.second}, {state}")
            font = item.font(WORDS)
            font.setBold(row.current)
            item.setFont(WORDS, font)
            self.list.addTopLevelItem(item)
            if before is not None and row.number == before.number:
                self.list.setCurrentItem(item)
        self.list.blockSignals(blocked)
        if self.list.currentItem() is None and rows:
            self.list.setCurrentItem(self.list.topLevelItem(0))
        self.list.fit_height()
        if rows:
            self.list.setToolTip(f"{ENTRY_TIP}\n{self._memory_note()}")
        self.setVisible(bool(rows))
        self._offer()

    def menu_of(self, row: HistoryRow) -> QMenu:
        """Return the menu of a row."""
        menu = QMenu(self)
        self._fill(menu, row)
        return menu

    def _offer(self) -> None:
        row = self.chosen
        self.show_button.setEnabled(row is not None and row.has_arrays)
        self.compare_button.setEnabled(row is not None and bool(self.others_of(row.number)))
        self.more_button.setEnabled(row is not None)

    def _tell(self, signal: Any) -> None:
        if self.chosen is not None:
            signal.emit(self.chosen.number)

    def _fill(self, menu: QMenu, row: HistoryRow | None = None) -> None:
        menu.clear()
        row = self.chosen if row is None else row
        if row is None:
            return
        self._action(menu, "Show fit", self.show_entry, row, row.has_arrays)
        self._action(menu, "Restore settings", self.restore, row)
        compare = QMenu("Compare with", menu)
        menu.addMenu(compare)
        compare.setEnabled(bool(self.others_of(row.number)))
        self._fill_compare(compare, row)
        menu.addSeparator()
        self._action(menu, "Export…", self.export, row, row.has_arrays)
        self._action(menu, "Copy as Python", self.copy_script, row, row.has_arrays)
        menu.addSeparator()
        self._action(menu, "Remove, with its layers", self.remove, row)

    def _fill_compare(self, menu: QMenu, row: HistoryRow | None = None) -> None:
        menu.clear()
        row = self.chosen if row is None else row
        for number, title in () if row is None else self.others_of(row.number):
            action = menu.addAction(title)
            action.triggered.connect(lambda _checked=False, one=row.number, other=number: self.compare.emit(one, other))

    def _action(self, menu: QMenu, text: str, signal: Any, row: HistoryRow, enabled: bool = True) -> None:
        action = menu.addAction(text)
        action.setEnabled(enabled)
        action.triggered.connect(lambda _checked=False: signal.emit(row.number))

    def _on_clicked(self, _item: QTreeWidgetItem, column: int) -> None:
        if column == EYE:
            self._tell(self.toggle)

    def _on_double_clicked(self, _item: QTreeWidgetItem, column: int) -> None:
        if column == WORDS and self.chosen is not None and self.chosen.has_arrays:
            self._tell(self.show_entry)

    def _on_key(self, key: int) -> bool:
        """Do what a key stands for; returns whether it stands for anything."""
        row = self.chosen
        if row is None:
            return False
        if key == Qt.Key.Key_Space:
            self.toggle.emit(row.number)
        elif key == Qt.Key.Key_Delete:
            self.remove.emit(row.number)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if row.has_arrays:
                self.show_entry.emit(row.number)
        else:
            return False
        return True

    def _on_menu(self, where: QPoint) -> None:
        if self.list.itemAt(where) is None or self.chosen is None:
            return
        menu = self.menu_of(self.chosen)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.list.viewport().mapToGlobal(where))


class _Entries(QTreeWidget):
    """Two columns, an eye and words, as high as its rows up to a few."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed_key: Callable[[int], bool] = lambda _key: False
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setTabKeyNavigation(False)
        header = self.header()
        header.setMinimumSectionSize(10)
        header.setSectionResizeMode(EYE, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(EYE, self.fontMetrics().horizontalAdvance(SHOWN) + 14)
        header.setSectionResizeMode(WORDS, QHeaderView.ResizeMode.Stretch)

    def fit_height(self) -> None:
        """Be as high as the rows, up to a few."""
        count = min(self.topLevelItemCount(), MOST_ROWS)
        row = self.sizeHintForRow(0) if count else 0
        self.setFixedHeight(count * row + 2 * self.frameWidth() + 2)

    def sizeHint(self) -> QSize:
        """Return a size that widens nothing."""
        return QSize(200, super().sizeHint().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Offer a key to the section first."""
        if self.pressed_key(event.key()):
            event.accept()
        else:
            super().keyPressEvent(event)


def _button(text: str, tip: str) -> QToolButton:
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    made.setStyleSheet("QToolButton::menu-indicator { image: none; }")
    return made
