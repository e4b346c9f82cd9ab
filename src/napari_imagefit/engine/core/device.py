"""Where is computed: JAX's devices, its settings while it works for us, and the threads."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from .errors import FitEngineError, FitInputError
from .options import Options
from .types import DType

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

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
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(jax.enable_x64(dtype == "float64"))
        known: Any = jax.config
        for name, value in SETTINGS.items():
            # to look takes a tenth of what it takes to set; guards are None where nobody has set them
            if getattr(known, f"jax_{name}", value) not in (None, value):
                stack.enter_context(getattr(jax, name)(value))
        yield


def find_device(name: str | None) -> Any:
    """Return JAX's device of that kind, or its first choice.

    Raises
    ------
    FitInputError
        If there is none of that kind.
    """
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        known = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise FitInputError(f"there is no device {name!r} here; choose one of: {known}") from None


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


@functools.cache
def pool() -> ThreadPoolExecutor:
    """Return the threads that compute, one per core: made when the first fit needs them.

    What is given to them must not wait for others that are given to them.
    """
    return ThreadPoolExecutor(cores(), thread_name_prefix="imagefit")
