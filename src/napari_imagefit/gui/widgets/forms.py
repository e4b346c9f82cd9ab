"""Common parts of the widget's sections: rows with labels, fields for numbers, parts that fold."""

from __future__ import annotations

import math
from typing import TypeVar

from psygnal import Signal
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStyleOptionToolButton,
    QStylePainter,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from ...engine.core.errors import FitInputError
from .numbers import parse_number, shortened


def label(text: str, buddy: QWidget | None = None) -> QLabel:
    """Return a row's label, as wide as the widest of all sections, so that their fields stand in one column."""
    made = QLabel(text)
    made.setMinimumWidth(made.fontMetrics().horizontalAdvance("Coordinates"))
    if buddy is not None:
        made.setBuddy(buddy)
        made.setToolTip(buddy.toolTip())
        if not buddy.accessibleName():
            buddy.setAccessibleName(text.replace("&", ""))
    return made


def form(parent: QWidget) -> QFormLayout:
    """Return a column of labelled fields."""
    made = QFormLayout(parent)
    made.setContentsMargins(0, 0, 0, 0)
    made.setHorizontalSpacing(6)
    made.setVerticalSpacing(4)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return made


class NumberEdit(QLineEdit):
    """A field for one number; it may stay empty.

    Parameters
    ----------
    what : str
        What the number is, for a sentence on a slip.
    tip : str
    empty : str
        What it means if nothing is typed.
    """

    def __init__(self, what: str, tip: str, empty: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._what = what
        self.setToolTip(tip)
        self.setAccessibleName(what)
        self.setPlaceholderText(empty)
        self.setMinimumWidth(44)

    def number(self) -> float | None:
        """Return what is typed, None if nothing is.

        Raises
        ------
        FitInputError
            If it is no number.
        """
        text = self.text().strip()
        try:
            value = parse_number(text)
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            quoted = shortened(text)
            raise FitInputError(f"{self._what} is {quoted!r}, which is no finite number; type one, or clear the field.")
        return value


class Fold(QWidget):
    """A part of the widget that is shown or hidden with a click, or the space bar, on its title."""

    toggled = Signal(bool)
    indent = 8

    def __init__(self, title: str, content: QWidget, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._tip = title, tip
        self.content = content
        self.button = Heading()
        self.button.setCheckable(True)
        self.set_summary("")

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        content.setContentsMargins(self.indent, 0, 0, 4)

        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    @property
    def is_open(self) -> bool:
        """Whether its content is shown."""
        return bool(self.button.isChecked())

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self.button.setChecked(is_open)

    def set_summary(self, text: str) -> None:
        """Show beside the title what is set inside; what there is no room for stands in the tooltip."""
        # what was typed may hold the sign by which Qt knows shortcuts
        self.button.setText(f"{self._title} · {text}".replace("&", "&&") if text else self._title)
        self.button.setToolTip(f"{self._tip}\n{text}" if text else self._tip)

    def _on_toggled(self, is_open: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.content.setVisible(is_open)
        self.toggled.emit(is_open)


class Heading(QToolButton):
    """The title of a part that folds, as wide as there is room; what is longer ends in an ellipsis."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAutoRaise(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setStyleSheet("QToolButton { border: none; padding: 2px; text-align: left; }")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """Return no width, so that no text can ask for one."""
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the button with as much of its text as there is room for."""
        option = QStyleOptionToolButton()
        self.initStyleOption(option)
        room = self.width() - 2 * self.height()  # less arrow and margins
        option.text = self.fontMetrics().elidedText(option.text, Qt.TextElideMode.ElideRight, room)
        QStylePainter(self).drawComplexControl(QStyle.ComplexControl.CC_ToolButton, option)


class Card(Fold):
    """One of the main parts of the dock, open at first."""

    indent = 0

    def __init__(self, title: str, tip: str, *sections: QWidget, parent: QWidget | None = None) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for section in sections:
            layout.addWidget(section)
        super().__init__(title, content, tip, parent)
        font = self.button.font()
        font.setBold(True)
        self.button.setFont(font)
        self.set_open(True)


def pair(*widgets: QWidget | str) -> QWidget:
    """Return fields side by side that share their row's width; text between them names the field after it."""
    made = QWidget()
    row = QHBoxLayout(made)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    words: QLabel | None = None
    for widget in widgets:
        if isinstance(widget, str):
            words = QLabel(widget)
            row.addWidget(words)
            continue
        if words is not None:
            words.setBuddy(widget)
            words.setToolTip(widget.toolTip())
            if not widget.accessibleName():
                widget.setAccessibleName(words.text().replace("&", ""))
            words = None
        row.addWidget(widget, 1)
    return made


SpinBox = TypeVar("SpinBox", bound=QAbstractSpinBox)


def slim(box: SpinBox) -> SpinBox:
    """Return a field for a number that is not as wide as the longest number it could hold."""
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setMinimumWidth(56)
    return box


class Combo(QComboBox):
    """A choice whose longest entry sets no width; the list that opens shows all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(5)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """Room for some letters and the arrow."""
        return QSize(60, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw as much of the choice as there is room for, ending in an ellipsis."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideRight, room.width() - 6
        )
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: QEvent | None) -> bool:
        """Tell in the tooltip what is chosen, too: it may be longer than the field."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), f"{self.toolTip()}\n{self.currentText()}".strip(), self)
            return True
        return super().event(event)

    def showPopup(self) -> None:
        """Open a list as wide as its entries."""
        self.view().setMinimumWidth(min(self.view().sizeHintForColumn(0) + 24, 480))
        super().showPopup()


def in_capitals(sentence: str) -> str:
    """Return a sentence that begins with a capital letter and ends with a full stop."""
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith((".", "!", "?", "…")) else ".")
