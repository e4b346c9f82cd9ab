"""Hands of a person: what they click, type and choose is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QPoint, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QComboBox,
    QLineEdit,
    QTableView,
    QWidget,
)

from .screen import LEFT, Cell, Field, bring_into_view, name_of


@dataclass
class Hands:
    """What they have done so far."""

    clicks: int = 0
    keys: int = 0


hands = Hands()


def click(control: QWidget, pos: QPoint | None = None) -> None:
    """Click with the left button, where a person would: on the box of a check box, in the middle of all else."""
    bring_into_view(control)
    hands.clicks += 1
    if pos is None and isinstance(control, QAbstractButton):
        pos = QPoint(min(12, control.width() // 2), control.height() // 2)
    QTest.mouseClick(control, LEFT, pos=pos or control.rect().center())


def press_keys(widget: QWidget, text: str) -> None:
    """Type any text, key by key; Qt's own helper knows Latin letters only."""
    hands.keys += len(text)
    if text.isascii():
        QTest.keyClicks(widget, text)
        return
    for letter in text:
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            QCoreApplication.sendEvent(widget, QKeyEvent(kind, 0, Qt.KeyboardModifier.NoModifier, letter))


def type_into(field: Field, text: str) -> None:
    """Replace what stands in a field, and press Enter."""
    if isinstance(field, Cell):
        _type_into_cell(field, text)
        return
    bring_into_view(field)
    field.setFocus(Qt.FocusReason.MouseFocusReason)
    QTest.mouseClick(field, LEFT, pos=QPoint(field.width() // 3, field.height() // 2))
    typed: Any = field
    if isinstance(field, QComboBox):
        typed = field.lineEdit()
    typed.selectAll()
    QTest.keyClick(typed, Qt.Key.Key_Delete)
    press_keys(typed, text)
    QTest.keyClick(typed, Qt.Key.Key_Return)
    hands.clicks += 1
    hands.keys += 1


def _type_into_cell(cell: Cell, text: str) -> None:
    view = cell.view
    bring_into_view(view)
    place = cell.rect().center()
    QTest.mouseClick(view.viewport(), LEFT, pos=place)
    QTest.mouseDClick(view.viewport(), LEFT, pos=place)
    editor = next((edit for edit in view.viewport().findChildren(QLineEdit) if edit.isVisible()), None)
    if editor is None:
        return
    editor.selectAll()
    QTest.keyClick(editor, Qt.Key.Key_Delete)
    press_keys(editor, text)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    hands.clicks += 2
    hands.keys += 1


def choose(combo: QComboBox, wanted: str) -> None:
    """Choose an entry with the keyboard, by its text, or by what begins so; counted as the two clicks it takes."""
    bring_into_view(combo)
    hands.clicks += 2
    combo.setFocus()
    texts = [combo.itemText(i) for i in range(combo.count())]
    matching = [i for i, text in enumerate(texts) if text == wanted] or [
        i for i, text in enumerate(texts) if text.startswith(wanted)
    ]
    if not matching:
        raise LookupError(f"{name_of(combo)} has no entry {wanted!r}, but {texts}")
    while combo.currentIndex() != matching[0]:
        before = combo.currentIndex()
        QTest.keyClick(combo, Qt.Key.Key_Down if before < matching[0] else Qt.Key.Key_Up)
        if combo.currentIndex() == before:
            raise LookupError(f"{name_of(combo)} cannot be moved to {wanted!r}")


def fill(field: QLineEdit, text: str) -> None:
    """Replace what stands in a field, and go on with Tab."""
    bring_into_view(field)
    QTest.mouseClick(field, LEFT, pos=QPoint(field.width() // 3, field.height() // 2))
    field.selectAll()
    press_keys(field, text)
    QTest.keyClick(field, Qt.Key.Key_Tab)
    hands.clicks += 1
    hands.keys += 1


def double_click_row(view: QAbstractItemView, row: int, column: int = 0) -> None:
    """Double click a row of a list."""
    bring_into_view(view)
    index = view.model().index(row, column)
    view.scrollTo(index)
    place = view.visualRect(index).center()
    hands.clicks += 2
    QTest.mouseClick(view.viewport(), LEFT, pos=place)
    QTest.mouseDClick(view.viewport(), LEFT, pos=place)


def click_header(table: QTableView, name: str) -> str:
    """Click the name of a column."""
    header, model = table.horizontalHeader(), table.model()
    column = next(i for i in range(model.columnCount()) if str(model.headerData(i, Qt.Orientation.Horizontal)) == name)
    table.scrollTo(model.index(0, column))
    hands.clicks += 1
    place = QPoint(header.sectionViewportPosition(column) + 8, header.height() // 2)
    QTest.mouseClick(header.viewport(), LEFT, pos=place)
    return name


def press_key(widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press one key where a widget has the focus."""
    hands.keys += 1
    QTest.keyClick(widget, key, modifier)
