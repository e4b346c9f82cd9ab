"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Fits done, fits in all, and whether a program is being compiled for the first time.

    Attributes
    ----------
    partial : FitResult or None
        What is known so far, where a run tells it; fits that have not ended have `Status.STOPPED` and no values.
    """

    done: int
    total: int
    compiling: bool = False
    partial: Any = None
