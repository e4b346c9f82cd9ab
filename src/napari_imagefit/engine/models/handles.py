"""Handles of a model that can be dragged: ellipses around a centre, lines over a curve.

`Model.held_by` lists them; otherwise they follow from the roles of the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np

from ..core.options import Options
from ..functions.parameter import Roles
from .model import Model, roles_of
from .model_sum import SumModel
from .origins import tried_of
from .prediction import values_of

# Distances from a centre at which it is tried which way a width lies.
AWAY = (0.31, 0.83)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse around the centre of a surface over ``(y, x)``; names of parameters.

    Attributes
    ----------
    centre : (str, str)
        Along y and along x.
    widths : (str, str)
        Half axes along y and along x, or with an `angle` across it and along it. The same twice for a circle; empty for
        none.
    angle : str
        From x towards y; empty where there is none.
    """

    centre: tuple[str, str]
    widths: tuple[str, str] = ("", "")
    angle: str = ""

    @property
    def kind(self) -> str:
        """Kind of its widths: ``"sigma"`` of ``sigma_y``."""
        return self.widths[0].split("_")[0]

    @property
    def is_round(self) -> bool:
        """Whether it has one width."""
        return self.widths[0] == self.widths[1]


@dataclass(frozen=True)
class Centre:
    """A vertical line at a parameter."""

    parameter: str


@dataclass(frozen=True)
class Width:
    """A vertical line whose distance from another position is a parameter.

    Attributes
    ----------
    centre : str
        The parameter that the distance is from; empty for the first sample.
    inverse : bool
        Whether the parameter is a rate: the distance is its inverse.
    """

    parameter: str
    centre: str = ""
    inverse: bool = False


@dataclass(frozen=True)
class Height:
    """A horizontal line at a value of the curve, which grows in proportion to a parameter.

    Attributes
    ----------
    at : str
        Where along the curve: ``"first"`` and ``"last"`` sample, or at a parameter. Empty where the value is the
        parameter itself, whatever the coordinate.
    above : str
        Without `at`: the parameter that it stands on; empty for 0.
    without : tuple of str
        Parameters that are 0 in that curve: of two parts that add up the height of one.
    """

    parameter: str
    at: Literal["first", "last"] | str = ""
    above: str = ""
    without: tuple[str, ...] = ()


Handle = Ellipse | Centre | Width | Height
Kind = TypeVar("Kind", bound=Handle)
# words that stand for names
WORDS_FOR_NAMES = {"", "first", "last"}


def handles_of(model: Model) -> tuple[Handle, ...]:
    """Return the handles of a model; none where neither the model nor its parameters define them.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> handles_of(models["gaussian_2d_elliptic"])
    (Ellipse(centre=('y', 'x'), widths=('sigma_y', 'sigma_x'), angle=''),)
    """
    if model.handles is not None:
        return model.handles
    if isinstance(model, SumModel) and model.layout:
        found = [
            renamed
            for part in model.layout
            for handle in handles_of(part.model)
            if (renamed := _renamed(handle, part.names(model.names))) is not None
        ]
        return tuple(found)
    if model.ndim == 2:
        return tuple(_ellipses(model, roles_of(model)))
    return tuple(_lines(model, roles_of(model))) if model.ndim == 1 else ()


def ellipses_of(model: Model) -> tuple[Ellipse, ...]:
    """Return the ellipses of a surface, a centre alone among them."""
    return tuple(handle for handle in handles_of(model) if isinstance(handle, Ellipse))


def _renamed(handle: Kind, names: Mapping[str, str]) -> Kind | None:
    """Return a handle of a part under the names of the sum; None where the sum lacks one of its parameters."""
    known = {word: word for word in WORDS_FOR_NAMES} | dict(names)
    changed: dict[str, Any] = {}
    for field in fields(handle):
        value = getattr(handle, field.name)
        if isinstance(value, bool):
            continue
        each = (value,) if isinstance(value, str) else value
        if not known.keys() >= set(each):
            return None
        changed[field.name] = known[value] if isinstance(value, str) else tuple(known[one] for one in value)
    return replace(handle, **changed)


def _ellipses(model: Model, roles: Roles) -> Iterator[Ellipse]:
    centre = tuple(next((model.names[i] for i, a in roles.positions if a == axis), "") for axis in (0, 1))
    if not all(centre):
        return
    y, x = centre
    if roles.turned:
        theta, across, along = roles.turned[0]
        yield Ellipse((y, x), (model.names[across], model.names[along]), model.names[theta])
        return
    waiting = ""
    found = False
    for i in roles.scales:
        name, axes = model.names[i], _axes_of(model, roles, i)
        if axes == (0, 1) and len(roles.scales) == 1:
            yield Ellipse((y, x), (name, name))
            found = True
        elif axes == (0,):
            waiting = name
        elif axes == (1,) and waiting:
            yield Ellipse((y, x), (waiting, name))
            waiting, found = "", True
    if not found:
        yield Ellipse((y, x))


def _axes_of(model: Model, roles: Roles, scale: int) -> tuple[int, ...]:
    """Return along which axes a surface is wider for a larger width: by its unit, otherwise by trial."""
    unit = model.parameters[scale].unit
    if unit.startswith("coord"):
        return (0, 1) if unit == "coord" else (int(unit.removeprefix("coord")),)
    if not model.broadcasts:
        return ()
    at = tried_of(model)[:, :1]
    for i, _ in roles.positions:
        at[i] = 0
    wider = at * np.where(np.arange(len(at)) == scale, 1.3, 1)[:, None]
    away, none = np.array(AWAY)[:, None], np.zeros((len(AWAY), 1))
    found = []
    for axis, coords in enumerate([(away, none), (none, away)]):
        before, after = (values_of(model, coords, params, Options(device="cpu")) for params in (at, wider))
        if np.isfinite([before, after]).all() and not np.allclose(before, after, rtol=1e-9, atol=0):
            found.append(axis)
    return tuple(found)


def _lines(model: Model, roles: Roles) -> Iterator[Handle]:
    positions = [model.names[i] for i, _ in roles.positions]
    centre = positions[0] if positions else ""
    yield from map(Centre, positions)
    yield from (Width(model.names[i], centre) for i in roles.scales)
    for i in roles.linear:
        yield Height(model.names[i]) if i == roles.constant else Height(model.names[i], centre or "first")
