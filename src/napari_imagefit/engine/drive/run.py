"""All fits of a problem, chunk by chunk, as a generator: progress at each yield, cancelling between two."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from ..core.fits import Fits, store
from ..core.programs import Runner, computing, find_device
from ..core.progress import Progress as Progress
from ..core.status import Status
from ..models.numpy_model import HostModel, stand_in
from ..solver.trust_region import RUNNING
from ..sums.normal_equations import ALONE, Kernel
from . import stages
from .host_fit import HostRun
from .large import is_large, iter_large
from .loading import load, padded_length, tolerances_of
from .many import iter_many
from .problem import Options, Problem

# Fits in one chunk, by the number of samples; the same however many fits there are, so that a fit's answer does not
# depend, not even in its last bit, on its company.
MOST_FITS = 2048
MOST_VALUES = MOST_FITS * 32


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
    stop = should_stop or (lambda: False)
    if is_large(problem) and not isinstance(problem.model, HostModel):
        yield from iter_large(problem, runner, fits, stop)
        return fits
    if not isinstance(problem.model, HostModel):
        yield from iter_many(problem, runner, fits, stop)
        return fits
    for part in _chunks(problem):
        yield from _fit_on_host(problem, runner, part, fits, stop)
        if stop():
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


def _fit_on_host(
    problem: Problem, runner: Runner, part: slice, fits: Fits, should_stop: Callable[[], bool]
) -> Generator[Progress, None, None]:
    """One chunk of fits whose model is called on the host."""
    assert isinstance(problem.model, HostModel)
    options = problem.options
    count = part.stop - part.start
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
    run = HostRun(problem.model, runner, options, task, state)
    steps = run.steps(tolerances, limit, should_stop)
    while True:
        try:
            status = next(steps)
        except StopIteration as end:
            state, ends = end.value, run.answer()
            break
        yield Progress(part.start + int(np.count_nonzero(status[:count] < RUNNING)), problem.n_fits)
    with computing(options):
        store(problem, part, fits, task, state, statistics, ends)
    yield Progress(part.stop, problem.n_fits)


def device_name(options: Options) -> str:
    """Where fits with these options are computed, as a user calls it: ``"cpu"``, or a GPU's own name."""
    device = find_device(options.device)
    return str(device.platform if device.platform == "cpu" else device.device_kind)
