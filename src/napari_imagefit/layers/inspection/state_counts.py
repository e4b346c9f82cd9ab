"""Counts of the fits of a result by state, and every statement in words with the fits that it speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import symbol_of
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ...imaging.fitting.status_labels import WORTH_A_LOOK, remarks
from ...imaging.inspection.fit_grid import FitGrid, SpotGrid


@dataclass(frozen=True)
class StateCounts:
    """Counts of the fits that converged, of those among them that have a remark, and of those without a result."""

    converged: int
    remarks: int
    failed: int


@dataclass(frozen=True, eq=False)
class Statement:
    """Something that holds of some fits.

    Attributes
    ----------
    words, colour : str
    label : int
        In the status layer; 0 if it has none of its own.
    places : int array
        The fits, as indices into the flattened grid, in the order in which they are to be visited: by frame and place.
    """

    words: str
    colour: str
    label: int
    places: NDArray[np.intp]

    @property
    def fits(self) -> int:
        """Number of fits."""
        return int(self.places.size)


def state_of(result: FitResult) -> StateCounts:
    """Count the fits by what became of them; those outside a mask are none.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0, 4.0]))
    >>> stack[2:, 1] = np.nan
    >>> state_of(fit_voxels(stack, "exponential_decay"))
    StateCounts(converged=2, remarks=0, failed=1)
    """
    return StateCounts(*(int(np.count_nonzero(chosen)) for chosen in _states(result)))


def places_of(result: FitResult, state: str) -> NDArray[np.intp]:
    """Return the fits of a count: ``"converged"``, ``"remarks"`` or ``"failed"``, as `Statement.places`."""
    chosen = dict(zip(("converged", "remarks", "failed"), _states(result), strict=True))
    return _places(chosen[state], _order(result))


def _states(result: FitResult) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    converged = result.converged
    suspicious = converged & ((result.flags & WORTH_A_LOOK) > 0)
    return converged, suspicious, ~converged & (result.status != Status.NOT_FITTED)


def remarks_of(result: FitResult) -> list[Statement]:
    """Return what is to be remarked on fits that converged, the parameter named; a fit may have several.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0, 9.0]))
    >>> [(one.words, one.fits) for one in remarks_of(fit_voxels(stack, "exponential_decay", bounds={"tau": (0, 2.5)}))]
    [('τ at its upper bound', 2)]
    """
    return told(result, remarks(result, symbol_of))


def told(result: FitResult, said: Iterable[tuple[str, str, int, NDArray[np.bool_]]]) -> list[Statement]:
    """Return what holds of any fit at all."""
    order = _order(result)
    return [
        Statement(words, colour, label, _places(chosen, order)) for words, colour, label, chosen in said if chosen.any()
    ]


def _order(result: FitResult) -> NDArray[np.intp] | None:
    """Return the order in which spots are visited; places of other grids are in order already."""
    grid = FitGrid.of(result) if hasattr(result.source, "windows") else None
    if not isinstance(grid, SpotGrid):
        return None
    # by frame, then from top to bottom by whole pixels, as one reads; NaN comes last
    return np.lexsort(np.rint(grid.positions).T[::-1])


def _places(chosen: NDArray[np.bool_], order: NDArray[np.intp] | None) -> NDArray[np.intp]:
    return np.flatnonzero(chosen) if order is None else order[chosen[order]]
