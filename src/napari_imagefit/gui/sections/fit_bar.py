"""Fit, Cancel, and how far the fit has come."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ...engine.core.progress import Progress
from ...layers.request.naming import spaced


class FitBar(QWidget):
    """Two buttons over a progress bar that says what it is doing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fit = QPushButton("F&it")
        self.fit.setToolTip("Fit the model to the chosen data (Alt+I)")
        self.fit.setDefault(True)
        self.cancel = QPushButton("&Cancel")
        self.cancel.setToolTip("Stop the fit and keep the layers as they are (Alt+C)")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the fit")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        # beside the bar, not on it: most styles draw no text on a bar that does not know its end
        self.note = QLabel()
        self.note.setAccessibleName("What the fit is doing")

        buttons = QHBoxLayout()
        buttons.addWidget(self.fit, 2)
        buttons.addWidget(self.cancel, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.note)

        self.set_idle()

    def set_idle(self) -> None:
        """Nothing is being fitted."""
        self.cancel.setEnabled(False)
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.note.setText("")

    def set_busy(self, text: str) -> None:
        """Something is going on of which it is not known how long it takes."""
        self.cancel.setEnabled(True)
        self.bar.setRange(0, 0)
        self.note.setText(text)

    def set_progress(self, progress: Progress, seconds: float) -> None:
        """Count, rate and time left."""
        if progress.compiling:
            self.set_busy("compiling (first use)…")
            return
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self.note.setText(describe(progress, seconds))


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
