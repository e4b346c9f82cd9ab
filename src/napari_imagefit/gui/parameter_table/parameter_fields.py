"""The unfolded row of a parameter: start, bounds, fix, share and tie, with what is wrong below."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QToolButton, QWidget

from ...engine.functions.parameter import Parameter
from ..widgets.layer_menu import layer_menu
from ..widgets.numbers import AUTO, format_bound, shortened
from ..widgets.tints import problem_tint
from .typed_rows import FIELDS, Field, Problem, Typed

if TYPE_CHECKING:
    from napari.components import LayerList

LONGEST_SENTENCE = 160  # letters of a sentence below the fields; the whole is in the tooltip
FIELD_TIPS = {
    "start": "Where the fit begins; empty or 'auto': estimated from the data. The value itself if fix is ticked. "
    "'layer:NAME' takes each voxel's from a layer (▾ offers them)",
    "lower": "Lower bound; empty: the model's own",
    "upper": "Upper bound; empty: the model's own",
    "fix": "Hold the parameter at its start: a number for all, or 'layer:NAME' for each voxel",
    "share": "One value for all fits of this run: all spots, voxels, or regions and frames are then solved as one "
    "problem. Where all are dim, a shared width comes out too small: fix it at that of bright ones instead",
    "tie": "An expression of other parameters that gives this one, such as 2*tau_1; empty: it is fitted",
}


class ParameterFields(QWidget):
    """The fields of one parameter; what is typed goes into `typed` at once.

    Parameters
    ----------
    parameter : Parameter
    typed : Typed
        What they hold, and are kept equal to.
    layers : LayerList
        From which starts and fixed values may be taken.
    """

    typing = Signal()
    done = Signal()
    left = Signal()  # with Escape

    def __init__(self, parameter: Parameter, typed: Typed, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._typed, self._layers, self._name = typed, layers, parameter.name
        empty = (AUTO, format_bound(parameter.lower), format_bound(parameter.upper), "fitted")
        self.lines = {field: self._line(field, text) for field, text in zip(FIELDS, empty, strict=True)}
        self.fix, self.share = self._box("fix"), self._box("share")
        self.layer_button = QToolButton()
        self.layer_button.setText("▾")
        self.layer_button.setToolTip("Take the start or the fixed value of each voxel from a layer")
        self.layer_button.setAccessibleName(f"Layers for {self._name}")
        self.layer_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.layer_button.clicked.connect(self.offer_layers)
        self.trouble = QLabel()
        self.trouble.setWordWrap(True)
        self.trouble.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.trouble.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.trouble.hide()
        self._lay_out()
        self.show_typed()

    def _lay_out(self) -> None:
        start = QHBoxLayout()
        start.setContentsMargins(0, 0, 0, 0)
        start.setSpacing(2)
        start.addWidget(self.lines["start"], 1)
        start.addWidget(self.layer_button)
        grid = QGridLayout(self)
        grid.setContentsMargins(2, 2, 2, 6)
        grid.setVerticalSpacing(3)
        grid.setHorizontalSpacing(5)
        for at, field in enumerate(FIELDS[:3]):
            grid.addWidget(self._label(field), at, 0)
        grid.addLayout(start, 0, 1)
        grid.addWidget(self.lines["lower"], 1, 1)
        grid.addWidget(self.lines["upper"], 2, 1)
        grid.addWidget(self.fix, 0, 2, 1, 2, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(self.share, 1, 2, 1, 2, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(self._label("tie"), 2, 2)
        grid.addWidget(self.lines["tie"], 2, 3)
        grid.addWidget(self.trouble, 3, 0, 1, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)

    def in_order(self) -> tuple[QWidget, ...]:
        """Return the fields as Tab goes through them."""
        start, lower, upper, tie = self.lines.values()
        return start, self.layer_button, lower, upper, self.fix, self.share, tie

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave with Escape; no other key is for the list around the fields."""
        assert event is not None
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        event.accept()

    def show_typed(self) -> None:
        """Show what `typed` holds, as somebody else has set it."""
        for field, line in self.lines.items():
            line.setText(getattr(self._typed, field))
        for box, on in ((self.fix, self._typed.fixed), (self.share, self._typed.shared)):
            blocked = box.blockSignals(True)
            box.setChecked(on)
            box.blockSignals(blocked)

    def show_problem(self, problem: Problem | None) -> None:
        """Mark the fields at fault, and show the error below them."""
        tint = problem_tint(self)
        for field, line in self.lines.items():
            wrong = problem is not None and field in problem.fields
            style = f"QLineEdit {{ border: 1px solid {tint}; }}" if wrong else ""
            if line.styleSheet() != style:  # setting one is slow, and starts may follow the pointer
                line.setStyleSheet(style)
            line.setToolTip(problem.sentence if wrong and problem is not None else FIELD_TIPS[field])
        self.trouble.setText("" if problem is None else f"⚠ {shortened(problem.sentence, LONGEST_SENTENCE)}")
        self.trouble.setToolTip("" if problem is None else problem.sentence)
        if problem is not None:
            self.trouble.setStyleSheet(f"color: {tint}")
        self.trouble.setVisible(problem is not None)

    def offer_layers(self) -> None:
        """Open a menu of the layers that the start or the fixed value can be taken from."""
        menu = layer_menu(self, self._name, self._layers, self._take)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.layer_button.mapToGlobal(self.layer_button.rect().bottomLeft()))

    def _take(self, text: str, fixed: bool) -> None:
        self._typed.start, self._typed.fixed = text, fixed
        self.show_typed()
        self.done.emit()

    def _line(self, field: Field, empty: str) -> QLineEdit:
        line = QLineEdit()
        line.setPlaceholderText(empty)
        line.setToolTip(FIELD_TIPS[field])
        line.setAccessibleName(f"{field} of {self._name}")
        line.setMinimumWidth(40)
        line.setMaxLength(1000)  # whatever was pasted
        line.textEdited.connect(partial(self._on_typing, field))
        line.editingFinished.connect(self.done.emit)
        return line

    def _box(self, what: str) -> QCheckBox:
        box = QCheckBox(what)
        box.setToolTip(FIELD_TIPS[what])
        box.setAccessibleName(f"{what} {self._name}")
        box.toggled.connect(self._on_ticked)
        return box

    def _label(self, field: Field) -> QLabel:
        made = QLabel(field)
        made.setBuddy(self.lines[field])
        made.setToolTip(FIELD_TIPS[field])
        return made

    def _on_typing(self, field: Field, text: str) -> None:
        setattr(self._typed, field, text)
        self.typing.emit()

    def _on_ticked(self, _on: bool) -> None:
        self._typed.fixed, self._typed.shared = self.fix.isChecked(), self.share.isChecked()
        self.done.emit()
