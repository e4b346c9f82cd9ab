"""Results in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.core.status import Flag, Status
from ..engine.results.fit_result import FitResult
from ..imaging.fitting.status_labels import BY_CHANCE
from ..imaging.inspection.saturation_value import saturation_value
from ..layers.inspection.spot_table import facts_of
from ..layers.request.fit_request import MeanFit, Outcome
from ..layers.request.naming import spaced


def describe(result: FitResult) -> str:
    """Return the result in a line, and a line for each reason why fits have no answer, or are to be looked at twice."""
    counts = result.counts()
    lines = [headline(result)]
    lines += [f"{n} × {status.message}" for status, n in counts.items() if not status.converged]
    lines += left_out(result)
    for flag in (Flag.AT_LOWER, Flag.AT_UPPER, Flag.POORLY_DETERMINED):
        if n := _flagged(result, flag):
            lines.append(f"{n} × {flag.message}")
    return "\n".join(lines + misfits(result))


def describe_outcome(outcome: Outcome) -> str:
    """Return what a task has found; for voxels the table of reasons says why some have no answer."""
    result = outcome.result
    if result is None:
        return outcome.note
    lines = [describe(result)]
    if outcome.request.job == "voxels":
        lines = [headline(result), *left_out(result), *saturated(result), *map(sentence, result.source.remarks(result))]
    if outcome.facts is not None and outcome.request.filters:
        counting = int((np.asarray(facts_of(outcome)["reason"], object) == "").sum())
        lines.append(f"{spaced(counting)} count; filters leave {spaced(int(result.converged.sum()) - counting)} out")
    return "\n".join([outcome.note, *lines] if outcome.note else lines)


def headline(result: FitResult) -> str:
    """How many fits, how long they took, how many converged, and where."""
    counts = result.counts()
    total = sum(counts.values())
    converged = sum(n for status, n in counts.items() if status.converged)
    spots = hasattr(result.source, "windows")
    kind = "voxel" if result.model.ndim == 1 else "spot" if spots else "fit"
    share = f"{converged} converged" if total < 1000 else f"{100 * converged / total:.1f} % converged"
    number = spaced(total)
    return f"{number} {kind}{'' if total == 1 else 's'} · {result.seconds:.2g} s · {share} · {result.device}"


def left_out(result: FitResult) -> list[str]:
    """How many samples did not count."""
    n = int(result.n_left_out.sum())
    if not n:
        return []
    saturation = result.recipe().get("saturation")
    which = "NaN or infinite" if saturation is None else f"at or above the saturation ({saturation:g}), or not finite,"
    return [f"{spaced(n)} samples that are {which} were left out"]


def misfits(result: FitResult) -> list[str]:
    """Return what the residuals of more fits say against them than chance has it, and whether samples were cut off."""
    lines, most = saturated(result), BY_CHANCE * np.count_nonzero(result.converged)
    for flag in (Flag.STRUCTURED_RESIDUAL, Flag.LARGE_CHI2, Flag.SMALL_CHI2, Flag.UNEVEN_NOISE):
        n = _flagged(result, flag)
        if n > most:
            lines.append(f"{spaced(n)} × {flag.message}")
    return lines


def saturated(result: FitResult) -> list[str]:
    """In how many fits samples were cut off, and which value leaves these out."""
    # a fit may have come to no answer for that reason
    n = int(np.count_nonzero(result.flags & np.uint16(Flag.SATURATED)))
    if not n:
        return []
    value = saturation_value(result)
    offer = "" if value is None else f"; a saturation of {value:g} leaves them out"
    return [f"{spaced(n)} × {Flag.SATURATED.message}{offer}"]


def _flagged(result: FitResult, flag: Flag) -> int:
    return int(np.count_nonzero(((result.flags & np.uint16(flag)) != 0) & result.converged))


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
