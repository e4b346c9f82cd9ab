"""Sums of models: ``gaussian + plane``.

A sum keeps one constant background. A parameter called ``offset``, or ``intercept`` of a line, is one by convention
(unless its unit is that of a coordinate), and two of them cannot be distinguished: the sum would have a valley instead
of a minimum. So that of every part after the first that has one is left out, that is, fixed at 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.array_module import is_numpy, xp
from ..core.errors import FitInputError
from ..core.options import Options
from ..core.types import Array
from ..functions.evaluation import evaluate
from ..functions.parameter import Parameter, Roles, is_constant, unaware, unsaid
from .model import Model, roles_of
from .prediction import values_of
from .starts import guess_starts, moved_inside
from .turns import renamed


@dataclass(frozen=True, eq=False, repr=False)
class SumModel(Model):
    """A model that was made by adding; `parts` are what it was made of, in order, none of them a sum."""

    # not an argument: a sum that is changed with dataclasses.replace counts as one piece from then on
    parts: tuple[Model, ...] = field(init=False, default=())
    layout: tuple[Part, ...] = field(init=False, default=())


@dataclass(frozen=True)
class Part:
    """A model of a sum, and for each of its parameters the index in the sum's: None where it is fixed at 0."""

    model: Model
    places: tuple[int | None, ...]

    def own(self, params: Sequence[Array]) -> list[Array]:
        """Return this part's parameters out of the sum's."""
        return [0.0 if place is None else params[place] for place in self.places]

    def names(self, names: Sequence[str]) -> dict[str, str]:
        """Return what this part's parameters are called in the sum."""
        own = zip(self.model.names, self.places, strict=True)
        return {name: names[place] for name, place in own if place is not None}

    def said(self, said: Sequence[Array], data: Array) -> tuple[Array, Array, Array]:
        """Return the starts and bounds of this part's parameters, from those of the sum."""

        def row(whole: Array, alone: Array, i: int, place: int | None) -> Array:
            return alone[i] if place is None else whole[place]

        start, lower, upper = (
            xp.stack([row(whole, alone, i, place) for i, place in enumerate(self.places)])
            for whole, alone in zip(said, unsaid(self.model.parameters, data), strict=True)
        )
        return start, lower, upper


def add(first: Model, second: Model) -> SumModel:
    """Return the sum of two models.

    Equal names get the number of their part, counted from 1: ``amplitude_1``, ``amplitude_2``. A sum of sums is flat,
    so that ``a + b + c`` numbers 1, 2, 3 wherever the parentheses stand. Of several constants (``offset``,
    ``intercept``) the first is kept, with its bounds.

    Starts come from each part in turn: the first's guess on the data, the next's on what the earlier leave over. What
    explains most of the data is best given first: a peak on a steep line is ``linear + gaussian_1d``.

    Raises
    ------
    FitInputError
        If the models take different numbers of coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> line, bend = (Model(name, lambda c, a: a * c[0], [Parameter("a")], 1, lambda c, d, w: np.ones((1, d.shape[1])))
    ...               for name in ("line", "bend"))
    >>> add(line, bend)
    <Model line + bend(a_1, a_2)>
    """
    if first.ndim != second.ndim:
        raise FitInputError(
            f"model {first.name!r} takes {first.ndim} coordinates and {second.name!r} takes {second.ndim}; "
            "add models of the same number"
        )
    models = _pieces(first) + _pieces(second)
    parameters, parts = _lay_out(models)

    def function(coords: tuple[Array, ...], *params: Array) -> Array:
        total = 0.0
        for part in parts:
            total = total + part.model.function(coords, *part.own(params))
        return total

    def jacobian(coords: tuple[Array, ...], *params: Array) -> Array:
        rows = [0.0] * len(parameters)
        for part in parts:
            if part.model.jacobian is None:
                continue  # does not happen: the sum has a jacobian only where all parts do
            for place, row in zip(part.places, part.model.jacobian(coords, *part.own(params)), strict=True):
                if place is not None:
                    rows[place] = row
        return xp.stack([xp.broadcast_to(row, coords[0].shape) for row in rows])

    def guess(coords: tuple[Array, ...], data: Array, weights: Array, *said: Array) -> Array:
        return _guess(parts, coords, data, weights, said)

    model = SumModel(
        " + ".join(m.name for m in models),
        function,
        parameters,
        first.ndim,
        unaware(guess, parameters),
        formula=_formula(parts, [p.name for p in parameters]),
        reference="; ".join(dict.fromkeys(m.reference for m in models if m.reference)),
        jacobian=jacobian if all(m.jacobian is not None for m in models) else None,
    )
    object.__setattr__(model, "parts", models)
    object.__setattr__(model, "layout", tuple(parts))
    called = [(part.model, part.names([parameter.name for parameter in parameters])) for part in parts]
    model.with_edge(any(one.has_edge for one in models))
    model.may_lack(*(tuple(own[name] for name in lost) for one, own in called for lost in one.optional))
    model.turning(*(turn for one, own in called for turn in renamed(one.turns, own)))
    return model.knowing(guess, _roles(parts)).made_of(("sum", tuple(m.key for m in models)), *models)


def _pieces(model: Model) -> tuple[Model, ...]:
    return model.parts if isinstance(model, SumModel) and model.parts else (model,)


def _lay_out(models: Sequence[Model]) -> tuple[list[Parameter], list[Part]]:
    """Return the parameters of the sum, and where each part finds its own."""
    kept: list[tuple[int, Parameter]] = []
    parts = []
    has_constant = False
    for number, model in enumerate(models, 1):
        places: list[int | None] = []
        for parameter in model.parameters:
            if is_constant(parameter) and has_constant:
                places.append(None)
                continue
            has_constant |= is_constant(parameter)
            places.append(len(kept))
            kept.append((number, parameter))
        parts.append(Part(model, tuple(places)))

    count = Counter(parameter.name for _, parameter in kept)
    taken = set(count)
    named = []
    for number, parameter in kept:
        name, gap = parameter.name, "_"
        if count[name] > 1:
            # a part may itself have a parameter called amplitude_1
            while (name := f"{parameter.name}{gap}{number}") in taken:
                gap += "_"
            taken.add(name)
        named.append(replace(parameter, name=name))
    return named, parts


def _roles(parts: Sequence[Part]) -> Roles:
    """Return the roles of the parts, at their positions."""
    linear: list[int] = []
    constants: list[int] = []
    positions: list[tuple[int, int]] = []
    scales: list[int] = []
    turned: list[tuple[int, int, int]] = []
    for part in parts:
        own, places = roles_of(part.model), part.places
        linear += [place for i in own.linear if (place := places[i]) is not None]
        positions += [(place, axis) for i, axis in own.positions if (place := places[i]) is not None]
        if own.constant is not None and (place := places[own.constant]) is not None:
            constants.append(place)
        scales += [place for i in own.scales if (place := places[i]) is not None]
        for three in own.turned:
            theta, one, other = (places[i] for i in three)
            if theta is not None and one is not None and other is not None:
                turned.append((theta, one, other))
    return Roles(tuple(linear), constants[0] if constants else None, tuple(positions), tuple(scales), tuple(turned))


def _guess(
    parts: Sequence[Part], coords: tuple[Array, ...], data: Array, weights: Array, said: Sequence[Array]
) -> Array:
    rows: list[Array] = [0.0 * data[0]] * len(said[0])
    constant = None
    left = data
    for part in parts:
        model = part.model
        own = part.said(said, data)
        found = guess_starts(model, coords, left, weights, own)
        found = xp.where(xp.isnan(own[0]), moved_inside(found, *own[1:]), own[0])
        left = xp.where(weights > 0, left - evaluated(model, coords, found), 0)
        for parameter, place, row in zip(model.parameters, part.places, found, strict=True):
            if place is None and constant is not None:
                rows[constant] = rows[constant] + row  # the constant that is left out goes to the one that is kept
            elif place is not None:
                rows[place] = row
                constant = place if is_constant(parameter) else constant
    return xp.stack(rows)


def evaluated(model: Model, coords: tuple[Array, ...], params: Array) -> Array:
    """Return the model's values ``(m, B)`` inside of a guess, in NumPy or under JAX."""
    if not is_numpy(coords, params):
        return evaluate(model.function, coords, params)
    single = params.dtype == np.float32
    return values_of(model, coords, params, Options(dtype="float32" if single else "float64", device="cpu"))


def _formula(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Return the parts' formulas under the names that their parameters have in the sum; definitions go to the end."""
    terms, definitions = [], []
    for part in parts:
        text = part.model.formula or part.model.name
        for name, place in zip(part.model.names, part.places, strict=True):
            # Δy and y² hold y, sigma_y does not
            itself = rf"(?<![^\WΔ]){name}(?![^\W²³⁴])"
            if place is None:
                text = re.sub(rf"\s*\+\s*{itself}(?!\s*[*·/])|^{itself}\s*\+\s*", "", text)
            text = re.sub(itself, "0" if place is None else names[place], text)
        term, *rest = re.split(r", (?=\w+ = )", text)
        if term != "0":
            terms.append(term)
        definitions += rest
    return ", ".join([" + ".join(terms), *definitions])
