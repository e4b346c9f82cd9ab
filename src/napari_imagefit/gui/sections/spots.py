"""The section Points: where spots are fitted, in which windows, and whether neighbours are fitted together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QPushButton, QSpinBox, QWidget

from ...engine.core.errors import FitInputError
from ...layers.request.choices import Background, SpotChoice
from ...layers.tasks.spot_detection import is_points
from ..widgets.forms import Combo, NumberEdit, form, label, pair, slim
from ..widgets.layer_combo import LayerCombo

if TYPE_CHECKING:
    from napari.components import LayerList

BACKGROUND_CHOICES: dict[Background, tuple[str, str]] = {
    "constant": ("constant", "Around each spot the background is one number, the model's offset"),
    "sloping": ("sloping", "Around each spot the background is a plane: two more parameters"),
}


class SpotsSection(QWidget):
    """The points, Detect, and the windows around them."""

    detect = Signal()
    load = Signal()
    table = Signal()
    changed = Signal()

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._auto: tuple[int, ...] = (11,)
        self.layers = LayerCombo(layers, is_points, none="no points yet – click Detect", takes_new=True)
        self.layers.setToolTip("Points layer with the positions to fit; Detect makes one")
        self.detect_button = QPushButton("D&etect")
        self.detect_button.setToolTip("Search all frames, and put what is found into a Points layer (Alt+E)")
        self.load_button = QPushButton("Open…")
        self.load_button.setToolTip("Open a table of localisations: of this program, of Picasso, or of ThunderSTORM")
        self.table_button = QPushButton("Table")
        self.table_button.setToolTip("Show the table of fitted spots, with filters and histograms")
        self.table_button.setEnabled(False)
        self.window_size = QLineEdit()
        self.window_size.setToolTip(
            "Pixels of the window around each point, odd: one number, or one for each axis such as 7, 11, 11. Empty: "
            "3 σ of the detection's scale to either side"
        )
        self.background = Combo()
        for kind, (text, tip) in BACKGROUND_CHOICES.items():
            self.background.addItem(text, kind)
            self.background.setItemData(self.background.count() - 1, tip, 3)  # Qt.ToolTipRole
        self.background.setToolTip("What is around each spot")
        self.together = QCheckBox("fit together")
        self.together.setToolTip("Spots whose windows overlap are fitted as one group, which tells them apart")
        self.most = slim(QSpinBox())
        self.most.setRange(2, 12)
        self.most.setValue(4)
        self.most.setToolTip("The most spots of one group")
        self.most.setAccessibleName("The most spots of one group")

        self.saturation = NumberEdit("The saturation", "Pixels at or above it do not count", "none")

        rows = form(self)
        rows.addRow(label("Points", self.layers), self.layers)
        rows.addRow("", pair(self.detect_button, self.load_button, self.table_button))
        rows.addRow(label("Wind&ow", self.window_size), self.window_size)
        rows.addRow(label("&Background", self.background), self.background)
        rows.addRow(label("Neighbours", self.together), self.together)
        rows.addRow(label("At most", self.most), self.most)
        rows.addRow(label("Saturation", self.saturation), self.saturation)

        self.detect_button.clicked.connect(lambda: self.detect.emit())
        self.table_button.clicked.connect(lambda: self.table.emit())
        self.load_button.clicked.connect(lambda: self.load.emit())
        self.together.toggled.connect(self._on_together)
        for signal in (self.layers.chosen, self.background.currentIndexChanged):
            signal.connect(lambda _: self.changed.emit())
        self.window_size.editingFinished.connect(self.changed.emit)
        self.saturation.editingFinished.connect(self.changed.emit)
        self.most.valueChanged.connect(lambda _: self.changed.emit())
        self._on_together(False)
        self.set_window((11, 11))

    def choice(self) -> SpotChoice:
        """Return what is chosen.

        Raises
        ------
        FitInputError
            If what is typed is no window, or no number.
        """
        return SpotChoice(
            points=self.layers.layer(),
            window=self._window(),
            background=cast("Background", self.background.currentData()),
            groups=self.most.value() if self.together.isChecked() else None,
            saturation=self.saturation.number(),
        )

    def set_saturation(self, value: float) -> None:
        """Fill in from which value on samples do not count."""
        self.saturation.setText(f"{value:g}")
        self.changed.emit()

    def set_window(self, size: tuple[int, ...]) -> None:
        """Show the window that an empty field stands for."""
        self._auto = size
        words = f"{size[0]}" if len(set(size)) == 1 else ", ".join(map(str, size))
        self.window_size.setPlaceholderText(f"{words} (3 σ)")

    def _window(self) -> tuple[int, ...]:
        text = self.window_size.text().strip()
        if not text:
            return self._auto
        words = [word for word in re.split(r"[\s,;×x]+", text) if word]
        if not words or not all(word.isdigit() for word in words):
            raise FitInputError(
                f"The window is {text!r}; give an odd number of pixels such as 11, one for each axis, or clear the "
                "field."
            )
        return tuple(int(word) for word in words)

    def _on_together(self, checked: bool) -> None:
        self.most.setEnabled(checked)
        self.changed.emit()
