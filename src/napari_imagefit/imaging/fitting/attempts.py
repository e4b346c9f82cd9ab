"""Attempts that led to a result: the numbers in ``FitResult.attempt``, their labels and colours."""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """One way to a result: a short label for tables and maps, a sentence for reports, a colour for maps."""

    label: str
    report: str
    colour: str  # "transparent" lets the map below shine through


FIRST, NEIGHBOURS, GLOBAL, WIDER = range(4)

ATTEMPTS: dict[int, Attempt] = {
    FIRST: Attempt("first try", "first try", "transparent"),
    NEIGHBOURS: Attempt("from its neighbours", "second chance: started from its neighbours", "#009E73"),
    GLOBAL: Attempt("from global starts", "second chance: started from several places", "#0072B2"),
    WIDER: Attempt("within wider bounds", "second chance: within wider bounds", "#F0E442"),
}
