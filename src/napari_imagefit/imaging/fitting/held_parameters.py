"""Parameters of a result that have no error because they were not free, rather than because none is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...engine.core.types import Booleans
from ...engine.functions.expression import term
from ...engine.results.fit_result import FitResult


def certain(result: FitResult) -> dict[str, Booleans]:
    """Return where each parameter was fixed, is at a bound, or follows from such ones only, ``(*grid,)`` by name."""
    said = result.source.settings
    fixed, bounds, tied = said.fixed or {}, said.bounds or {}, said.tied or {}
    found: dict[str, Booleans] = {}
    for name in result.model.names:
        if name in tied:
            continue
        held = np.asarray(result.at_bound[name]) != 0
        if name in fixed:
            held = np.ones(result.shape, bool)
        elif name in bounds:
            lower, upper = (np.asarray(end, float) for end in bounds[name])
            held = held | np.broadcast_to(lower == upper, result.shape)
        found[name] = held
    _follow(found, tied, result)
    return found


def _follow(found: dict[str, Booleans], tied: Mapping[str, str], result: FitResult) -> None:
    waiting = dict(tied)
    while waiting:
        for name, text in list(waiting.items()):
            others = term(text)[0]
            if all(other in found for other in others):
                found[name] = np.logical_and.reduce([np.ones(result.shape, bool), *(found[o] for o in others)])
                del waiting[name]
