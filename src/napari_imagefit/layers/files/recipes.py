"""The recipe of an outcome: region or detection, fit, and derived maps, as the widget has them."""

from __future__ import annotations

from typing import Any

from ...imaging.recipes.recipe import describe
from ...imaging.recipes.steps import DeriveStep
from ..request.fit_request import Outcome


def recipe_of(outcome: Outcome) -> dict[str, Any]:
    """Return the recipe of an outcome as JSON; see `imaging.recipes.recipe.describe`."""
    request, result = outcome.request, outcome.result
    assert result is not None
    units = {name: unit for name, unit in request.units.items() if unit}
    return describe(
        result,
        before=request.detection,
        after=[DeriveStep(text, units) for text in request.derived],
        region_names=request.region_names,
        filters=request.filters,
    )
