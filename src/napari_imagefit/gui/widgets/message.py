"""A message of any length in a field of bounded size."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent, QTextOption
from qtpy.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy, QWidget

LINES_SHOWN = 5  # that are shown at once; more scroll


class MessageText(QPlainTextEdit):
    """Text that wraps anywhere, can be selected and copied, and sets no width; it is hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Result")
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setTabChangesFocus(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)
        self.setVisible(False)

    def text(self) -> str:
        """Return its text."""
        return self.toPlainText()

    def say(self, text: str, colour: str = "") -> None:
        """Show a text, in a colour of its own if one is given."""
        # napari's style sheet gives text fields a background
        self.setStyleSheet(f"background: transparent; padding: 0px; {f'color: {colour};' if colour else ''}")
        self.setPlainText(text)
        self.setVisible(bool(text))
        self._fit_height()

    def sizeHint(self) -> QSize:
        """Return the height of the text, up to some lines."""
        lines = sum(self._lines_of(block) for block in range(self.blockCount()))
        # one that has no width yet does not know how it wraps
        rows = min(max(lines, 1), LINES_SHOWN)
        return QSize(0, rows * self.fontMetrics().lineSpacing() + 2 * round(self.document().documentMargin()) + 4)

    def minimumSizeHint(self) -> QSize:
        """Return no width, so that no word can ask for one."""
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Another width wraps it elsewhere."""
        super().resizeEvent(event)
        self._fit_height()

    def _lines_of(self, block: int) -> int:
        return int(self.document().findBlockByNumber(block).layout().lineCount())

    def _fit_height(self) -> None:
        self.setFixedHeight(self.sizeHint().height())
