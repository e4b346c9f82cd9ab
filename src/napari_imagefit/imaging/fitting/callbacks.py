"""Functions of the caller that are called while a fit runs: checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.core.validation import check_callable


def checked_progress(progress: Callable[[int, int], object] | None) -> Callable[[int, int], object] | None:
    """Return `progress`, which is called with the fits done and their total.

    Raises
    ------
    FitInputError
        If it cannot be.
    """
    if progress is not None:
        check_callable(progress, "progress", "progress(done, total)", 2)
    return progress


def checked_stop(should_stop: Callable[[], Any] | None) -> Callable[[], bool] | None:
    """Return a function that tells whether to stop, called under NumPy's settings of now.

    Raises
    ------
    FitInputError
        If it cannot be called, and when it is called if what it returns is neither true nor false.
    """
    if should_stop is None:
        return None
    check_callable(should_stop, "should_stop", "should_stop()", 0)
    wanted, errors = should_stop, np.geterr()

    def stop() -> bool:
        with np.errstate(**errors):
            found = wanted()
        try:
            return bool(found)
        except (TypeError, ValueError):
            raise FitInputError(f"should_stop must return True or False, got {found!r}; return one of them") from None

    return stop
