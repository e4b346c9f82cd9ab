"""A column of sections that scrolls where the window is low."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget


class Column(QScrollArea):
    """As wide as its sections need, as high as there is room."""

    def __init__(self, *sections: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 4, 0)
        for section in sections:
            layout.addWidget(section)
        layout.addStretch()
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """Nothing is cut off at the side."""
        width = self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        # napari's style sheet draws a frame where none was asked for
        return QSize(width + 2 * self.frameWidth(), 120)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Grow with the sections: a scroll area tells nobody that they need more room than before."""
        handled = super().eventFilter(watched, event)
        if watched is self.widget() and event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.setMinimumWidth(self.minimumSizeHint().width())
        return handled

    def sizeHint(self) -> QSize:
        """All of it, if there is room."""
        hint = self.widget().sizeHint()
        return QSize(max(hint.width(), self.minimumSizeHint().width()), hint.height())

    def reveal(self, section: QWidget) -> None:
        """Scroll until a section is seen, its beginning first."""
        self.ensureWidgetVisible(section, 0, 0)
