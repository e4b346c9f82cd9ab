"""Menus, lists and dialogs that wait for their user: what opens them holds the event loop, so timers act in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QMenu, QWidget

from .acting import click, hands, press_keys
from .screen import LEFT, bring_into_view, name_of, settle

SOON = 60  # ms between two looks for what is to open
PATIENCE = 20.0  # s


class _Acting:
    """Acts once something has opened, and leaves it if it cannot."""

    def __init__(self, find: Callable[[], QWidget | None], act: Callable[[Any], bool]) -> None:
        self._find, self._act = find, act
        self._end = time.monotonic() + PATIENCE
        self.error: Exception | None = None
        self.done = False
        self._timer = QTimer()
        self._timer.setInterval(SOON)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _look(self) -> None:
        shown = self._find()
        if shown is None:
            if time.monotonic() > self._end:
                self.error = TimeoutError("nothing has opened")
                self._timer.stop()
            return
        self._timer.stop()
        try:
            self.done = self._act(shown)
        except Exception as error:  # noqa: BLE001 - raised where the thing was opened
            self.error = error
            _leave()
        if not self.done and self.error is None:
            self._timer.start()

    def wait(self) -> None:
        """Until all is done; what went wrong is raised."""
        while not self.done and self.error is None:
            QTest.qWait(SOON)
        self._timer.stop()
        settle()
        if self.error is not None:
            raise self.error


def _leave() -> None:
    for _ in range(4):
        shown = QApplication.activePopupWidget() or QApplication.activeModalWidget()
        if shown is None:
            return
        shown.close()


def choose_in_menu(opener: QWidget, *texts: str, look: Callable[[], object] = lambda: None, pos: Any = None) -> None:
    """Click what opens a menu, and an entry of it, or of the menu that this opens."""
    waiting = list(texts)

    def act(menu: Any) -> bool:
        if not isinstance(menu, QMenu):
            return False
        action = _entry(menu, waiting[0])
        if len(waiting) == len(texts):
            QTest.qWait(SOON)  # it is drawn
            look()
        waiting.pop(0)
        hands.clicks += 1
        QTest.mouseMove(menu, menu.actionGeometry(action).center())
        QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
        return not waiting

    acting = _Acting(QApplication.activePopupWidget, act)
    if pos is None:
        click(opener)
    else:
        hands.clicks += 1
        QTest.mouseClick(opener, Qt.MouseButton.RightButton, pos=pos)
    acting.wait()
    while QApplication.activePopupWidget() is not None:  # a menu of check marks stays
        hands.keys += 1
        QTest.keyClick(QApplication.activePopupWidget(), Qt.Key.Key_Escape)


def _entry(menu: QMenu, text: str) -> Any:
    by_text = {action.text().replace("&", ""): action for action in menu.actions()}
    found = [one for one in by_text if one.startswith(text)] or [one for one in by_text if text in one]
    if not found:
        raise LookupError(f"the menu has no {text!r}, but {list(by_text)}")
    if not by_text[found[0]].isEnabled():
        raise LookupError(f"{text!r} cannot be chosen")
    return by_text[found[0]]


def pick(combo: QComboBox, wanted: str, look: Callable[[], object] = lambda: None) -> None:
    """Open the list of a box, and click an entry of it."""
    bring_into_view(combo)
    rows = [row for row in range(combo.count()) if combo.itemText(row) == wanted]
    rows = rows or [row for row in range(combo.count()) if combo.itemText(row).startswith(wanted)]
    if not rows:
        raise LookupError(f"{name_of(combo)} has no entry {wanted!r}")

    def act(_popup: Any) -> bool:
        view = combo.view()
        assert view is not None
        index = view.model().index(rows[0], combo.modelColumn())
        view.scrollTo(index)
        QTest.qWait(SOON)  # it is drawn
        look()
        QTest.qWait(QApplication.doubleClickInterval() + 20)  # what comes sooner is the click that opened it
        place = view.visualRect(index).center()
        QTest.mouseMove(view.viewport(), place)
        hands.clicks += 1
        QTest.mouseClick(view.viewport(), LEFT, pos=place)
        return True

    acting = _Acting(lambda: combo.view() if combo.view().isVisible() else None, act)
    click(combo, QPoint(combo.width() - 8, combo.height() // 2))
    acting.wait()
    if combo.currentIndex() != rows[0]:
        raise AssertionError(f"{name_of(combo)} shows {combo.currentText()!r}, not {wanted!r}")


def save_as(press: Callable[[], object], path: Path, look: Callable[[], object] = lambda: None) -> None:
    """Open the dialog that asks where to save, type a name and press Enter; a refusal is raised.

    The dialog is in the right folder already, as that of somebody who saved there before.
    """

    def act(dialog: Any) -> bool:
        dialog.setDirectory(str(path.parent))
        line = dialog.findChild(QLineEdit)
        line.selectAll()
        press_keys(line, path.name)
        dialog.raise_()
        QTest.qWait(SOON)  # it is drawn
        look()
        hands.keys += 1
        QTest.keyClick(line, Qt.Key.Key_Return)
        if dialog.isVisible():
            said = dialog.note.text()
            look()
            QTest.keyClick(dialog, Qt.Key.Key_Escape)
            raise ValueError(said)
        return True

    acting = _Acting(QApplication.activeModalWidget, act)
    press()
    acting.wait()


def answer_open(path: Path) -> None:
    """The next dialog that asks for a file is answered so: it is the system's own; a click and the file's name."""
    from qtpy.QtWidgets import QFileDialog

    def answered(*_: object, **__: object) -> tuple[str, str]:
        hands.clicks += 2
        return str(path), ""

    QFileDialog.getOpenFileName = answered  # type: ignore[method-assign]


def picture_of(viewer: Any, path: Path) -> None:
    """Save what is on screen where the window is, with lists, menus and dialogs over it."""
    screen = QApplication.primaryScreen()
    assert screen is not None
    frame = viewer.window._qt_window.frameGeometry()
    screen.grabWindow(0, frame.x(), frame.y(), frame.width(), frame.height()).save(str(path))
