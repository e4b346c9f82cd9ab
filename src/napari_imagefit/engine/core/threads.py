"""The threads that compute: one per core, for the whole process."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


@functools.cache
def pool() -> ThreadPoolExecutor:
    """Made when the first fit needs it. What is given to it must not wait for others that are given to it."""
    return ThreadPoolExecutor(cores(), thread_name_prefix="imagefit")
