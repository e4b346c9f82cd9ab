"""Undo and redo of settings."""

from __future__ import annotations

from ..request.choices import Choices
from ..request.layer_names import settings_of

MOST_SETTINGS = 200  # settings that are remembered


class SettingsLog:
    """Remembered choices, one after another, of which one holds now."""

    def __init__(self) -> None:
        self._states: list[Choices] = []
        self._now = -1

    @property
    def now(self) -> Choices | None:
        """Settings in effect; None before any were recorded."""
        return self._states[self._now] if self._states else None

    @property
    def can_undo(self) -> bool:
        """Whether there are earlier ones."""
        return self._now > 0

    @property
    def can_redo(self) -> bool:
        """Whether some were undone."""
        return self._now < len(self._states) - 1

    def record(self, remembered: Choices) -> bool:
        """Add choices, unless they are those that hold; what was undone is forgotten. Returns whether they were added.

        Another frame on screen is no change, but the latest one counts.
        """
        if self.now is not None and settings_of(self.now) == settings_of(remembered):
            self._states[self._now] = remembered
            return False
        self._states = [*self._states[: self._now + 1], remembered][-MOST_SETTINGS:]
        self._now = len(self._states) - 1
        return True

    def undo(self) -> Choices | None:
        """Go back to the choices before; None if there are none."""
        return self._go(-1) if self.can_undo else None

    def redo(self) -> Choices | None:
        """Go to the choices that were undone; None if there are none."""
        return self._go(1) if self.can_redo else None

    def settle(self, remembered: Choices) -> None:
        """Replace the choices that hold by what came of applying them: a layer may be gone."""
        if self._states:
            self._states[self._now] = remembered

    def _go(self, step: int) -> Choices:
        self._now += step
        return self._states[self._now]
