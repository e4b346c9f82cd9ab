"""A widget in a dock of napari's window, which stops when the dock is closed."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMainWindow, QWidget


class Docked(QWidget):
    """Stops with its dock or its window, and keeps its height beside a dock below the canvas."""

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer; the widget is of no use afterwards."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """The corners of the window belong to what stands beside the canvas."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):
            window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)

    def changeEvent(self, event: QEvent | None) -> None:
        """A dock that is closed lets go of its widget without closing it: that is the time to stop."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()

    def closeEvent(self, event: Any) -> None:
        """Stop with the window."""
        self.shut_down()
        super().closeEvent(event)
