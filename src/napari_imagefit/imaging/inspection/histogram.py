"""Histogram of a map, and the fits whose values lie within a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import symbol_of
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult

BINS, FEW = 96, 8
# Of this many values in a million the quantiles are as good as those of all.
ENOUGH_VALUES = 1_000_000
COUNTS = {"n_used": "samples used", "n_iterations": "steps", "attempt": "attempt"}


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of the finite values of a map.

    Attributes
    ----------
    counts : int array, ``(n,)``
    edges : array, ``(n + 1,)``
    n_finite : int
        Values in all.
    n_outside : int
        Of these, the ones beyond the edges.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    n_finite: int
    n_outside: int


def histogram(values: NDArray[Any], *, robust: bool = True, whole: bool = False, bins: int = BINS) -> Histogram:
    """Return the histogram of a map; NaN and infinities are not counted.

    Parameters
    ----------
    values : array
    whole : bool
        Whether they are whole numbers, each of which then has a bin, or shares it with equally many.
    robust : bool
        Leave out what lies far from everything else: beyond the 5 and 95 % quantiles by more than their distance.
    bins : int
        The most there may be; few values have fewer.

    Examples
    --------
    >>> found = histogram(np.array([1.0, 1.0, 2.0, np.nan]), bins=2)
    >>> found.counts, found.edges, found.n_finite
    (array([2, 1]), array([1. , 1.5, 2. ]), 3)
    """
    finite = np.asarray(values, dtype=float).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return Histogram(np.zeros(1, np.int64), np.array([0.0, 1.0]), 0, 0)
    bins = min(bins, max(FEW, int(2 * np.sqrt(finite.size))))
    low, high = float(finite.min()), float(finite.max())
    if robust:
        first, last = np.percentile(finite[:: max(1, finite.size // ENOUGH_VALUES)], [5, 95])
        reach = last - first
        low, high = max(low, float(first - reach)), min(high, float(last + reach))
    if not high - low > 4e-16 * bins * max(abs(low), abs(high)):
        width = max(0.5, 1e-6 * abs(low))
        low, high = low - width, high + width
    if whole:
        # other bins would beat against the numbers
        step = max(1.0, np.ceil((high - low + 1) / bins))
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 0.5 + step, step)
        counts, edges = np.histogram(finite, edges)
    else:
        counts, edges = np.histogram(finite, bins, (low, high))
    return Histogram(counts.astype(np.int64), edges, int(finite.size), int(finite.size - counts.sum()))


def within(values: NDArray[Any], low: float, high: float) -> NDArray[np.bool_]:
    """Return which values lie within a range, both ends included; NaN never does.

    Examples
    --------
    >>> within(np.array([1.0, 2.0, np.nan, 3.0]), 2, 3)
    array([False,  True, False,  True])
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((values >= low) & (values <= high))


def map_names(result: FitResult, units: Mapping[str, str]) -> dict[str, str]:
    """Return the maps of a result that have a histogram: how each is found, and what it is called with its unit.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> result = fit_voxels(np.arange(8.0)[:, None], "linear")
    >>> list(map_names(result, {"slope": "1/ms"}).values())[:2]
    ['slope [1/ms]', 'intercept']
    """

    def named(name: str, shown: str) -> str:
        return f"{shown} [{units[name]}]" if units.get(name) else shown

    free = [name for name in result.model.names if name not in (result.source.settings.fixed or {})]
    names = {f"param:{name}": named(name, symbol_of(name)) for name in free}
    names |= {f"stderr:{name}": named(name, f"error of {symbol_of(name)}") for name in free}
    names |= {"reduced_chi2": "reduced χ²", "r2": "R²", **COUNTS}
    if not np.any(getattr(result, "attempt", 0)):
        del names["attempt"]
    return names


def map_values(result: FitResult, key: str) -> NDArray[Any]:
    """Return a map by its key in `map_names`, ``(*grid,)``; NaN for fits outside the mask."""
    kind, _, name = key.partition(":")
    if kind == "param":
        return np.asarray(result.params[name])
    if kind == "stderr":
        return np.asarray(result.stderr[name])
    values = np.asarray(getattr(result, key))
    return values if key not in COUNTS else np.where(result.status == Status.NOT_FITTED, np.nan, values)
