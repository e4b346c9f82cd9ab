"""Several surfaces on one background: the model of a group of spots, and each spot's share of its result."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.array_module import xp
from ...engine.core.fits import Fits
from ...engine.core.status import Flag
from ...engine.core.types import Array
from ...engine.functions.parameter import Parameter
from ...engine.models.model import Model
from ...engine.models.starts import guess_starts
from ...engine.models.turns import renamed
from ..fitting.positions import SPATIAL_AXES, find_positions
from .background import KEPT_MODELS, SlopedModel, surface_of


@dataclass(frozen=True, eq=False)
class JointModel:
    """`count` surfaces on one background.

    Attributes
    ----------
    single : Model
        Of one spot.
    model : Model
        Of all: the parameters of the first without its background, of the second…, then the background.
    own : tuple of str
        Those that each spot has for itself.
    common : tuple of str
        Those of the background: ``offset``, and slopes, around the first spot.
    """

    single: Model
    model: Model
    count: int
    own: tuple[str, ...]
    common: tuple[str, ...]

    def place(self, name: str, spot: int) -> int:
        """Return the index of a spot's parameter among the joint ones."""
        if name in self.common:
            return self.count * len(self.own) + self.common.index(name)
        return spot * len(self.own) + self.own.index(name)

    def name(self, name: str, spot: int) -> str:
        """Return what a surface's parameter is called in the joint model: common ones keep their name."""
        return name if name in self.common else f"{name}_{spot + 1}"


def common_names(single: Model) -> tuple[str, ...]:
    """Return the parameters of the background."""
    surface = surface_of(single)
    constant = tuple(
        p.name for p in surface.parameters if p.name == "offset" and p.unit in ("", "data")
    )  # as sums of models have it
    return (*constant, *(name for name in single.names if name not in surface.names))


@functools.lru_cache(KEPT_MODELS)
def joint_model(single: Model, count: int) -> JointModel:
    """Return the model for a group of so many spots, the same for the same surface."""
    surface, common = surface_of(single), common_names(single)
    own = tuple(name for name in single.names if name not in common)
    positions = [own.index(name) for name in find_positions(single)]
    n = len(own)

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        shared = dict(zip(common, params[count * n :], strict=True))
        total = shared.get("offset", 0.0)
        if isinstance(single, SlopedModel):
            for axis, c, i in zip(SPATIAL_AXES[-single.ndim :], coords, positions, strict=True):
                total = total + shared[f"slope_{axis}"] * (c - params[i])
        for spot in range(count):
            mine = dict(zip(own, params[spot * n : (spot + 1) * n], strict=True))
            total = total + surface.function(coords, *(mine.get(name, 0.0) for name in surface.names))
        return total

    def guess(coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
        # all at one place; of a group every parameter has a start of its own, and this is not called
        found = guess_starts(single, coords, data, weights)
        rows = [*own * count, *common]
        return xp.stack([found[single.index(name)] for name in rows])

    by_name = {p.name: p for p in single.parameters}
    parameters: list[Parameter] = [
        replace(by_name[name], name=f"{name}_{spot + 1}") for spot in range(count) for name in own
    ] + [by_name[name] for name in common]
    model = Model(f"{count} × {single.name}", function, parameters, single.ndim, guess, formula=single.formula)
    model.made_of(("group", single.key, count), single)
    joint = JointModel(single, model, count, own, common)
    called = [{name: joint.name(name, spot) for name in own} for spot in range(count)]
    model.with_edge(single.has_edge)
    model.may_lack(*(tuple(names[name] for name in lost) for names in called for lost in single.optional))
    model.turning(*(turn for names in called for turn in renamed(single.turns, names)))
    return joint


def share(joint: JointModel, fits: Fits, spot: int) -> Fits:
    """One spot's part of the results for groups: its own parameters, their block of the covariance, its bounds.

    What belongs to a fit as a whole (status, χ², how many samples and free parameters) is the group's.
    """
    single = joint.single
    rows = [joint.place(name, spot) for name in single.names]
    params, solution, start = (_values(joint, values, spot) for values in (fits.params, fits.solution, fits.start))
    covariance = fits.covariance
    if spot and isinstance(single, SlopedModel):
        # fixed parameters have no variance and no covariance, which is 0 where the background is carried on
        turn = _turn(joint, fits.solution, spot)
        own = np.isfinite(np.diagonal(covariance, axis1=1, axis2=2))
        filled = np.where(np.isfinite(covariance), covariance, 0.0)
        carried = turn @ filled @ np.swapaxes(turn, 1, 2)
        known = own[:, rows]
        covariance = np.where(known[:, :, None] & known[:, None, :], carried, np.nan)
    else:
        covariance = covariance[:, np.array(rows)[:, None], np.array(rows)]
    at_bound = fits.at_bound[rows]
    flags = fits.flags & ~np.uint16(Flag.AT_LOWER | Flag.AT_UPPER)
    for flag, where in ((Flag.AT_LOWER, at_bound < 0), (Flag.AT_UPPER, at_bound > 0)):
        flags = flags | np.where(where.any(axis=0), np.uint16(flag), np.uint16(0))
    own_parts: dict[str, Any] = {
        "params": params,
        "solution": solution,
        "start": start,
        "covariance": covariance,
        "at_bound": at_bound,
        "flags": flags,
    }
    return Fits(**{f.name: own_parts.get(f.name, getattr(fits, f.name)) for f in fields(Fits)})


def _values(joint: JointModel, values: NDArray[np.float64], spot: int) -> NDArray[np.float64]:
    """Return a spot's parameters; its offset is the background under itself, not under the first spot."""
    single = joint.single
    found = np.stack([values[joint.place(name, spot)] for name in single.names])
    if spot and isinstance(single, SlopedModel) and "offset" in joint.common:
        for axis in SPATIAL_AXES[-single.ndim :]:
            away = values[joint.place(axis, spot)] - values[joint.place(axis, 0)]
            found[single.index("offset")] += values[joint.place(f"slope_{axis}", 0)] * away
    return found


def _turn(joint: JointModel, values: NDArray[np.float64], spot: int) -> NDArray[np.float64]:
    """Return derivatives ``(n_groups, n_params, n_joint)`` of a spot's parameters by the joint ones."""
    single = joint.single
    turn = np.zeros((values.shape[1], len(single.names), len(joint.model.names)))
    for row, name in enumerate(single.names):
        turn[:, row, joint.place(name, spot)] = 1.0
    if spot and isinstance(single, SlopedModel) and "offset" in joint.common:
        row = single.index("offset")
        for axis in SPATIAL_AXES[-single.ndim :]:
            here, first, slope = (joint.place(*at) for at in ((axis, spot), (axis, 0), (f"slope_{axis}", 0)))
            turn[:, row, here] += values[slope]
            turn[:, row, first] -= values[slope]
            turn[:, row, slope] += values[here] - values[first]
    return np.nan_to_num(turn)
