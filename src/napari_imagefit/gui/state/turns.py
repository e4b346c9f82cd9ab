"""Steps that take turns with the window: putting all layers into the viewer at once would freeze it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qtpy.QtCore import QTimer

from ..background.latest_worker import LAYER_INTERVAL_MS


class Turns:
    """Takes the steps of an iterator one by one; steps that begin later overtake those that are not done.

    Parameters
    ----------
    failed : callable
        Called with the error of a step, which is raised afterwards: napari shows it whole.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._turn = 0
        self._steps: Iterator[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether steps are to be taken yet."""
        return self._steps is not None

    def begin(self, steps: Iterator[None]) -> None:
        """Take the first step now, each other one when the window has had its turn."""
        self.stop()
        self._steps = steps
        self._take(self._turn)

    def stop(self) -> None:
        """Take no further step."""
        self._turn += 1
        self._steps = None

    def finish(self) -> None:
        """Take all further steps now."""
        steps = self._steps
        self.stop()
        for _ in steps or ():
            pass

    def _take(self, turn: int) -> None:
        if turn != self._turn or self._steps is None:
            return
        try:
            for _ in self._steps:
                QTimer.singleShot(LAYER_INTERVAL_MS, lambda: self._take(turn))
                return
        except Exception as error:
            self._failed(error)
            raise
        # the last step may have begun others
        if turn == self._turn:
            self._steps = None
