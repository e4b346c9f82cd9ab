"""Starts from all over the map: the middles of clusters of good results, and points spread over their range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...engine.core.types import Booleans, Floats, Indices
from ...engine.drive.run import find_starts
from ...engine.models.model import Model
from ...engine.models.prediction import predict
from ...engine.results.fit_result import FitResult
from .call import VoxelCall, solution_rows

CLUSTERS = 8
SPREAD = 24
# Good results that are looked at, and the number below which they give no range.
MOST, FEWEST = 4000, 20
# Curves that are compared with all starts at a time.
CURVES_AT_A_TIME = 1 << 15


def collect(call: VoxelCall, result: FitResult, good: Booleans, targets: Indices) -> Floats:
    """Return starts ``(n_params, m)`` for any voxel; finite, the same for the same input."""
    rng = np.random.default_rng(0)
    places = np.flatnonzero(good)
    if places.size > MOST:
        places = np.sort(rng.choice(places, MOST, replace=False))
    known = solution_rows(result)[:, places]
    known = known[:, np.isfinite(known).all(axis=0)]
    clusters = cluster(known, call.model, rng)
    if known.shape[1] < FEWEST:
        own = guesses(call, targets[:MOST])
        known = np.hstack([known, own[:, np.isfinite(own).all(axis=0)]])
    return np.hstack([clusters, spread(known, call.model, rng)])


def guesses(call: VoxelCall, places: Indices) -> Floats:
    """Return the model's own guesses ``(n_params, n_places)``; NaN for a parameter that is tied."""
    own = np.full((len(call.model.names), places.size), np.nan)
    own[[call.model.index(name) for name in call.fitted.names]] = find_starts(call.problem(places))
    if call.ties is not None:
        own[:] = call.ties.values(own[list(call.ties.kept)])
    return own


def cluster(known: Floats, model: Model, rng: np.random.Generator) -> Floats:
    """Members ``(n_params, k)`` next to the middles of clusters of results."""
    count = known.shape[1]
    if count <= CLUSTERS:
        return known
    points = _scaled(known, model)
    centres = points[:, [int(rng.integers(count))]]
    while centres.shape[1] < CLUSTERS:
        distance = _distances(points, centres).min(axis=1)
        if not distance.max() > 0:
            break
        centres = np.hstack([centres, points[:, [int(rng.choice(count, p=distance / distance.sum()))]]])
    for _ in range(10):
        nearest = _distances(points, centres).argmin(axis=1)
        for i in np.unique(nearest):
            centres[:, i] = points[:, nearest == i].mean(axis=1)
    members: Floats = known[:, np.unique(_distances(points, centres).argmin(axis=0))]
    return members


def spread(known: Floats, model: Model, rng: np.random.Generator) -> Floats:
    """Points ``(n_params, m)`` over the range of what is known, one in each of as many slices along every parameter."""
    if not known.size:
        return known[:, :0]
    positive = _is_positive(known, model)
    values = np.where(positive[:, None], np.log(np.where(positive[:, None], known, 1)), known)
    low, high = np.percentile(values, [1, 99], axis=1)
    room = 0.25 * (high - low)
    slices = np.stack([rng.permutation(SPREAD) for _ in model.names])
    share = (slices + rng.uniform(size=slices.shape)) / SPREAD
    points = (low - room)[:, None] + share * (high - low + 2 * room)[:, None]
    with np.errstate(over="ignore"):
        found: Floats = np.where(positive[:, None], np.exp(np.where(positive[:, None], points, 0)), points)
    return found[:, np.isfinite(found).all(axis=0)]


def best_for(call: VoxelCall, places: Indices, pool: Floats, count: int) -> Sequence[Floats]:
    """Return the starts of a pool that suit each voxel best, first the best: `count` arrays ``(n_params, n_places)``.

    A start is as good as its curve is with the best height; parameters in the unit of the data are stretched to it.
    """
    count = min(count, pool.shape[1])
    curves = predict(call.model, (call.x,), pool, call.settings.options)
    pool, curves = pool[:, (valid := np.isfinite(curves).all(axis=0))], curves[:, valid]
    count = min(count, pool.shape[1])
    found = np.full((count, len(pool), places.size), np.nan)
    if not count:
        return []
    in_data = np.array([p.unit.startswith("data") for p in call.model.parameters])
    for first in range(0, places.size, CURVES_AT_A_TIME):
        part = slice(first, first + CURVES_AT_A_TIME)
        data = call.curves(call.stack, places[part]).astype(float)
        usable = np.isfinite(data)
        weights = usable.astype(float)
        if call.weights is not None:
            weights *= call.curves(call.weights, places[part]) ** 2
        data = np.where(usable, data, 0.0)
        scale = np.ones((pool.shape[1], data.shape[1]))
        across, own = curves.T @ (weights * data), (curves**2).T @ weights
        if in_data.any():
            scale = np.divide(across, own, out=scale, where=(own > 0) & (across > 0))
        misfit = scale**2 * own - 2 * scale * across
        order = np.argsort(misfit, axis=0, kind="stable")[:count]
        for rank, chosen in enumerate(order):
            stretch = np.take_along_axis(scale, chosen[None], axis=0)
            found[rank, :, part] = pool[:, chosen] * np.where(in_data[:, None], stretch, 1.0)
    return list(found)


def _is_positive(known: Floats, model: Model) -> Booleans:
    """Parameters that only make sense above 0: their ratios count, not their differences."""
    return (model.lower >= 0) & (known > 0).all(axis=1)


def _scaled(known: Floats, model: Model) -> Floats:
    positive = _is_positive(known, model)[:, None]
    values = np.where(positive, np.log(np.where(positive, known, 1)), known)
    low, high = np.percentile(values, [25, 75], axis=1)
    width = np.where(high > low, high - low, 1.0)
    return np.asarray((values - np.median(values, axis=1, keepdims=True)) / width[:, None])


def _distances(points: Floats, centres: Floats) -> Floats:
    """Squares ``(n, k)``."""
    return np.asarray(((points[:, :, None] - centres[:, None, :]) ** 2).sum(axis=0))
