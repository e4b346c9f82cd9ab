"""All fits of a viewer, for as long as it lives: whatever is closed, they are found again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from psygnal import Signal

from ..geometry.output_layers import PAINT, Output, role_of
from ..request.fit_request import Outcome
from .entry import Entry, facts_of
from .entry_layers import bring_back, hide, is_shown, note_looks, stamp, take_away
from .memory import arrays_in, budget, held_by
from .settings_log import SettingsLog

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.viewer import ViewerModel


class History:
    """The entries of a viewer, the newest first, one of which is current; and its settings.

    Attributes
    ----------
    entries : list of Entry
    current : Entry or None
        The one that results, inspector and exports are about.
    settings : SettingsLog
    """

    changed = Signal()

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.current: Entry | None = None
        self.settings = SettingsLog()
        self._count = 0

    def add(self, outcome: Outcome, seconds: float, layers: LayerList, *, instead: Entry | None = None) -> Entry:
        """Add a finished fit, whose layers are in the viewer; it is current, and others of its data are hidden.

        What is no new fit, such as a further map of the same result, goes to the entry of that result. A fit of the
        same group that follows another takes the place of its entry, `instead` of being one more. The fit of a mean
        curve alone has no layers: what is shown, and current, stays so.
        """
        entry = self.find(outcome)
        if entry is None and instead in self.entries and instead.group == outcome.request.group:
            entry = instead
            entry.choices = outcome.request.chosen
            entry.facts = facts_of(outcome, entry.choices, datetime.now(), seconds)
        if entry is None:
            self._count += 1
            request = outcome.request
            facts = facts_of(outcome, request.chosen, datetime.now(), seconds)
            entry = Entry(self._count, request.source, request.group, request.chosen, facts, None)
            self.entries.insert(0, entry)
        entry.take(outcome)
        stamp(layers, entry)
        if outcome.result is not None:
            self.reveal(entry.source, entry.group, layers)
            self.current = entry
        self._keep_within_budget(layers)
        self.changed.emit()
        return entry

    def find(self, outcome: Outcome) -> Entry | None:
        """Return the entry of a result."""
        return next((e for e in self.entries if e.outcome is not None and e.outcome.fit is outcome.fit), None)

    def last_of(self, group: str) -> Entry | None:
        """Return the last entry of a layer, job and model that has its arrays, and is of no mean curve."""
        of_group = (entry for entry in self.entries if entry.group == group and entry.outcome is not None)
        return next((entry for entry in of_group if not entry.is_of_mean), None)

    def update(self, outcome: Outcome) -> None:
        """Take an outcome whose filters have changed."""
        entry = self.find(outcome)
        if entry is not None and entry.outcome is not None:
            entry.outcome = outcome

    def take_layer(self, outcome: Outcome, output: Output, layers: LayerList) -> None:
        """Take a further layer of a result, which is in the viewer; it comes and goes with the others of its entry."""
        entry = self.find(outcome)
        if entry is not None:
            entry.take_layer(output.data)
            stamp(layers, entry)

    def drop_layer(self, outcome: Outcome, what: str) -> None:
        """Forget a layer that was taken out of the viewer: it is not brought back with the others."""
        entry = self.find(outcome)
        if entry is not None:
            entry.outputs.pop(what, None)

    def make_current(self, entry: Entry | None) -> None:
        """Results, inspector and exports are about that entry."""
        self.current = entry
        self.changed.emit()

    def show(self, entry: Entry, layers: LayerList) -> Iterator[None]:
        """Show the layers of an entry instead of all others of its data; a step for each layer."""
        for other in self.entries:
            # those of its own group are updated in place, and keep what is to be seen of them
            if other.group == entry.group and other is not entry:
                note_looks(layers, other)
        self._hide_others(entry.source, entry.group, layers)
        yield from bring_back(layers, entry)
        self.changed.emit()

    def reveal(self, source: str, group: str, layers: LayerList) -> None:
        """See to it that something of a group is to be seen, as it was before it was hidden, and nothing of others."""
        self._hide_others(source, group, layers)
        found = {what: layer for layer in layers if (what := role_of(layer, group)) not in (None, PAINT)}
        of_group = [entry for entry in self.entries if entry.group == group]
        if not of_group or any(layer.visible for layer in found.values()):
            return
        looks = next((entry.looks for entry in of_group if entry.looks), {})
        for what, layer in found.items():
            layer.visible = looks.get(what, of_group[0].is_first_seen(what))

    def toggle(self, entry: Entry, layers: LayerList) -> Iterator[None]:
        """Show or hide the layers of an entry; a step for each layer."""
        if is_shown(layers, entry):
            hide(layers, entry)
        else:
            yield from bring_back(layers, entry)
        self.changed.emit()

    def remove(self, entry: Entry, layers: LayerList) -> None:
        """Remove an entry, and the layers that show it."""
        take_away(layers, entry)
        self.entries.remove(entry)
        if self.current is entry:
            self.current = None
        self.changed.emit()

    def held(self, layers: LayerList) -> int:
        """Return the bytes of the arrays that entries hold, each once, and without data of layers that were fitted."""
        inputs = held_by(layer for layer in layers if any(str(layer.unique_id) == e.source for e in self.entries))
        found: dict[int, int] = {}
        for entry in self.entries:
            found |= arrays_in((entry.outcome, entry.outputs))
        return sum(size for owner, size in found.items() if owner not in inputs)

    def _hide_others(self, source: str, group: str, layers: LayerList) -> None:
        for other in self.entries:
            if other.group != group and other.source == source:
                hide(layers, other)

    def _keep_within_budget(self, layers: LayerList) -> None:
        """Drop the oldest arrays; of their layers those that are to be seen stay."""
        most = budget()
        for entry in reversed(self.entries):
            if self.held(layers) <= most:
                return
            if entry is self.current or entry.outcome is None:
                continue
            if not is_shown(layers, entry):
                take_away(layers, entry)
            entry.let_go()


_HISTORIES: WeakKeyDictionary[ViewerModel, History] = WeakKeyDictionary()


def history_of(viewer: ViewerModel) -> History:
    """Return the history of a viewer; the first call makes it, and it goes with the viewer."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    return _HISTORIES.setdefault(viewer, History())
