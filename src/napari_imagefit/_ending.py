"""Actions when Python ends, before it waits for its threads: ordinary exit handlers are called after that.

Nothing of a user is at stake in a thread that imports, traces or compiles, but Python would wait for it for seconds.
Such threads are begun with `Background`: what they do in Python is broken off, and a compiler that does not come back
is left alone as the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError

# what was registered last is called first, and executors must still be there then
from concurrent.futures.thread import ThreadPoolExecutor  # noqa: F401
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any
from weakref import WeakSet

GRACE = 0.1  # s in which a compiler may come to its end
REACH = 0.5  # s in which those that cannot be interrupted where they are may come to where they can
POLL = 0.02  # s
AGAIN = 0.2  # s after which a thread that goes on is interrupted again
HELD = 0.05  # s for which the thread that ends Python may keep hold of it
FILE = io.IOBase.__mro__[1]  # the base of all files: to be of an abstract class is asked for slowly
# Modules that acquire locks by a call: raised right after it, an exception would leave the lock to nobody.
LOCKING = {"importlib._bootstrap", "_frozen_importlib", "logging", "threading"}

_ending = threading.Event()
_left = threading.Event()  # threads alone, as the process ends
_calls: list[Callable[[], object]] = []
_all: WeakSet[Background] = WeakSet()
_alone: set[threading.Thread] = set()


class _BrokenOffError(BaseException):
    """Raised in the midst of what a background thread does; not an `Exception`, which others would handle."""


class Background:
    """Does jobs in a few threads for which Python does not wait when it ends.

    Parameters
    ----------
    most : int
        How many threads there are at a time.
    name : str
        Of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._under_way: dict[threading.Thread, Future[Any]] = {}
        self._threads: set[threading.Thread] = set()
        _all.add(self)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function as soon as a thread is free.

        Raises
        ------
        CancelledError
            By the future, if Python ends before that is done.
        """
        future: Future[Any] = Future()
        if is_ending():
            future.cancel()
            return future
        with self._lock:
            self._waiting.append((future, function, args))
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._threads.add(thread)
                thread.start()
        return future

    @property
    def busy(self) -> set[threading.Thread]:
        """The threads in which anything is being done."""
        with self._lock:
            return {thread for thread in self._threads if thread.is_alive()}

    def _work(self) -> None:
        me = threading.current_thread()
        with contextlib.suppress(_BrokenOffError):
            while self._do_next(me):
                pass

    def _do_next(self, me: threading.Thread) -> bool:
        with self._lock:
            if not self._waiting or is_ending():
                self._threads.discard(me)
                return False
            future, function, args = self._waiting.popleft()
            self._under_way[me] = future
        try:
            # whoever waited may have given up, or was told that Python ends
            if future.set_running_or_notify_cancel():
                _do(future, function, args)
        finally:
            with self._lock:
                self._under_way.pop(me, None)
        return True

    def break_off(self) -> bool:
        """Tell those who wait that nothing comes any more, and raise an exception in what is done in Python.

        Not where an extension is being loaded: what is raised in the midst of its initialisation, which calls Python
        too, can end the process. Nor where a lock may just have been acquired, such as that of all imports: nothing
        could be imported any more, and whoever tried would wait for ever.

        Returns
        -------
        bool
            False if a thread had to be left to what it does: ask again.
        """
        with self._lock:
            waiting = [future for future, _, _ in self._waiting]
            self._waiting.clear()
            under_way = dict(self._under_way)
        for future in waiting:
            future.cancel()
        for future in under_way.values():
            with contextlib.suppress(InvalidStateError):
                future.set_exception(CancelledError())
        if not under_way:
            return True
        reached = True
        with _python_held():
            for thread in under_way:
                # seen now: what was seen earlier may have gone on into an extension
                frame = sys._current_frames().get(thread.ident or 0)
                if _acquires_lock(frame) or _loads_extension(frame):
                    reached = False
                else:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_BrokenOffError)
                    )
        return reached


@contextlib.contextmanager
def _python_held() -> Iterator[None]:
    """Keep hold of Python for a moment: no other thread runs any of it between two steps of this one."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(HELD)
    try:
        # whoever waits already asks for it after the interval of before; who waits from now on, after this one
        time.sleep(min(2 * interval, HELD))
        yield
    finally:
        sys.setswitchinterval(interval)


def _acquires_lock(frame: FrameType | None) -> bool:
    """Whether a thread that has come to this frame may hold a lock that it has not begun to take care of."""
    return frame is not None and frame.f_globals.get("__name__") in LOCKING


def _loads_extension(frame: FrameType | None) -> bool:
    """Whether a thread that has come to this frame is in the midst of loading an extension, or of jaxlib.

    Python, taken apart with a half of jaxlib, ends in a segmentation fault.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "jaxlib":
            return True
        if frame.f_code.co_name in ("create_module", "exec_module"):
            loader = frame.f_locals.get("self")
            if isinstance(loader, ExtensionFileLoader):
                return True
        frame = frame.f_back
    return False


def _do(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = function(*args)
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        with contextlib.suppress(InvalidStateError):
            future.set_exception(error)
    else:
        with contextlib.suppress(InvalidStateError):
            future.set_result(result)


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Surround a call that is out of Python's sight, as a compiler's is: the process may end in the midst of it."""
    me = threading.current_thread()
    _alone.add(me)
    try:
        yield
    finally:
        _alone.discard(me)


def when_python_ends(call: Callable[[], object]) -> None:
    """Register a function to be called once, as the main thread has come to its end and others may still run."""
    _calls.append(call)


def is_ending() -> bool:
    """Whether Python ends, so that nothing new should be begun."""
    return _ending.is_set()


def _end() -> None:
    _ending.set()
    everything = list(_all)
    collects = gc.isenabled()
    if any(background.busy for background in everything):
        _be_silent()
        # what is raised in a callback of the collector, as JAX has one, is lost
        gc.disable()
        until = time.monotonic() + REACH
        while not _break_off(everything) and time.monotonic() < until:
            time.sleep(POLL)
    while _calls:
        _calls.pop()()
    _wait_for(everything)
    if collects:
        gc.enable()


def _break_off(everything: list[Background]) -> bool:
    """Break off all that is done in the background; False if something has to be asked again."""
    reached = [background.break_off() for background in everything]
    return all(reached)


def _wait_for(everything: list[Background]) -> None:
    """Wait until nothing is done any more, or nothing but what can be left alone."""
    until = time.monotonic() + GRACE
    again = time.monotonic() + AGAIN
    while busy := set().union(*(background.busy for background in everything)):
        # the others come to their end as soon as they are in Python again
        if time.monotonic() > until and busy <= _alone and _leave_at_exit():
            return
        if time.monotonic() > again:
            # it was raised where nobody lets it through
            again = time.monotonic() + AGAIN if _break_off(everything) else 0.0
        time.sleep(POLL)


def _be_silent() -> None:
    """Suppress reports of interruptions that cannot be handled, such as in a callback of a weak reference."""
    # what an import that is broken off has open is closed with the process
    warnings.simplefilter("ignore", ResourceWarning)
    unraisable, uncaught = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda what: None if what.exc_type is _BrokenOffError else unraisable(what)
    # told again as it came to its end
    threading.excepthook = lambda what: None if what.exc_type is _BrokenOffError else uncaught(what)


def _leave_at_exit() -> bool:
    """End the process without its threads once Python has ended: all exit handlers called, all files written.

    A thread that comes out of a compiler while Python is being taken apart is ended by Python in a way that C++ answers
    with an abort, and C++ objects that a compiler uses are destroyed under it. So such a thread stands still there, and
    the process ends with the status it was to end with before objects are destroyed.

    Returns
    -------
    bool
        False where the C library has no such thing: then the threads must be waited for.
    """
    try:
        c, cpp = ctypes.CDLL(None), ctypes.CDLL("libstdc++.so.6")
        stand_still, leave, flush = c.pause, c._exit, c.fflush
        on_exit, at_exit, set_terminate = c.on_exit, c.__cxa_atexit, cpp._ZSt13set_terminatePFvvE
    except (OSError, AttributeError):
        return False
    _left.set()
    set_terminate(stand_still)
    # what is registered last is called first: `fflush(NULL)`, then `_exit(status)`
    on_exit(leave, None)
    at_exit(flush, None, None)
    return True


def _write_out() -> None:
    """Write what files still hold back: those that a thread which is left alone can reach are never closed.

    Nor does Python look for garbage any more before the process ends: three or four times through all that JAX and
    napari hold would take more than a second beside a compiler.
    """
    if _left.is_set():
        for thing in gc.get_objects():
            if issubclass(type(thing), FILE):
                with contextlib.suppress(Exception):
                    thing.flush()
        gc.freeze()
        gc.disable()


# called after the exit handlers of all that is imported later
atexit.register(_write_out)
_register: Callable[[Callable[[], None]], object] | None = getattr(threading, "_register_atexit", None)
if _register is None:
    _register = atexit.register
# refused where Python ends already
with contextlib.suppress(RuntimeError):
    _register(_end)
