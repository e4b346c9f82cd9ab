"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Fits done, fits in all, and whether a program is being compiled for the first time."""

    done: int
    total: int
    compiling: bool = False
