"""The section Model: which one, with its formula."""

from __future__ import annotations

import re

from psygnal import Signal
from qtpy.QtCore import QModelIndex, QSize, Qt
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from ...catalogue import models
from ...catalogue.titles import family_of, symbols_of, title_of
from ...engine.models.model import Model
from ...layers.request.choices import Job
from ..widgets.forms import Combo, form, label

NAME_ROLE = Qt.ItemDataRole.UserRole  # the name in the catalogue; None for a heading
UNBROKEN = 26  # letters of a formula that may stand together


class Headings(QStyledItemDelegate):
    """Draws what cannot be chosen as clearly as what can: it is a heading."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Draw every item as an enabled one."""
        super().initStyleOption(option, index)
        assert option is not None
        option.state |= QStyle.StateFlag.State_Enabled

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Leave room between the lines."""
        hint = super().sizeHint(option, index)
        return QSize(hint.width(), hint.height() + 6)


class ModelSection(QWidget):
    """Choice of the model, with its formula."""

    model_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names = Combo()
        self.names.setToolTip("The model to fit")
        # a long name is elided, and makes nothing wider
        self.names.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.names.setMinimumContentsLength(12)
        self.names.setMaxVisibleItems(30)
        self.names.setModel(QStandardItemModel(self.names))
        self.names.setItemDelegate(Headings(self.names))
        self.formula = QLabel()
        self.formula.setTextFormat(Qt.TextFormat.RichText)
        self.formula.setWordWrap(True)
        self.formula.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.formula.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        rows = form(self)
        rows.addRow(label("&Model", self.names), self.names)
        rows.addRow(self.formula)

        self.names.currentIndexChanged.connect(self._on_index)

    @property
    def model(self) -> Model:
        """The chosen model."""
        return models[self.names.currentData(NAME_ROLE)]

    def set_job(self, job: Job) -> None:
        """Offer the models of that job: surfaces for regions, volumes too for spots, curves for voxels."""
        offered = offered_models(job)
        if offered == self._listed():
            return
        blocked = self.names.blockSignals(True)
        self.names.clear()
        for family, listed in by_family(offered).items():
            self._add_heading(family)
            for model in listed:
                self.names.addItem(title_of(model), model.name)
                tip = f"{model.name}: {model.formula}\nReference: {model.reference}"
                self.names.setItemData(self.names.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.names.setCurrentIndex(self.names.findData(offered[0], NAME_ROLE))
        self.names.blockSignals(blocked)
        self._on_index()

    def set_model(self, name: str) -> None:
        """Choose a model of the job, by its name in the catalogue."""
        place = self.names.findData(name, NAME_ROLE)
        if place >= 0:
            self.names.setCurrentIndex(place)

    def _listed(self) -> list[str]:
        names = [self.names.itemData(i, NAME_ROLE) for i in range(self.names.count())]
        return [name for name in names if name is not None]

    def _add_heading(self, text: str) -> None:
        item = QStandardItem(text)
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        items = self.names.model()
        assert isinstance(items, QStandardItemModel)
        items.appendRow(item)

    def _on_index(self, _index: int = 0) -> None:
        model = self.model
        self.formula.setText(breakable(symbols_of(model)))
        self.names.setToolTip(f"{model.name}: {model.formula}\nReference: {model.reference}")
        self.model_chosen.emit(model)


def by_family(names: list[str]) -> dict[str, list[Model]]:
    """Return models under the headings of a menu, in the order of the catalogue."""
    families: dict[str, list[Model]] = {}
    for name in names:
        families.setdefault(family_of(models[name]), []).append(models[name])
    return families


def offered_models(job: Job) -> list[str]:
    """Return the names of the models for that job."""
    axes = {"voxels": (1,), "spots": (2, 3), "region": (2,)}[job]
    return [model.name for n in axes for model in models.values() if model.ndim == n]


def breakable(text: str) -> str:
    """Return rich text that can be broken, where its author has set no spaces, behind signs.

    Examples
    --------
    >>> breakable("a + b"), breakable("amplitude·exp(−t/tau_of_the_decay)").count(chr(0x200B))
    ('a + b', 3)
    """
    if max(len(re.sub("<[^>]*>", "", word)) for word in text.split(" ")) <= UNBROKEN:
        return text
    return re.sub(r"(?<=[·*+/−,-])(?!>)(?![^<]*>)", "\u200b", text)
