"""The button *Show ▾*: which layers of a fit are in the viewer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from psygnal import Signal
from qtpy.QtGui import QAction, QMouseEvent
from qtpy.QtWidgets import QMenu, QPushButton, QWidget


class ShowMenu(QPushButton):
    """A menu of layers with check marks, which stays open while one after another is chosen."""

    asked = Signal()  # the menu is about to open: `offer` what there is
    chosen = Signal(str, bool)  # a role, and whether it is to be in the viewer

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Sh&ow", parent)
        self.setToolTip("Layers of this fit: its maps, errors, residuals and reasons. Later fits show the same (Alt+O)")
        self._menu = _StayingMenu(self)
        self._menu.aboutToShow.connect(lambda: self.asked.emit())
        self.setMenu(self._menu)

    def offer(self, titles: Mapping[str, str], shown: Collection[str]) -> None:
        """Set what can be shown, by role, and what is."""
        self._menu.clear()
        before = ""
        for role, title in titles.items():
            kind = _kind(role)
            if before and kind != before:
                self._menu.addSeparator()
            before = kind
            action = self._menu.addAction(title.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(role in shown)
            action.toggled.connect(lambda on, role=role: self.chosen.emit(role, on))

    def entry(self, title: str) -> QAction:
        """Return the entry of that title.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {action.text(): action for action in self._menu.actions()}[title]


class _StayingMenu(QMenu):
    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        action = None if event is None else self.actionAt(event.position().toPoint())
        if action is not None and action.isEnabled() and action.isCheckable():
            action.trigger()
        else:
            super().mouseReleaseEvent(event)


def _kind(role: str) -> str:
    """Parameters stand apart from their errors, and both from what is of the fit as a whole."""
    kind, _, name = role.partition(":")
    return {"derived": "param", "derived_stderr": "stderr"}.get(kind, kind) if name else "whole"
