"""How a fit ended: one status, any number of flags, each with a sentence for people."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Self


class Status(IntEnum):
    """How one fit ended. Positive values are answers; the numbers 0 to 4 are SciPy's.

    Examples
    --------
    >>> Status(2).message
    'converged: the cost no longer changes'
    >>> Status(-3).converged
    False
    """

    message: str

    def __new__(cls, value: int, message: str = "") -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    GRADIENT = 1, "converged: the gradient is zero within gtol"
    COST = 2, "converged: the cost no longer changes"
    STEP = 3, "converged: the parameters no longer change"
    COST_AND_STEP = 4, "converged: neither the cost nor the parameters change any more"
    ITERATION_LIMIT = 0, "stopped at the iteration limit before it converged"
    NOT_FITTED = -1, "not fitted: outside the mask"
    TOO_FEW_SAMPLES = -2, "not fitted: fewer usable samples than free parameters"
    NON_FINITE_MODEL = -3, "not fitted: the model is not finite at the start values"
    SINGULAR = -4, "singular: the data do not determine every parameter"
    STOPPED = -5, "stopped by the user before it converged"

    @property
    def converged(self) -> bool:
        """Whether the fit reached a minimum that determines all its parameters."""
        return self.value > 0


class Flag(IntFlag):
    """Remarks on a fit that has an answer; several may be set, 0 means nothing to remark.

    Examples
    --------
    >>> [flag.message for flag in Flag(3)]
    ['a parameter is at its lower bound', 'a parameter is at its upper bound']
    """

    message: str

    def __new__(cls, value: int, message: str = "") -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    AT_LOWER = 1, "a parameter is at its lower bound"
    AT_UPPER = 2, "a parameter is at its upper bound"
    POORLY_DETERMINED = 4, "the data do not determine every parameter"
    MASKED_SAMPLES = 8, "samples that are not finite were left out"
