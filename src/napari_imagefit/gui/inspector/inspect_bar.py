"""The line above the inspector's plots: what is inspected, and what can be done with it."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QWidget


class InspectBar(QWidget):
    """A sentence, a field for a fit's place, and three buttons.

    The letters of the buttons are ones that neither napari's menus nor the dock "Image Fit" take.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setAccessibleName("What is inspected")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.where = QLineEdit()
        self.where.setPlaceholderText("index, e.g. 12, 34")
        self.where.setAccessibleName("Place of the fit")
        self.where.setToolTip("The fit's index on the grid of fits; type one and press Enter to pin it")
        self.where.setMaximumWidth(130)
        self.pin = QPushButton("Pi&n")
        self.pin.setToolTip("Pin the fit under the pointer, or let go of it (Alt+N; or a click on the canvas)")
        self.clear = QPushButton("Clear pins")
        self.clear.setToolTip("Let go of all pinned fits (Esc)")
        self.histogram = QPushButton("Histo&gram")
        self.histogram.setCheckable(True)
        self.histogram.setToolTip("Show or hide the histogram of a map (Alt+G)")

        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.note, 1)
        for control in (self.where, self.pin, self.clear, self.histogram):
            layout.addWidget(control)

        self.offer(ready=False, pinned=False)

    def offer(self, *, ready: bool, pinned: bool) -> None:
        """Offer what can be done: something once there is a fit, letting go once there are pins."""
        for control in (self.where, self.pin, self.histogram):
            control.setEnabled(ready)
        self.clear.setEnabled(pinned)
