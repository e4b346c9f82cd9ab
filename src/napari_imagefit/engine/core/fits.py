"""The results of a batch of fits, on the host."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .status import Flag, Status
from .types import Positions

# Costs that differ by less, relative to themselves or to what there was to explain, are the same.
SAME_COST = 1e-6
SAME_COST_OF_SPREAD = 1e-12
# What has one row for each parameter; all else has its fits along the first axis.
BY_PARAMETER = ("params", "solution", "start", "at_bound")


@dataclass(frozen=True, eq=False)
class Fits:
    """Results of a batch as arrays in memory, one column or entry per fit; NaN where there is none.

    It is the one form in which the engine hands results over, from few fits, wide batches, tiles of large images and
    joint fits alike. Arrays are written to in place, since batches are put together from blocks (`put`), refitted in
    part and taken back (`withdraw`). A `FitResult` lays them out on the grid of the caller. An entry depends on its own
    samples only, never on the other fits of the batch.
    """

    params: NDArray[np.float64]  # (n_params, N)
    solution: NDArray[np.float64]  # (n_params, N): where the fit ended, with what it did not determine
    covariance: NDArray[np.float64]  # (N, n_params, n_params), not yet scaled by the reduced χ²
    start: NDArray[np.float64]  # (n_params, N)
    status: NDArray[np.int8]  # (N,)
    ended: NDArray[np.int8]  # (N,): the status before the covariance was looked at
    flags: NDArray[np.uint16]  # (N,)
    at_bound: NDArray[np.int8]  # (n_params, N): −1 at the lower, 1 at the upper
    cost: NDArray[np.float64]  # (N,)
    n_free: NDArray[np.int64]  # (N,): of its own
    n_shared: NDArray[np.int64]  # (N,): in common with the other fits
    n_used: NDArray[np.int64]  # (N,)
    n_left_out: NDArray[np.int64]  # (N,)
    n_iterations: NDArray[np.int32]  # (N,)
    spread: NDArray[np.float64]  # (N,): Σw²(d − d̄)²
    chi2: NDArray[np.float64]  # (N,): Σ(d − μ)²/variance
    squares: NDArray[np.float64]  # (N,): Σw²(d − μ)²
    attempt: NDArray[np.int8]  # (N,): which try it comes from, 0 for the first
    refused: NDArray[np.uint16]  # (N,): which setting cannot be used, 0 for none; see `refusal.setting`

    @classmethod
    def blank(cls, n_params: int, n_fits: int, status: Status) -> Fits:
        """Return a batch without results, all for the same reason."""

        def nan(*shape: int) -> NDArray[np.float64]:
            return np.full(shape, np.nan)

        def count() -> NDArray[np.int64]:
            return np.zeros(n_fits, np.int64)

        return cls(
            params=nan(n_params, n_fits),
            solution=nan(n_params, n_fits),
            covariance=nan(n_fits, n_params, n_params),
            start=nan(n_params, n_fits),
            status=np.full(n_fits, status, np.int8),
            ended=np.full(n_fits, status, np.int8),
            flags=np.zeros(n_fits, np.uint16),
            at_bound=np.zeros((n_params, n_fits), np.int8),
            cost=nan(n_fits),
            n_free=count(),
            n_shared=count(),
            n_used=count(),
            n_left_out=count(),
            n_iterations=np.zeros(n_fits, np.int32),
            spread=nan(n_fits),
            chi2=nan(n_fits),
            squares=nan(n_fits),
            attempt=np.zeros(n_fits, np.int8),
            refused=np.zeros(n_fits, np.uint16),
        )

    def raise_flag(self, flag: Flag, part: Positions, where: NDArray[np.bool_]) -> None:
        """Set a flag for those fits of the part where it holds."""
        self.flags[part] = np.where(where, self.flags[part] | np.uint16(flag), self.flags[part])

    def withdraw(self, where: NDArray[np.bool_], status: Status) -> None:
        """Discard the results of these fits, with this as the reason."""
        for array in (self.params, self.solution):
            array[:, where] = np.nan
        for array in (self.covariance, self.cost, self.chi2, self.squares):
            array[where] = np.nan
        self.at_bound[:, where] = 0
        self.flags[where] &= np.uint16(Flag.MASKED_SAMPLES)
        self.n_shared[where] = 0
        self.status[where] = status

    def put(self, where: Positions, other: Fits) -> None:
        """Copy the results of `other` to these positions."""
        for entry in fields(self):
            values = getattr(self, entry.name)
            if entry.name in BY_PARAMETER:
                values[:, where] = getattr(other, entry.name)
            else:
                values[where] = getattr(other, entry.name)

    def at(self, where: NDArray[np.bool_]) -> Fits:
        """Return some of the results."""
        parts = {e.name: getattr(self, e.name) for e in fields(self)}
        return Fits(**{n: v[:, where] if n in BY_PARAMETER else v[where] for n, v in parts.items()})


class Ends(Protocol):
    """The ends of fits that two results are compared by."""

    @property
    def status(self) -> NDArray[np.int8]:
        """`Status` codes."""

    @property
    def cost(self) -> NDArray[np.float64]:
        """Minimised cost."""

    @property
    def spread(self) -> NDArray[np.float64]:
        """Σw²(data − their mean)²."""


def is_better(new: Ends, cost: NDArray[np.float64], converged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where new results are better than those that had these costs, NaN for none, and may have converged.

    A converged result is replaced only by a converged one with a lower cost. Any other is replaced by one whose cost is
    no larger, or if it has no cost.
    """
    margin = SAME_COST_OF_SPREAD * np.nan_to_num(new.spread)
    smaller = new.cost < cost * (1 - SAME_COST) - margin
    no_larger = new.cost <= cost * (1 + SAME_COST) + margin
    arrived = new.status > 0
    better = np.where(converged, arrived & smaller, np.where(arrived, no_larger, smaller) | np.isnan(cost))
    return np.asarray(np.isfinite(new.cost) & (new.status != Status.STOPPED) & better, dtype=bool)
