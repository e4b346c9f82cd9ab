"""The button *Presets ▾*: settings of a model's parameters, saved under names."""

from __future__ import annotations

from functools import partial

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QMenu, QPushButton, QWidget, QWidgetAction

from ...engine.models.model import Model
from ...layers.request.choices import Row
from ...layers.request.presets import Presets
from ..widgets.numbers import shortened

LONGEST_NAME = 60  # characters of a name


class PresetsButton(QPushButton):
    """Loads, saves and deletes settings of the parameters of one model.

    Parameters
    ----------
    presets : Presets
    """

    save_asked = Signal(str)  # a name
    rows_chosen = Signal(object)  # a tuple of rows

    def __init__(self, presets: Presets, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._presets = presets
        self._model: Model | None = None
        self.setText("Presets ▾")
        self.setToolTip("Save starts, bounds, fix, share and tie of this model's parameters under a name, or load them")
        self.clicked.connect(self.open_menu)

    def set_model(self, model: Model) -> None:
        """Offer what was saved for that model."""
        self._model = model

    def open_menu(self) -> None:
        """Open the menu below the button."""
        menu = self.make_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def make_menu(self) -> QMenu:
        """Return the menu, with what is saved now."""
        assert self._model is not None
        model, menu = self._model, QMenu(self)
        menu.setToolTipsVisible(True)
        names = self._presets.names(model)
        for name in names:
            action = menu.addAction(_label(name))
            action.setToolTip(f"Set the parameters as saved under {name!r}")
            action.triggered.connect(partial(self._load, name))
        if names:
            menu.addSeparator()
        menu.addAction(self._name_field(menu))
        menu.addSeparator()
        reset = menu.addAction("All automatic")
        reset.setToolTip("Take back all starts, bounds, fix, share and tie of this model")
        reset.triggered.connect(self._reset)
        delete = menu.addMenu("Delete")
        delete.setEnabled(bool(names))
        for name in names:
            delete.addAction(_label(name)).triggered.connect(partial(self._delete, name))
        return menu

    def _name_field(self, menu: QMenu) -> QWidgetAction:
        field = QLineEdit()
        field.setPlaceholderText("Save as: a name, Enter")
        field.setToolTip("Save the present settings under this name; one that exists is replaced")
        field.setAccessibleName("Name of a new preset")
        field.setMaxLength(LONGEST_NAME)
        field.setMinimumWidth(field.fontMetrics().horizontalAdvance(field.placeholderText()) + 24)

        def save() -> None:
            name = field.text().strip()
            if name:
                menu.close()
                self.save_asked.emit(name)

        field.returnPressed.connect(save)
        action = QWidgetAction(menu)
        action.setDefaultWidget(field)
        return action

    def _reset(self, _checked: bool = False) -> None:
        # as all that follow: of the model of now, which may be another than when the menu was opened
        assert self._model is not None
        self.rows_chosen.emit(tuple(Row(name) for name in self._model.names))

    def _load(self, name: str, _checked: bool = False) -> None:
        assert self._model is not None
        rows = self._presets.rows(self._model, name)
        if rows is not None:
            self.rows_chosen.emit(rows)

    def _delete(self, name: str, _checked: bool = False) -> None:
        assert self._model is not None
        self._presets.delete(self._model, name)


def _label(name: str) -> str:
    """Return a name as a menu shows it, where & would be a key."""
    return shortened(name).replace("&", "&&")
