"""Parameters, and what is known of them before a fit: bounds, units, and which part they have in a formula.

Expressions know the parts of their parameters; of other models units and names determine them. A model that breaks the
custom is fitted as any other: what follows from its roles is tried, never trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..core.array_module import xp
from ..core.errors import FitInputError
from ..core.types import Array, Guess, GuessWithin

CONSTANT_NAMES = ("offset", "intercept")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that a fit determines.

    Parameters
    ----------
    name : str
        A Python identifier; the key of the parameter in every dict and table.
    unit : str
        ``"data"`` (the unit of the fitted values), ``"coord"`` (of the coordinates, all alike), ``"coord0"``,
        ``"coord1"`` … (of one coordinate axis), ``"1/coord"`` and so on, ``"rad"``, or ``""`` for a pure number.
    lower, upper : float
        The bounds within which the parameter makes sense for the model, infinite where there are none.
    description : str
        One line for people.

    Raises
    ------
    FitInputError
        If the name is no identifier, or ``lower < upper`` does not hold.

    See Also
    --------
    napari_imagefit.Model : takes them in the order of its function.

    Notes
    -----
    Units and names determine the role of a parameter where the model does not: those in the data's unit count as
    linear, one in a coordinate's unit with a negative lower bound as a position, and ``offset`` or ``intercept`` as the
    constant background, of which a sum of models keeps one.

    Examples
    --------
    >>> Parameter("tau", unit="coord0", lower=0.0, description="time in which the signal falls to 1/e")
    Parameter(name='tau', unit='coord0', lower=0.0, upper=inf, description='time in which the signal falls to 1/e')
    """

    name: str
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise FitInputError(f"the parameter name {self.name!r} is not an identifier; use letters, digits and _")
        if not self.lower < self.upper:
            raise FitInputError(
                f"parameter {self.name!r} has lower bound {self.lower:g} and upper bound {self.upper:g}; "
                "the lower must be less than the upper"
            )


class Roles(NamedTuple):
    """Part of each parameter in a model; parameters are given by their index."""

    linear: tuple[int, ...]  # jointly
    constant: int | None  # one of them, which is added to all the rest
    positions: tuple[tuple[int, int], ...]  # parameter, and the axis along which it lies
    scales: tuple[int, ...]  # widths and radii
    turned: tuple[tuple[int, int, int], ...] = ()  # an angle, and the two widths that a right angle exchanges


def is_constant(parameter: Parameter) -> bool:
    """Whether a parameter is a constant background by convention."""
    return parameter.name in CONSTANT_NAMES and parameter.unit in ("", "data")


def unsaid(parameters: Sequence[Parameter], data: Array) -> tuple[Array, Array, Array]:
    """Return the defaults of a call: no starts, and the model's own bounds, ``(n_params, B)`` each."""
    table = np.array([(np.nan, p.lower, p.upper) for p in parameters]).T
    start, lower, upper = xp.broadcast_to(table[:, :, None].astype(data.dtype), (3, len(parameters), data.shape[1]))
    return start, lower, upper


def unaware(within: GuessWithin, parameters: Sequence[Parameter]) -> Guess:
    """Return a guess that calls another one with the defaults of a call."""

    def guess(coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
        return within(coords, data, weights, *unsaid(parameters, data))

    return guess
