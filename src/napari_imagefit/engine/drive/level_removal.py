"""Single precision for data that vary little about a large level: the level is taken off before they are rounded.

It is taken off fit by fit, from the samples of the fit alone, and given back by the constant of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.columns import Columns
from ..core.types import Floats
from ..models.numpy_model import NumpyModel
from ..models.origins import tried_of
from ..models.prediction import values_of
from .level import nanmedian
from .problem import Problem

# Samples from which the level of a fit is taken, and the ratio of level to their range from which it is taken off.
PROBES, LARGE = 9, 4


@dataclass(frozen=True)
class Levelled:
    """A problem whose data are less their levels.

    Attributes
    ----------
    problem : Problem
    constant : int
        The parameter that takes the level up.
    levels : array, ``(n_fits,)``
        Of data that are computed on access, known after the first access.
    bounds : pair of arrays, ``(1,)`` or ``(n_fits,)``
        Of that parameter, as given.
    """

    problem: Problem
    constant: int
    levels: Floats
    bounds: tuple[Floats, Floats]

    def give_back(self, *arrays: NDArray[Any]) -> None:
        """Add the levels to parameters ``(n_params, n_fits)``; rounding leads to no other value than was fixed."""
        for params in arrays:
            params[self.constant] = np.clip(params[self.constant] + self.levels, *self.bounds)


def without_levels(problem: Problem, shared: tuple[int, ...] = ()) -> Levelled | None:
    """Return the problem without the levels of its data.

    None where they are no hindrance, or no parameter takes them up.
    """
    data = problem.data
    if not _may_matter(problem):
        return None
    levels = np.zeros(problem.n_fits)
    if isinstance(data, np.ndarray):
        levels[:] = levels_of(data[_probes(problem.n_samples)])
        if not levels.any():
            return None
    constant = find_constant(problem)
    if constant is None:
        return None
    said = any(np.isfinite(table[constant]).any() for table in (problem.start, problem.lower, problem.upper))
    ahead = isinstance(data, np.ndarray) or said or constant in shared
    if isinstance(data, Columns) and ahead:
        levels[:] = np.concatenate([levels_of(part[_probes(len(part))]) for part in data.parts()])
    if constant in shared:
        # what all have in common is one number
        levels[:] = np.median(levels)

    def make(positions: NDArray[np.intp]) -> NDArray[Any]:
        own = data[:, positions]
        if not ahead:
            levels[positions] = levels_of(own[_probes(len(own))])
        found = levels[positions]
        return own - found if found.any() else own

    start, lower, upper = problem.start, problem.lower, problem.upper
    if said:
        start, lower, upper = (_moved(table, constant, levels) for table in (start, lower, upper))
    less = replace(
        problem, data=Columns((problem.n_samples, problem.n_fits), make), start=start, lower=lower, upper=upper
    )
    return Levelled(less, constant, levels, (problem.lower[constant], problem.upper[constant]))


def _moved(table: Floats, constant: int, levels: Floats) -> Floats:
    """Return starts or bounds ``(n_params, n_fits)`` for data from which the levels were taken off."""
    full = np.array(np.broadcast_to(table, (len(table), levels.size)))
    full[constant] -= levels
    return full


def _may_matter(problem: Problem) -> bool:
    options = problem.options
    plain = not (problem.whole or problem.alone or problem.root is not None or isinstance(problem.model, NumpyModel))
    if options.dtype != "float32" or options.noise != "gaussian" or not plain:
        return False
    dtype = problem.data[:, :1].dtype
    # of which nothing is lost
    return dtype.kind == "f" or dtype.itemsize > 2


def _probes(m: int) -> NDArray[np.intp]:
    return np.linspace(0, m - 1, min(m, PROBES)).astype(np.intp)


def levels_of(probes: NDArray[Any]) -> Floats:
    """Return the levels ``(B,)`` of some samples ``(k, B)``; 0 where they vary by a good part of it."""
    values = np.asarray(probes, np.float64)
    known = np.isfinite(values)
    middle = nanmedian(np.where(known, values, np.nan))
    width = np.where(known, values, -np.inf).max(axis=0) - np.where(known, values, np.inf).min(axis=0)
    return np.where(np.abs(middle) > LARGE * width, middle, 0.0)


def find_constant(problem: Problem) -> int | None:
    """Return the first parameter that is added to the model as it is, so that its derivative is 1 everywhere."""
    rows = _probes(problem.n_samples)
    coords = tuple(_some(c, rows) for c in problem.coords)
    model = problem.model
    if isinstance(problem.data, Columns) and not model.broadcasts:
        # a program would be compiled for data that may not need it
        return None
    n = len(model.names)
    at = tried_of(model)
    raised = np.stack([at + (np.arange(n) == i)[:, None] for i in range(n)], axis=1)  # (n, n, 2)
    every = np.concatenate([at, raised.reshape(n, -1)], axis=1)
    values = values_of(model, coords, every, replace(problem.options, dtype="float64"))
    before, after = values[:, None, :2], values[:, 2:].reshape(len(values), n, 2)
    with np.errstate(invalid="ignore"):
        wrong = np.abs(after - before - 1) > 1e-9 * (1 + np.abs(before))
    constants = np.flatnonzero(np.isfinite(after).all(axis=(0, 2)) & ~wrong.any(axis=(0, 2)))
    return int(constants[0]) if constants.size else None


def _some(coordinate: Any, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return some values of a coordinate of the first fit, ``(k, 1)``."""
    column: Any = coordinate if coordinate.ndim == 1 else coordinate[:, :1][:, 0]
    return np.asarray(column[rows], np.float64)[:, None]
