"""Compute devices: JAX's devices, its settings during a fit, and the threads."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ... import _forked
from ..._lazy import LazyModule
from .errors import FitEngineError, FitInputError
from .options import Options
from .types import DType

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

Item = TypeVar("Item")
DONE: Any = object()  # after the last item

# Settings of the user's JAX that would change what is computed, and what they are while it works for us.
SETTINGS = {
    "debug_nans": False,
    "debug_infs": False,
    "disable_jit": False,
    "check_tracer_leaks": False,
    "numpy_rank_promotion": "allow",
    "numpy_dtype_promotion": "standard",
    "transfer_guard": "allow",
    "transfer_guard_host_to_device": "allow",
    "transfer_guard_device_to_device": "allow",
    "transfer_guard_device_to_host": "allow",
}

# What JAX raises where there is no device: it only asserts that there is a GPU.
NO_DEVICE = RuntimeError, AssertionError


@contextlib.contextmanager
def computing(options: Options) -> Iterator[None]:
    """Precision and device for one step, and failures of JAX as errors that a Qt worker does not swallow.

    Never hold it across a ``yield``: the precision would leak into the thread.
    """
    device = find_device(options.device)
    with in_precision(options.dtype), jax.default_device(device):
        try:
            yield
        except RuntimeError as error:
            raise FitEngineError(f"JAX failed on {device.platform}: {error}") from error


@contextlib.contextmanager
def in_precision(dtype: DType) -> Iterator[None]:
    """JAX in a precision, whatever settings its user has made."""
    with np.errstate(all="ignore"), jax.enable_x64(dtype == "float64"):
        known: Any = jax.config
        # to look takes a tenth of what it takes to set; guards that are not set are None
        other = [name for name, value in SETTINGS.items() if getattr(known, f"jax_{name}", value) not in (None, value)]
        if not other:
            yield
            return
        with contextlib.ExitStack() as stack:
            for name in other:
                stack.enter_context(getattr(jax, name)(SETTINGS[name]))
            yield


def find_device(name: str | None) -> Any:
    """Return JAX's device of that kind, or its first choice.

    Raises
    ------
    FitInputError
        If there is none of that kind, or none at all, and in a process where JAX cannot work.
    """
    check_process()
    try:
        found = jax.devices(name)[0]
    except NO_DEVICE:
        raise FitInputError(f"there is no device {name!r} here; choose one of: {_platforms()}") from None
    _forked.started = True
    return found


def has_device() -> bool:
    """Return whether JAX can work in this process."""
    try:
        find_device(None)
    except (FitInputError, FitEngineError):
        return False
    return True


def _platforms() -> str:
    """Return the kinds of devices that there are."""
    try:
        return ", ".join(sorted({d.platform for d in jax.devices()}))
    except NO_DEVICE as error:
        known: Any = jax.config
        wanted = known.jax_platforms
        if wanted:
            raise FitInputError(
                f"JAX_PLATFORMS is {wanted!r}, of which JAX finds none here; set it to 'cpu', or leave it out, "
                "and start Python again"
            ) from None
        raise FitEngineError(
            f"JAX finds no device to compute on ({' '.join(str(error).split())}); set JAX_PLATFORMS to 'cpu', and "
            "start Python again"
        ) from None


def check_process() -> None:
    """Refuse to go on in a process where JAX would deadlock.

    Raises
    ------
    FitInputError
    """
    if _forked.from_started:
        raise FitInputError(
            "this process was forked from one in which JAX had started, whose threads are not here; start processes "
            "with the method 'spawn', as by multiprocessing.get_context('spawn')"
        )


def device_name(options: Options) -> str:
    """Return where fits with these options are computed, as a user calls it: ``"cpu"``, or a GPU's own name."""
    if options.device == "cpu":
        return "cpu"
    device = find_device(options.device)
    return str(device.platform if device.platform == "cpu" else device.device_kind)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def pool() -> ThreadPoolExecutor:
    """Return the threads that compute, one per core: made when the first fit needs them.

    What is given to them must not wait for others that are given to them.
    """
    return _pool_of(os.getpid())


def share_out(function: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Call a function for each item, in this thread and in those that compute as far as they are free.

    A thread that must not wait, as that of a window, does not wait for what they do otherwise.

    Examples
    --------
    >>> found = []
    >>> share_out(found.append, range(4))
    >>> sorted(found)
    [0, 1, 2, 3]
    """
    todo, lock = iter(items), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                item = next(todo, DONE)
            if item is DONE:
                return
            function(item)

    helpers = [pool().submit(work) for _ in range(cores() - 1)]
    try:
        work()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()


@functools.lru_cache(1)
def _pool_of(_process: int) -> ThreadPoolExecutor:
    """Forget the threads: a process that was forked has none of them."""
    return ThreadPoolExecutor(cores(), thread_name_prefix="imagefit")
