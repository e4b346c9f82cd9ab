"""Settings of one fit that cannot be used: a number that results keep for each fit, and its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["start", "bounds", "fixed value"]
KINDS: tuple[Kind, ...] = ("start", "bounds", "fixed value")

# The number of σ; 0 is that of no setting. Those of parameters follow.
SIGMA, FIRST = 1, 2


def number_of(kind: Kind, parameter: int) -> int:
    """Return the number of a setting of a parameter, by its index among those of a model."""
    return FIRST + len(KINDS) * parameter + KINDS.index(kind)


def renumbered(numbers: NDArray[Any], places: Sequence[int]) -> NDArray[np.uint16]:
    """Return numbers of a model as those of another, in which its parameters have these indices."""
    parameter, kind = np.divmod(np.maximum(numbers.astype(np.intp) - FIRST, 0), len(KINDS))
    moved = FIRST + len(KINDS) * np.asarray(places)[parameter] + kind
    return np.where(numbers < FIRST, numbers, moved).astype(np.uint16)


def setting(number: int, names: Sequence[str]) -> str:
    """Return a setting in words.

    Examples
    --------
    >>> setting(number_of("bounds", 1), ["amplitude", "tau"])
    "the bounds of 'tau'"
    """
    if number < FIRST:
        return "sigma" if number == SIGMA else ""
    parameter, kind = divmod(number - FIRST, len(KINDS))
    return f"the {KINDS[kind]} of {names[parameter]!r}"
