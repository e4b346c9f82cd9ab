"""Typed entries of a parameter: texts as they stand in its fields, what they mean, and what is wrong with them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ...engine.core.errors import FitInputError
from ...engine.functions.parameter import Parameter
from ...engine.models.model import Model
from ...layers.request.choices import Row
from ...layers.request.parameters import parameter_settings
from ..widgets.layer_menu import layer_named, name_of, names_layer
from ..widgets.numbers import AUTO, LONGEST_QUOTE, format_bound, parse_number, shortened

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

Field = Literal["start", "lower", "upper", "tie"]
FIELDS: tuple[Field, ...] = ("start", "lower", "upper", "tie")
FIELD_TITLES = {"start": "Start", "lower": "Lower bound", "upper": "Upper bound", "tie": "Tie"}


class Badge(NamedTuple):
    """One thing that is set: its sign, what stands beside that, and a sentence."""

    sign: str
    text: str
    tip: str


class Problem(NamedTuple):
    """Mistake in what was typed: a sentence, and the fields at fault."""

    sentence: str
    fields: frozenset[Field]


@dataclass
class Typed:
    """The fields of one parameter; empty where nothing is set."""

    start: str = ""
    lower: str = ""
    upper: str = ""
    tie: str = ""
    fixed: bool = False
    shared: bool = False

    @classmethod
    def of(cls, row: Row) -> Typed:
        """Return the texts that stand for a row."""
        return cls(_text(row.start), _text(row.lower), _text(row.upper), row.tied, row.fixed, row.shared)

    def row(self, name: str, layers: LayerList) -> Row:
        """Return what the texts mean.

        Raises
        ------
        FitInputError
            If one is no number, or names a layer that is not there.
        """
        lower, upper = self.number("lower", name), self.number("upper", name)
        return Row(name, self.value(name, layers), lower, upper, self.fixed, self.expression, self.shared)

    @property
    def expression(self) -> str:
        """The tie, without the sign that it may be typed with."""
        return self.tie.strip().lstrip("=").strip()

    def value(self, name: str, layers: LayerList) -> float | Layer | None:
        """Return the start: a number, a layer, or None."""
        if names_layer(self.start):
            return layer_named(self.start, layers)
        number = self.number("start", name)
        if number is not None and math.isinf(number):
            raise FitInputError(f"Start of {name!r} must be finite, got {shortened(self.start.strip())!r}.")
        return number

    def number(self, field: Field, name: str) -> float | None:
        """Return the number in a field; None for none."""
        text = getattr(self, field).strip()
        try:
            return parse_number(text)
        except ValueError:
            what = f"{FIELD_TITLES[field]} of {name!r} is {shortened(text)!r}"
            raise FitInputError(f"{what}, which is not a number; type one, or clear the field.") from None

    def problem(self, model: Model, name: str, layers: LayerList) -> Problem | None:
        """Return what is wrong; None if nothing is, as far as can be told without the data."""
        stages: tuple[tuple[tuple[Field, ...], tuple[str, ...]], ...] = (
            (("lower",), ("lower",)),
            (("upper",), ("upper",)),
            (("lower", "upper"), ("lower", "upper")),
            (("tie",), ("tie",)),
            (("start",), ("start", "lower", "upper", "fixed")),
            ((), ("start", "lower", "upper", "tie", "fixed", "shared")),
        )
        for blamed, asked in stages:
            part = Typed(**{field: getattr(self, field) for field in asked})
            try:
                part.check(model, name, layers)
            except FitInputError as error:
                sentence = re.sub(rf"\S{{{LONGEST_QUOTE + 1},}}", lambda word: shortened(word[0]), str(error))
                return Problem(sentence, frozenset(blamed))
        return None

    def check(self, model: Model, name: str, layers: LayerList) -> None:
        """Refuse what cannot be, whatever the data.

        Raises
        ------
        FitInputError
        """
        row = self.row(name, layers)
        if isinstance(row.start, (int, float, type(None))) or row.shared:
            parameter_settings(model, [row])  # the values of a layer are known only with the data

    def badges(self, parameter: Parameter) -> list[Badge]:
        """Return what is set, in few signs."""
        made = []
        start = self.start.strip() if self.start.strip() != AUTO else ""
        if self.fixed:
            made.append(Badge("🔒", start, f"fixed at {start or 'its start, which is missing'}"))
        if self.expression:
            made.append(Badge("⇔", self.expression, f"tied: {self.expression}"))
        if self.shared:
            made.append(Badge("∀", "", "shared: one value for all fits"))
        if bounds := self._bounds(parameter):
            made.append(Badge("", bounds, f"bounds {bounds}"))
        if start and not self.fixed:
            made.append(Badge("", f"start {start}", f"starts at {start}"))
        return made

    def _bounds(self, parameter: Parameter) -> str:
        """Return bounds such as [0, 30], ≥ 2 or ≤ 9; empty where they are the model's own."""
        lower, upper = self.lower.strip(), self.upper.strip()
        lower = "" if lower == format_bound(parameter.lower) else lower
        upper = "" if upper == format_bound(parameter.upper) else upper
        if lower and not upper and math.isinf(parameter.upper):
            return f"≥ {lower}"
        if upper and not lower and math.isinf(parameter.lower):
            return f"≤ {upper}"
        if lower or upper:
            return f"[{lower or format_bound(parameter.lower)}, {upper or format_bound(parameter.upper)}]"
        return ""


def _text(value: float | Layer | None) -> str:
    if value is None:
        return ""
    return format_bound(value) if isinstance(value, (int, float)) else name_of(value)
