"""Widgets in docks of napari's window: they stop, and go, when the dock or the window is closed."""

from __future__ import annotations

import contextlib
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from ..._ending import when_python_ends

_in_windows: WeakSet[Stopping] = WeakSet()


class Stopping(QWidget):
    """Stops with its dock or its window."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._follows_window = False

    def tidy(self) -> None:
        """Take out of the viewer, which goes on, what is there for this widget alone."""

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer; the widget is of no use afterwards."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Connect to the window that it is shown in, to be told when that goes."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow) and not self._follows_window:
            self._follows_window = True
            _in_windows.add(self)
            # a window that is closed sends no event to its widgets; this comes while they are still there
            window.destroyed.connect(self._on_window_gone)

    def _on_window_gone(self, _window: object = None) -> None:
        # at the end of a script that fails, timers may be gone before the window
        with contextlib.suppress(RuntimeError):
            self.shut_down()

    def changeEvent(self, event: QEvent | None) -> None:
        """Take the widget away when its dock is closed: the dock lets go of it without closing it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.tidy()
            self.shut_down()
            self.deleteLater()

    def closeEvent(self, event: Any) -> None:
        """Stop with the window."""
        self.shut_down()
        super().closeEvent(event)


def _leave_windows() -> None:
    """Stop in windows that are still open as Python ends, and leave these to the end of the process.

    PyQt deletes what belongs to Python then, on its way through a list of all objects. A window has two entries in it,
    and where the second is come to first, what is read next is memory that was given back with the window: the more of
    Python its deletion calls, the more often a segmentation fault.
    """
    for widget in tuple(_in_windows):
        with contextlib.suppress(RuntimeError):  # gone already
            window = widget.window()
            widget._on_window_gone()
            _give_to_qt(window)


def _give_to_qt(window: QWidget | None) -> None:
    with contextlib.suppress(ImportError):  # a binding without it
        from qtpy import sip

        nobody: Any = None
        if window is not None and sip.ispyowned(window):
            sip.transferto(window, nobody)


when_python_ends(_leave_windows)


class Docked(Stopping):
    """Keeps its height beside a dock below the canvas, too."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Give the corners of the window to what stands beside the canvas."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):
            window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)


class Below(Docked):
    """Opens with a third of the window's height below the canvas, or what it needs, beside others there too."""

    needs = 0  # pixels of height

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._placed = False

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the room when it is shown first; later it is as high as somebody made it."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            # a dock that is not placed yet keeps no size
            QTimer.singleShot(0, self._take_height)

    def _take_height(self) -> None:
        dock, window = self.parentWidget(), self.window()
        if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow):
            return
        if window.dockWidgetArea(dock) != Qt.DockWidgetArea.BottomDockWidgetArea:
            return
        # tabs have one height, which may be somebody's wish
        others = window.tabifiedDockWidgets(dock)
        wanted = max(self.needs, dock.height() if others else window.height() // 3)
        if dock.height() != wanted:
            window.resizeDocks([dock], [wanted], Qt.Orientation.Vertical)
