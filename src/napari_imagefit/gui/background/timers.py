"""Timers that wait until something has come to rest."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


def single_shot(parent: QObject | None, wait: int, then: Callable[[], object]) -> QTimer:
    """Return a timer that calls a function once, `wait` ms after it was started last."""
    made = QTimer(parent)
    made.setSingleShot(True)
    made.setInterval(wait)
    made.timeout.connect(then)
    return made
