"""A curve at its starts in the inspector's plot: the lines that are dragged set them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject

from ...catalogue.titles import symbol_of
from ...engine.core.options import Options
from ...engine.models.handles import Centre, Ellipse, Height, Width, handles_of
from ...engine.models.prediction import predict
from ...imaging.inspection.grips import Line, line_at, value_at
from ...layers.tasks.starts import CurveAsked, free_names, given_starts, limits_of
from ..background.latest_worker import Latest
from ..background.timers import single_shot
from ..plots.start_lines import LineShown, StartLines
from ..plots.styles import MEAN
from .dock import DRAW_DELAY_MS

if TYPE_CHECKING:
    from ..inspector.inspector import Inspector
    from .dock import Dock, OneChange

START_POINTS = 300  # points of the curve
RANGE_STEP = 1 / 400  # of the range in view that a start is a multiple of, about


class CurveStarts:
    """Follows the settings of the widget, and the curve that is looked at.

    Parameters
    ----------
    widget : Dock
    inspector : Inspector
    undo : OneChange
    """

    gone = Signal(object)  # the inspector, which was closed

    def __init__(self, widget: Dock, inspector: Inspector, undo: OneChange) -> None:
        self._widget, self._inspector, self._undo = widget, inspector, undo
        self._page = inspector.curve_page
        self._asked: CurveAsked | None = None
        self._guessed: dict[str, float] = {}
        self._held: dict[str, float] | None = None  # the starts when a drag began
        self.lines: StartLines | None = None
        self._owner = QObject(widget.parameters)
        self._soon = single_shot(self._owner, DRAW_DELAY_MS, self._look)
        self._work = Latest(CurveAsked.answer, self._owner)
        self._work.done.connect(self._on_answer)
        self._work.refused.connect(self._on_refused)
        self._page.drawn.connect(self.refresh)
        widget.parameters.edited.connect(self._on_edited)
        inspector.destroyed.connect(self._on_gone)
        self._look()

    @property
    def busy(self) -> bool:
        """Whether what is drawn is about to be another."""
        return self._soon.isActive() or self._work.busy

    def refresh(self, *_: object) -> None:
        """Look anew, soon, at what is chosen and shown."""
        if not self._soon.isActive() and self._held is None:
            self._soon.start()

    def stop(self) -> None:
        """Take everything off the plot, and listen no more."""
        self._inspector.destroyed.disconnect(self._on_gone)
        self._hide()
        self._let_go()

    def _on_gone(self, _inspector: object = None) -> None:
        """Forget what was drawn: the plot has gone with it."""
        self.lines = None
        self._let_go()
        self.gone.emit(self._inspector)

    def _let_go(self) -> None:
        self._soon.stop()
        self._work.forget()
        self._page.drawn.disconnect(self.refresh)
        self._widget.parameters.edited.disconnect(self._on_edited)
        self._owner.deleteLater()
        if self._held is not None:
            self._held = None
            self._undo.let_go()

    def _on_edited(self) -> None:
        if self._held is None:
            self._draw()
            self.refresh()

    def _look(self) -> None:
        """Find the curve that is looked at, and request the start of its fit."""
        self._asked = self._find()
        if self._asked is None:
            self._work.forget()
            self._on_refused("")
        else:
            self._work.ask(self._asked)

    def _find(self) -> CurveAsked | None:
        looking, shown = self._inspector.looking, self._page.shown
        if looking is None or not shown or self._widget.data.job != "voxels":
            return None
        is_mean = shown[0].who == MEAN
        outcome = looking.mean if is_mean else looking.outcome
        if outcome is None or outcome.request.model is not self._widget.model.model:
            return None
        rows = self._widget.parameters.rows_if_valid()
        if rows is None:
            return None
        if any(row.start is not None and not isinstance(row.start, (int, float)) for row in rows):
            return None  # a map of starts: each voxel has its own
        mean = None if looking.mean is None else looking.mean.mean
        return CurveAsked(outcome.request, shown[0].curve, rows, mean, is_mean)

    def _on_answer(self, asked: CurveAsked, answer: dict[str, float]) -> None:
        if asked is self._asked:
            self._guessed = answer
            self._draw()

    def _on_refused(self, _why: str) -> None:
        """Draw nothing: *Fit* shows the error."""
        self._guessed = {}
        self._draw()

    def _draw(self) -> None:
        """Draw the starts: those that are given as they are now, the others as they were guessed last."""
        asked, rows = self._asked, self._widget.parameters.rows_if_valid()
        if asked is None or rows is None or not self._guessed:
            self._hide()
            return
        values, free, model = self._guessed | given_starts(rows), free_names(rows), asked.request.model
        x = np.linspace(*asked.ends, START_POINTS)
        y = predict(model, (x,), np.array([[values[name]] for name in model.names]), Options())[:, 0]
        if self.lines is None:
            self.lines = StartLines(self._page.panel.upper)
            self.lines.dragged.connect(self._on_dragged)
            self.lines.released.connect(self._on_released)
        self.lines.draw(
            x,
            y,
            [
                LineShown(
                    _key(line),
                    symbol_of(line.parameter),
                    not isinstance(line, Height),
                    line_at(line, model, values, asked.ends),
                    line.parameter in free,
                )
                for line in self._handles()
            ],
        )

    def _hide(self) -> None:
        if self.lines is not None:
            self.lines.remove()
            self.lines = None

    def _handles(self) -> list[Line]:
        assert self._asked is not None
        return [handle for handle in handles_of(self._asked.request.model) if not isinstance(handle, Ellipse)]

    def _on_dragged(self, name: str, to: float) -> None:
        asked, rows = self._asked, self._widget.parameters.rows_if_valid()
        if asked is None or rows is None:
            return
        model = asked.request.model
        if self._held is None:
            self._held = self._guessed | given_starts(rows)
            self._undo.hold()
        line = next(line for line in self._handles() if _key(line) == name)
        value = value_at(line, model, self._held, asked.ends, to)
        if not math.isfinite(value):
            return
        limits = limits_of(model, rows, counts=asked.request.options.noise == "poisson")
        step = self._step(line, value, asked)
        self._widget.parameters.set_starts({line.parameter: limits.within(line.parameter, value, step)})
        self._draw()

    def _step(self, line: Line, value: float, asked: CurveAsked) -> float:
        """Return what a start is a multiple of: what can be told apart on screen."""
        assert self._held is not None
        if isinstance(line, Centre) or (isinstance(line, Width) and not line.inverse):
            return RANGE_STEP * (asked.ends[1] - asked.ends[0])
        if isinstance(line, Width):
            return RANGE_STEP * abs(value)
        low, high = self._page.panel.upper.getViewBox().viewRange()[1]
        model, held = asked.request.model, self._held
        return abs(
            value_at(line, model, held, asked.ends, low + RANGE_STEP * (high - low))
            - value_at(line, model, held, asked.ends, low)
        )

    def _on_released(self) -> None:
        if self._held is None:
            return
        self._held = None
        self._undo.let_go()
        self.refresh()


def _key(line: Line) -> str:
    return f"{type(line).__name__} {line.parameter}"
