"""NumPy's error state while it works for us: what lies outside of a formula's domain is expected, and shows as NaN."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

import numpy as np

Given = ParamSpec("Given")
Step = TypeVar("Step")
End = TypeVar("End")


def unheeded(
    function: Callable[Given, Generator[Step, None, End]],
) -> Callable[Given, Generator[Step, None, End]]:
    """Silence floating-point errors and warnings in a generator's steps; between them the caller's state holds.

    Examples
    --------
    >>> @unheeded
    ... def divide():
    ...     yield np.ones(1) / 0
    >>> with np.errstate(all="raise"):
    ...     for found in divide():
    ...         print(found, np.geterr()["divide"])
    [inf] raise
    """

    @functools.wraps(function)
    def begin(*args: Given.args, **options: Given.kwargs) -> Generator[Step, None, End]:
        with np.errstate(all="ignore"):
            steps = function(*args, **options)
        return _apart(steps)

    return begin


def _apart(steps: Generator[Step, None, End]) -> Generator[Step, None, End]:
    try:
        while True:
            with np.errstate(all="ignore"):
                try:
                    step = next(steps)
                except StopIteration as end:
                    found: End = end.value
                    return found
            yield step
    finally:
        steps.close()
