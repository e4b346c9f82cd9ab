"""What a model says of its parameters: in which it is linear, which is a constant, which are positions.

Expressions know; of other models units and names tell. A model that breaks the custom is fitted as any other: what
follows from its roles is tried, never trusted.
"""

from __future__ import annotations

from typing import NamedTuple

from .model import Model, Parameter

CONSTANTS = ("offset", "intercept")


class Roles(NamedTuple):
    """Places of parameters."""

    linear: tuple[int, ...]  # jointly
    constant: int | None  # one of them, which is added to all the rest
    positions: tuple[tuple[int, int], ...]  # parameter, and the axis along which it lies
    scales: tuple[int, ...]  # widths and radii
    turned: tuple[tuple[int, int, int], ...] = ()  # an angle, and the two widths that a right angle exchanges


def is_constant(parameter: Parameter) -> bool:
    """Whether a parameter is a constant background by convention."""
    return parameter.name in CONSTANTS and parameter.unit in ("", "data")


def roles_of(model: Model) -> Roles:
    """Return the roles of a model's parameters."""
    if model.roles is not None:
        return model.roles
    parameters = tuple(enumerate(model.parameters))
    linear = tuple(i for i, p in parameters if p.unit.startswith("data") or is_constant(p))
    constant = next((i for i, p in parameters if is_constant(p)), None)
    axes = {f"coord{axis}": axis for axis in range(model.ndim)}
    positions = tuple((i, axes[p.unit]) for i, p in parameters if p.unit in axes and p.lower < 0)
    scales = tuple(i for i, p in parameters if p.unit in (*axes, "coord") and p.lower >= 0)
    angles = [i for i, p in parameters if p.unit == "rad"]
    widths = [i for i in scales if model.parameters[i].unit == "coord"]
    turned = ((angles[0], widths[0], widths[1]),) if len(angles) == 1 and len(widths) == 2 and model.ndim == 2 else ()
    return Roles(linear, constant, positions, scales, turned)
