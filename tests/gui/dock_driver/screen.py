"""What is on screen: docks, controls, fields, what can be read, and what is left behind."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractListModel, QCoreApplication, QEvent, QPoint, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QTextEdit,
    QTreeWidget,
    QWidget,
)

PACKAGE = "napari_imagefit"
DOCK = "Image Fit"
LEFT = Qt.MouseButton.LeftButton
CONTROLS = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QAbstractSlider, QAbstractItemView, QTabBar)


PATIENCE = 120.0  # s


# --- time -----------------------------------------------------------------------------------------------------------


def settle(rounds: int = 3) -> None:
    """Handle what is due, and delete what is to be deleted later."""
    for _ in range(rounds):
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def wait(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Run the event loop until the condition holds; returns the seconds that took."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > patience:
            raise TimeoutError(f"waited in vain until {what}")
        QTest.qWait(5)
    return time.monotonic() - begun


def wait_for_layout() -> None:
    """Let what was shown or hidden find its place, and what is drawn later be drawn."""
    QTest.qWait(200)
    settle()


def waited_for_a_core(process: int | str = "self") -> float:
    """Seconds for which the main thread could have computed, but others did; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


# --- the plugin's docks ---------------------------------------------------------------------------------------------


def open_dock(viewer: Any, name: str = DOCK) -> Any:
    """The widget, in a dock of the viewer's window."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", name)
    settle(1)
    return widget


def is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith(PACKAGE)


def docked(viewer: Any) -> list[Any]:
    """All widgets of the plugin that are in docks of the window, the main one first."""
    found = [widget for widget in viewer.window.dock_widgets.values() if is_ours(widget)]
    return sorted(found, key=lambda widget: not hasattr(widget, "fit_bar"))


def main_widget(viewer: Any) -> Any | None:
    return next((widget for widget in docked(viewer) if hasattr(widget, "fit_bar")), None)


def dock_of(widget: QWidget) -> QDockWidget | None:
    above: Any = widget
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above


def close_docks(viewer: Any) -> None:
    """Close every dock of the plugin, as its × does."""
    for widget in docked(viewer):
        viewer.window.remove_dock_widget(widget)
    settle()


def raise_dock(widget: QWidget) -> None:
    """Bring the widget's tab to the front."""
    dock = dock_of(widget)
    if dock is not None:
        dock.show()
        dock.raise_()
        settle(1)


# --- what is in them ------------------------------------------------------------------------------------------------


def is_reachable(widget: QWidget) -> bool:
    return bool(widget.isVisible() and widget.isEnabled() and widget.width() > 2 and widget.height() > 2)


def _is_part(widget: QWidget) -> bool:
    """Whether it is a part of another control, which is found by itself."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        if isinstance(above, (QComboBox, QAbstractSpinBox, QAbstractSlider)):
            return True
        # headers and scroll bars of tables and scroll areas; editors of cells belong to their cells
        if isinstance(above, QAbstractItemView) and not isinstance(widget, (QAbstractButton, QComboBox)):
            return True
        if is_ours(above):
            return False  # such as the fields of a parameter, which stand in a line of a tree
        above = above.parentWidget()
    return False


def controls(root: QWidget) -> list[QWidget]:
    """All controls of a dock that are shown and enabled, from top to bottom."""
    found = [child for kind in CONTROLS for child in root.findChildren(kind)]
    unique = list({id(child): child for child in found}.values())
    shown = [c for c in unique if is_reachable(c) and not isinstance(c, QScrollBar) and not _is_part(c)]
    return sorted(shown, key=lambda c: (c.mapTo(root, QPoint(0, 0)).y(), c.mapTo(root, QPoint(0, 0)).x()))


def name_of(control: QWidget) -> str:
    """A name for a log: what a screen reader would say."""
    text = getattr(control, "text", lambda: "")() if isinstance(control, QAbstractButton) else ""
    name = control.accessibleName() or text.replace("&", "") or control.objectName() or control.toolTip()[:30]
    return f"{type(control).__name__} {name!r}"


def find(root: QWidget, kind: type, name: str) -> Any:
    """The control of that kind that is called so, by its text or its accessible name, shown or not."""
    for child in root.findChildren(kind):
        text = child.text().replace("&", "") if isinstance(child, QAbstractButton) else ""
        if name in (text, child.accessibleName(), child.objectName()):
            return child
    raise LookupError(f"there is no {kind.__name__} called {name!r}")


def open_folds(root: QWidget) -> None:
    """Open every part that folds, those inside others too."""
    for fold in root.findChildren(QWidget):
        if hasattr(fold, "set_open"):
            fold.set_open(True)
    settle(2)


def unfold_all(root: QWidget) -> None:
    """Open every part that folds, and every line that unfolds into fields."""
    open_folds(root)
    for tree in root.findChildren(QTreeWidget):
        for line in range(tree.topLevelItemCount()):
            tree.topLevelItem(line).setExpanded(True)
    settle(2)


def bring_into_view(control: QWidget) -> None:
    """Scroll to a control, as a person does before clicking it."""
    above = control.parentWidget()
    while above is not None:
        if isinstance(above, QScrollArea):
            above.ensureWidgetVisible(control)
        above = above.parentWidget()
    settle(1)


class Cell:
    """A cell of a table that can be typed into; it stands for a field."""

    def __init__(self, view: QAbstractItemView, row: int, column: int) -> None:
        self.view, self.row, self.column = view, row, column

    def index(self) -> Any:
        return self.view.model().index(self.row, self.column)

    def rect(self) -> QRect:
        self.view.scrollTo(self.index())
        return self.view.visualRect(self.index())


def cells(view: QAbstractItemView) -> list[Cell]:
    model = view.model()
    if model is None or view.editTriggers() == QAbstractItemView.EditTrigger.NoEditTriggers:
        return []
    return [
        Cell(view, row, column)
        for row in range(min(model.rowCount(), 40))
        for column in range(columns_of(model))
        if model.flags(model.index(row, column)) & Qt.ItemFlag.ItemIsEditable and not is_hidden(view, row, column)
    ]


def columns_of(model: Any) -> int:
    """How many columns there are; PyQt keeps that of a list for itself."""
    return 1 if isinstance(model, QAbstractListModel) else int(model.columnCount())


def is_hidden(view: Any, row: int, column: int) -> bool:
    return bool(
        getattr(view, "isRowHidden", lambda _: False)(row) or getattr(view, "isColumnHidden", lambda _: False)(column)
    )


Field = QWidget | Cell


def fields(root: QWidget) -> list[Field]:
    """Everything that text can be typed into and that is on screen."""
    found: list[Field] = []
    for control in controls(root):
        if isinstance(control, QAbstractItemView):
            found += cells(control)
        elif isinstance(control, QLineEdit):
            if not control.isReadOnly():
                found.append(control)
        elif isinstance(control, QAbstractSpinBox) or (isinstance(control, QComboBox) and control.isEditable()):
            found.append(control)
    texts = [*root.findChildren(QTextEdit), *root.findChildren(QPlainTextEdit)]
    return [*found, *(t for t in texts if is_reachable(t) and not t.isReadOnly())]


def text_in(field: Field) -> str:
    """What stands in a field."""
    if isinstance(field, Cell):
        return str(field.index().data() or "")
    if isinstance(field, QComboBox):
        return field.currentText()
    return field.toPlainText() if isinstance(field, (QTextEdit, QPlainTextEdit)) else field.text()


def field_name(field: Field) -> str:
    if isinstance(field, Cell):
        return f"cell ({field.row}, {field.column}) of {name_of(field.view)}"
    return name_of(field)


# --- what is to be seen ---------------------------------------------------------------------------------------------


def sentences(root: QWidget) -> set[str]:
    """All that can be read: texts of labels and buttons, and tooltips, of cells too."""
    found: set[str] = set()
    for child in [root, *root.findChildren(QWidget)]:
        if child is not root and not child.isVisible():
            continue
        found.add(child.toolTip())
        text = getattr(child, "text", None)
        if callable(text) and not isinstance(child, QLineEdit):
            found.add(str(text()))
        if isinstance(child, QAbstractItemView) and child.model() is not None:
            found |= set(_tips(child.model()))
    return {text for text in found if text}


def _tips(model: Any) -> Iterator[str]:
    for row in range(min(model.rowCount(), 40)):
        for column in range(columns_of(model)):
            yield str(model.index(row, column).data(Qt.ItemDataRole.ToolTipRole) or "")


def widths(viewer: Any) -> dict[str, int]:
    """How wide the window and the plugin's docks are."""
    found = {"window": viewer.window._qt_window.width()}
    for widget in docked(viewer):
        dock = dock_of(widget)
        if dock is not None and widget.isVisible():
            found[type(widget).__name__] = dock.width()
    return found


def _is_behind(root: QWidget) -> bool:
    """Whether another tab is in front of a dock: Qt leaves it visible, and moves it out of the window."""
    dock: Any = dock_of(root)
    beside = [] if dock is None else dock.parent().tabifiedDockWidgets(dock)
    return bool(beside) and root.visibleRegion().isEmpty()


def cut_off(root: QWidget) -> list[str]:
    """Controls of a dock that lie outside of it, or of what scrolls in it."""
    if not root.isVisible() or _is_behind(root):
        return []
    found = []
    for control in controls(root):
        frame, above = root, control.parentWidget()
        while above is not None and above is not root:
            if isinstance(above, QScrollArea) and above.widget() is not None:
                frame = above.widget()
                break
            if isinstance(above, QAbstractItemView):
                frame = above  # its cells scroll
                break
            above = above.parentWidget()
        place = QRect(control.mapTo(frame, QPoint(0, 0)), control.size())
        if place.left() < 0 or place.right() > frame.width():
            found.append(name_of(control))
    window = root.window().rect()
    corner = root.mapTo(root.window(), root.rect().bottomRight())
    return found if window.contains(corner) else [*found, type(root).__name__]


# --- what is left behind --------------------------------------------------------------------------------------------


def collect() -> None:
    """Delete what is due and what nobody holds."""
    settle()
    for _ in range(3):
        gc.collect()
    settle()
