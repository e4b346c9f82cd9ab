"""Two results of the same data: which model the data prefer, and how the parameters differ, fit by fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.results.fit_result import FitResult
from .chunks import is_dask

UNDECIDED, FIRST, SECOND = 0, 1, 2
# Σw²(d − d̄)² of one model's samples and the other's may differ by rounding in single precision.
SAME = 1e-4


@dataclass(frozen=True, eq=False)
class Comparison:
    """The second model against the first; see `compare`.

    Attributes
    ----------
    delta_aicc, delta_bic : arrays, ``(*grid,)``
        The criterion of the second minus that of the first: above 0 where the first is the better one. NaN where
        either has no result.
    winner : int8 array, ``(*grid,)``
        0 undecided or no result, 1 the first, 2 the second.
    names : (str, str)
        Of the models.
    """

    delta_aicc: NDArray[np.float64]
    delta_bic: NDArray[np.float64]
    winner: NDArray[np.int8]
    names: tuple[str, str]

    def counts(self) -> tuple[int, int, int]:
        """Count the fits that are undecided or without a result, the first's, and the second's."""
        undecided, first, second = np.bincount(self.winner.ravel(), minlength=3)[:3]
        return int(undecided), int(first), int(second)


def compare(first: FitResult, second: FitResult, *, undecided: float = 2.0) -> Comparison:
    """Compare two results on the same samples by Akaike's (corrected) and Schwarz's criterion.

    Parameters
    ----------
    first, second : FitResult
        Of one stack, image or list of points, with the same noise and the same samples.
    undecided : float
        Differences of AICc up to this decide nothing. A difference of 2 is e⁻¹ in relative likelihood.

    Returns
    -------
    Comparison
        A fit that has not converged loses to one that has.

    Raises
    ------
    FitInputError
        If the results cannot be compared: other grids, other samples, other noise, or a robust loss, which is no
        likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.linspace(0, 5, 32)
    >>> noise = np.random.default_rng(0).normal(0, 0.05, (32, 1))
    >>> stack = 3 * np.exp(-t[:, None] / 1.5) + noise
    >>> compare(fit_voxels(stack, "linear", x=t), fit_voxels(stack, "exponential_decay", x=t)).winner
    array([2], dtype=int8)
    """
    _check(first, second, undecided)
    with np.errstate(invalid="ignore"):
        delta_aicc, delta_bic = second.aicc - first.aicc, second.bic - first.bic
    one, other = first.converged, second.converged
    both = one & other
    winner = np.full(first.shape, UNDECIDED, np.int8)
    winner[both & (delta_aicc > undecided)] = FIRST
    winner[both & (delta_aicc < -undecided)] = SECOND
    winner[one & ~other] = FIRST
    winner[other & ~one] = SECOND
    return Comparison(
        np.where(both, delta_aicc, np.nan),
        np.where(both, delta_bic, np.nan),
        winner,
        (first.model.name, second.model.name),
    )


def _check(first: FitResult, second: FitResult, undecided: float) -> None:
    if not undecided >= 0:
        raise FitInputError(f"undecided={undecided} is no difference of AICc; give a number from 0 on, such as 2")
    if is_dask(first.status) or is_dask(second.status):
        raise FitInputError("a result is not computed yet; call its compute() first")
    if first.shape != second.shape:
        raise FitInputError(
            f"the results have grids of shape {first.shape} and {second.shape}; compare fits of the same data"
        )
    for result in (first, second):
        if result.criterion.is_robust:
            raise FitInputError(
                f"{result.model.name!r} was fitted with loss={result.criterion.loss!r}, which is no likelihood; "
                "fit both models with the linear loss"
            )
    if first.criterion != second.criterion or first.known_sigma != second.known_sigma:
        raise FitInputError("the results were fitted with different noise; fit both models with the same")
    both = first.converged & second.converged
    differ = both & (first.n_used != second.n_used)
    if differ.any():
        place = tuple(int(i) for i in np.argwhere(differ)[0])
        raise FitInputError(
            f"the fits at {place} used {first.n_used[place]} and {second.n_used[place]} samples; "
            "fit both models to the same samples"
        )
    one, other = first.spread[both], second.spread[both]
    if (np.abs(one - other) > SAME * np.maximum(np.abs(one), np.abs(other))).any():
        raise FitInputError("the results are of different data or errors; fit both models to the same samples")


@dataclass(frozen=True, eq=False)
class Difference:
    """The second result minus the first, fit by fit; see `differ`.

    Attributes
    ----------
    params : dict of str to array, ``(*grid,)``
        Of the parameters that both have; NaN where either has no result.
    delta_aicc : array, ``(*grid,)``, or None
        See `Comparison`; None where the two were fitted to other samples or with other noise.
    why_not : str
        Why there is no `delta_aicc`; empty where there is.
    """

    params: Mapping[str, NDArray[np.float64]]
    delta_aicc: NDArray[np.float64] | None
    why_not: str


def differ(first: FitResult, second: FitResult) -> Difference:
    """Return how two results of one stack, image or list of points differ.

    Raises
    ------
    FitInputError
        If they have different grids, or nothing in common.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> stack = 3 * np.exp(-t / 2)[:, None]
    >>> found = differ(fit_voxels(stack, "linear", x=t), fit_voxels(stack + t[:, None], "linear", x=t))
    >>> float(np.round(found.params["slope"][0], 6)), found.why_not[:29]
    (1.0, 'the results are of different ')
    """
    if first.shape != second.shape:
        raise FitInputError(
            f"the results have grids of shape {first.shape} and {second.shape}; compare fits of the same data"
        )
    if not (first.converged & second.converged).any():
        raise FitInputError("no fit converged in both; compare others")
    common = [name for name in first.model.names if name in second.model.names]
    params = {name: second.params[name] - first.params[name] for name in common}
    try:
        return Difference(params, compare(first, second).delta_aicc, "")
    except FitInputError as error:
        if not common:
            raise
        return Difference(params, None, str(error))
