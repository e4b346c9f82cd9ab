"""Starts that know the bounds: two exponentials whose heights and offset are regressed inside them.

A guess that does not know them may be best with a negative height, and begin where that has been moved to 0: from there
the other exponential alone is fitted. In NumPy, for the few curves to which that has happened.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..engine.core.types import Floats
from ..engine.models.model import Model
from .biexponential import biexponential_decay

# Time constants that are tried, in parts of the span, and the rounds in which heights are regressed.
SPAN_PARTS = np.geomspace(0.02, 3.0, 10)
ROUNDS = 30
FITS_AT_A_TIME = 4096

# Parameters of a model that are linear in the data, and whose bounds a guess should know.
LINEAR: dict[Model, tuple[str, ...]] = {biexponential_decay: ("amplitude_1", "amplitude_2", "offset")}


def starts_within(t: Floats, data: Floats, weights: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return starts ``(5, B)`` of two exponentials inside their bounds.

    Coordinates are ``(m,)``, data and weights ``(m, B)``, both 0 where a sample does not count, bounds ``(5, B)``.
    """
    if data.shape[1] == 1:
        # sums of one column are added up in another order than those of several
        two = (np.repeat(a, 2, axis=1) for a in (data, weights, lower, upper))
        return starts_within(t, *two)[:, :1]
    found = np.empty((5, data.shape[1]))
    for first in range(0, data.shape[1], FITS_AT_A_TIME):
        part = slice(first, first + FITS_AT_A_TIME)
        found[:, part] = _some(t, data[:, part], weights[:, part], lower[:, part], upper[:, part])
    return found


def _some(t: Floats, data: Floats, weights: Floats, lower: Floats, upper: Floats) -> Floats:
    w = weights * weights
    taus = SPAN_PARTS * max(float(np.ptp(t)), np.finfo(float).tiny)
    row = np.exp(-t[:, None] / taus)
    i, j = np.array(list(combinations(range(len(SPAN_PARTS)), 2))).T

    def summed(factors: Floats, values: Floats) -> Floats:
        # a product of matrices would be quicker, but the last bits of a column would depend on how many there are
        return np.asarray(np.einsum("mk,mB->kB", factors, values))

    of_row, of_pairs, of_squares = summed(row, w), summed(row[:, i] * row[:, j], w), summed(row * row, w)
    on_row = summed(row, w * data)
    total, on_total = w.sum(axis=0), (w * data).sum(axis=0)
    sums = of_squares[i], of_squares[j], total, of_pairs, of_row[i], of_row[j], on_row[i], on_row[j], on_total
    heights, best = _inside(*sums, lower[[0, 2, 4]], upper[[0, 2, 4]])
    tau_1, tau_2 = taus[i][best], taus[j][best]
    for step in (1.25, 1.1):
        tau_1, tau_2, heights = _closer(t, data, w, lower, upper, tau_1, tau_2, step)
    return np.stack([heights[0], tau_1, heights[1], tau_2, heights[2]])


def _closer(
    t: Floats, data: Floats, w: Floats, lower: Floats, upper: Floats, tau_1: Floats, tau_2: Floats, step: float
) -> tuple[Floats, Floats, Floats]:
    """Return the best of nine pairs around one of each fit, with heights and offset inside their bounds."""
    around = step ** np.arange(-1.0, 2.0)[:, None]
    short, long = np.clip(around * tau_1, lower[1], upper[1]), np.clip(around * tau_2, lower[3], upper[3])
    first, second = (np.exp(-t[:, None] / taus[:, None]) for taus in (short, long))  # (3, m, B)
    of_first, of_second = first * w, second * w
    i, j = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    sums = (
        (of_first * first).sum(axis=1)[i],
        (of_second * second).sum(axis=1)[j],
        w.sum(axis=0),
        np.einsum("imB,jmB->ijB", of_first, second).reshape(9, -1),
        of_first.sum(axis=1)[i],
        of_second.sum(axis=1)[j],
        (of_first * data).sum(axis=1)[i],
        (of_second * data).sum(axis=1)[j],
        (w * data).sum(axis=0),
    )
    heights, best = _inside(*sums, lower[[0, 2, 4]], upper[[0, 2, 4]])
    every = np.arange(best.size)
    return short[i[best], every], long[j[best], every], heights


def _inside(
    aa: Floats, bb: Floats, cc: Floats, ab: Floats, ac: Floats, bc: Floats, ay: Floats, by: Floats, cy: Floats,
    low: Floats, high: Floats,
) -> tuple[Floats, NDArray[np.intp]]:  # fmt: skip
    """Return the best factors ``(3, B)`` inside bounds, of pairs by their sums ``(K, B)``, and which pair it is.

    They are found one after the other in rounds, with the others as they are.
    """

    def factor(rest: Floats, own: Floats, k: int) -> Floats:
        return np.clip(np.divide(rest, own, out=np.zeros_like(rest), where=own > 0), low[k], high[k])

    a, b, c = (np.zeros_like(ab) + np.clip(0.0, low[k], high[k]) for k in range(3))
    cc, cy = np.broadcast_to(cc, ab.shape), np.broadcast_to(cy, ab.shape)
    for _ in range(ROUNDS):
        a = factor(ay - ab * b - ac * c, aa, 0)
        b = factor(by - ab * a - bc * c, bb, 1)
        c = factor(cy - ac * a - bc * b, cc, 2)
    left = (
        0.5 * (a * a * aa + b * b * bb + c * c * cc) + a * b * ab + a * c * ac + b * c * bc - a * ay - b * by - c * cy
    )
    best = np.argmin(left, axis=0)
    every = np.arange(best.size)
    return np.stack([a[best, every], b[best, every], c[best, every]]), best
