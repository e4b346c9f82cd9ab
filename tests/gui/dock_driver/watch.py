"""Looks on while a window is used, and remembers what goes wrong."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import IO, Any

from .screen import PACKAGE, waited_for_a_core

TICK = 10  # ms
HOLD_UP = 1.0  # s
NOT_OURS = "hold-up without the plugin"
HANGS = 90.0  # s after which a hold-up is the end
# layers in metres beside others in seconds: the samples', and nobody's fault
NAPARIS_OWN = ("Inconsistent units across layers",)


class Watch:
    """Counts what goes wrong.

    A thread looks on: where the main thread stands in a hold-up can only be seen from outside.
    """

    def __init__(self, hold_up: float) -> None:
        self._hold_up = hold_up
        self.found: list[dict[str, Any]] = []
        self.doing = "starting"
        self.number = 0
        self._last = time.monotonic()
        self._cpu = self._delay = 0.0
        self._where = ""
        self._over = threading.Event()
        self._main = threading.main_thread().ident
        self.longest = 0.0
        self.trail: IO[str] | None = None  # is there even where napari ends the process

    def begin(self) -> None:
        from napari.utils.notifications import notification_manager
        from qtpy.QtCore import Qt, QTimer, qInstallMessageHandler

        notification_manager.notification_ready.connect(self._on_notification)
        sys.excepthook = lambda kind, error, trace: self.tell(
            "exception", repr(error), "".join(traceback.format_exception(kind, error, trace)[-6:])
        )
        threading.excepthook = lambda args: self.tell("exception in a thread", repr(args.exc_value))
        sys.unraisablehook = lambda args: self.tell("unraisable", repr(args.exc_value), repr(args.object))
        warnings.simplefilter("always")
        for name in ("pydantic", "npe2"):
            warnings.filterwarnings("ignore", module=name)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.showwarning = lambda message, kind, file, line, *_: self.tell(
            "warning", f"{kind.__name__}: {message}", f"{file}:{line}"
        )
        qInstallMessageHandler(lambda _mode, _context, text: self._on_qt(text))
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK)
        self._timer.timeout.connect(self._tick)
        self._last = time.monotonic()
        self._timer.start()
        threading.Thread(target=self._look_on, daemon=True, name="look-on").start()

    def end(self) -> None:
        self._over.set()
        self._timer.stop()

    def tell(self, kind: str, what: str, where: str = "") -> None:
        found = {"kind": kind, "what": what[:600], "where": where[-2500:], "doing": self.doing, "number": self.number}
        self.found.append(found)
        if self.trail is not None:
            self.trail.write(json.dumps({"found": found}, ensure_ascii=False) + "\n")
            self.trail.flush()

    def _on_notification(self, note: Any) -> None:
        if note.severity.value in ("error", "warning") and not str(note.message).startswith(NAPARIS_OWN):
            error = getattr(note, "exception", None) or getattr(note, "warning", None)
            trace = getattr(error, "__traceback__", None)
            where = (
                "".join(traceback.format_tb(trace)[-5:])
                or f"{getattr(note, 'filename', '')}:{getattr(note, 'lineno', '')}"
            )
            self.tell(f"napari {note.severity.value}", str(note.message), where)

    def _on_qt(self, text: str) -> None:
        # Xvfb has no such things
        if not any(part in text for part in ("propagateSizeHints", "XDG_RUNTIME_DIR", "setKeyboardGrab", "raise()")):
            self.tell("Qt", text)

    def _tick(self) -> None:
        now, cpu, delay = time.monotonic(), time.thread_time(), waited_for_a_core()
        waited, used = delay - self._delay, cpu - self._cpu
        # other programs' time is none of ours
        gap = now - self._last - TICK / 1000 - waited
        self._last, self._cpu, self._delay = now, cpu, delay
        self.longest = max(self.longest, gap)
        if gap > self._hold_up:
            words = (
                f"{gap:.2f} s, of which the main thread computed {used:.2f} s ({waited:.2f} s without a core beside)"
            )
            # what napari is busy with is told apart: nothing of the plugin is called, or calls it
            kind = "hold-up" if PACKAGE in self._where else NOT_OURS
            self.tell(kind, words, self._where)
        self._where = ""

    def _look_on(self) -> None:
        """Remember where the main thread stands whenever it has not ticked for long."""
        while not self._over.wait(0.05):
            late = time.monotonic() - self._last
            if late > HANGS:
                self.tell("hangs", f"for {late:.0f} s", self._stack())
                sys.stdout.write(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n")
                sys.stdout.flush()
                os._exit(3)
            if late > 0.6 * self._hold_up and not self._where:
                self._where = self._stack()

    def _stack(self) -> str:
        assert self._main is not None
        frame = sys._current_frames().get(self._main)
        try:
            lines = traceback.extract_stack(frame)
        except AttributeError:  # the frame is gone by now
            return ""
        ours = f"/{PACKAGE}/"
        short = []
        for f in lines:
            whose = f"{PACKAGE}/" if ours in f.filename else ""
            short.append(f"{whose}{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno} {f.name}")
        last = [place for place in short[:-14] if place.startswith(PACKAGE)][-1:]
        return " < ".join(reversed([*last, *short[-14:]]))


def let_go_of_notifications() -> None:
    """Close napari's notifications: it takes 4 s for each, one after the other, and they hold 0.2 MB each till then."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QApplication

    notification_manager.records.clear()
    for widget in QApplication.allWidgets():
        if isinstance(widget, NapariQtNotification):
            widget.close()
            widget.deleteLater()


def summary(report: dict[str, Any]) -> str:
    """What was found, each kind once, with how often and where first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in report["found"]:
        what = one["where"].split(" < ")[0] if one["kind"].startswith("hold-up") else one["what"][:160]
        groups.setdefault((one["kind"], what), []).append(one)
    lines = [
        f"seed {report['seed']}: {report['actions']} actions, longest hold-up {report['longest_hold_up_s']} s, "
        f"memory in MB {report['memory_mb']}, with everything taken away {report['levels_mb']}"
    ]
    for (kind, _), ones in sorted(groups.items(), key=lambda item: -len(item[1])):
        first = ones[0]
        lines.append(
            f"* {len(ones)} × {kind}: {first['what']}\n    #{first['number']} {first['doing']}\n    {first['where']}"
        )
    return "\n".join(lines)
