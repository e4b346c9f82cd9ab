"""Undo and redo of the widget's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal, SignalInstance
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QApplication, QLineEdit, QToolButton, QWidget

from ...engine.core.errors import FitInputError
from ...layers.request.choices import Choices
from ...layers.request.layer_names import remember
from ..background.timers import single_shot
from .collect_choices import apply_choices

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...layers.history.settings_log import SettingsLog
    from ..widget import ImageFitWidget

UNDO_DEBOUNCE_MS = 300  # without another change


class SettingsUndo:
    """Records the settings whenever they have settled, and brings them back.

    Parameters
    ----------
    widget : ImageFitWidget
    viewer : Viewer
    log : SettingsLog
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem
    applied = Signal()  # other settings have been brought back

    def __init__(self, widget: ImageFitWidget, viewer: Viewer, log: SettingsLog) -> None:
        self._widget, self._viewer, self._log = widget, viewer, log
        self.applying = False
        self._held = False
        self.undo_button = _button("↶", "Undo the last change of a setting (Ctrl+Z)", "Undo")
        self.redo_button = _button("↷", "Do the change again that was undone (Ctrl+Y)", "Redo")
        self._settle = single_shot(widget, UNDO_DEBOUNCE_MS, self._on_settled)
        self._keys = _Keys(widget, self)
        self.undo_button.clicked.connect(lambda: self.undo())
        self.redo_button.clicked.connect(lambda: self.redo())
        self._offer()

    def listen(self) -> None:
        """Record what is set from now on."""
        for signal in settings_signals(self._widget):
            signal.connect(self.touch, check_nargs=False)
        self._widget.region.factor.editingFinished.connect(self.touch)
        self.record()

    def touch(self, *_: object) -> None:
        """Something was set."""
        if not (self.applying or self._held):
            self._settle.start()

    def hold(self) -> None:
        """Take what is set from now on for one change, however long it takes."""
        self.record()
        self._held = True

    def let_go(self) -> None:
        """End the one change that was begun by `hold`."""
        self._held = False
        self.touch()

    def _on_settled(self) -> None:
        """Record what was set, once it is let go of: a drag is one change, however long it rests on its way."""
        if QApplication.mouseButtons() == Qt.MouseButton.NoButton:
            self.record()
        else:
            self._settle.start()

    def record(self) -> bool:
        """Remember the settings as they are; returns whether they make sense, and were."""
        self._settle.stop()
        try:
            self._log.record(remember(self._widget.choices()))
        except FitInputError:
            return False
        finally:
            self._offer()
        return True

    def undo(self) -> None:
        """Take the last change back: what makes no sense, or else the last one that does."""
        self._apply(self._log.undo() if self.record() else self._log.now)

    def redo(self) -> None:
        """Do the change again that was taken back last."""
        self.record()
        self._apply(self._log.redo())

    def restore(self, remembered: Choices) -> None:
        """Bring settings back, as one change that can be undone."""
        self.record()
        self._log.record(remembered)
        self._apply(remembered)

    def bring_back(self) -> None:
        """Set everything as it was when the dock was closed."""
        self._apply(self._log.now)

    def quietly(self, change: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """Make a change that cannot be undone by itself; returns what it returns."""
        self.applying = True
        try:
            said = change()
        finally:
            self.applying = False
        self._settle.stop()
        with contextlib.suppress(FitInputError):
            self._log.settle(remember(self._widget.choices()))
        self._offer()
        return said

    def stop(self) -> None:
        """Release the keys."""
        self._settle.stop()
        self._keys.stop()

    def _apply(self, remembered: Choices | None) -> None:
        if remembered is None:
            return
        # a layer may be gone: what it has come to is no change of its own
        missing = self.quietly(lambda: apply_choices(self._widget, self._viewer, remembered))
        self.applied.emit()
        if missing:
            words = "; ".join(missing)
            self.said.emit(f"{words[0].upper()}{words[1:]}; all else is as it was.", True)

    def _offer(self) -> None:
        self.undo_button.setEnabled(self._log.can_undo)
        self.redo_button.setEnabled(self._log.can_redo)


def settings_signals(widget: ImageFitWidget) -> tuple[SignalInstance, ...]:
    """Return the signals of changed settings."""
    return (
        widget.data.layer_chosen,
        widget.data.job_chosen,
        widget.data.axis_chosen,
        widget.model.model_chosen,
        widget.parameters.edited,
        widget.region.changed,
        widget.region.layers.chosen,
        widget.options.changed,
        widget.samples.changed,
        widget.spots.changed,
        widget.spots.detect.changed,
        widget.spots.filtered,
        widget.fit_bar.frames_chosen,
    )


class _Keys(QObject):
    """Hears Ctrl+Z and Ctrl+Y wherever the focus is in the widget; a field that has something to undo goes first."""

    def __init__(self, widget: ImageFitWidget, undo: SettingsUndo) -> None:
        super().__init__(widget)
        self._widget, self._undo = widget, undo
        self._heard: QWidget | None = None
        self._application().focusChanged.connect(self._on_focus)

    def stop(self) -> None:
        """Hear nothing any more."""
        self._application().focusChanged.disconnect(self._on_focus)
        self._on_focus(None, None)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the keys before the one that has the focus does."""
        if not isinstance(event, QKeyEvent) or event.type() not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            return False
        step = _step(event)
        if step is None:
            return False
        field = watched if isinstance(watched, QLineEdit) else watched.findChild(QLineEdit) if watched else None
        its_own = field is not None and (field.isUndoAvailable() if step < 0 else field.isRedoAvailable())
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            # not left to the field: not every system knows Ctrl+Y
            history: Any = field if its_own else self._undo
            (history.undo if step < 0 else history.redo)()
        return True

    def _on_focus(self, _old: QWidget | None, new: QWidget | None) -> None:
        with contextlib.suppress(RuntimeError):  # the last one may be gone
            if self._heard is not None:
                self._heard.removeEventFilter(self)
        self._heard = new if new is not None and self._widget.isAncestorOf(new) else None
        if self._heard is not None:
            self._heard.installEventFilter(self)

    @staticmethod
    def _application() -> QApplication:
        running = QApplication.instance()
        assert isinstance(running, QApplication)
        return running


def _step(event: QKeyEvent) -> int | None:
    """−1 to undo, 1 to redo, None for any other key."""
    if event.matches(QKeySequence.StandardKey.Undo):
        return -1
    both = Qt.KeyboardModifier.ControlModifier
    again = event.key() == Qt.Key.Key_Y and event.modifiers() == both
    return 1 if again or event.matches(QKeySequence.StandardKey.Redo) else None


def _button(text: str, tip: str, name: str) -> QToolButton:
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    made.setAccessibleName(name)
    made.setAutoRaise(True)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return made
