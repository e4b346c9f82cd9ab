"""Fits that have parameters in common, solved as one problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from . import stages, trust_region
from .arrow import Arrow, Solver, join
from .batch import Progress, kernel_of
from .covariance import VANISHED, Answer, nearness, robust_factor
from .diagnose import RobustSums, residuals
from .errors import FitInputError
from .fits import Fits, store
from .gram import Dense
from .loading import load, tolerances_of
from .model import Array
from .objective import Expansion, Kernel, Samples, expand
from .problem import Problem
from .profiled import iter_profile
from .programs import Runner, computing
from .stages import Limits, Statistics
from .status import Status
from .subproblem import divide
from .trust_region import RUNNING, State, Task, Tolerances

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


class _Layout(NamedTuple):
    """Where the own and the shared ones are among the free parameters."""

    own: tuple[int, ...]
    shared: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Kernel) -> _Layout:
        positions = range(len(kernel.free))
        return cls(
            tuple(i for i in positions if kernel.free[i] not in kernel.shared),
            tuple(i for i in positions if kernel.free[i] in kernel.shared),
        )

    def spread(self, x: Array, fits: int) -> Array:
        """Free parameters ``(n_free, N)`` of unknowns ``(K, 1)``."""
        n = len(self.own)
        rows = jnp.zeros((n + len(self.shared), fits), x.dtype)
        rows = rows.at[jnp.asarray(self.shared)].set(jnp.broadcast_to(x[n * fits :], (len(self.shared), fits)))
        return rows.at[jnp.asarray(self.own, int)].set(x[: n * fits, 0].reshape(n, fits)) if n else rows

    def gather(self, rows: Array, first: Array) -> Array:
        """Unknowns ``(K, 1)`` of rows ``(n_free, N)``; the shared ones from the fit `first`."""
        own = rows[jnp.asarray(self.own, int)] if self.own else rows[:0]
        return join(own, rows[jnp.asarray(self.shared)][:, first])

    def arrow(self, there: Expansion) -> Expansion:
        """All fits' expansions as one."""
        own, shared = jnp.asarray(self.own, int), jnp.asarray(self.shared)
        assert isinstance(there.gram, Dense)
        matrix = there.gram.matrix
        return Expansion(
            jnp.sum(there.cost)[None],
            join(there.gradient[own], jnp.sum(there.gradient[shared], axis=1)),
            Arrow(
                matrix[own[:, None], own],
                matrix[own[:, None], shared],
                jnp.sum(matrix[shared[:, None], shared], axis=2),
            ),
        )


def _landscape(kernel: Kernel) -> trust_region.Landscape:
    layout = _Layout.of(kernel)

    def landscape(task: Task, x: Array) -> Expansion:
        rows = layout.spread(x, task.params.shape[1])
        params = task.params.at[jnp.asarray(kernel.free)].set(rows)
        assert task.samples is not None
        there = expand(kernel, task.samples, params)
        return trust_region.hold(task, layout.arrow(there))

    return landscape


def begin(
    kernel: Kernel, samples: Samples, limits: Limits, found: Array | None
) -> tuple[Task, State, Statistics, Array, Array]:
    """Stage: the joint task; fits that cannot take part are left out, with the reason, and where each one starts."""
    layout = _Layout.of(kernel)
    task, _, statistics = stages.begin(kernel._replace(shared=()), samples, limits, found)
    params = task.params
    own = jnp.asarray([kernel.free[i] for i in layout.own], int)
    enough = statistics.n_used >= jnp.maximum(
        jnp.sum(task.lower[jnp.asarray(layout.own, int)] < task.upper[jnp.asarray(layout.own, int)], axis=0), 1
    )
    # the middle of what the fits would start from, each by itself
    rows = params[jnp.asarray(kernel.free)]
    shared = jnp.asarray(layout.shared)
    usual = jnp.nanmedian(jnp.where(enough & jnp.isfinite(rows[shared]), rows[shared], jnp.nan), axis=1)
    rows = rows.at[shared].set(usual[:, None])
    params = params.at[jnp.asarray(kernel.free)].set(rows)
    finite = trust_region.is_finite(expand(kernel, samples, params))
    reason = jnp.where(~enough, Status.TOO_FEW_SAMPLES, jnp.where(~finite, Status.NON_FINITE_MODEL, RUNNING))
    takes_part = reason == RUNNING
    samples = samples._replace(data=jnp.where(takes_part, samples.data, jnp.nan))
    first = jnp.argmax(takes_part)
    lower, upper = layout.gather(task.lower, first), layout.gather(task.upper, first)
    x = layout.gather(rows, first)
    # what a fit that is left out would have as its own does not move
    out = join(jnp.broadcast_to(~takes_part, (len(own), takes_part.size)), jnp.zeros(len(layout.shared), bool))
    still = jnp.where(jnp.isfinite(x), x, 0)
    lower, upper = jnp.where(out, still, lower), jnp.where(out, still, upper)
    rounding = jnp.sum(jnp.where(takes_part, task.rounding, 0))[None]
    size = jnp.sqrt(jnp.sum(jnp.where(takes_part, task.size**2, 0)))[None]
    size = jnp.where(size > 0, size, 1)
    joint = Task(samples, jnp.where(jnp.isfinite(params), params, 0), lower, upper, rounding, size)
    blank = _landscape(kernel)(joint, jnp.where(jnp.isfinite(x), x, 0))
    any_left = jnp.any(takes_part)[None]
    state = trust_region.begin(joint, jnp.where(out, still, x), blank, any_left)
    return joint, state, statistics, reason, params


def advance(kernel: Kernel, task: Task, state: State, tolerances: Tolerances, limit: Array, steps: Array) -> State:
    """Stage: more steps."""
    return trust_region.advance(_landscape(kernel), task, tolerances, limit, state, steps)


class Ends(NamedTuple):
    """What is known at the end, fit by fit."""

    x: Array  # (n_free, N)
    cost: Array  # (N,)
    answer: Answer


def where_they_are(kernel: Kernel, task: Task, state: State) -> Array:
    """Stage: the free parameters of all fits ``(n_free, N)``."""
    return _Layout.of(kernel).spread(state.x, task.params.shape[1])


def expansions(kernel: Kernel, samples: Samples, params: Array) -> tuple[Array, Array]:
    """Stage: each fit's gradient ``(n_free, N)`` and matrix ``(n_free, n_free, N)`` at parameters ``(n_params, N)``."""
    there = expand(kernel, samples, params)
    assert isinstance(there.gram, Dense)
    return there.gradient, there.gram.matrix


def answer(kernel: Kernel, task: Task, state: State, rows: Array, kept: Array, sides: Array | None) -> Ends:
    """Stage: covariances of each fit's free parameters, the shared ones included; see `covariance.answer`.

    `rows` are the free parameters ``(n_free, N)``, and `kept` the fits ``(N,)`` that have a say; of the others nothing
    is told. `sides` says where own parameters are at a bound ``(n_own, N)``, if that has been asked of each fit: the
    gradient of a dim one is little beside the residuals of all.
    """
    layout = _Layout.of(kernel)
    x = layout.gather(rows, jnp.argmax(kept))
    out = join(jnp.broadcast_to(~kept, (len(layout.own), kept.size)), jnp.zeros(len(layout.shared), bool))
    lower, upper = jnp.where(out, x, task.lower), jnp.where(out, x, task.upper)
    assert task.samples is not None
    samples = task.samples._replace(data=jnp.where(kept, task.samples.data, jnp.nan))
    task, state = task._replace(lower=lower, upper=upper), state._replace(x=x)
    fits = task.params.shape[1]
    params = task.params.at[jnp.asarray(kernel.free)].set(rows)
    there = expand(kernel, samples, params)
    sums = residuals(kernel, samples, params)
    joint = trust_region.hold(task, layout.arrow(there))
    columns, length = jnp.sqrt(joint.gram.diagonal()), jnp.sqrt(2 * joint.cost)
    held = task.lower == task.upper
    used = jnp.maximum(jnp.sum(samples.usable()), 1)
    pull = divide(joint.gradient, columns * length)
    near = nearness(kernel.criterion, length, used)
    gone = columns <= VANISHED * state.column_norms
    reach = jnp.where(gone, state.column_norms, columns)
    at_lower = ~held & (pull > 1e-6) & (reach * (state.x - task.lower) < near)
    at_upper = ~held & (pull < -1e-6) & (reach * (task.upper - state.x) < near)
    if sides is not None:
        count = sides.size
        at_lower = at_lower.at[:count, 0].set(sides.reshape(-1) < 0)
        at_upper = at_upper.at[:count, 0].set(sides.reshape(-1) > 0)
    out = held | at_lower | at_upper | gone

    gram, factor = joint.gram, 1.0
    if (robust := sums.robust) is not None:
        gram = layout.arrow(Expansion(there.cost, there.gradient, robust.gram)).gram
        columns = jnp.sqrt(gram.diagonal())
        psi, slope, squared = (jnp.sum(part) for part in (robust.psi, robust.slope, robust.slope_squared))
        factor = robust_factor(RobustSums(psi, slope, squared, robust.gram), used, jnp.sum(~out))
    scale = jnp.where(out, 1, divide(jnp.ones_like(columns), columns))
    scaled = gram.without(out).scaled(scale, jnp.where(out, 1.0, 0.0))
    assert isinstance(scaled, Arrow)
    covariance, vague = _inverse(scaled)
    covariance = _permuted(covariance, layout)
    scales = layout.spread(scale, fits)
    vagueness = jnp.sqrt(jnp.abs(jnp.diagonal(covariance).T))
    covariance = factor * covariance * scales[:, None] * scales[None]
    undetermined = ~held & ~at_lower & ~at_upper & (gone | vague)
    blank = layout.spread(undetermined | out, fits)
    covariance = jnp.where(blank[:, None] | blank[None], jnp.nan, covariance)
    lower, upper, unknown = (layout.spread(a, fits) for a in (at_lower, at_upper, undetermined))
    return Ends(rows, there.cost, Answer(covariance, unknown, lower, upper, vagueness, sums._replace(robust=None)))


def _inverse(arrow: Arrow) -> tuple[Array, Array]:
    """Each fit's block of the inverse ``(n + k, n + k, N)``, own parameters first, and what is undetermined."""
    solver = Solver.of(arrow)
    zero = jnp.zeros((), arrow.local.dtype)
    values, vectors = solver.complement(zero)
    floor = 10 * solver.floor
    null, common_null = solver.values <= floor, values <= floor
    inverse = jnp.where(null, 0, 1 / solver.values)
    shared = (vectors * jnp.where(common_null, 0, 1 / values)) @ vectors.T
    blocks = jnp.einsum("iaN,aN,jaN->ijN", solver.vectors, inverse, solver.vectors)
    reach = jnp.einsum("iaN,aN,akN->ikN", solver.vectors, inverse, solver.border)
    crossed = jnp.einsum("ikN,kl->ilN", reach, shared)
    own = blocks + jnp.einsum("ilN,jlN->ijN", crossed, reach)
    fits = own.shape[2]
    whole = jnp.concatenate(
        [
            jnp.concatenate([own, -crossed], axis=1),
            jnp.concatenate(
                [-jnp.swapaxes(crossed, 0, 1), jnp.broadcast_to(shared[:, :, None], (*shared.shape, fits))], axis=1
            ),
        ]
    )
    vague = jnp.sqrt(jnp.sum((solver.vectors * null[None]) ** 2, axis=1)) > 1e-4
    vague_shared = jnp.sqrt(jnp.sum((vectors * common_null) ** 2, axis=1)) > 1e-4
    # own parameters that can only be told where a shared one can
    lost = jnp.einsum("ikN,kl->ilN", reach, vectors * common_null)
    return whole, join(vague | jnp.any(jnp.abs(lost) > 1e-4, axis=1), vague_shared)


def _permuted(covariance: Array, layout: _Layout) -> Array:
    """From own parameters first to the order of the free ones."""
    order = np.argsort(np.array(layout.own + layout.shared))
    return covariance[order[:, None], order]


# A yield comes at least about so often, so that cancelling and closing need not wait.
SECONDS_PER_CALL = 0.15


def _for_good(should_stop: Callable[[], bool] | None) -> Callable[[], bool]:
    """What was said once holds."""
    said = False

    def stop() -> bool:
        nonlocal said
        said = said or (should_stop is not None and should_stop())
        return said

    return stop


def iter_fit_shared(
    problem: Problem, shared: Sequence[str], should_stop: Callable[[], bool] | None = None
) -> Generator[Progress, None, Fits]:
    """Fit everything as one problem; yields and returns as `batch.iter_fit` does.

    Raises
    ------
    FitInputError
        If a shared parameter is unknown, fixed, or has bounds or starts that differ from fit to fit.
    """
    names = problem.model.names
    for name in shared:
        i = problem.model.index(name)
        if i not in problem.free or (problem.lower[i] == problem.upper[i]).all():
            raise FitInputError(f"{name!r} is fixed and also shared; leave it out of one of them")
        for what, rows in (("bounds", problem.lower), ("bounds", problem.upper), ("starts", problem.start)):
            values = rows[i]
            if not (np.isnan(values).all() or (values == values[0]).all()):
                raise FitInputError(f"{name!r} is shared, but its {what} differ from fit to fit; give one for all")
    options = problem.options
    kernel = kernel_of(problem)._replace(shared=tuple(sorted({problem.model.index(name) for name in shared})))
    fits = Fits.blank(len(names), problem.n_fits, Status.STOPPED)
    fits.n_free[:] = np.count_nonzero(np.broadcast_to(problem.lower < problem.upper, fits.params.shape), axis=0)
    fits.n_free[:] -= len(kernel.shared)
    runner = Runner(kernel, options)
    every = slice(0, problem.n_fits)
    columns = max(16, 1 << (problem.n_fits - 1).bit_length())
    stop = _for_good(should_stop)
    yield Progress(0, problem.n_fits, compiling=True)
    with computing(options):
        samples, limits, found = load(problem, every, columns)
        task, state, statistics, reason, start = runner(begin, samples, limits, found)
        tolerances, limit, steps = tolerances_of(options), np.int32(options.max_iterations), 2
    while not stop():
        begun = time.perf_counter()
        with computing(options):
            ready = runner.is_ready(advance, task, state, tolerances, limit, np.int32(steps))
            state = runner(advance, task, state, tolerances, limit, np.int32(steps))
            running = bool(np.asarray(state.status)[0] >= RUNNING)
        if not running:
            break
        if ready:
            seconds = (time.perf_counter() - begun) / steps
            steps = int(np.clip(SECONDS_PER_CALL / max(seconds, 1e-6), 1, options.max_iterations))
        yield Progress(0, problem.n_fits)
    with computing(options):
        rows = np.asarray(runner(where_they_are, task, state))
        takes_part = np.asarray(reason) == RUNNING
        status = np.where(takes_part, np.asarray(state.status), np.asarray(reason))
        iterations = np.where(takes_part, np.asarray(state.iterations)[0], 0)
    profiled = None
    if _Layout.of(kernel).own and takes_part.any() and not stop():
        params = np.array(start, np.float64)
        params[np.array(kernel.free)] = np.where(takes_part, rows, np.nan)
        params[np.array(kernel.shared)] = rows[np.array(_Layout.of(kernel).shared), np.argmax(takes_part)][:, None]

        def expansions_at(params: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            padded = np.pad(params, ((0, 0), (0, columns - problem.n_fits)), mode="edge").astype(options.dtype)
            with computing(options):
                found = runner(expansions, samples, padded)
            gradient, matrix = (np.asarray(values, np.float64)[..., : problem.n_fits] for values in found)
            return gradient, matrix

        profiled = yield from iter_profile(problem, kernel.shared, params[:, : problem.n_fits], expansions_at, stop)
    kept = takes_part
    sides, ended = None, state
    if profiled is not None and profiled.says.any():
        kept = np.zeros(columns, bool)
        kept[: problem.n_fits] = profiled.says
        own_rows = [kernel.free[i] for i in _Layout.of(kernel).own]
        sides = np.zeros((len(own_rows), columns), np.int8)
        sides[:, : problem.n_fits] = np.where(profiled.says, profiled.fits.at_bound[own_rows], 0)
        iterations = iterations + profiled.rounds - 1
        # the largest columns that a joint fit has met may be those of a place far away
        ended = state._replace(column_norms=np.zeros_like(state.column_norms))
        # what the joint fit says of its end counts for those that have come to their own
        own = np.where(status[: problem.n_fits] > 0, status[: problem.n_fits], profiled.fits.status)
        status[: problem.n_fits] = own if profiled.settled else Status.ITERATION_LIMIT
        rows = rows.copy()
        rows[:, : problem.n_fits] = profiled.fits.solution[np.array(kernel.free)]
    elif stop():
        status = np.where(takes_part, Status.STOPPED, status)
    with computing(options):
        ends: Ends = runner(answer, task._replace(samples=samples), ended, rows.astype(options.dtype), kept, sides)
        # what all have come to, as if each had come to it by itself
        single = state._replace(
            x=ends.x,
            here=Expansion(ends.cost, ends.x, Dense(ends.answer.covariance)),
            status=status,
            iterations=iterations,
            # each has been asked at its own end, of which that of the joint fit may have known nothing
            optimality=state.optimality if profiled is None else np.zeros_like(state.optimality),
        )
        store(problem, every, fits, task._replace(params=start), single, statistics, ends.answer)
    if profiled is not None and not profiled.says.all():
        fits.put(np.flatnonzero(~profiled.says), profiled.fits.at(~profiled.says))
    fits.n_shared[:] = np.where(kept[: problem.n_fits], len(kernel.shared), 0)
    yield Progress(problem.n_fits, problem.n_fits)
    return fits
