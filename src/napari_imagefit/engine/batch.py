"""All fits of a problem, chunk by chunk, as a generator: progress at each yield, cancelling between two."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import stages
from .fits import Fits, store
from .host_fit import HostRun
from .host_model import HostModel, stand_in
from .loading import fill_columns, load, padded_length, tolerances_of
from .model import Array, Model
from .objective import ALONE, Kernel, bucket
from .problem import Options, Problem
from .programs import Runner, computing, find_device
from .status import Status
from .trust_region import RUNNING, State, Task, Tolerances

# A yield comes at least about so often, so that cancelling and closing need not wait.
SECONDS_PER_CALL = 0.15
# Fits in one chunk, by the number of samples; the same however many fits there are, so that a fit's answer does not
# depend, not even in its last bit, on its company.
MOST_FITS = 2048
MOST_VALUES = MOST_FITS * 32


@dataclass(frozen=True)
class Progress:
    """How far a run has come: fits done, fits in all, and whether a program is being compiled for the first time."""

    done: int
    total: int
    compiling: bool = False


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
            samples, limits, found = load(problem, part, columns_of(problem))
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
    rows = bucket(m)
    width = fits_per_chunk(rows)
    runner = Runner(Kernel(model, ()), options)
    for first in range(0, n_fits, width):
        part = slice(first, min(first + width, n_fits))
        columns = _power_of_two(part.stop - part.start, width)
        with computing(options):
            values[:, part] = runner(
                stages.predict,
                tuple(fill_columns(c if c.ndim == 2 else c[:, None], part, rows, columns, options) for c in coords),
                fill_columns(params, part, params.shape[0], columns, options),
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


def columns_of(problem: Problem) -> int:
    """Fits in one chunk of a problem."""
    return 1 if problem.alone else fits_per_chunk(padded_length(problem))


def _chunks(problem: Problem) -> Iterator[slice]:
    width = columns_of(problem)
    for first in range(0, problem.n_fits, width):
        yield slice(first, min(first + width, problem.n_fits))


def _power_of_two(n: int, most: int) -> int:
    return min(most, 1 << (n - 1).bit_length())


def _fit_chunk(
    problem: Problem, runner: Runner, part: slice, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    options = problem.options
    with computing(options):
        samples, limits, found = load(problem, part, columns_of(problem))
        tolerances = tolerances_of(options)
        limit = np.int32(options.max_iterations)
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
        store(problem, part, fits, task, state, statistics, ends)
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


def device_name(options: Options) -> str:
    """Where fits with these options are computed, as a user calls it: ``"cpu"``, or a GPU's own name."""
    device = find_device(options.device)
    return str(device.platform if device.platform == "cpu" else device.device_kind)
