"""All fits of a problem, chunk by chunk, as a generator: progress at each yield, cancelling between two."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import stages
from .host import guess_starts, is_traceable
from .host_fit import HostRun
from .host_model import HostModel, stand_in
from .misfit import find_misfits
from .model import Array, Model
from .objective import Kernel, Samples
from .problem import Options, Problem
from .programs import Runner, computing, find_device
from .stages import Limits, Statistics
from .status import Flag, Status
from .trust_region import FRESH, RUNNING, State, Task, Tolerances

# A yield comes at least about so often, so that cancelling and closing need not wait.
SECONDS_PER_CALL = 0.15
# Fits in one chunk, by the number of samples; the same however many fits there are, so that a fit's answer does not
# depend, not even in its last bit, on its company. Samples from ALONE on are fitted one by one.
MOST_FITS = 2048
MOST_VALUES = MOST_FITS * 32
ALONE = 1024
# An error so many times larger than if the other parameters were known tells that they cannot be told apart.
VAGUE = 1000.0
SUMS = ("chi2", "chi2_variance", "squares", "neighbours", "neighbours_squared")


@dataclass(frozen=True)
class Progress:
    """How far a run has come: fits done, fits in all, and whether a program is being compiled for the first time."""

    done: int
    total: int
    compiling: bool = False


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
    n_free: NDArray[np.int64]  # (N,)
    n_used: NDArray[np.int64]  # (N,)
    n_left_out: NDArray[np.int64]  # (N,)
    n_iterations: NDArray[np.int32]  # (N,)
    spread: NDArray[np.float64]  # (N,): Σw²(d − d̄)²
    chi2: NDArray[np.float64]  # (N,): Σ(d − μ)²/variance
    squares: NDArray[np.float64]  # (N,): Σw²(d − μ)²

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
            n_used=count(),
            n_left_out=count(),
            n_iterations=np.zeros(n_fits, np.int32),
            spread=nan(n_fits),
            chi2=nan(n_fits),
            squares=nan(n_fits),
        )

    def raise_flag(self, flag: Flag, part: slice, where: NDArray[np.bool_]) -> None:
        """Set a flag for those of the part where it holds."""
        self.flags[part] |= np.where(where, np.uint16(flag), np.uint16(0))

    def put(self, where: NDArray[np.intp], other: Fits) -> None:
        """Copy the answers of `other` to these places."""
        for name in ("params", "solution", "start", "at_bound"):
            getattr(self, name)[:, where] = getattr(other, name)
        for name in (
            "covariance",
            "status",
            "ended",
            "flags",
            "cost",
            "n_free",
            "n_used",
            "n_left_out",
            "n_iterations",
            "spread",
            "chi2",
            "squares",
        ):
            getattr(self, name)[where] = getattr(other, name)


def iter_fit(problem: Problem, should_stop: Callable[[], bool] | None = None) -> Generator[Progress, None, Fits]:
    """Fit everything; the generator returns the `Fits`.

    Parameters
    ----------
    should_stop : callable, optional
        Asked between steps. Once true, fits that have not ended get `Status.STOPPED`.

    Yields
    ------
    Progress
        Several times a second.

    Raises
    ------
    FitInputError
        If the device does not exist.
    FitEngineError
        If JAX fails, for lack of memory for instance.
    """
    fits = Fits.blank(len(problem.model.names), problem.n_fits, Status.STOPPED)
    fits.n_free[:] = np.count_nonzero(np.broadcast_to(problem.lower < problem.upper, fits.params.shape), axis=0)
    runner = Runner(kernel_of(problem), problem.options)
    for part in _chunks(problem):
        yield from _fit_chunk(problem, runner, part, fits, should_stop or (lambda: False))
        if should_stop is not None and should_stop():
            break
    return fits


def find_starts(problem: Problem) -> NDArray[np.float64]:
    """The starts ``(n_params, n_fits)`` that `iter_fit` would use, without fitting."""
    runner = Runner(kernel_of(problem), problem.options)
    starts = np.empty((len(problem.model.names), problem.n_fits))
    for part in _chunks(problem):
        with computing(problem.options):
            samples, limits = _load(problem, part)
            found = _guess_on_host(problem, samples, limits)
            starts[:, part] = np.asarray(runner(stages.guess, samples, limits, found))[:, : part.stop - part.start]
    return starts


def predict(
    model: Model, coords: tuple[NDArray[Any], ...], params: NDArray[np.float64], options: Options
) -> NDArray[np.float64]:
    """The model's values ``(m, N)`` for parameters ``(n_params, N)``; NaN where a parameter is NaN.

    ``coords`` are ``(m,)`` or ``(m, N)`` each.
    """
    m, n_fits = coords[0].shape[0], params.shape[1]
    values = np.empty((m, n_fits))
    rows = 1 << (m - 1).bit_length()  # of regions of any size, so that they share a few programs
    width = fits_per_chunk(rows)
    runner = Runner(Kernel(model, ()), options)
    for first in range(0, n_fits, width):
        part = slice(first, min(first + width, n_fits))
        columns = _power_of_two(part.stop - part.start, width)
        with computing(options):
            values[:, part] = runner(
                stages.predict,
                tuple(_fill(c if c.ndim == 2 else c[:, None], part, rows, columns, options) for c in coords),
                _fill(params, part, params.shape[0], columns, options),
            )[:m, : part.stop - part.start]
    return values


def kernel_of(problem: Problem) -> Kernel:
    """What the problem's programs are compiled for."""
    model = problem.model
    if isinstance(model, HostModel):
        model = stand_in(len(model.names))
    return Kernel(model, problem.free, problem.options.criterion, problem.whole)


def fits_per_chunk(n_samples: int) -> int:
    """Large samples are fitted one by one, small ones many at a time."""
    if n_samples >= ALONE:
        return 1
    return min(MOST_FITS, 1 << int(np.log2(MOST_VALUES // n_samples)))


def _columns(problem: Problem) -> int:
    """Fits in one chunk of a problem."""
    return 1 if problem.alone else fits_per_chunk(_padded_length(problem))


def _chunks(problem: Problem) -> Iterator[slice]:
    width = _columns(problem)
    for first in range(0, problem.n_fits, width):
        yield slice(first, min(first + width, problem.n_fits))


def _power_of_two(n: int, most: int) -> int:
    return min(most, 1 << (n - 1).bit_length())


def _padded_length(problem: Problem) -> int:
    m = problem.n_samples
    if not problem.padded:
        return m
    return problem.pad_to if m <= problem.pad_to else max(16, 1 << (m - 1).bit_length())


def _fill(
    array: NDArray[Any], part: slice, rows: int, columns: int, options: Options, pad: float = 1.0
) -> NDArray[Any]:
    """The part's columns of an array ``(m, N or 1)`` in the chosen precision, padded to ``(rows, columns or 1)``."""
    source = array if array.shape[1] == 1 else array[:, part]
    target = np.full((rows, 1 if array.shape[1] == 1 else columns), pad, options.dtype)
    with np.errstate(over="ignore"):
        target[: source.shape[0], : source.shape[1]] = source
    return target


def _load(problem: Problem, part: slice) -> tuple[Samples, Limits]:
    """One chunk as arrays of a shape that many chunks share; padding is NaN and so left out."""
    options = problem.options
    rows = _padded_length(problem)
    columns = _columns(problem)

    def fill(array: NDArray[Any], pad: float = 1.0, rows: int = rows) -> NDArray[Any]:
        return _fill(array, part, rows, columns, options, pad)

    data = np.full((rows, columns), np.nan, options.dtype)
    with np.errstate(over="ignore"):  # what does not fit into single precision becomes infinite, and is left out
        data[: problem.n_samples, : part.stop - part.start] = problem.data[:, part]
    samples = Samples(
        coords=tuple(fill(c if c.ndim == 2 else c[:, None]) for c in problem.coords),
        data=data,
        weights=None if problem.weights is None else fill(problem.weights, pad=0.0),
        length=_lengths(problem, part, columns),
        shift=None if problem.shift is None else fill(problem.shift),
        f_scale=np.asarray(options.f_scale, options.dtype) if options.criterion.is_robust else None,
        root=None if problem.root is None else _pad_root(problem.root, rows).astype(options.dtype),
    )
    n = len(problem.model.names)
    limits = Limits(
        fill(problem.start, rows=n),
        fill(problem.lower, rows=n),
        fill(problem.upper, rows=n),
        None if problem.norms is None else problem.norms.astype(options.dtype),
    )
    return samples, limits


def _pad_root(root: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Padding is correlated with nothing."""
    padded = np.eye(rows)
    padded[: len(root), : len(root)] = root
    return padded


def _lengths(problem: Problem, part: slice, columns: int) -> NDArray[np.int32]:
    lengths = np.zeros(columns, np.int32)
    lengths[: part.stop - part.start] = problem.n_samples if problem.lengths is None else problem.lengths[part]
    return lengths


def _fit_chunk(
    problem: Problem, runner: Runner, part: slice, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    options = problem.options
    with computing(options):
        samples, limits = _load(problem, part)
        tolerances = _tolerances(options)
        limit = np.int32(options.max_iterations)
        found = _guess_on_host(problem, samples, limits)
        ready = runner.is_ready(stages.begin, samples, limits, found)
    if not ready:
        yield Progress(part.start, problem.n_fits, compiling=True)
    with computing(options):
        task, state, statistics = runner(stages.begin, samples, limits, found)
    yield Progress(part.start, problem.n_fits)
    chunk = Chunk(problem, runner, part, task, state, tolerances, limit, should_stop)
    fit = _fit_on_host if isinstance(problem.model, HostModel) else _fit_on_device
    state, ends = yield from fit(chunk)
    with computing(options):
        _store(problem, part, fits, task, state, statistics, ends)
    yield Progress(part.stop, problem.n_fits)


class Chunk(NamedTuple):
    """Some fits of a problem on their way."""

    problem: Problem
    runner: Runner
    part: slice
    task: Task
    state: State
    tolerances: Tolerances
    limit: Array
    should_stop: Callable[[], bool]

    def progress(self, status: NDArray[Any]) -> Progress:
        ended = np.count_nonzero(status[: self.part.stop - self.part.start] < RUNNING)
        return Progress(self.part.start + int(ended), self.problem.n_fits)


Ends = Generator[Progress, None, tuple[State, Any]]


def _fit_on_device(chunk: Chunk) -> Ends:
    problem, runner, part, task, state, tolerances, limit, should_stop = chunk
    options = problem.options
    steps = 2
    while not should_stop():
        begun = time.perf_counter()
        with computing(options):
            ready = runner.is_ready(stages.advance, task, state, tolerances, limit, np.int32(steps))
            state = runner(stages.advance, task, state, tolerances, limit, np.int32(steps))
            status = np.asarray(state.status)
        if (status[: part.stop - part.start] < RUNNING).all():
            break
        if ready:
            seconds = (time.perf_counter() - begun) / steps
            steps = int(np.clip(SECONDS_PER_CALL / max(seconds, 1e-6), 1, options.max_iterations))
        yield chunk.progress(status)
    with computing(options):
        return state, runner(stages.answer, task, state)


def _fit_on_host(chunk: Chunk) -> Ends:
    assert isinstance(chunk.problem.model, HostModel)
    run = HostRun(chunk.problem.model, chunk.runner, chunk.problem.options, chunk.task, chunk.state)
    steps = run.steps(chunk.tolerances, chunk.limit, chunk.should_stop)
    while True:
        try:
            status = next(steps)
        except StopIteration as end:
            return end.value, run.answer()
        yield chunk.progress(status)


def _guess_on_host(problem: Problem, samples: Samples, limits: Limits) -> Array | None:
    """Guesses that are not written for JAX, ``(n_params, columns)``; None if a program is to find them."""
    if not np.isnan(limits.start).any():
        return limits.start + np.zeros_like(samples.data[:1])
    if is_traceable(problem.model):
        return None
    data_and_weights = samples.filled(problem.options.criterion.is_robust)
    with np.errstate(all="ignore"):
        return np.asarray(guess_starts(problem.model, samples.coords, *data_and_weights), problem.options.dtype)


def _tolerances(options: Options) -> Tolerances:
    # in single precision a cost cannot be told from its neighbours below this
    floor = 0.0 if options.dtype == "float64" else 8 * float(np.finfo(np.float32).eps)
    return Tolerances(*(np.asarray(max(t, floor), options.dtype) for t in (options.ftol, options.xtol, options.gtol)))


def _store(
    problem: Problem, part: slice, fits: Fits, task: Task, state: State, statistics: Statistics, ends: Any
) -> None:
    """Copy a chunk's answers to their place; parameters without an answer stay NaN."""
    count = part.stop - part.start

    def host(array: Array) -> NDArray[Any]:
        return np.asarray(array)[..., :count]

    options = problem.options
    free = np.array(problem.free)
    status = host(state.status).astype(np.int8)
    status[status >= RUNNING] = Status.STOPPED
    undetermined = host(ends.undetermined)
    # a fit that was stopped before its start was evaluated is nowhere yet
    solved = (status >= 0) | ((status == Status.STOPPED) & (host(state.status) != FRESH))
    at_lower, at_upper = host(ends.at_lower) & solved, host(ends.at_upper) & solved
    # with a component gone at a bound (no condensate) its other parameters have no values, but the rest is an answer
    nested = (at_lower | at_upper).any(axis=0)
    # data that do not vary determine a level and nothing else, whatever rounding makes of the rest
    rounding = 64 * np.finfo(options.dtype).eps
    constant = (host(statistics.spread) <= rounding**2 * host(statistics.norm)) & (not problem.alone)
    vague = (undetermined.any(axis=0) & ~nested) | (constant & (fits.n_free[part] > 1))
    fits.ended[part] = status
    status[(status > 0) & vague] = Status.SINGULAR
    answered = solved & (status != Status.SINGULAR)

    fits.start[:, part] = host(task.params)
    fits.solution[:, part] = np.where(solved, host(task.params), np.nan)
    fits.solution[free, part] = np.where(solved, host(state.x), np.nan)
    fits.params[:, part] = np.where(answered, fits.solution[:, part], np.nan)
    fits.params[free, part] = np.where(undetermined, np.nan, fits.params[free, part])
    covariance = np.where(answered, host(ends.covariance), np.nan)
    fits.covariance[part, free[:, None], free] = np.moveaxis(covariance, -1, 0)
    fits.at_bound[free, part] = at_upper.astype(np.int8) - at_lower
    fits.status[part] = status
    fits.cost[part] = np.where(solved, host(state.here.cost), np.nan)
    fits.n_used[part] = host(statistics.n_used)
    fits.n_left_out[part] = host(statistics.n_left_out)
    fits.n_iterations[part] = host(state.iterations)
    fits.spread[part] = host(statistics.spread)
    fits.chi2[part] = np.where(solved, host(ends.residuals.chi2), np.nan)
    fits.squares[part] = np.where(solved, host(ends.residuals.squares), np.nan)
    for flag, where in (
        (Flag.AT_LOWER, at_lower.any(axis=0)),
        (Flag.AT_UPPER, at_upper.any(axis=0)),
        (Flag.POORLY_DETERMINED, undetermined.any(axis=0) | vague | (host(ends.vagueness) > VAGUE).any(axis=0)),
        (Flag.MASKED_SAMPLES, host(statistics.n_left_out) > 0),
        *find_misfits(
            ends.residuals._replace(robust=None, **{name: host(getattr(ends.residuals, name)) for name in SUMS}),
            fits.n_used[part] - fits.n_free[part],
            problem.noise_is_known,
            problem.options.noise,
        ),
    ):
        fits.raise_flag(flag, part, where & solved if flag != Flag.MASKED_SAMPLES else where)


def device_name(options: Options) -> str:
    """Where fits with these options are computed, as a user calls it: ``"cpu"``, or a GPU's own name."""
    device = find_device(options.device)
    return str(device.platform if device.platform == "cpu" else device.device_kind)
