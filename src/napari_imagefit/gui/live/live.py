"""Live: what is chosen, drawn or on screen changes, and the fit of what is seen follows at once."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ...engine.core.errors import FitInputError
from ...engine.core.programs import compiled_programs, is_compiling
from ...engine.core.progress import Progress
from ...layers.geometry.output_layers import follow, put, role_of, shown_roles
from ...layers.geometry.transforms import held_still
from ...layers.inspection.state_counts import state_of
from ...layers.request.fit_request import Outcome, Request
from ...layers.request.freeze import freeze
from ...layers.request.live import choices_seen, key_of, regions_seen
from ...layers.tasks.live_tasks import completed, fit_seen
from ..background.timers import single_shot
from .curves import Curves, LiveCurves
from .runner import Runner
from .triggers import Triggers

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...layers.history.entry import Entry
    from ..widget import ImageFitWidget

STILL_MS = 150  # ms without a change after which the hand has stopped
LONG = 1000  # ms after which a fit shows how far it is, and is dropped by the next one
TOO_LONG = 3000  # ms of one fit after which nothing follows any more
HOLD_S = 0.04  # for which the window waits for a fit
MOST_PASSED = 31  # fits that are not waited for after some that took longer
PAUSED = "Live has paused, because one fit took longer than 3 s; choose it again for a smaller region."
GOES_ON = "This fit goes on; Cancel stops it."


class Live:
    """Refits whenever something changes; while the hand moves only data of visible layers, plots and numbers follow.

    The latest change wins: a request that comes while a fit is under way waits, and replaces what waited. Once the hand
    has stopped, the last fit is shown as one of a click is, and is one entry of the history.

    Parameters
    ----------
    widget : ImageFitWidget
    viewer : Viewer
    """

    said = Signal(str, bool)  # a sentence, and whether it is a problem
    switched = Signal(bool)  # on or off

    def __init__(self, widget: ImageFitWidget, viewer: Viewer) -> None:
        self._widget, self._viewer = widget, viewer
        self.on = False
        self._key: object = None
        self._forced = self._due = False
        # how many fits are not waited for, because one took too long, and how many of them there have been
        self._overdue = self._passed = 0
        self._outcome: Outcome | None = None  # the last one that is shown, and is not complete yet
        self._shown: Outcome | None = None  # that is being put into the viewer as a whole
        self._shows_first = False  # none of its layers was there
        self._entry: Entry | None = None  # of the fits that follow each other
        self._touched = self.seconds = 0.0
        self.follows = False  # the last fit whose layers were shown as a whole
        self._compiled = 0  # programs, when the fit began
        self._told = False  # how far a fit is
        self._lasting = False  # a fit is under way that has taken longer than `LONG`
        self.refits = 0  # since it was switched on
        self.note = ""  # why it follows no more
        self.triggers = Triggers(widget, viewer)
        self.triggers.touched.connect(self.touch)
        self.curves = Curves(widget, viewer)
        self.curves.moved.connect(lambda: self.touch())
        self._runner = Runner(widget)
        self._runner.progressed.connect(self._on_progress)
        self._runner.done.connect(self._on_done)
        self._soon = single_shot(widget, 0, self._begin_and_wait)
        self._stopped = single_shot(widget, STILL_MS, self._complete)
        self._long = single_shot(widget, LONG, self._on_long)
        self._too_long = single_shot(widget, TOO_LONG, self._on_too_long)
        widget.session.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether a fit is under way, waits, or is being shown."""
        waits = self._soon.isActive() or self._stopped.isActive()
        return self._runner.busy or waits or self._is_showing

    @property
    def _is_showing(self) -> bool:
        """Whether the session puts layers of a fit that followed into the viewer, and is not about a click by now."""
        return self._shown is not None and self._widget.session.request is self._shown.request

    @property
    def _must_end_first(self) -> bool:
        """Whether something is under way that the next fit waits for, which tells when it has ended.

        It is a short fit, a click, or the first layers, of which there is nothing yet that could follow.
        """
        if self._runner.busy:
            return not self._lasting
        return self._widget.session.running and (self._shows_first or not self._is_showing)

    def set_on(self, on: bool) -> None:
        """Follow from now on, or no more; what is shown stays."""
        if on == self.on:
            return
        self.on, self.note = on, ""
        if on:
            # the search for garbage passes over all that is there by now, which would hold the window up
            gc.collect()
            gc.freeze()
            self._key, self._entry, self.refits = None, None, 0
            self.triggers.listen()
            self.curves.listen()
            self.touch()
        else:
            self.triggers.stop()
            self.curves.stop()
            self._soon.stop()
            self._due = False
            gc.unfreeze()
        self.switched.emit(on)

    def stop(self) -> None:
        """Switch off, and drop the fit under way."""
        self.set_on(False)
        self.cancel()

    def cancel(self) -> bool:
        """Drop the fit under way; the next change begins another. Returns whether there was one."""
        self._soon.stop()
        self._stopped.stop()
        self._due = False
        self._outcome = None
        was_busy = self._runner.drop() or self._is_showing
        self._show_no_more()
        self._rest()
        return was_busy

    def _show_no_more(self) -> None:
        """Put no further layers into the viewer."""
        if self._is_showing:
            self._widget.session.cancel()
        self._shown, self.triggers.puts = None, False

    def touch(self, forced: bool = False) -> None:
        """Something has changed; `forced` if it is what a layer holds."""
        if not self.on:
            return
        self._forced |= forced
        if self._runner.busy:
            self._due = True
            if not self._lasting:
                return
        self._soon.start()

    def _begin_and_wait(self) -> None:
        """Fit what is on screen now, and hold the window for a fit that is short.

        Beside a window that draws it would wait for Python's lock far longer than it takes.
        """
        waits, begun = self._waits, time.perf_counter()
        if self._begin() and waits and self._runner.busy and self._runner.begun > begun:
            is_there = self._runner.wait(HOLD_S - (time.perf_counter() - begun))
            self._overdue = 0 if is_there else min(2 * self._overdue + 1, MOST_PASSED)
            self._passed = 0

    @property
    def _waits(self) -> bool:
        """Whether the next fit is expected to be short; one that was not is forgotten after some fits."""
        return self._passed >= self._overdue

    def _begin(self) -> bool:
        """Fit what is on screen now, if that has changed; returns whether it can be fitted."""
        self._due = False
        if not self.on:
            return True
        if self._must_end_first:
            self._due = True
            return True
        try:
            with held_still():
                choices = choices_seen(self._widget.choices())
                key = key_of(choices), self.curves.place if choices.job == "voxels" else None
                if key == self._key and not self._forced:
                    return True
                forced, self._forced, before, self._key = self._forced, False, self._key, key
                shown = shown_roles(self._viewer.layers, choices.group)
                request = self._widget.follow_ups.shown.with_choice(freeze(choices, shown))
                request = regions_seen(request, choices.current)
        except FitInputError as error:
            self._key = None
            self._drop_lasting()
            self._show_no_more()
            self._refuse(str(error))
            return False
        self._drop_lasting()
        self._stopped.stop()
        self._show_no_more()
        self._touched, self._compiled = time.perf_counter(), compiled_programs()
        self._passed += 1
        if choices.job == "voxels":
            same = not forced and isinstance(before, tuple) and before[0] == key[0]
            self._runner.run(self.curves.task(request, same_settings=same))
        else:
            self._runner.run(partial(fit_seen, request, self._visible(request)))
        self._long.start()
        self._too_long.start()
        return True

    def _drop_lasting(self) -> None:
        """Drop the fit under way, which is of what is no more there."""
        if self._runner.drop():
            self._rest()

    def _visible(self, request: Request) -> frozenset[str]:
        """Return the roles of the layers of earlier fits that are to be seen."""
        roles = (role_of(layer, request.group) for layer in self._viewer.layers if layer.visible)
        return frozenset(role for role in roles if role is not None)

    def _refuse(self, why: str) -> None:
        """Show why there is no fit of what is chosen, and remove the numbers of another one."""
        self._outcome = None
        self._stopped.stop()
        self._widget.values.show_fits(None)
        self.said.emit(why, True)

    def _on_done(self, answer: Any) -> None:
        """Begin the next fit, and show this one meanwhile."""
        self._rest()
        if isinstance(answer, Outcome) and self._is_completed(answer):
            self._show_whole(answer)
            return
        touched = self._touched
        # of the first one there is nothing yet that could follow: it is shown before the next begins
        if self._due and self._waits:
            self._soon.start()
        elif self._due and not self._is_first(answer) and not self._begin():
            return
        if isinstance(answer, FitInputError):
            self._refuse(str(answer))
        elif isinstance(answer, Exception):
            self._refuse(f"The fit failed by an error of the program, {type(answer).__name__}: {answer}")
        elif isinstance(answer, LiveCurves):
            self.refits += 1
            self.curves.show(answer)
        elif answer.refusal:
            self._refuse(answer.refusal)
        else:
            self._show(answer, touched)

    def _is_first(self, answer: Any) -> bool:
        """Whether none of its layers is in the viewer."""
        return isinstance(answer, Outcome) and not shown_roles(self._viewer.layers, answer.request.group)

    def _is_completed(self, answer: Outcome) -> bool:
        return self._outcome is not None and answer.result is self._outcome.result

    def _show(self, outcome: Outcome, touched: float) -> None:
        """Show data of visible layers, numbers and plots; whatever depends on them comes when the hand has stopped."""
        assert outcome.result is not None
        layers, is_first = self._viewer.layers, self._is_first(outcome)
        with self._ignoring_changes():
            for output in outcome.outputs:
                if not is_first and not follow(layers, output):
                    put(layers, output)
        self._outcome = outcome
        self._widget.values.set_fits(outcome)
        # its numbers are computed when they are shown
        if not self._widget.inspection.show_where_open(outcome):
            self._widget.values.refresh()
        self.seconds = time.perf_counter() - touched
        self._widget.fit_bar.show_counts(state_of(outcome.result), self.seconds)
        self.refits += 1
        if is_first:
            self._complete()
        elif not self._runner.busy:
            self._stopped.start()

    def _complete(self) -> None:
        """Make all layers of the last fit, now that the hand has stopped."""
        if self._outcome is None or self._runner.busy:
            return
        self._stopped.stop()
        outcome = self._outcome
        if outcome.complete:
            self._show_whole(outcome)
        else:
            self._runner.run(lambda _stop: _completing(outcome))

    def _show_whole(self, outcome: Outcome) -> None:
        if self._due and not self._is_first(outcome) and (not self._begin() or self._runner.busy):
            return
        self._outcome, self._shown, self._shows_first = None, outcome, self._is_first(outcome)
        self.triggers.puts = True
        self._widget.session.show(outcome)

    def take(self, outcome: Outcome, seconds: float) -> tuple[float, Entry | None]:
        """Say of a fit whose layers are there how long it took, and which entry it takes the place of, if any.

        `seconds` are those of a click.
        """
        self.triggers.puts = False
        self.follows, self._shown = outcome is self._shown, None
        if self._due:
            self._soon.start()
        return (self.seconds, self._entry) if self.follows else (seconds, None)

    def keep(self, entry: Entry | None) -> None:
        """Remember the entry of that fit: the next one that follows takes its place, but for that of a click."""
        self._entry = entry if self.follows else None

    def _on_failed(self, _why: str) -> None:
        self.triggers.puts = False
        self._shown = None
        if self._due:
            self._soon.start()

    def _on_progress(self, progress: Progress) -> None:
        if progress.compiling:
            self._lasting = False
            self._long.start()
            self._too_long.start()
        if self._lasting or progress.compiling:
            self._told = True
            self._widget.fit_bar.set_progress(progress, self._runner.seconds)

    def _on_long(self) -> None:
        if self._runner.busy:
            self._told = self._lasting = True
            self._widget.fit_bar.set_busy("fitting…")
            if self._due:
                self._soon.start()

    def _on_too_long(self) -> None:
        """Pause, but not because something has been compiled meanwhile, which the next fit need not wait for."""
        compiled = compiled_programs()
        if self._runner.busy and (is_compiling() or compiled != self._compiled):
            self._compiled = compiled
            self._too_long.start()
        elif self._runner.busy and self.on:
            self.set_on(False)
            self.note = PAUSED
            self.said.emit(f"{PAUSED} {GOES_ON}", True)

    def _rest(self) -> None:
        self._long.stop()
        self._too_long.stop()
        self._lasting = False
        if self._told:
            self._told = False
            self._widget.fit_bar.set_idle()

    @contextmanager
    def _ignoring_changes(self) -> Iterator[None]:
        self.triggers.ignoring = True
        try:
            yield
        finally:
            self.triggers.ignoring = False


def _completing(outcome: Outcome) -> Any:
    yield from ()
    return completed(outcome)
