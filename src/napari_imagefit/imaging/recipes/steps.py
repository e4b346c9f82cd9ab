"""The steps that a recipe may hold beside its fit, and how each is read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from ...engine.core.errors import FitInputError
from ...engine.functions.expression import term
from ...engine.results.fit_result import FitResult
from ..fitting.derived_maps import DerivedMap, derive
from ..fitting.units import unit_of
from ..spots.detection import Detection, find_spots
from .leave_out_step import LeaveOutStep
from .region_step import RegionStep

VERSION = 3  # 1: the fit alone, without steps; 2: no step 'leave_out'


class Step(Protocol):
    """One step of a recipe: its name in the JSON, and itself as JSON."""

    name: ClassVar[str]

    def recipe(self) -> dict[str, Any]:
        """Return the step as JSON, without its name."""

    @classmethod
    def of_recipe(cls, said: Mapping[str, Any]) -> Self:
        """Check what `recipe` gave; raises `FitInputError`."""


@dataclass(frozen=True)
class DetectionStep:
    """Spots are searched in the image, and fitted where they are found; see `find_spots`."""

    name: ClassVar[str] = "detect_spots"

    detection: Detection
    ndim: int = 2

    def recipe(self) -> dict[str, Any]:
        """Return the step as JSON."""
        return {**self.detection.recipe(), "ndim": self.ndim}

    @classmethod
    def of_recipe(cls, said: Mapping[str, Any]) -> Self:
        """Check the settings of the detection; raises `FitInputError`."""
        settings = {name: _as_tuple(value) for name, value in said.items() if name != "ndim"}
        ndim = said.get("ndim", 2)
        if ndim not in (2, 3) or isinstance(ndim, bool):
            raise FitInputError(f"ndim of the step 'detect_spots' must be 2 or 3, got {ndim!r}")
        return cls(Detection.of_recipe(settings), ndim)

    def points(self, image: Any) -> Any:
        """Return the points ``(N, image.ndim)``, the frame first.

        Raises
        ------
        FitInputError
            If there are none.
        """
        found = find_spots(image, self.detection, self.ndim)
        if not found.count:
            raise FitInputError(
                "the recipe's step 'detect_spots' finds no spot in these data; lower its threshold, or change its scale"
            )
        return found.points


@dataclass(frozen=True)
class DeriveStep:
    """A map, or a column, of an expression of the parameters; see `derive`."""

    name: ClassVar[str] = "derive"

    expression: str
    units: Mapping[str, str] = field(default_factory=dict)

    def recipe(self) -> dict[str, Any]:
        """Return the step as JSON."""
        return {"expression": self.expression, **({"units": dict(self.units)} if self.units else {})}

    @classmethod
    def of_recipe(cls, said: Mapping[str, Any]) -> Self:
        """Check the expression; raises `FitInputError`."""
        _refuse_unknown(said, {"expression", "units"}, cls.name)
        expression, units = said.get("expression"), said.get("units", {})
        if not isinstance(expression, str):
            raise FitInputError(f"expression of the step 'derive' must be a text such as '1/tau', got {expression!r}")
        term(expression)
        if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
            raise FitInputError(f"units of the step 'derive' must be texts by parameter name, got {units!r}")
        return cls(expression, units)

    @property
    def unit(self) -> str:
        """The unit that follows from those of the parameters."""
        return unit_of(self.expression, self.units)

    def of(self, result: FitResult) -> DerivedMap:
        """Return the expression of a result."""
        return derive(result, self.expression, self.units)


# in the order in which they may stand: before the fit, one of the first two and the last, and after it
BEFORE: dict[str, type[RegionStep | DetectionStep]] = {kind.name: kind for kind in (RegionStep, DetectionStep)}
LEAVE_OUT: dict[str, type[LeaveOutStep]] = {LeaveOutStep.name: LeaveOutStep}
AFTER: dict[str, type[DeriveStep]] = {DeriveStep.name: DeriveStep}


def in_order(names: list[Any]) -> list[str]:
    """Return the names of steps.

    Raises
    ------
    FitInputError
        If one is not known, or they do not stand in their order.
    """
    known = [*BEFORE, *LEAVE_OUT, "fit", *AFTER]
    for name in names:
        if name not in known:
            raise FitInputError(
                f"the recipe has a step {name!r}, which is not known here; choose from {', '.join(known)}"
            )
    if names.count("fit") != 1:
        raise FitInputError(f"a recipe has one step 'fit', got {names.count('fit')} in {names}")
    ranks = [0 if name in BEFORE else 1 if name in LEAVE_OUT else 2 if name == "fit" else 3 for name in names]
    if ranks != sorted(ranks) or ranks.count(0) > 1 or ranks.count(1) > 1:
        raise FitInputError(
            f"the recipe's steps stand in the order {names}; at most one of {', '.join(BEFORE)}, then "
            f"{', '.join(LEAVE_OUT)}, then fit, then {', '.join(AFTER)}"
        )
    return names


def as_json(first: Sequence[Step | None], fit: dict[str, Any], after: Sequence[Step]) -> dict[str, Any]:
    """Return steps as JSON, of the oldest version that has them all."""
    before = [{"step": step.name, **step.recipe()} for step in first if step is not None]
    steps = [*before, {"step": "fit", **fit}, *({"step": step.name, **step.recipe()} for step in after)]
    return {"version": VERSION if any(step["step"] in LEAVE_OUT for step in before) else 2, "steps": steps}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _refuse_unknown(said: Mapping[str, Any], known: set[str], step: str) -> None:
    for name in said:
        if name not in known:
            raise FitInputError(f"the recipe's step {step!r} has {name!r}; it may have {', '.join(sorted(known))}")
