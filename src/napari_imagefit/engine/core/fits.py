"""The answers to a problem on the host, and how they get there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drive.loading import Places, tolerances_of
from ..drive.problem import Problem
from ..drive.stages import Statistics
from ..models.model import Array
from ..solver.covariance import Answer
from ..solver.residual_flags import find_misfits
from ..solver.trust_region import FRESH, RUNNING, State, Task
from .status import Flag, Status

# An error so many times larger than if the other parameters were known tells that they cannot be told apart.
VAGUE = 1000.0
# The cosine between residuals and a column of J from which on a fit of counts whose steps have become short is stuck.
STUCK = 1e-4
# Half a deviance of counts that cannot matter.
NOTHING = 1e-3
# The same cosine for least squares, and which part of the data's squares has to be left for it to mean something.
LOST, RESIDUAL = 0.1, 1e-8
# What has one row for each parameter; all else has its fits along the first axis.
BY_PARAMETER = ("params", "solution", "start", "at_bound")
SUMS = ("chi2", "chi2_variance", "squares", "neighbours", "neighbours_squared")


@dataclass(frozen=True, eq=False)
class Fits:
    """The answers to a problem, one column or entry per fit; NaN where there is none."""

    params: NDArray[np.float64]  # (n_params, N)
    solution: NDArray[np.float64]  # (n_params, N): where the fit ended, with what it did not determine
    covariance: NDArray[np.float64]  # (N, n_params, n_params), not yet scaled by the reduced χ²
    start: NDArray[np.float64]  # (n_params, N)
    status: NDArray[np.int8]  # (N,)
    ended: NDArray[np.int8]  # (N,): the status before it was asked what the data determine
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

    @classmethod
    def blank(cls, n_params: int, n_fits: int, status: Status) -> Fits:
        """No answers, all for the same reason."""

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
        )

    def raise_flag(self, flag: Flag, part: Places, where: NDArray[np.bool_]) -> None:
        """Set a flag for those of the part where it holds."""
        self.flags[part] = np.where(where, self.flags[part] | np.uint16(flag), self.flags[part])

    def put(self, where: Places, other: Fits) -> None:
        """Copy the answers of `other` to these places."""
        for entry in fields(self):
            values = getattr(self, entry.name)
            if entry.name in BY_PARAMETER:
                values[:, where] = getattr(other, entry.name)
            else:
                values[where] = getattr(other, entry.name)

    def at(self, where: NDArray[np.bool_]) -> Fits:
        """Some of the answers."""
        parts = {e.name: getattr(self, e.name) for e in fields(self)}
        return Fits(**{n: v[:, where] if n in BY_PARAMETER else v[where] for n, v in parts.items()})


def store(
    problem: Problem, part: Places, fits: Fits, task: Task, state: State, statistics: Statistics, ends: Answer
) -> None:
    """Copy a chunk's answers to their place; parameters without an answer stay NaN."""
    n_free = fits.n_free[part]
    count = n_free.size

    def host(array: Array) -> NDArray[Any]:
        return np.asarray(array)[..., :count]

    options = problem.options
    free = np.array(problem.free)
    status = host(state.status).astype(np.int8)
    status[status >= RUNNING] = Status.STOPPED
    if options.noise == "poisson":
        # at the edge of what can be, steps shrink to nothing while the cost still falls along it
        loose = 10 * max(STUCK, float(tolerances_of(options).cost) ** 0.5)
        # single precision cannot bring the gradient further down
        tight = STUCK if options.dtype == "float64" else loose
        enough = np.where(status == Status.STEP, tight, loose)
        stuck = (host(state.optimality) > enough) & (host(state.here.cost) > NOTHING)
        status[(status > 0) & stuck] = Status.NON_FINITE_MODEL
    undetermined = host(ends.undetermined)
    # a fit that was stopped before its start was evaluated is nowhere yet
    solved = (status >= 0) | ((status == Status.STOPPED) & (host(state.status) != FRESH))
    at_lower, at_upper = host(ends.at_lower) & solved, host(ends.at_upper) & solved
    # with a component gone at a bound (no condensate) its other parameters have no values, but the rest is an answer
    nested = (at_lower | at_upper).any(axis=0)
    # data that do not vary determine a level and nothing else, whatever rounding makes of the rest
    rounding = 64 * np.finfo(options.dtype).eps
    constant = (host(statistics.spread) <= rounding**2 * host(statistics.norm)) & (not problem.alone)
    vague = (undetermined.any(axis=0) & ~nested) | (constant & (n_free > 1))
    # steps that shrink to nothing while the cost still falls: along parameters on which the model hardly depends
    rest = 2 * host(state.here.cost) > RESIDUAL * host(statistics.norm)
    lost = (status == Status.STEP) & (host(state.optimality) > LOST) & rest
    vague |= lost & (not problem.alone)
    ended = status.copy()
    status[(status > 0) & vague] = Status.SINGULAR
    answered = solved & (status != Status.SINGULAR)

    start = host(task.params).astype(np.float64)
    solution = np.where(solved, start, np.nan)
    solution[free] = np.where(solved, host(state.x), np.nan)
    params = np.where(answered, solution, np.nan)
    params[free] = np.where(undetermined, np.nan, params[free])
    covariance = np.full((count, len(start), len(start)), np.nan)
    covariance[:, free[:, None], free] = np.moveaxis(np.where(answered, host(ends.covariance), np.nan), -1, 0)
    at_bound = np.zeros(start.shape, np.int8)
    at_bound[free] = at_upper.astype(np.int8) - at_lower
    n_used = host(statistics.n_used).astype(np.int64)
    n_left_out = host(statistics.n_left_out).astype(np.int64)
    flags = np.where(n_left_out > 0, np.uint16(Flag.MASKED_SAMPLES), np.uint16(0))
    for flag, where in (
        (Flag.AT_LOWER, at_lower.any(axis=0)),
        (Flag.AT_UPPER, at_upper.any(axis=0)),
        (Flag.POORLY_DETERMINED, undetermined.any(axis=0) | vague | lost | (host(ends.vagueness) > VAGUE).any(axis=0)),
        *find_misfits(
            ends.residuals._replace(robust=None, **{name: host(getattr(ends.residuals, name)) for name in SUMS}),
            n_used - n_free,
            problem.noise_is_known,
            problem.options.noise,
        ),
    ):
        flags[where & solved] |= np.uint16(flag)
    own = Fits(
        params=params,
        solution=solution,
        covariance=covariance,
        start=start,
        status=status,
        ended=ended,
        flags=flags,
        at_bound=at_bound,
        cost=np.where(solved, host(state.here.cost), np.nan),
        n_free=n_free,
        n_shared=fits.n_shared[part],
        n_used=n_used,
        n_left_out=n_left_out,
        n_iterations=host(state.iterations).astype(np.int32),
        spread=host(statistics.spread).astype(np.float64),
        chi2=np.where(solved, host(ends.residuals.chi2), np.nan),
        squares=np.where(solved, host(ends.residuals.squares), np.nan),
        attempt=fits.attempt[part],
    )
    fits.put(part, own)
