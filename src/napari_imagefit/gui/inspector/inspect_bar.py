"""The line above the inspector's plots: its tabs, what is inspected, and what can be done with it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QSizePolicy, QTabBar, QWidget
from superqt import QElidingLabel

ONE_LINE_WIDTH_PX = 640  # from which on controls stand in one line
PROFILES = {"mean": "mean profiles", "cut": "cuts"}
PLOTS, HISTOGRAM = 0, 1


class InspectBar(QWidget):
    """Tabs, a sentence, how regions are cut, a field for a fit's place, and two buttons.

    The letters of the buttons are ones that neither napari's menus nor the dock "Image Fit" take.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.tabs.setAccessibleName("What the inspector shows")
        self.tabs.addTab("Plots")
        self.tabs.addTab("Histo&gram")
        self.tabs.setTabToolTip(PLOTS, "Data, fit and residuals of the fit that is looked at, and of the pinned ones")
        self.tabs.setTabToolTip(HISTOGRAM, "How the values of a map are spread (Alt+G)")
        self.note = QElidingLabel()
        self.note.setAccessibleName("What is inspected")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.note.setMinimumWidth(1)
        self.profile = QComboBox()
        self.profile.setAccessibleName("Profiles of a region")
        self.profile.setToolTip(
            "Along each axis the mean over the whole region, or the one line of pixels through the fitted centre"
        )
        for key, words in PROFILES.items():
            self.profile.addItem(words, key)
        self.exclude = QPushButton("Exclude band")
        self.exclude.setToolTip(
            "Add a band of samples that do not count, in every voxel and in the mean curve\n"
            "(or double-click a sample, or drag with Shift over the plot)"
        )
        self.where = QLineEdit()
        self.where.setPlaceholderText("index, e.g. 12, 34")
        self.where.setAccessibleName("Place of the fit")
        self.where.setToolTip("The fit's index on the grid of fits; type one and press Enter to pin it")
        self.where.setMinimumWidth(40)
        self.where.setMaximumWidth(130)
        self.pin = QPushButton("Pi&n")
        self.pin.setToolTip("Pin the fit that is looked at, or let go of it (Alt+N; or a click on the canvas)")
        self.clear = QPushButton("Clear pins")
        self.clear.setToolTip("Let go of all pinned fits (Esc)")
        for button in (self.exclude, self.pin, self.clear):
            # styles ask for much more than the word needs
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance("Clear") + 12)
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.profile.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.profile.setMinimumWidth(60)
        # the sentence takes the room of what is hidden beside it
        self._words = QWidget()
        line = QHBoxLayout(self._words)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.note, 1)
        # of regions, of curves: never both
        line.addWidget(self.profile)
        line.addWidget(self.exclude)
        self._of_plots: dict[QWidget, bool] = {self.profile: False, self.exclude: False}
        self.tabs.currentChanged.connect(self._show_of_plots)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._in_one_line: bool | None = None
        self._arrange(in_one_line=True)
        self.offer(ready=False, pinned=False)
        self._show_of_plots()

    def say(self, text: str, details: str = "") -> None:
        """Show a sentence, elided where it is too long, and all of it with the details in its tooltip."""
        self.note.setText(text.replace("\n", " "))
        self.note.setToolTip("\n\n".join(part for part in (text if not details else "", details) if part))

    def offer(self, *, ready: bool, pinned: bool) -> None:
        """Offer what can be done: something once there is a fit, letting go once there are pins."""
        for control in (self.where, self.pin):
            control.setEnabled(ready)
        self.tabs.setTabEnabled(HISTOGRAM, ready)
        self.clear.setEnabled(pinned)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take a second line where there is no room for all in one."""
        super().resizeEvent(event)
        self._arrange(in_one_line=self.width() >= ONE_LINE_WIDTH_PX)

    def offer_plots(self, *, profile: bool | None = None, exclude: bool | None = None) -> None:
        """Offer what changes the plots, while they are to be seen; None leaves a control as it is."""
        for control, wanted in ((self.profile, profile), (self.exclude, exclude)):
            if wanted is not None:
                self._of_plots[control] = wanted
        self._show_of_plots()

    def _show_of_plots(self, _index: int = PLOTS) -> None:
        for control, wanted in self._of_plots.items():
            control.setVisible(wanted and self.tabs.currentIndex() == PLOTS)

    def _arrange(self, *, in_one_line: bool) -> None:
        if in_one_line == self._in_one_line:
            return
        self._in_one_line = in_one_line
        controls = [self.where, self.pin, self.clear]
        for widget in (self.tabs, self._words, *controls):
            self._grid.removeWidget(widget)
        self._grid.addWidget(self.tabs, 0, 0, Qt.AlignmentFlag.AlignVCenter)
        # what lies between tabs and controls takes all further room
        self._grid.setColumnStretch(1, 1)
        self._grid.addWidget(self._words, *((0, 1) if in_one_line else (1, 0, 1, 2 + len(controls))))
        for column, widget in enumerate(controls, 2):
            self._grid.addWidget(widget, 0, column, Qt.AlignmentFlag.AlignVCenter)
        self.clear.setText("Clear pins" if in_one_line else "Clear")
        # a line of less: whoever holds this may be narrower by now
        self.updateGeometry()
