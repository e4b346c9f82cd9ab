"""A column of sections that scrolls where the window is low."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

LOWEST = 120


class Column(QScrollArea):
    """Column of fixed width, which its sections must do with, and as high as there is room."""

    def __init__(self, *sections: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # a bar that comes and goes would lay everything out anew
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 4, 0)
        for section in sections:
            layout.addWidget(section)
        layout.addStretch()
        self.setWidget(content)
        for kind in (QComboBox, QAbstractSpinBox):
            for field in content.findChildren(kind):
                field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """Return no width of its own."""
        return QSize(0, LOWEST)

    def sizeHint(self) -> QSize:
        """All of it, if there is room."""
        return QSize(0, self.widget().sizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Scroll with the wheel over a field, too, which would change its value unseen unless it has the focus."""
        wheel = event is not None and event.type() == QEvent.Type.Wheel and watched is not self.widget()
        if wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def reveal(self, section: QWidget) -> None:
        """Scroll until a section is seen, its beginning first."""
        self.ensureWidgetVisible(section, 0, 0)
