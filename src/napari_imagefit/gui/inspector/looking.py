"""Inspected fits of a viewer: under the pointer, chosen elsewhere or on screen, and pinned.

It goes on while no inspector is open: the dock's numbers follow it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ...imaging.fitting.fit_report import Place
from ...imaging.inspection.fit_grid import FitGrid, SpotGrid
from ...layers.inspection.marks import MARK_KEY, PINS, show_pins
from ...layers.inspection.pick import Sight, pick, sample_in
from ...layers.request.fit_request import Outcome
from ...layers.tasks.live_tasks import VoxelFit
from ..background.timers import single_shot
from ..plots.styles import CHOSEN, CURSOR, ON_SCREEN, PLOT_STYLES
from ..widgets.cursor import CursorFollower
from ..widgets.keys import Key
from .pins import Pins
from .ranges import Ranges

if TYPE_CHECKING:
    from napari.viewer import Viewer

STEP_DELAY_MS = 50  # from a slider's move until the fit of the new slice is looked at


class Looking:
    """Follows the pointer over the canvas, and keeps pins.

    Whoever uses it says so with `hold`, and lets go with `release`; the last one stops it.

    Parameters
    ----------
    viewer : Viewer
    """

    looked_at = Signal(object)  # Place or None: what is looked at, or what was found there, is another
    changed = Signal()  # what is looked at, or what is pinned
    fed = Signal()  # another result, or none any more
    said = Signal(str)  # why something cannot be pinned
    recounted = Signal()  # other samples count in the next fit

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._users = 0
        self._pointer: Place | None = None
        self._chosen: Place | None = None
        self._seen: tuple[str, Place] | None = None
        self._escape: Key | None = None
        self._marking = False
        self.outcome: Outcome | None = None
        self.mean: Outcome | None = None
        self.grid: FitGrid | None = None
        self.ranges: Ranges | None = None
        self.pins = Pins()
        self.voxel: VoxelFit | None = None  # fitted by itself, where the pointer is
        self._always = False
        self._stepped = single_shot(None, STEP_DELAY_MS, self._on_stepped)
        self.follower = CursorFollower(viewer, self._stepped)
        self.follower.enabled = lambda: self._always or self.grid is not None
        self.follower.moved.connect(self._on_moved)
        self.follower.clicked.connect(self._on_clicked)
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.layers.events.removed.connect(self._on_removed)
        self.hold()

    @property
    def place(self) -> Place | None:
        """The fit that is looked at, by its position on the grid."""
        return None if self._seen is None else self._seen[1]

    @property
    def pinned(self) -> Mapping[str, Place]:
        """The pinned fits, by their letters."""
        return {pin.letter: pin.place for pin in self.pins.items}

    def shown_places(self) -> dict[str, Place]:
        """Return what is looked at and what is pinned, the former first: by its letter where it is pinned itself."""
        pinned = dict(self.pinned)
        if self._seen is None:
            return pinned
        how, place = self._seen
        letter = next((letter for letter, other in pinned.items() if other == place), how)
        return {letter: place, **pinned}

    def follow(self, ranges: Ranges | None) -> None:
        """Connect the plots to the samples that count in the next fit, to show and change them; None disconnects."""
        if self.ranges is not None:
            self.ranges.changed.disconnect(self.recounted.emit)
        self.ranges = ranges
        if ranges is not None:
            ranges.changed.connect(self.recounted.emit)
        self.recounted.emit()

    def hold(self) -> None:
        """Register a user of it."""
        self._users += 1

    def release(self) -> None:
        """Look at it no more; without anybody it stops, and is of no use any more."""
        self._users -= 1
        if self._users:
            return
        self._stepped.stop()
        self.follower.stop()
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.pins.clear()
        self._listen_to_escape()
        self.outcome = self.mean = self.grid = self._seen = self._pointer = self._chosen = None

    def tidy(self) -> None:
        """Take the pins out of the viewer where nobody but the caller looks at them."""
        if self._users == 1:
            self.clear_pins()

    def take(self, outcome: Outcome) -> bool:
        """Look at another fit; pins stay where they are, those of another layer's fit are let go."""
        if outcome.result is None:
            return False
        grid = FitGrid.of(outcome.result)
        before, same = self.grid, self.outcome is not None and self.outcome.request.source == outcome.request.source
        if same:
            self.pins.move_to(grid)
        else:
            self.pins.clear()
        kept = same and before is not None and before.grid == grid.grid
        self._pointer, self._chosen = (
            place if kept and place is not None and grid.holds(place) else None
            for place in (self._pointer, self._chosen)
        )
        self.outcome, self.grid = outcome, grid
        self.mean = outcome if outcome.mean is not None else None
        self._seen = self._find()
        self._mark_pins()
        self.fed.emit()
        self.looked_at.emit(self.place)
        return True

    def take_mean(self, outcome: Outcome) -> None:
        """Look at the mean curve of a region and its fit, until the next result comes."""
        if outcome.mean is not None:
            self.mean = outcome
            self.fed.emit()

    def forget_mean(self) -> None:
        """Look at no mean curve but that of the map, if it began with one."""
        self.mean = self.outcome if self.outcome is not None and self.outcome.mean is not None else None
        self.fed.emit()

    def take_voxel(self, voxel: VoxelFit | None) -> None:
        """Look at the fit of a voxel by itself, instead of what a map has there."""
        if voxel is not self.voxel:
            self.voxel = voxel
            self.changed.emit()

    def follow_always(self, always: bool) -> None:
        """Follow the pointer where nothing has been fitted yet, too."""
        self._always = always

    def forget(self) -> None:
        """Look at nothing: there is no fit any more, or not of what is in the viewer."""
        if self.outcome is None and self.mean is None:
            return
        self.clear_pins()
        self.outcome = self.mean = self.grid = self._pointer = self._chosen = self._seen = None
        self.fed.emit()
        self.looked_at.emit(None)

    def look_at(self, place: Place | None) -> None:
        """Look at a fit that was chosen elsewhere, until the pointer moves over another one."""
        if self.grid is None or not (place is None or self.has(place)):
            return
        # where the pointer was before is not what is meant, whatever slice comes on screen
        self.follower.forget()
        self._pointer, self._chosen = None, place
        self._look()

    def has(self, place: Place) -> bool:
        """Whether there is a fit at that position."""
        return self.grid is not None and self.grid.holds(place)

    def pin(self, place: Place) -> None:
        """Pin a fit, or let go of it if it is pinned."""
        if self.outcome is None or self.outcome.result is None or self.grid is None:
            return
        if not self.pins.toggle(place, self.grid, self.outcome.result):
            self.said.emit(f"{len(PLOT_STYLES)} fits are pinned, which are all there is room for; clear some.")
            return
        self._chosen = place if place in self.pinned.values() else None
        self._seen = self._find()
        self._show_pins()
        self.looked_at.emit(self.place)

    def clear_pins(self) -> None:
        """Remove all pins."""
        if not self.pins.items:
            return
        if self._chosen in self.pinned.values():
            self._chosen = None
        self.pins.clear()
        self._seen = self._find()
        self._show_pins()
        self.looked_at.emit(self.place)

    def _find(self) -> tuple[str, Place] | None:
        if self._pointer is not None:
            return CURSOR, self._pointer
        if self._chosen is not None:
            return CHOSEN, self._chosen
        sample = self._sample_on_screen()
        place = None if sample is None or self.grid is None else self.grid.nearest(sample)
        return None if place is None else (ON_SCREEN, place)

    def _look(self) -> None:
        before, self._seen = self._seen, self._find()
        if self._seen != before:
            self.changed.emit()
            if before is None or self._seen is None or before[1] != self._seen[1]:
                self.looked_at.emit(self.place)

    def _sample_on_screen(self) -> Any:
        """Return the middle of the slice on screen, as an index into the data; None without their layer."""
        if self.outcome is None:
            return None
        return sample_in(self._viewer.layers, self.outcome.request.source, Sight.of_middle(self._viewer))

    def _under(self, sight: Sight) -> Place | None:
        if self.outcome is None or self.outcome.result is None:
            return None
        return pick(self._viewer.layers, self.outcome.request, self.outcome.result, sight)

    def _show_pins(self) -> None:
        self._mark_pins()
        self.changed.emit()

    def _mark_pins(self) -> None:
        if self.outcome is not None and self.grid is not None:
            self._marking = True
            show_pins(self._viewer.layers, self.outcome.request, self.grid, self.pins.items)
            self._marking = False
        self._listen_to_escape()

    def _listen_to_escape(self) -> None:
        """Bind the key only while there are pins: it is anybody's."""
        if self.pins.items and self._escape is None:
            self._escape = Key(self._viewer, "Escape", self.clear_pins)
        elif not self.pins.items and self._escape is not None:
            self._escape.release()
            self._escape = None

    def _on_moved(self, sight: Sight) -> None:
        self._pointer = self._under(sight)
        self._look()

    def _on_clicked(self, sight: Sight) -> None:
        place = self._under(sight)
        if place is not None:
            self._pointer = place
            self.pin(place)

    def _on_step(self, _event: object = None) -> None:
        self._stepped.start()

    def _on_stepped(self) -> None:
        """Another slice: of a region that was chosen, its fit there; else the one that is on screen now."""
        grid = self.grid
        if grid is None or grid.axis is not None:
            return
        if self._chosen is not None and not isinstance(grid, SpotGrid):
            sample = self._sample_on_screen()
            self._chosen = None if sample is None else grid.in_frame(self._chosen, sample)
        self._look()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if self._marking:
            return
        if layer.metadata.get(MARK_KEY, {}).get("what") == PINS:
            self.clear_pins()
        elif self.outcome is not None and str(layer.unique_id) == self.outcome.request.source:
            self.forget()
