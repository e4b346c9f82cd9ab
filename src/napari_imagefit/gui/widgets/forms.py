"""What the sections of the widget have in common: rows with labels, fields for numbers, parts that fold."""

from __future__ import annotations

import math

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from ...engine.core.errors import FitInputError


def label(text: str, buddy: QWidget | None = None) -> QLabel:
    """Return a row's label, as wide as the widest of all sections, so that their fields stand in one column."""
    made = QLabel(text)
    made.setMinimumWidth(made.fontMetrics().horizontalAdvance("Compare with mm"))
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
        self.setMinimumWidth(56)

    def number(self) -> float | None:
        """Return what is typed, None if nothing is.

        Raises
        ------
        FitInputError
            If it is no number.
        """
        text = self.text().strip().replace("−", "-")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FitInputError(f"{self._what} is {text!r}, which is no finite number; type one, or clear the field.")
        return value


class Fold(QWidget):
    """A part of the widget that is shown or hidden with a click, or the space bar, on its title."""

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.content = content
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tip)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setStyleSheet("QToolButton { border: none; padding: 2px; text-align: left; }")
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        content.setContentsMargins(12, 0, 0, 4)

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
        """Say beside the title what is set inside."""
        self.button.setText(f"{self._title} · {text}" if text else self._title)

    def _on_toggled(self, is_open: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.content.setVisible(is_open)
        self.toggled.emit(is_open)
