"""Detection of fits to samples that a camera or converter has cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Booleans, Positions
from .problem import Problem

# What 8, 10, 12, 14 and 16 bits, and 16 bits with a sign, hold at most.
LIMITS = np.array([255, 1023, 4095, 16383, 32767, 65535])
# Numbers below a limit that have to hold fewer samples than the limit: of noise most are not at the very top.
BELOW = 4
# How many samples have to be at a limit: at the largest number of the data's type there is no doubt.
FEWEST, FEWEST_OF_TYPE = 3, 2


def find_saturated(problem: Problem, part: Positions) -> Booleans:
    """Return for which fits the largest sample is repeated, and is such a limit."""
    data: NDArray[Any] = problem.data[:, part]
    if data.dtype.kind == "b":
        return np.zeros(data.shape[1], bool)
    whole = data.dtype.kind in "iu"
    largest = data.max(axis=0) if whole else np.fmax.reduce(data, axis=0)
    found = np.isin(largest, LIMITS)
    some = np.flatnonzero(found)
    if not some.size:
        return found
    top, own = largest[some], data[:, some]
    at = np.count_nonzero(own == top, axis=0)
    near = np.count_nonzero((own < top) & (own >= top - np.asarray(BELOW, top.dtype)), axis=0)
    sure = (at >= FEWEST) & (at > near)
    if whole:
        sure |= (at >= FEWEST_OF_TYPE) & (top == np.iinfo(data.dtype).max)
    found[some] = sure
    return found
