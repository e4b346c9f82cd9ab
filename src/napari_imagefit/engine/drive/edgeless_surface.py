"""The best surface without an edge: what a cloud that is larger than its window looks like, however large it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.columns import Table
from ..core.types import Floats
from ..noise.noise_and_loss import terms
from ..noise.samples import TILE, Samples
from .loading import lengths_of, samples_of
from .problem import Problem

# A constant, both coordinates and their squares.
N_TERMS = 5


def costs_without_edge(problem: Problem, positions: NDArray[np.intp]) -> Floats:
    """Return the cost of the best c₀ + c₁y + c₂x + c₃y² + c₄x² for each fit at these positions, ``(B,)``.

    It is the limit of a cloud with infinite radii. For counts it is the cost of the one with the least Σ(residual² /
    expected counts), which is next to the best.
    """
    return np.array([_cost(problem, int(position)) for position in positions])


def _cost(problem: Problem, position: int) -> float:
    pieces = list(_pieces(problem, position)) if problem.n_samples <= TILE else None

    def each() -> Iterator[Samples]:
        return _pieces(problem, position) if pieces is None else iter(pieces)

    axes = _coordinates(problem, position)
    low, high = np.array([c.min() for c in axes]), np.array([c.max() for c in axes])
    middle, half = 0.5 * (low + high), np.maximum(0.5 * (high - low), np.finfo(float).tiny)

    def basis(piece: Samples) -> Floats:
        y, x = ((c[:, 0] - m) / h for c, m, h in zip(piece.coords, middle, half, strict=True))
        return np.stack([np.ones(len(y)), y, x, y * y, x * x], axis=-1)

    counts = problem.options.noise == "poisson"
    found: Floats = np.zeros(N_TERMS)
    for again in range(2 if counts else 1):
        square, moment = np.zeros((N_TERMS, N_TERMS)), np.zeros(N_TERMS)
        for piece in each():
            surface = basis(piece)
            weights = np.where(piece.usable(), 1.0 if piece.weights is None else piece.weights, 0.0)[:, 0]
            if again:
                expected = piece.counts((surface @ found)[:, None])[0][:, 0]
                weights = weights / np.sqrt(np.maximum(expected, 1.0))
            weighted = surface * weights[:, None]
            square += weighted.T @ weighted
            moment += weighted.T @ (weights * np.where(weights > 0, piece.data[:, 0], 0.0))
        found = np.asarray(np.linalg.lstsq(square, moment, rcond=None)[0], np.float64)
    total = 0.0
    for piece in each():
        cost = terms(problem.options.criterion, (basis(piece) @ found)[:, None], piece).cost
        total += float(np.where(piece.usable(), cost, 0.0).sum())
    return total


def _coordinates(problem: Problem, position: int) -> list[Any]:
    length = int(lengths_of(problem, np.array([position]))[0])
    return [c if c.ndim == 1 else c[:, position][:length] for c in problem.coords]


def _pieces(problem: Problem, position: int) -> Iterator[Samples]:
    """Yield the samples ``(m, 1)`` of a fit without padding, a tile at a time."""
    length = int(lengths_of(problem, np.array([position]))[0])
    if problem.n_samples <= TILE:
        yield samples_of(problem, np.array([position])).rows(slice(0, length))
        return

    def column(array: Table | None) -> Any:
        return None if array is None else array[:, position if array.shape[1] > 1 else 0]

    axes = _coordinates(problem, position)
    columns = [column(array) for array in (problem.data, problem.weights, problem.shift)]
    for first in range(0, length, TILE):
        some = slice(first, min(first + TILE, length))
        coords = tuple(np.asarray(c[some], np.float64)[:, None] for c in axes)
        own = (None if array is None else np.asarray(array[some], np.float64)[:, None] for array in columns)
        yield Samples(coords, *own)
