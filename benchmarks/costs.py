"""What an answer is worth: one function in NumPy and float64 for all peers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problems import ECHOES, Problem, gaussian_rotated, spot_values

Real = NDArray[np.float64]

CLOSE = 1e-6
ROWS = 256
FITS = 32_768


def costs(problem: Problem, answer: NDArray[Any], *, integrated: bool = False) -> Real:
    """½Σr² of each fit, for the section "spots_mle" half the Poisson deviance; infinite where there is no answer."""
    answer = np.asarray(answer, dtype=float)
    with np.errstate(all="ignore"):
        if problem.key.section == "images":
            found = np.array([_image_cost(problem.data, answer[:, 0])])
        else:
            parts = [slice(at, at + FITS) for at in range(0, answer.shape[1], FITS)]
            found = np.concatenate([_part(problem, answer[:, at], at, integrated) for at in parts])
    found[~np.isfinite(found)] = np.inf
    return found


def _image_cost(image: NDArray[Any], p: Real) -> float:
    axis = np.arange(float(image.shape[1]))
    total = 0.0
    for at in range(0, len(image), ROWS):
        rows = np.arange(at, min(at + ROWS, len(image)), dtype=float)[:, None]
        total += 0.5 * float(np.sum((image[at : at + ROWS] - gaussian_rotated(rows, axis, p)) ** 2))
    return total


def _part(problem: Problem, p: Real, at: slice, integrated: bool) -> Real:
    if problem.key.section == "voxels":
        data = problem.data[:, at].astype(float)
        return np.asarray(0.5 * np.sum((data - p[0] * np.exp(-ECHOES[:, None] / p[1]) - p[2]) ** 2, axis=0))
    data = problem.data[at].astype(float)
    values = spot_values(p, integrated=integrated)
    if problem.key.section == "spots_lsq":
        return np.asarray(0.5 * np.sum((data - values) ** 2, axis=(1, 2)))
    ratio = np.where(data > 0, data, 1) / values
    terms = np.where(values > 0, values - data + np.where(data > 0, data * np.log(ratio), 0), np.inf)
    return np.asarray(np.sum(terms, axis=(1, 2)))


def excesses(found: dict[str, Real]) -> dict[str, dict[str, float]]:
    """How far each peer's costs lie above the lowest that anyone found for the same fit, relative to it."""
    n = max((len(c) for c in found.values()), default=0)
    best = np.full(n, np.inf)
    for cost in found.values():
        best[: len(cost)] = np.minimum(best[: len(cost)], cost)
    summary = {}
    for name, cost in found.items():
        own = best[: len(cost)]
        with np.errstate(invalid="ignore"):
            above = np.where(np.isfinite(cost), (cost - own) / own, np.inf)
        summary[name] = {
            "median": float(np.quantile(above, 0.5, method="lower")),
            "q99": float(np.quantile(above, 0.99, method="higher")),
            "close": float(np.mean(above <= CLOSE)),
        }
    return summary
