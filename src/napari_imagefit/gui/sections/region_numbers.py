"""The part of the section Region that gives a rectangle or an ellipse by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from ...engine.core.errors import FitInputError
from ...layers.geometry.numbered_regions import Box, Kind
from ..widgets.forms import Combo, NumberEdit

if TYPE_CHECKING:
    from ...layers.geometry.transforms import AxisCoordinates

SHAPE_NAMES: dict[Kind, str] = {"rectangle": "rectangle", "ellipse": "ellipse"}
SHAPE_FIELDS = ("y", "x", "height", "width")
PIXELS = "px"


class RegionNumbers(QWidget):
    """Four numbers, what they mean, and whether they make a new shape or change the selected one."""

    add = Signal()
    change = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box: Box | None = None
        self._axes: Sequence[AxisCoordinates] | None = None
        self.kinds, self.place, self.units = Combo(), Combo(), Combo()
        self.kinds.addItems(list(SHAPE_NAMES))
        self.kinds.setToolTip("Rectangle, or the ellipse within it")
        self.kinds.setAccessibleName("Shape of the region")
        self.place.addItems(["corner", "centre"])
        self.place.setToolTip("Whether y and x are those of the upper left corner, or of the centre")
        self.place.setAccessibleName("What y and x are of")
        self.units.addItem(PIXELS)
        self.units.setToolTip(
            "Pixels: y and x are the first row and column of the region. In the layer's unit: where its edges begin"
        )
        self.units.setAccessibleName("Unit of the numbers")
        self.edits = {
            name: NumberEdit(f"The {'position ' if len(name) == 1 else ''}{name}", f"{name} of the region")
            for name in SHAPE_FIELDS
        }
        self.add_button = QPushButton("Add")
        self.add_button.setToolTip("Add the region to the chosen Shapes layer; one is made if there is none (Enter)")
        self.change_button = QPushButton("Change")
        self.change_button.setToolTip("Give these numbers to the shape that is selected in the layer")

        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.kinds, 0, 0, 1, 3)
        grid.addWidget(self.place, 0, 3, 1, 3)
        for number, (name, edit) in enumerate(self.edits.items()):
            words = QLabel(name)
            words.setBuddy(edit)
            grid.addWidget(words, 1 + number // 2, 3 * (number % 2))
            grid.addWidget(edit, 1 + number // 2, 3 * (number % 2) + 1, 1, 2)
        for column, widget in enumerate((self.units, self.add_button, self.change_button)):
            grid.addWidget(widget, 3, 2 * column, 1, 2)
        for column in range(6):
            grid.setColumnStretch(column, 1)

        for combo in (self.place, self.units):
            combo.currentIndexChanged.connect(lambda _: self._show())
        self.add_button.clicked.connect(lambda: self.add.emit())
        self.change_button.clicked.connect(lambda: self.change.emit())
        for edit in self.edits.values():
            edit.returnPressed.connect(self._on_enter)
        self.show_box(None, "rectangle", None)

    @property
    def kind(self) -> Kind:
        """Kind of shape."""
        return cast("Kind", self.kinds.currentText())

    def box(self) -> Box:
        """Return what is typed.

        Raises
        ------
        FitInputError
            If something is missing, or is no number.
        """
        numbers = [edit.number() for edit in self.edits.values()]
        missing = [name for name, number in zip(self.edits, numbers, strict=True) if number is None]
        if missing:
            raise FitInputError(f"A region needs four numbers; type {' and '.join(missing)}.")
        typed = [float(number) for number in numbers if number is not None]
        return Box.of_numbers(typed[:2], typed[2:], self._in_units(), centred=self._centred)

    def set_axes(self, axes: Sequence[AxisCoordinates] | None) -> None:
        """Offer the unit of an image's axes, where it is not pixels and they have the same."""
        self._axes = axes
        names = [PIXELS]
        if axes is not None and axes[0].unit == axes[1].unit and axes[0].unit not in ("", PIXELS):
            names.append(axes[0].unit)
        if [self.units.itemText(i) for i in range(self.units.count())] != names:
            self.units.clear()
            self.units.addItems(names)

    def show_box(self, box: Box | None, kind: Kind, what: str | None) -> None:
        """Show the numbers of a shape that can be changed; None leaves what is typed, and offers no change."""
        self.change_button.setEnabled(box is not None)
        self.change_button.setText("Change" if what is None else f"Change {what}")
        self._box = box
        if box is not None:
            self.kinds.setCurrentText(kind)
        self._show()

    @property
    def _centred(self) -> bool:
        return self.place.currentText() == "centre"

    def _in_units(self) -> Sequence[AxisCoordinates] | None:
        return None if self.units.currentText() in ("", PIXELS) else self._axes

    def _show(self) -> None:
        if self._box is None:
            return
        place, size = self._box.numbers(self._in_units(), centred=self._centred)
        for edit, value in zip(self.edits.values(), (*place, *size), strict=True):
            edit.setText(f"{value:.6g}")

    def _on_enter(self) -> None:
        (self.change_button if self.change_button.isEnabled() else self.add_button).click()
