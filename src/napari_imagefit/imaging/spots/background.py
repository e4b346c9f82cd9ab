"""A background that slopes, under any surface: the value at the spot stays the model's ``offset``."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Literal

from ...catalogue.estimate import ratio
from ...catalogue.separable import centred, mean
from ...engine.core.array_module import xp
from ...engine.core.errors import FitInputError
from ...engine.core.types import Array
from ...engine.functions.parameter import Parameter
from ...engine.models.model import Model
from ...engine.models.model_sum import evaluated
from ...engine.models.starts import guess_starts
from ..fitting.positions import SPATIAL_AXES, find_positions

Background = Literal["constant", "sloping"]
BACKGROUNDS: tuple[Background, ...] = ("constant", "sloping")
# Models made of others that are kept, of each kind: each is compiled once, and two of the same formula are two models.
KEPT_MODELS = 128


@dataclass(frozen=True, eq=False, repr=False)
class SlopedModel(Model):
    """A surface on a background that slopes; `base` is the surface."""

    base: Model = field(init=False)


def with_background(model: Model, background: str) -> Model:
    """Return a surface on its background, the same model for the same surface.

    ``"sloping"`` adds ``slope_y·(y − y₀) + slope_x·(x − x₀)``, and ``slope_z`` in a volume, around the model's own
    position, so that its ``offset`` is the background under the spot. Of a model without positions the slope goes
    around the origin of the coordinates.

    Raises
    ------
    FitInputError
        If there is no such background, or the model has a slope of its own.
    """
    if background not in BACKGROUNDS:
        raise FitInputError(f"background={background!r} is not known; choose from {', '.join(BACKGROUNDS)}")
    if background == "constant":
        return model
    return _with_slope(model)


def surface_of(model: Model) -> Model:
    """Return the model without the slope that was added to it."""
    return model.base if isinstance(model, SlopedModel) else model


def background_of(model: Model) -> Background:
    """Return the kind of background that a model has."""
    return "sloping" if isinstance(model, SlopedModel) else "constant"


@functools.lru_cache(KEPT_MODELS)
def _with_slope(base: Model) -> SlopedModel:
    axes = SPATIAL_AXES[-base.ndim :]
    slopes = [
        Parameter(f"slope_{axis}", f"data/coord{i}", description=f"change of the background per unit along {axis}")
        for i, axis in enumerate(axes)
    ]
    names = [slope.name for slope in slopes]
    if base.ndim > len(SPATIAL_AXES):
        raise FitInputError(
            f"model {base.name!r} has {base.ndim} axes; a sloping background takes at most {len(SPATIAL_AXES)}"
        )
    if (clash := set(names) & set(base.names)) or isinstance(base, SlopedModel):
        which = sorted(clash)[0] if clash else names[0]
        raise FitInputError(
            f"model {base.name!r} has a parameter {which!r} of its own; leave background='sloping' out for it"
        )
    n = len(base.parameters)
    positions = [base.index(name) for name in find_positions(base)]

    def slope(coords: tuple[Array, ...], params: tuple[Array, ...]) -> Array:
        total = 0.0
        for axis, c in enumerate(coords):
            away = c - params[positions[axis]] if positions else c
            total = total + params[n + axis] * away
        return total

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        return base.function(coords, *params[:n]) + slope(coords, params)

    def guess(coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
        # a spot in the middle of its window hardly leans to either side: what leans is the background
        first = slopes_of(coords, data, weights)
        level = data - sum(
            a * centred(xp.broadcast_to(c, data.shape), weights) for a, c in zip(first, coords, strict=True)
        )
        own = guess_starts(base, coords, level, weights)
        found = slopes_of(coords, data - evaluated(base, coords, own), weights)
        if "offset" in base.names and positions:
            # from the middle of the samples to the spot
            middles = [mean(xp.broadcast_to(c, data.shape), weights) for c in coords]
            shift = sum(a * (own[i] - m) for a, i, m in zip(found, positions, middles, strict=True))
            offset = base.index("offset")
            own = [row + shift if i == offset else row for i, row in enumerate(own)]
        return xp.stack([*own, *found])

    delta = "Δ" if positions else ""
    terms = " + ".join(f"{name}·{delta}{axis}" for name, axis in zip(names, axes, strict=True))
    model = SlopedModel(
        f"{base.name} + slope",
        function,
        [*base.parameters, *slopes],
        base.ndim,
        guess,
        formula=_formula(base.formula or base.name, terms),
        reference=base.reference,
    )
    object.__setattr__(model, "base", base)
    model.turning(*base.turns).may_lack(*base.optional).with_edge(base.has_edge)
    return model.made_of(("sloping", base.key), base)


def slopes_of(coords: tuple[Array, ...], data: Array, weights: Array) -> list[Array]:
    """Weighted regression beside a constant, along each axis by itself: the axes of a window are orthogonal."""
    level, w = centred(data, weights), weights * weights
    found = []
    for c in coords:
        away = centred(xp.broadcast_to(c, data.shape), weights)
        found.append(ratio(xp.sum(w * away * level, axis=0), xp.sum(w * away * away, axis=0)))
    return found


def _formula(text: str, terms: str) -> str:
    """Return the formula with the slope at the end of the sum; definitions stay behind it."""
    head, comma, definitions = text.partition(", u = ")
    return f"{head} + {terms}{comma}{definitions}"
