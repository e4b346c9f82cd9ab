"""The bar that stays in sight: Fit and in which frames, Cancel, how far the fit has come, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtGui import QAction, QActionGroup
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ...engine.core.progress import Progress
from ...layers.request.choices import Frames, Job
from ...layers.request.naming import spaced

if TYPE_CHECKING:
    from napari.layers import Image

    from ...layers.inspection.state_counts import StateCounts

# By choice of frames: the button's text, the menu's, and what it means.
FRAME_CHOICES: dict[Frames, tuple[str, str, str]] = {
    "all": ("F&it all frames", "All frames", "in every frame of the stack"),
    "current": ("F&it this frame", "This frame", "in the frame on screen"),
    "drawn": ("F&it where drawn", "Where drawn", "each region in the frame that it was drawn in"),
}
OFFERED: dict[Job, tuple[Frames, ...]] = {
    "region": ("all", "current", "drawn"),
    "spots": ("all", "current"),
    "voxels": ("all",),
}
# Signs beside the colours, so that colour is not needed to distinguish them.
LIVE = 44  # pixels
CHIPS = {
    "converged": ("✓", "converged"),
    "remarks": ("⚠", "converged, with something to look at"),
    "failed": ("✕", "failed: they have no answer"),
}


class FitBar(QWidget):
    """Fit as a split button, Cancel, and one line that tells of the fit under way or counts what it has found."""

    asked = Signal()  # Fit, with the frames that are chosen now
    kind = Signal(str)  # a count was clicked, by its key in `CHIPS`
    frames_chosen = Signal(str)
    live_chosen = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wish: dict[Job, Frames] = dict.fromkeys(OFFERED, "all")
        self._job: Job = "region"
        self._stack = False
        self.fit = QPushButton()
        self.fit.setDefault(True)
        self.more = QPushButton("▾")
        self.more.setAccessibleName("In which frames to fit")
        self.more.setToolTip("In which frames to fit; the button does the same again later")
        self.more.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        self.more.setFixedWidth(26)
        self.actions_of: dict[Frames, QAction] = {}
        self.more.setMenu(self._menu())
        self.live = QPushButton()
        self.live.setText("Live")
        self.live.setCheckable(True)
        self.live.setFixedWidth(LIVE)
        self.live.setAccessibleName("Live")
        self.live.setToolTip(
            "Refit what is on screen whenever a shape is moved, another frame comes on screen, the data change or a "
            "setting is edited (Alt+L)"
        )
        self.live.setShortcut("Alt+L")
        self.cancel = QPushButton("&Cancel")
        self.cancel.setToolTip("Stop the fit and keep the layers as they are (Alt+C)")

        buttons = self._row = QHBoxLayout()
        buttons.setSpacing(1)
        buttons.addWidget(self.fit, 3)
        buttons.addWidget(self.more)
        buttons.addWidget(self.live)
        buttons.addSpacing(4)
        buttons.addWidget(self.cancel, 1)
        self.line = QStackedWidget()
        self.line.addWidget(self._counts())
        self.line.addWidget(self._progress())
        self.line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(buttons)
        layout.addWidget(self.line)

        self.fit.clicked.connect(lambda: self.asked.emit())
        self.live.toggled.connect(lambda on: self.live_chosen.emit(on))
        self._show_frames()
        self.show_counts(None)
        self.set_idle()

    def add_tools(self, *buttons: QWidget) -> None:
        """Put small buttons at the end of the row."""
        for button in buttons:
            self._row.addWidget(button)

    @property
    def frames(self) -> Frames:
        """Frames in which to fit: what the job offers of what was chosen last."""
        return self._wish[self._job] if self._stack else "all"

    def set_frames(self, frames: Frames) -> None:
        """Choose in which frames to fit, where the job has that choice."""
        if frames in OFFERED[self._job] and frames != self._wish[self._job]:
            self._wish[self._job] = frames
            self._show_frames()
            self.frames_chosen.emit(frames)

    def set_context(self, job: Job, image: Image | None) -> None:
        """Another job or image: offer the frames only where there are some, and Fit where there is an image."""
        self._job = job
        self._stack = job != "voxels" and image is not None and image.ndim > 2
        self.fit.setEnabled(image is not None)
        self._show_frames()

    def set_idle(self) -> None:
        """Nothing is being fitted."""
        self.cancel.setEnabled(False)
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.note.setText("")
        self.line.setCurrentIndex(0)
        self._show_line()

    def set_busy(self, text: str) -> None:
        """Something is going on of which it is not known how long it takes."""
        self.cancel.setEnabled(True)
        self.bar.setRange(0, 0)
        self._tell(text)

    def set_showing(self) -> None:
        """Layers are being put into the viewer."""
        self.set_busy("showing…")

    def set_progress(self, progress: Progress, seconds: float) -> None:
        """Count, rate and time left."""
        if progress.compiling:
            self.set_busy("compiling (first use)…")
            return
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self._tell(describe(progress, seconds))

    def show_counts(self, counts: StateCounts | None, seconds: float | None = None) -> None:
        """Show what became of the fits, and how long that took from the click on; None hides it."""
        self._counted = counts is not None
        if counts is not None:
            numbers = {"converged": counts.converged, "remarks": counts.remarks, "failed": counts.failed}
            for kind, chip in self.chips.items():
                sign, words = CHIPS[kind]
                number = numbers[kind]
                chip.setText(f"{sign} {spaced(number)}")
                chip.setAccessibleName(f"{number} {words}")
                chip.setToolTip(f"{spaced(number)} {words}" + ("; click to look at one after the other" * (number > 0)))
                chip.setEnabled(number > 0)
            self.took.setText("" if seconds is None else f"{seconds:.1f} s")
        self._show_line()

    def _menu(self) -> QMenu:
        menu, group = QMenu(self), QActionGroup(self)
        for frames, (_, text, _tip) in FRAME_CHOICES.items():
            action = QAction(text, menu)
            menu.addAction(action)
            action.setCheckable(True)
            group.addAction(action)
            action.triggered.connect(lambda _checked, frames=frames: self._on_chosen(frames))
            self.actions_of[frames] = action
        return menu

    def _counts(self) -> QWidget:
        self.chips = {kind: QPushButton() for kind in CHIPS}
        self.took = QLabel()
        self.took.setAccessibleName("Seconds from the click until the layers were there")
        self.took.setToolTip("From the click until the layers were there")
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        for kind, chip in self.chips.items():
            chip.setStyleSheet("QPushButton { border-radius: 8px; padding: 2px 8px; }")
            chip.clicked.connect(lambda _checked, kind=kind: self.kind.emit(kind))
            row.addWidget(chip)
        row.addStretch()
        row.addWidget(self.took)
        return page

    def _progress(self) -> QWidget:
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the fit")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        # beside the bar, not on it: most styles draw no text on a bar that does not know its end
        self.note = QLabel()
        self.note.setAccessibleName("What the fit is doing")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.bar)
        column.addWidget(self.note)
        return page

    def _tell(self, text: str) -> None:
        self.note.setText(text)
        self.line.setCurrentIndex(1)
        self._show_line()

    def _show_line(self) -> None:
        self.line.setVisible(self._counted or self.line.currentIndex() == 1)

    def _show_frames(self) -> None:
        text, _, where = FRAME_CHOICES[self.frames] if self._stack else ("F&it", "", "")
        self.fit.setText(text)
        tip = f"Fit the model to the chosen data{f', {where}' if where else ''} (Alt+I)"
        self.fit.setToolTip(tip if self.fit.isEnabled() else "There is no image to fit; open one, or a sample")
        self.more.setVisible(self._stack)
        for frames, action in self.actions_of.items():
            action.setVisible(frames in OFFERED[self._job])
            action.setChecked(frames == self.frames)

    def _on_chosen(self, frames: Frames) -> None:
        self.set_frames(frames)
        if self.fit.isEnabled():
            self.asked.emit()


def describe(progress: Progress, seconds: float) -> str:
    """Progress in words.

    Examples
    --------
    >>> describe(Progress(8, 13), 2.0)
    '8/13 · 4.0/s · 1.2 s left'
    """
    text = f"{spaced(progress.done)}/{spaced(progress.total)}"
    if not progress.done or seconds <= 0:
        return text
    rate = progress.done / seconds
    left = (progress.total - progress.done) / rate
    return f"{text} · {rate:.0f}/s · {left:.1f} s left" if rate >= 10 else f"{text} · {rate:.1f}/s · {left:.1f} s left"
