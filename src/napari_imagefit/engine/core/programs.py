"""Store of programs that JAX has compiled: each once, kept while it is used, the oldest dropped.

A program is compiled in a thread of its own, so that whoever waits for it can stop waiting: it is there the next time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..._ending import Background, is_ending, left_alone
from ..._lazy import LazyModule
from . import program_cache
from .collector import put_off
from .device import check_process, computing, cores, find_device
from .errors import FitEngineError
from .options import Options
from .progress import Progress

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

Program = Callable[..., Any]

# The programs that were not used for longest are dropped beyond this number, and this size of their code: in memory
# each takes some twenty times as much, by all that XLA keeps with it.
MOST_PROGRAMS = 256
PROGRAM_BYTES = 24 << 20
# Seconds between two looks at whether to stop waiting.
POLL_S = 0.05

# Leave to reorder sums, without which no loop over samples is vectorised; NaN, infinities, divisions and functions stay
# exact.
REASSOCIATE: dict[str, Any] = {
    "xla_cpu_enable_fast_math": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_fast_math_honor_infs": True,
    "xla_cpu_fast_math_honor_division": True,
    "xla_cpu_fast_math_honor_functions": True,
}
# XLA's older code generator compiles in half the time; later versions have no such switch.
PLAIN: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
# A program runs in the thread that calls it: fits are spread over the cores block by block, and small loops that XLA
# itself spreads wait for each other.
IN_CALLING_THREAD: dict[str, Any] = {
    "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    "xla_cpu_enable_concurrency_optimized_scheduler": False,
}
# XLA's simplifier makes x of (x + 1) - 1.
AS_WRITTEN: dict[str, Any] = {"xla_disable_hlo_passes": "algsimp,cpu-parallel-task-assigner"}

# What a compiler may do: add up in any order, only what it does anyway, or nothing that changes a formula. "loops" are
# for what its newer code generator makes faster.
Arithmetic = Literal["reassociated", "plain", "loops", "as written"]
OPTIONS: dict[Arithmetic, dict[str, Any]] = {
    "loops": IN_CALLING_THREAD,
    "reassociated": IN_CALLING_THREAD | PLAIN | REASSOCIATE,
    "plain": IN_CALLING_THREAD | PLAIN,
    "as written": IN_CALLING_THREAD | PLAIN | AS_WRITTEN,
}

_programs: OrderedDict[Hashable, tuple[Program, int]] = OrderedDict()
_compiling: dict[Hashable, Future[Program]] = {}
_refused: set[str] = set()
_lock = threading.Lock()
_compiled = 0
_here = threading.local()


class StillCompilingError(FitEngineError):
    """Raised in the place of waiting for a program, see `without_waiting`.

    Attributes
    ----------
    program : Future
        What is being compiled in the background.
    """

    def __init__(self, program: Future[Program]) -> None:
        super().__init__("A program is still being compiled; ask again once it is there.")
        self.program = program


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    """Surround what must not wait for a compiler, such as the thread of a window.

    Raises
    ------
    StillCompilingError
        Where this thread needs a program that is not there yet; it is compiled in the background.
    """
    before = getattr(_here, "impatient", False)
    _here.impatient = True
    try:
        yield
    finally:
        _here.impatient = before


@functools.cache
def _compilers() -> Background:
    return Background(max(2, cores()), "imagefit-compile")


def find(key: Hashable) -> Program | None:
    """Return the program of that key, if there is one."""
    check_process()
    with _lock:
        if key not in _programs:
            return None
        _programs.move_to_end(key)
        return _programs[key][0]


def request(
    key: Hashable,
    function: Callable[..., Any],
    shapes: Sequence[Any],
    options: Options,
    arithmetic: Arithmetic,
    lasts: bool = False,
) -> Future[Program]:
    """Compile ``function(*shapes)`` in the background, unless it is there or under way.

    Parameters
    ----------
    key : hashable
        Equal only for what computes the same.
    shapes : sequence of pytrees of arrays or `jax.ShapeDtypeStruct`
    lasts : bool
        Whether it is kept for other processes: the ``repr`` of the key then identifies it.
    """
    check_process()
    with _lock:
        if key in _programs:
            _programs.move_to_end(key)
            done: Future[Program] = Future()
            done.set_result(_programs[key][0])
            return done
        if key in _compiling:
            return _compiling[key]
        future = _compilers().submit(_make, key, function, tuple(shapes), options, arithmetic, lasts)
        _compiling[key] = future
    # a job that has ended by now calls this at once
    future.add_done_callback(lambda _: _has_ended(key))
    return future


def obtain(
    key: Hashable,
    function: Callable[..., Any],
    shapes: Sequence[Any],
    options: Options,
    arithmetic: Arithmetic,
    lasts: bool = False,
) -> Program:
    """Return the program, compiled if need be."""
    program = find(key)
    if program is not None:
        return program
    future = request(key, function, shapes, options, arithmetic, lasts)
    if getattr(_here, "impatient", False) and not future.done():
        raise StillCompilingError(future)
    return _compiled_in(future)


def wait_for(
    futures: Sequence[Future[Program]], here: Progress, should_stop: Callable[[], bool]
) -> Generator[Progress, None, bool]:
    """Wait until all are compiled; yield several times a second that they are being compiled.

    Returns False if that was stopped. Raises whatever compiling has raised.
    """
    missing = {future for future in futures if not future.done()}
    while missing:
        yield replace(here, compiling=True)
        if should_stop():
            return False
        wait(missing, POLL_S)
        missing = {future for future in missing if not future.done()}
    for future in futures:
        _compiled_in(future)
    return True


def _compiled_in(future: Future[Program]) -> Program:
    try:
        return future.result()
    except CancelledError:
        raise FitEngineError("Python ended before the fit was compiled.") from None


def compiled_programs() -> int:
    """Return how many programs were compiled so far; tests count with it what a call has compiled."""
    return _compiled


def is_compiling() -> bool:
    """Whether a program is being compiled now."""
    return bool(_compilers().busy)


def kept_programs() -> int:
    """Return how many programs are kept."""
    return len(_programs)


def _has_ended(key: Hashable) -> None:
    """Do what nobody has to wait for, now that the program is there."""
    with _lock:
        _compiling.pop(key, None)
        idle = not _compiling
        made = _programs.get(key)
    if is_ending():
        return
    if made is not None:
        program, size = made[0], _size(made[0])
        with _lock:
            if key in _programs:
                _programs[key] = program, size
                _drop_oldest()
    if idle:
        _trim()


def _drop_oldest() -> None:
    while len(_programs) > 1 and (
        len(_programs) > MOST_PROGRAMS or sum(size for _, size in _programs.values()) > PROGRAM_BYTES
    ):
        _programs.popitem(last=False)


def _make(
    key: Hashable,
    function: Callable[..., Any],
    shapes: tuple[Any, ...],
    options: Options,
    arithmetic: Arithmetic,
    lasts: bool,
) -> Program:
    global _compiled
    with computing(options):
        platform = find_device(options.device).platform
        kept = program_cache.load(key) if lasts and platform == "cpu" else None
        if kept is None:
            # a function of its own: JAX keeps what it traced for as long as the function lives
            with put_off():
                lowered = jax.jit(lambda *args: function(*args)).lower(*shapes)
            if is_ending():
                raise CancelledError
            with left_alone():
                program: Program = compile_lowered(lowered, platform, arithmetic)
            if lasts and platform == "cpu":
                program_cache.keep(key, program)
        else:
            program = kept
    with _lock:
        _compiled += kept is None
        _programs[key] = program, 0
        _drop_oldest()
    return program


def _trim() -> None:
    """Give back to the system what compilers have freed: glibc keeps it otherwise, in pieces, for each thread."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def compile_lowered(lowered: Any, platform: str, arithmetic: Arithmetic) -> Any:
    """Compile with the options that this version of XLA knows."""
    wanted = OPTIONS[arithmetic]
    if platform != "cpu":
        wanted = {"xla_disable_hlo_passes": "algsimp"} if arithmetic == "as written" else {}
    while True:
        options = {name: value for name, value in wanted.items() if name not in _refused}
        try:
            return lowered.compile(compiler_options=options) if options else lowered.compile()
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            named = [name for name in options if name in str(error)]
            if not named:
                raise
            _refused.update(named)


def _size(program: Any) -> int:
    """Return the bytes of the program's code, as far as it is known: that of a CPU is known once it is written out."""
    try:
        size = int(program.memory_analysis().generated_code_size_in_bytes)
        executable = program.runtime_executable()
        return size or len(executable.client.serialize_executable(executable))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return 0
