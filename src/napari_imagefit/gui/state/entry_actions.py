"""Actions on the entries of the history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ...engine.results.fit_result import LayerTuple
from ...layers.history.compare_entries import compare_entries
from ...layers.history.entry import Entry
from ...layers.history.entry_layers import is_shown
from ...layers.history.history import History
from ...layers.request.naming import spaced
from ..background.latest_worker import Latest
from ..background.timers import single_shot
from ..sections.history import HistoryRow, HistorySection
from .turns import Turns

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from .session import Session

BUSY = "A fit is under way; wait until it is done, or cancel it."
FOLLOW_DELAY_MS = 60  # in which rows follow layers that are shown and hidden one after another


class EntryActions:
    """Actions that connect the history of a viewer and its rows.

    Parameters
    ----------
    viewer : Viewer
    history : History
    section : HistorySection
    session : Session
    parent : QWidget
        Owner of a timer.
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem
    shown = Signal(object)  # the entry that results and inspector are to be about
    removed = Signal(object)  # an entry that was current
    restore = Signal(object)  # Choices, see `remember`
    export = Signal(object)  # Outcome
    copy_script = Signal(object)  # Outcome

    def __init__(
        self, viewer: Viewer, history: History, section: HistorySection, session: Session, parent: QWidget
    ) -> None:
        self._layers, self._history, self._section, self._session = viewer.layers, history, section, session
        self._turns = Turns(lambda error: self.said.emit(f"The layers could not be shown: {error}", True))
        # the pictures of large data take seconds
        self.compares = Latest(lambda pair: compare_entries(*pair), parent)
        self.compares.done.connect(self._on_compared)
        self.compares.refused.connect(lambda why: self.said.emit(f"These fits cannot be compared: {why}.", True))
        self._follow = single_shot(parent, FOLLOW_DELAY_MS, self.refresh)
        section.others_of = self._others
        section.show_entry.connect(lambda number: self._show(self._entry(number)))
        section.toggle.connect(lambda number: self._toggle(self._entry(number)))
        section.remove.connect(lambda number: self._remove(self._entry(number)))
        section.restore.connect(lambda number: self._restore(self._entry(number)))
        section.compare.connect(lambda one, other: self._compare(self._entry(one), self._entry(other)))
        section.export.connect(lambda number: self.export.emit(self._entry(number).outcome))
        section.copy_script.connect(lambda number: self.copy_script.emit(self._entry(number).outcome))
        session.started.connect(self._turns.finish)
        session.showing.connect(self._on_showing)
        history.changed.connect(self._refresh_soon)
        viewer.layers.events.connect(self._on_layers)
        self.refresh()

    def stop(self) -> None:
        """Disconnect from the viewer and its history."""
        self._follow.stop()
        self.compares.forget()
        self._turns.stop()
        self._history.changed.disconnect(self._refresh_soon)
        self._layers.events.disconnect(self._on_layers)

    def refresh(self) -> None:
        """Show all entries as they are now."""
        self._section.show_rows([self._row(entry) for entry in self._history.entries])

    def _on_showing(self) -> None:
        """See to it that a map which fills in is to be seen."""
        request = self._session.request
        if request is not None:
            self._history.reveal(request.source, request.group, self._layers)

    def _on_layers(self, event: Any) -> None:
        # the list passes on what its layers say of themselves
        if event.type in ("inserted", "removed", "visible"):
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        self._follow.start()

    def _entry(self, number: int) -> Entry:
        return next(entry for entry in self._history.entries if entry.number == number)

    def _row(self, entry: Entry) -> HistoryRow:
        facts, lines = entry.facts, [f"{entry.facts.title} · {entry.facts.place} · {entry.facts.data}"]
        lines += [f"{facts.when:%Y-%m-%d %H:%M:%S}, {facts.seconds:.2g} s", _counts_in_words(entry)]
        second = f"{facts.when:%H:%M}"
        if entry.outcome is None:
            second += " · arrays let go"
            lines.append("Its arrays were let go for want of room; restore its settings and fit again.")
        if not any(str(layer.unique_id) == entry.source for layer in self._layers):
            second += " · data removed"
            lines.append(f"Layer {facts.data!r} was removed; numbers, export and script stay.")
        second += f"  {facts.numbers}"
        return HistoryRow(
            entry.number,
            f"{entry.title} · {facts.place}",
            second,
            "\n".join(lines),
            is_shown(self._layers, entry),
            entry is self._history.current,
            entry.outcome is not None,
        )

    def _others(self, number: int) -> list[tuple[int, str]]:
        entry = self._entry(number)
        return [
            (other.number, f"{other.title} · {other.facts.place}")
            for other in self._history.entries
            if other is not entry
            and other.source == entry.source
            and None not in (entry.outcome, other.outcome)
            and not (entry.is_of_mean or other.is_of_mean)
        ]

    def _begin(self, steps: Iterator[None]) -> bool:
        """Put layers into the viewer, unless a fit does."""
        if self._session.running:
            self.said.emit(BUSY, True)
            return False
        self._turns.finish()
        self._turns.begin(steps)
        return True

    def _show(self, entry: Entry) -> None:
        if entry.is_of_mean:
            self.shown.emit(entry)
        elif entry.outcome is not None:
            self._begin(self._shows(entry))

    def _shows(self, entry: Entry, words: str = "") -> Iterator[None]:
        yield from self._history.show(entry, self._layers)
        self._history.make_current(entry)
        self.shown.emit(entry)
        if words:
            self.said.emit(words, False)

    def _toggle(self, entry: Entry) -> None:
        if entry.is_of_mean:
            self.said.emit("A mean curve has no layers; show the fit to see it in the inspector.", False)
        elif not is_shown(self._layers, entry) and not entry.outputs:
            self.said.emit(f"The arrays of fit {entry.number} were let go; restore its settings and fit again.", True)
        else:
            self._begin(self._history.toggle(entry, self._layers))

    def _restore(self, entry: Entry) -> None:
        self.restore.emit(entry.choices)

    def _remove(self, entry: Entry) -> None:
        if self._session.running and self._session.request is not None and self._session.request.group == entry.group:
            self.said.emit(BUSY, True)
            return
        self._turns.finish()
        was_current = entry is self._history.current
        self._history.remove(entry, self._layers)
        if was_current:
            self.removed.emit(entry)

    def _compare(self, entry: Entry, other: Entry) -> None:
        if self._session.running:
            self.said.emit(BUSY, True)
            return
        self.compares.ask((entry, other))

    def _on_compared(self, pair: tuple[Entry, Entry], found: tuple[list[LayerTuple], str]) -> None:
        """Show the entry with the new layers, unless it was removed meanwhile."""
        entry, (made, words) = pair[0], found
        if entry not in self._history.entries or entry.outcome is None:
            return
        for new in made:
            entry.take_layer(new)
        # shown first: that has words of its own
        self._begin(self._shows(entry, words))


def _counts_in_words(entry: Entry) -> str:
    counts = entry.facts.counts
    words = [f"{spaced(counts.converged)} converged"]
    words += [f"{spaced(counts.remarks)} of them with remarks"] if counts.remarks else []
    words += [f"{spaced(counts.failed)} failed"] if counts.failed else []
    chi2 = f"{'median ' if counts.converged > 1 else ''}reduced χ² {entry.facts.chi2:.4g}"
    return ", ".join([*words, chi2] if counts.converged else words)
