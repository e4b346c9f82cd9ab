"""Coarse to fine: a map of few voxels first, then the others, started from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...engine.core.device import device_name
from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.fits import Fits
from ...engine.core.progress import Progress
from ...engine.core.status import Flag, Status
from ...engine.core.types import Booleans, Floats, Indices
from ...engine.results.fit_result import FitResult
from ..fitting.run import Run
from .best_attempt import copy, failed, is_better, put, suspect
from .call import VoxelCall, solution_rows
from .neighbours import SPATIAL, is_good
from .voxel_fits import VoxelRequest, VoxelSource

# Voxels of the coarsest grid, at least, and its largest step.
FEWEST, LARGEST_STEP = 256, 8
# Samples of the voxels that are fitted at a time, at least, and the seconds that this should take.
BATCH_VALUES, SECONDS = 1 << 20, 0.5
# Seconds between partial results, and the share of the time that making them may take.
BETWEEN, SHARE = 0.5, 0.1
# Flags by which a fit may be wrong, unless more than this share of all fits has them.
DOUBTS = (Flag.POORLY_DETERMINED, Flag.STRUCTURED_RESIDUAL, Flag.LARGE_CHI2, Flag.AT_LOWER, Flag.AT_UPPER)
COMMON_SHARE = 0.2
# Of each grid so many voxels are fitted both ways; the guess is the better start where it wins this share of them.
CONTROLS, TOO_MANY = 256, 0.01


@unheeded
def iter_fit_voxels_progressively(
    stack: ArrayLike,
    request: VoxelRequest,
    should_stop: Callable[[], bool] | None = None,
    resume: FitResult | None = None,
) -> Run:
    """`fit_voxels` as a generator, from a sparse grid of voxels to all of them.

    Every eighth, fourth or second voxel along each axis is fitted first, from the model's guess. The others start from
    the good ones of these, interpolated linearly, unless `init` gives them. A voxel whose fit then fails, or has a
    remark that few have, or a χ² above its neighbours', is fitted from the model's guess as well, and the better result
    counts. Some are in any case: where the guess proves better, all are. So the minima are those that `fit_voxels`
    finds, but for data that leave two of almost the same cost.

    Fits that share parameters are fitted as by `VoxelRequest.steps`.

    Parameters
    ----------
    stack, should_stop
        As in `fit_voxels`.
    request : VoxelRequest
    resume : FitResult, optional
        What an earlier call returned that was stopped, with the same arguments otherwise: only voxels with
        `Status.STOPPED` are fitted.

    Yields
    ------
    Progress
        At most twice a second with ``partial``, a `FitResult` of what is fitted so far; all other voxels in it have
        `Status.STOPPED` and NaN.

    Returns
    -------
    FitResult
        When stopped, everything that was fitted until then; the others have `Status.STOPPED` and NaN.

    Raises
    ------
    FitInputError
        As `fit_voxels`, and if `resume` is of another grid or model.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> t = np.linspace(0, 5, 32)
    >>> stack = 3 * np.exp(-t[:, None, None] / np.linspace(0.5, 2, 48 * 48).reshape(48, 48))
    >>> request = VoxelRequest(models["exponential_decay"], x=t)
    >>> steps, shown = iter_fit_voxels_progressively(stack, request), []
    >>> while True:
    ...     try:
    ...         shown.append(next(steps))
    ...     except StopIteration as end:
    ...         result = end.value
    ...         break
    >>> bool(result.converged.all()), any(step.partial is not None for step in shown)
    (True, True)
    """
    if request.settings.shared:
        if resume is not None:
            raise FitInputError("only fits that share no parameter can go on; leave resume out")
        return request.steps(stack, should_stop)
    source, call = request.prepare(stack)
    if resume is not None:
        _check(resume, call)
    return _Progressive(source, call, resume, should_stop or (lambda: False)).steps()


def _check(resume: FitResult, call: VoxelCall) -> None:
    if resume.shape != call.grid:
        raise FitInputError(
            f"the result to go on from has the grid {resume.shape}, but this one is {call.grid}; fit all voxels anew"
        )
    if resume.model.names != call.model.names or resume.model.name != call.model.name:
        raise FitInputError(
            f"the result to go on from is of {resume.model.name!r}, not of {call.model.name!r}; fit all voxels anew"
        )


class _Progressive:
    def __init__(
        self, source: VoxelSource, call: VoxelCall, resume: FitResult | None, should_stop: Callable[[], bool]
    ) -> None:
        self.source, self.call, self.should_stop = source, call, should_stop
        self.whole = copy(_blank(source, call) if resume is None else resume)
        self.interpolated = np.zeros(call.grid, bool)  # which voxels have started from others
        self.batch = max(FEWEST, BATCH_VALUES // max(1, call.x.size))
        self.partials = _Partials(0.0 if resume is None else resume.seconds)
        given = call.settings.init or {}
        self.guessing = all(name in given for name in call.fitted.names)

    @property
    def done(self) -> int:
        """Voxels whose fit has ended."""
        return int(np.count_nonzero(self.whole.status.ravel()[self.call.places] != Status.STOPPED))

    def steps(self) -> Run:
        coarser = None
        for step in [*coarse_steps(self.call.grid), 1]:
            yield from self._level(step, coarser)
            coarser = step
            if self.should_stop():
                break
        return self.partials.finish(self.whole, self.source)

    def _level(self, step: int, coarser: int | None) -> Generator[Progress, None, None]:
        """Fit what is left of a grid of voxels, from the coarser one."""
        places = np.flatnonzero((self.whole.status == Status.STOPPED) & on_grid(self.call.grid, step))
        good = is_good(self.whole)
        first = 0
        while first < places.size and not self.should_stop():
            begun = time.perf_counter()
            part = places[first : first + self.batch]
            starts = None
            if coarser is not None and not self.guessing:
                starts = interpolate(self.whole, good, part, coarser)
            yield from self._fit(part, starts)
            if starts is not None:
                own = part[np.isfinite(starts).all(axis=0)]
                self.interpolated.ravel()[own] = True
                yield from self._retry(own[_doubtful(self.whole, own)])
                if first == 0:
                    yield from self._try_out(own)
            first += part.size
            seconds = time.perf_counter() - begun
            self.batch = int(np.clip(part.size * SECONDS / seconds, self.batch, 4 * self.batch))
        if self.interpolated.any() and not self.should_stop():
            # before others start from them; beside their neighbours on this grid
            cut = _every(self.call.grid, step)
            wrong = np.zeros_like(self.interpolated)
            wrong[cut] = suspect(_thinned(self.whole, cut), self.interpolated[cut])
            yield from self._retry(np.flatnonzero(wrong))

    def _fit(self, places: Indices, starts: Floats | None) -> Generator[Progress, None, FitResult]:
        """Fit voxels for the first time; those that do not come to their end are left as they were."""
        before = self.done
        found = yield from self._run(self.call.steps(places, self.source, starts, self.should_stop), before)
        put(self.whole, places, found, found.status != Status.STOPPED)
        self.partials.fresh = True
        yield Progress(self.done, self.call.places.size, partial=self.partials.take(self.whole, self.source))
        return found

    def _try_out(self, places: Indices) -> Generator[Progress, None, None]:
        """Whether starts from other voxels are any good, by a few of them; if not, all of them are fitted again."""
        controls = np.random.default_rng(0).permutation(places)[:CONTROLS]
        better = yield from self._retry(controls)
        if better > TOO_MANY * controls.size:
            self.guessing = True
            yield from self._retry(np.flatnonzero(self.interpolated))
            self.interpolated[...] = False

    def _retry(self, places: Indices) -> Generator[Progress, None, int]:
        """Fit voxels from the model's own guess too, and keep the better results; returns how many there were."""
        if not places.size:
            return 0
        found = yield from self._run(self.call.steps(places, self.source, None, self.should_stop), None)
        better = is_better(found, self.whole, places)
        put(self.whole, places, found, better)
        self.partials.fresh = True
        # a failure that might have been none is not known to be one
        open_ = places[(found.status == Status.STOPPED) & failed(self.whole).ravel()[places]]
        put(self.whole, open_, _blank(self.source, self.call, open_.size))
        return int(np.count_nonzero(better))

    def _run(self, steps: Run, before: int | None) -> Run:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found: FitResult = end.value
                return found
            done = self.done if before is None else before + progress.done
            yield Progress(done, self.call.places.size, progress.compiling)


class _Partials:
    """Results of what is known so far: seldom enough not to cost much."""

    def __init__(self, earlier: float) -> None:
        self.earlier, self.begun = earlier, time.perf_counter()
        self.told, self.cost = -np.inf, 0.0
        self.fresh = False

    def take(self, whole: FitResult, source: VoxelSource) -> FitResult | None:
        """One of its own, if it is time for it and there is anything new."""
        now = time.perf_counter()
        if not self.fresh or now - self.told < max(BETWEEN, self.cost / SHARE):
            return None
        partial = self.finish(copy(whole), source)
        self.told, self.fresh = time.perf_counter(), False
        self.cost = self.told - now
        return partial

    def finish(self, whole: FitResult, source: VoxelSource) -> FitResult:
        return replace(whole, source=source, seconds=self.earlier + time.perf_counter() - self.begun)


def _blank(source: VoxelSource, call: VoxelCall, count: int | None = None) -> FitResult:
    """Nothing fitted yet, on the grid or for some voxels ``(count,)``."""
    settings = call.settings
    size = int(np.prod(call.grid)) if count is None else count
    fits = Fits.blank(len(call.model.names), size, Status.STOPPED)
    if count is None:
        fits.status[:] = Status.NOT_FITTED
        fits.status[call.places] = Status.STOPPED
    return FitResult.on_grid(
        fits,
        call.grid if count is None else (count,),
        call.model,
        source,
        known_sigma=settings.knows_noise,
        criterion=settings.options.criterion,
        seconds=0.0,
        device=device_name(settings.options),
    )


def coarse_steps(grid: tuple[int, ...]) -> list[int]:
    """Return the steps of the grids before the full one, the coarsest first; none where there are few voxels."""
    steps: list[int] = []
    step = LARGEST_STEP
    while step > 1:
        if steps or int(np.count_nonzero(on_grid(grid, step))) >= FEWEST:
            steps.append(step)
        step //= 2
    return steps


def on_grid(grid: tuple[int, ...], step: int) -> Booleans:
    """Return the voxels at every so many along each axis of space, ``(*grid,)``."""
    found = np.zeros(grid, bool)
    found[_every(grid, step)] = True
    return found


def _every(grid: tuple[int, ...], step: int) -> tuple[slice, ...]:
    leading = max(0, len(grid) - SPATIAL)
    return tuple(slice(None) if axis < leading else slice(None, None, step) for axis in range(len(grid)))


def _thinned(result: FitResult, cut: tuple[slice, ...]) -> FitResult:
    """Return the fits of a coarser grid."""

    def own(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: own(one) for name, one in value.items()}
        return value[cut] if isinstance(value, np.ndarray) else value

    return replace(result, **{name: own(value) for name, value in vars(result).items()})


def interpolate(result: FitResult, good: Booleans, places: Indices, step: int) -> Floats:
    """Return starts ``(n_params, n_places)`` from the good voxels at every `step`, NaN where there is none around.

    Linear in each axis, with the weights of those that are good; the one with the largest weight where a parameter is
    an angle, of which means make no sense.
    """
    grid = result.shape
    values = solution_rows(result)
    at = np.stack(np.unravel_index(places, grid))
    leading = max(0, len(grid) - SPATIAL)
    steps = np.array([1] * leading + [step] * (len(grid) - leading))[:, None]
    below, last = at // steps, (np.array(grid)[:, None] - 1) // steps
    share = (at % steps) / steps
    total, sums = np.zeros(places.size), np.zeros((len(values), places.size))
    largest, nearest = np.zeros(places.size), np.full((len(values), places.size), np.nan)
    for corner in product((0, 1), repeat=len(grid)):
        up = np.array(corner)[:, None]
        weight = np.prod(np.where(up, share, 1 - share), axis=0)
        flat = np.ravel_multi_index(tuple(np.minimum(below + up, last) * steps), grid)
        own = values[:, flat]
        weight = np.where(good.ravel()[flat] & np.isfinite(own).all(axis=0), weight, 0.0)
        total += weight
        sums += np.where(weight > 0, own, 0.0) * weight
        nearest = np.where(weight > largest, own, nearest)
        largest = np.maximum(weight, largest)
    if any(p.unit == "rad" for p in result.model.parameters):
        return nearest
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, sums / total, np.nan))


def _doubtful(result: FitResult, places: Indices) -> Booleans:
    """Return which fits failed, or have a remark that few of them have, ``(n_places,)``."""
    flags = result.flags.ravel()[places]
    doubtful = failed(result).ravel()[places] & (result.status.ravel()[places] != Status.STOPPED)
    for flag in DOUBTS:
        flagged = (flags & np.uint16(flag)) != 0
        if np.count_nonzero(flagged) <= COMMON_SHARE * places.size:
            doubtful |= flagged
    return np.asarray(doubtful)
