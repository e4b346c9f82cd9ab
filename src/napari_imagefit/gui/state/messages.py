"""Results in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...layers.inspection.spot_table import facts_of
from ...layers.request.fit_request import MeanFit, Outcome
from ...layers.request.naming import spaced


def describe_outcome(outcome: Outcome) -> str:
    """Return what a task has found as a whole; the section Results says what became of the fits."""
    result = outcome.result
    if result is None:
        return outcome.note
    lines = [headline(result), *left_out(result), *map(sentence, result.source.remarks(result))]
    if outcome.facts is not None and outcome.request.filters:
        counting = int((np.asarray(facts_of(outcome)["reason"], object) == "").sum())
        lines.append(f"{spaced(counting)} count; filters leave {spaced(int(result.converged.sum()) - counting)} out")
    note = [outcome.note] if outcome.note else []
    # a warning may fill all the room that there is
    return "\n".join([*lines, *note] if outcome.note.startswith("⚠") else [*note, *lines])


def headline(result: FitResult) -> str:
    """Return how many fits there are, how many converged, and where; the bar shows how long it took."""
    counts = result.counts()
    total = sum(counts.values())
    converged = sum(n for status, n in counts.items() if status.converged)
    spots = hasattr(result.source, "windows")
    kind = "voxel" if result.model.ndim == 1 else "spot" if spots else "fit"
    share = f"{converged} converged" if total < 1000 else f"{100 * converged / total:.1f} % converged"
    number = spaced(total)
    return f"{number} {kind}{'' if total == 1 else 's'} · {share} · {result.device}"


def left_out(result: FitResult) -> list[str]:
    """Return how many samples did not count."""
    n = int(result.n_left_out.sum())
    if not n:
        return []
    saturation = result.recipe().get("saturation")
    which = "NaN or infinite" if saturation is None else f"at or above the saturation ({saturation:g}), or not finite,"
    return [f"{spaced(n)} samples that are {which} were left out"]


def sentence(words: str) -> str:
    """Words with a capital letter."""
    return words[0].upper() + words[1:]


def median(values: Any) -> float:
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def describe_mean(mean: MeanFit) -> str:
    """Return the fit of a region's mean curve in a line."""
    result = mean.result
    status = Status(int(result.status.flat[0]))
    voxels = int(mean.n.max(initial=0))
    number = spaced(voxels)
    words = f"Mean curve of {number} voxels, {int(np.isfinite(mean.values).sum())} samples"
    if not status.converged:
        return f"{words}: {status.message}"
    return f"{words} · reduced χ² {float(result.reduced_chi2.flat[0]):.3g} · {status.message}"
