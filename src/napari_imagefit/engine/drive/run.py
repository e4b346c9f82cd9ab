"""All fits of a problem, as a generator: progress at each yield, cancelling between two."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.device import find_device
from ..core.error_state import unheeded
from ..core.fits import Fits, is_better
from ..core.progress import Progress, retold
from ..core.status import Status
from ..linalg import batched_ldl
from ..models.numpy_model import NumpyModel
from ..noise.samples import ALONE
from .coarse_problem import coarsen
from .evaluators import is_large
from .few import Run, fit_in_threads, fit_together, single, some_of
from .problem import Problem
from .single_precision import eased

# Fits of a request from which on they are worked on by a compiled step: fewer are done before it is compiled.
WIDE_FROM = (1 << 13) + 1
# Fits that are worked on together in NumPy, and samples in all of them.
MOST_TOGETHER = 2048
MOST_VALUES = 1 << 18


@unheeded
def iter_fit(problem: Problem, should_stop: Callable[[], bool] | None = None) -> Generator[Progress, None, Fits]:
    """Fit everything; the generator returns the `Fits`.

    Parameters
    ----------
    should_stop : callable, optional
        Called between steps. Once true, fits that have not ended get `Status.STOPPED`.

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
    stop = should_stop or (lambda: False)
    easier = eased(problem)
    own = easier.problem
    fits = yield from _fit_all(own, stop)
    if own.search and np.isnan(own.start).any() and not stop():
        yield from _fit_again(own, fits, stop)
    own.settle(fits)
    easier.give_back(fits.params, fits.solution, fits.start)
    return fits


def _fit_all(problem: Problem, stop: Callable[[], bool]) -> Generator[Progress, None, Fits]:
    fits = Fits.blank(len(problem.model.names), problem.n_fits, Status.STOPPED)
    fits.n_free[:] = np.count_nonzero(np.broadcast_to(problem.lower < problem.upper, fits.params.shape), axis=0)
    if needs_jax(problem):
        # a device that does not exist is a mistake of the caller's, whatever happens next
        find_device(problem.options.device)
    if stop():
        return fits
    if is_wide(problem):
        from .wide import fit_wide

        yield from fit_wide(problem, fits, stop)
        return fits
    parts = chunks(problem)
    # what only NumPy can call waits for Python's lock: several threads would gain nothing
    if len(parts) > 1 and not is_large(problem) and (needs_jax(problem) or fits_together(problem) == 1):
        yield from fit_in_threads(problem, parts, fits, stop)
        return fits
    for positions in parts:
        yield from fit_together(problem, positions, fits, stop)
        if stop():
            break
        yield Progress(positions.stop, problem.n_fits)
    return fits


def _fit_again(problem: Problem, fits: Fits, stop: Callable[[], bool]) -> Generator[Progress, None, None]:
    """Refit those without a result or at a bound from another of their candidates, and keep the better end."""
    lost = np.isin(fits.status, (Status.NON_FINITE_MODEL, Status.SINGULAR, Status.NO_IMPROVEMENT))
    places = np.flatnonzero(lost | (fits.at_bound != 0).any(axis=0))
    if not places.size:
        return
    some = replace(some_of(problem, places), requested=max(problem.requested, problem.n_fits))
    starts = _other_starts(some, fits.start[:, places])
    known = np.isfinite(starts).all(axis=0)
    places = places[known]
    if not places.size:
        return
    steps = _fit_all(replace(some_of(some, np.flatnonzero(known)), start=starts[:, known]), stop)
    found = yield from retold(steps, lambda own: Progress(problem.n_fits, problem.n_fits, own.compiling))
    found.n_iterations[:] += fits.n_iterations[places]
    better = is_better(found, fits.cost[places], fits.status[places] > 0)
    fits.put(places[better], found.at(better))


def _other_starts(problem: Problem, used: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best candidates ``(n_params, n_fits)`` that are not much the same as the starts that were used."""
    starts = np.empty(used.shape)
    for part in chunks(problem):
        starts[:, part] = _guesser(problem, part).find_starts(other_than=used[:, part])
    return starts


def _guesser(problem: Problem, part: slice) -> Run:
    """Return what finds the starts of some fits: of a large one fewer samples do."""
    some = coarsen(single(problem, part.start)) if is_large(problem) else some_of(problem, part)
    return Run(some, slice(0, some.n_fits))


def needs_jax(problem: Problem) -> bool:
    """Whether anything is compiled."""
    return not isinstance(problem.model, NumpyModel)


def is_wide(problem: Problem) -> bool:
    """Whether the request is one for the compiled way: it follows from the whole of it, never from a piece."""
    compiled = not (isinstance(problem.model, NumpyModel) or problem.whole or problem.root is not None)
    many = max(problem.requested, problem.n_fits) >= WIDE_FROM
    return compiled and many and problem.n_samples < ALONE and len(problem.free) <= batched_ldl.MOST_UNKNOWNS


def fits_together(problem: Problem) -> int:
    """Return how many fits are processed together in NumPy; large ones one by one."""
    if problem.alone or problem.padded_length >= ALONE:
        return 1
    return max(1, min(MOST_TOGETHER, MOST_VALUES // problem.padded_length))


def chunks(problem: Problem) -> list[slice]:
    """Return the fits of a problem, as many at a time as are worked on together."""
    width = fits_together(problem)
    return [slice(first, min(first + width, problem.n_fits)) for first in range(0, problem.n_fits, width)]


def find_starts(problem: Problem) -> NDArray[np.float64]:
    """Return the starts ``(n_params, n_fits)`` that `iter_fit` would use, without fitting."""
    easier = eased(problem)
    problem = easier.problem
    starts = np.empty((len(problem.model.names), problem.n_fits))
    for positions in chunks(problem):
        starts[:, positions] = _guesser(problem, positions).find_starts()
    easier.give_back(starts)
    return starts
