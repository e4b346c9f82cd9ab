"""Write docs/osipy.md: osipy's fitter and ours on the phantom with trouble in it, and where they differ and why.

python docs/make_osipy_comparison.py

It needs osipy, and so Python 3.12 or newer: `tools/bench.sh` makes an environment with it, `.venv-bench`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from osipy.common.fitting.least_squares import LevenbergMarquardtFitter

import napari_imagefit as nif
from napari_imagefit.imaging.fitting.status_labels import reason_labels, reasons
from napari_imagefit.imaging.simulation.phantom import BLOCK_LABELS, LEVELS, troubled_phantom

PAGE = Path(__file__).parent / "osipy.md"
NAMES = ("amplitude", "tau", "offset")
BOUNDS = {"amplitude": (0.0, 1e5), "tau": (1.0, 2000.0), "offset": (-500.0, 1000.0)}
# in standard errors: what two minimisers may differ by that both found the minimum
ALIKE = 0.01
SAME_COST = 1e-6
HEAD = """# Beside osipy

Written by `docs/make_osipy_comparison.py`; change it there.

osipy {osipy} fits maps by a Levenberg–Marquardt method over all voxels at once. Here it and `fit_voxels` fit the same
phantom (`napari_imagefit.imaging.simulation.phantom`: {voxels} voxels, 32 echoes, `exponential_decay`) within the same
bounds, in double precision, each with its default tolerance and at most 100 iterations. osipy gets an analytic
Jacobian, and starts from a straight line through the logarithms; ours starts from its own estimate. An answer is a fit
that converged: osipy's `fit_batch` says so, its `fit_image` drops it and calls every voxel of the mask valid.

"""
AGREE = f"""
They *agree* where all parameters differ by less than {ALIKE} of their standard errors. Costs (½Σr²) are *equal* within
{SAME_COST:g} of themselves.

"""


class Decay:
    """osipy's protocol of a model, for one exponential."""

    name = "exponential decay"
    reference = ""
    parameters = list(NAMES)  # noqa: RUF012 -- as the protocol has it
    parameter_units = dict.fromkeys(NAMES, "")

    def __init__(self, times: NDArray[np.float64]) -> None:
        self._times = times[:, None]

    def get_bounds(self) -> dict[str, tuple[float, float]]:
        return dict(BOUNDS)

    def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
        t = self._times
        offset = 0.9 * xp.min(observed, axis=0)
        weights = xp.maximum(observed - offset, 1.0)
        logs, total = xp.log(weights), xp.sum(weights, axis=0)
        deviation = t - xp.sum(weights * t, axis=0) / total
        slope = xp.sum(weights * deviation * logs, axis=0) / xp.sum(weights * deviation**2, axis=0)
        tau = xp.clip(-1 / xp.minimum(slope, -1e-3), 4.0, 500.0)
        height = xp.exp(xp.sum(weights * logs, axis=0) / total + xp.sum(weights * t, axis=0) / total / tau)
        return xp.stack([xp.clip(height, 1.0, 5e4), tau, offset])

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return params[0] * xp.exp(-self._times / params[1]) + params[2]

    def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
        del predicted
        fall = xp.exp(-self._times / params[1])
        return xp.stack([fall, params[0] * fall * self._times / params[1] ** 2, xp.ones_like(fall)])


@dataclass(frozen=True)
class Answers:
    """Values by parameter and where they are called valid, both over the grid; and the cost there."""

    values: dict[str, NDArray[np.float64]]
    valid: NDArray[np.bool_]
    cost: NDArray[np.float64]


def cost_of(data: NDArray[np.float64], times: NDArray[np.float64], values: Any) -> NDArray[np.float64]:
    """½Σr² of each voxel."""
    fitted = values["amplitude"] * np.exp(-times[:, None, None] / values["tau"]) + values["offset"]
    return np.asarray(0.5 * np.sum((data - fitted) ** 2, axis=0))


def by_osipy(data: NDArray[np.float64], times: NDArray[np.float64]) -> tuple[Answers, dict[str, NDArray[np.float64]]]:
    """Its answers and its starts."""
    logging.disable(logging.WARNING)
    model, grid = Decay(times), data.shape[1:]
    curves = data.reshape(len(times), -1)
    with np.errstate(all="ignore"):
        params, _, converged = LevenbergMarquardtFitter().fit_batch(model, curves)
        starts = model.get_initial_guess_batch(curves, np)
    values = dict(zip(NAMES, params.reshape(3, *grid), strict=True))
    valid = np.asarray(converged).reshape(grid)
    return Answers(values, valid, cost_of(data, times, values)), dict(zip(NAMES, starts.reshape(3, *grid), strict=True))


def table(rows: list[list[Any]]) -> list[str]:
    """Markdown; the first row is the head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def page() -> str:
    """The whole file."""
    phantom = troubled_phantom()
    data, times = phantom.data.astype(float), phantom.coordinates(0)
    theirs, starts = by_osipy(data, times)
    result = nif.fit_voxels(data, phantom.model, x=times, bounds=BOUNDS, sigma=phantom.sigma)
    ours = Answers(dict(result.params), result.converged, cost_of(data, times, result.params))
    regions = {f"noise σ = {level:g}": phantom.labels == label for label, level in LEVELS.items()}
    regions |= {f"block: {name}": phantom.labels == label for name, label in BLOCK_LABELS.items()}

    both = ours.valid & theirs.valid
    with np.errstate(invalid="ignore"):
        # a parameter at its bound has no error
        each = [np.abs(ours.values[n] - theirs.values[n]) / result.stderr[n] for n in NAMES]
        apart = np.max(np.nan_to_num(each, nan=0.0), axis=0)
        relative = theirs.cost / ours.cost - 1
    agree = both & (apart < ALIKE)
    bound_here = np.any([result.at_bound[n] != 0 for n in NAMES], axis=0)
    lower, higher = both & (relative > SAME_COST), both & (relative < -SAME_COST)
    head = ["", "voxels", "both answer", "agree", "equal cost", "ours lower", "osipy's lower"]
    rows: list[list[Any]] = [[*head, "only ours", "only osipy's"]]
    for name, where in regions.items():
        counts = (where, both, agree, both & ~lower & ~higher, lower, higher, ours.valid & ~theirs.valid)
        rows.append([name, *(np.count_nonzero(where & c) for c in (*counts, theirs.valid & ~ours.valid))])
    lines = [HEAD.format(osipy=version("osipy"), voxels=phantom.sigma.size), *table(rows), AGREE]

    labels = reason_labels(result)
    words = {reason.label: reason.words for reason in reasons(result)}
    stuck = np.all([theirs.values[n] == np.clip(starts[n], *BOUNDS[n]) for n in NAMES], axis=0)
    at_bound = np.any([np.isin(theirs.values[n], BOUNDS[n]) for n in NAMES], axis=0)
    rows = [["", "ours says", "osipy says", "voxels", "osipy's values are its start", "one of osipy's is a bound"]]
    for name, where in regions.items():
        for label in np.unique(labels[where]):
            for valid in (True, False):
                here = where & (labels == label) & (theirs.valid == valid)
                if here.any():
                    said = "converged" if valid else "not converged"
                    parts = (np.count_nonzero(here & one) for one in (here, stuck, at_bound))
                    rows.append([name, words[int(label)], said, *parts])
    lines += ["## Where and why", "", *table(rows), "", *explained(ours, theirs, agree, bound_here, relative)]
    return "\n".join(lines) + "\n"


def explained(ours: Answers, theirs: Answers, agree: Any, at_bound: Any, relative: Any) -> list[str]:
    """What the differences are."""
    both = ours.valid & theirs.valid
    inside, cut = both & ~at_bound, both & at_bound & ~agree
    others = inside & ~agree
    lines = [
        f"- Where both converge and no bound is in the way, {np.count_nonzero(inside & agree)} of "
        f"{np.count_nonzero(inside)} voxels agree."
    ]
    if others.any():
        lines.append(
            f"- In the other {np.count_nonzero(others)}, osipy's cost is higher by {np.median(relative[others]):.1e} "
            "of itself in the median: it ends where two accepted points differ by less than 10⁻⁶ in their cost."
        )
    if cut.any():
        lines.append(
            f"- In {np.count_nonzero(cut)} voxels the data want a parameter beyond its bound. osipy computes its step "
            "as if there were none and cuts it there, so that the other parameters are not where the cost is least "
            f"along the bound: its cost is higher by {100 * np.median(relative[cut]):.0f} % in the median. Ours treats "
            "the bound within the step."
        )
    missed = ours.valid & ~theirs.valid
    if missed.any():
        lines.append(f"- {np.count_nonzero(missed)} voxels converge here and not there within 100 iterations.")
    alone = theirs.valid & ~ours.valid
    if alone.any():
        lines.append(
            f"- {np.count_nonzero(alone)} voxels converge there and have no answer here: zeros, which determine no "
            "decay time, whatever value the iteration happens to end at."
        )
    lines.append(
        "- Of a block that is saturated or follows another model osipy says nothing: it has neither standard errors "
        "nor a test of the residuals here. Ours names each."
    )
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
