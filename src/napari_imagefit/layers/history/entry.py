"""One fit of the history: what it was, what came of it, and the layers that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from ...catalogue.titles import short_title, title_of
from ...engine.results.fit_result import FitResult, LayerTuple
from ..geometry.output_layers import METADATA_KEY, role
from ..inspection.state_counts import StateCounts, state_of
from ..request.choices import Choices
from ..request.fit_request import Outcome, Request
from ..request.naming import spaced

NUMBER = "entry"  # key, in the metadata of a layer, of the number of the entry whose numbers it shows


@dataclass(frozen=True)
class Facts:
    """Facts on a fit that are kept when its arrays are gone.

    Attributes
    ----------
    title, short : str
        Of the model.
    data, region, frames : str
        Names of the layer that was fitted and of where; `frames` is empty where there were none.
    when : datetime
    seconds : float
        From the click to the last layer.
    chi2 : float
        Median reduced χ² of the fits that converged; NaN if none did.
    """

    title: str
    short: str
    data: str
    region: str
    frames: str
    when: datetime
    seconds: float
    counts: StateCounts
    chi2: float

    @property
    def place(self) -> str:
        """Region and frames in a few words."""
        return f"{self.region}, {self.frames}" if self.frames else self.region

    @property
    def numbers(self) -> str:
        """Counts and χ² in a few signs."""
        counts = self.counts
        words = [f"✓ {spaced(counts.converged)}"]
        words += [f"⚠ {spaced(counts.remarks)}"] if counts.remarks else []
        words += [f"✕ {spaced(counts.failed)}"] if counts.failed else []
        return "  ".join([*words, f"χ² {self.chi2:.3g}"] if np.isfinite(self.chi2) else words)


@dataclass(eq=False)
class Entry:
    """A fit of the history.

    Attributes
    ----------
    number : int
        From 1 on; none is given twice.
    choices : Choices
        The settings, see `remember`.
    outcome : Outcome or None
        Without its layers; None when its arrays were let go.
    outputs : dict of str to tuple
        The layers that show it, by role, as they were made; empty when its arrays were let go.
    looks : dict of str to bool
        Which of them were to be seen when it was hidden.
    """

    number: int
    source: str
    group: str
    choices: Choices
    facts: Facts
    outcome: Outcome | None
    outputs: dict[str, LayerTuple] = field(default_factory=dict)
    looks: dict[str, bool] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title by which people call it."""
        return f"{self.number} · {self.facts.short}"

    @property
    def is_of_mean(self) -> bool:
        """Whether it is the fit of a region's mean curve alone, which has no layers."""
        return self.outcome is not None and self.outcome.result is None

    def is_first_seen(self, what: str) -> bool:
        """Whether the layer of that role is to be seen at first."""
        new = self.outputs.get(what)
        return new is not None and bool(new[1].get("visible", True))

    def take(self, outcome: Outcome) -> None:
        """Hold a result and its layers: all of them, or more of them where the result is the same."""
        kept = {} if outcome.complete else self.outputs
        made = {role(output.data): _numbered(output.data, self.number) for output in outcome.outputs}
        self.outputs = {**kept, **made}
        self.outcome = replace(outcome, outputs=(), complete=True)

    def take_layer(self, new: LayerTuple) -> None:
        """Hold one more layer of the same result."""
        self.outputs[role(new)] = _numbered(new, self.number)

    def let_go(self) -> None:
        """Hold no arrays any more; settings and numbers stay."""
        self.outcome = None
        self.outputs, self.looks = {}, {}


def facts_of(outcome: Outcome, choices: Choices, when: datetime, seconds: float) -> Facts:
    """Return what is kept of a fit whatever happens."""
    request, result = outcome.request, outcome.fit
    assert result is not None
    region = _region(request, choices)
    return Facts(
        title_of(request.model),
        short_title(request.model),
        request.layer_name,
        region if outcome.result is not None else f"mean of {region}",
        _frames(request, choices),
        when,
        seconds,
        state_of(result),
        _chi2(result),
    )


def _chi2(result: FitResult) -> float:
    values = result.reduced_chi2[result.converged]
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _region(request: Request, choices: Choices) -> str:
    where = choices.spots.points if request.job == "spots" else choices.region
    words = "whole image" if where is None else where.name
    return words if choices.leave_out is None else f"{words} without {choices.leave_out.name}"


def _frames(request: Request, choices: Choices) -> str:
    n = request.data.ndim - request.model.ndim
    if request.job == "voxels" or n < 1:
        return ""
    if choices.frames == "current":
        return f"frame {', '.join(map(str, choices.current[:n]))}"
    return "all frames" if choices.frames == "all" else "frames as drawn"


def _numbered(new: LayerTuple, number: int) -> LayerTuple:
    data, options, kind = new
    made: Mapping[str, object] = options["metadata"][METADATA_KEY]
    metadata = {**options["metadata"], METADATA_KEY: {**made, NUMBER: number}}
    return data, {**options, "metadata": metadata}, kind
