"""A second chance for voxels whose fit failed: from their neighbours, from all over the map, within wider bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.progress import Progress, drain, retold
from ...engine.core.status import Status
from ...engine.core.types import Booleans, Bounds, Floats, Indices
from ...engine.results.fit_result import FitResult
from ..fitting.run import Run, Settings
from ..fitting.status_labels import GLOBAL, NEIGHBOURS, WIDER
from .best_attempt import copy, failed, is_better, put, suspect
from .call import VoxelCall, solution_rows
from .global_starts import best_for, collect
from .neighbours import any_around, is_good, neighbour_starts
from .voxel_fits import VoxelSource

# A second chance is not spoilt by a limit that may be why the first try failed.
FEWEST_ITERATIONS = 100
# How often voxels that have just been solved help those next to them, and how many global starts are tried.
PASSES = 50
STARTS = 4
LAST_ROUNDS = STARTS + 4  # rounds after the passes, at most
# A voxel that looks wrong, but has a result to which so many tries lead back, is left with it.
CONFIRMED = 3


def places_to_refit(result: FitResult) -> Booleans:
    """Return the voxels that `refit` takes by default, ``(*grid,)``.

    Those whose fit failed, except where there were too few samples, and those that have converged with a χ² far above
    that of their neighbours, as a fit does that ended in the wrong minimum.
    """
    return failed(result) | suspect(result)


@unheeded
def iter_refit(
    result: FitResult,
    *,
    places: NDArray[np.bool_] | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`refit` as a generator: it yields `Progress` and returns the `FitResult`; on stop with what is better so far."""
    call, source = _prepare(result, settings)
    chosen = None if places is None else _chosen(places, result)
    told = settings is not None and bool(settings.init)
    return _Refit(result, call, source, chosen).steps(should_stop or (lambda: False), told)


def refit(
    result: FitResult,
    *,
    places: NDArray[np.bool_] | None = None,
    settings: Settings | None = None,
    progress: Callable[[int, int], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Refit voxels that failed, and keep the better result of each.

    They are fitted from the weighted median of their good neighbours; what that does not solve from the model's own
    guess and from starts that suit them among the clusters of good results all over the map; what that does not solve,
    or leaves at a bound, within wider bounds. A bound that was given stays, and so does one at 0, which is the sign of
    a parameter; others of the model move out by the width of their range.

    Parameters
    ----------
    result : FitResult
        Of `fit_voxels` on a stack in memory.
    places : boolean array, ``(*grid,)``, optional
        The voxels to fit again; those of `places_to_refit` if not given. Voxels that were not fitted stay so.
    settings : Settings, optional
        Other starts, bounds, tolerances or iterations. Noise, loss and what is fixed or tied must be as before. If not
        given they are those of `result`, with at least 100 iterations and without its starts.
    progress, should_stop : callable, optional
        As in `fit_voxels`.

    Returns
    -------
    FitResult
        A new one, in which ``attempt`` gives the attempt that led to each result: 0 the first one, 1 from its
        neighbours, 2 from global starts, 3 within wider bounds. A voxel that is no better than before is as it was.

    Raises
    ------
    FitInputError
        For a result that is not of a stack in memory or whose fits share parameters, and for places or settings that do
        not go with it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.linspace(0, 5, 32)
    >>> stack = 3 * np.exp(-t[:, None, None] / np.linspace(0.5, 2, 12).reshape(3, 4))
    >>> init = {"tau": np.where(np.eye(3, 4, dtype=bool), 1e-4, 1.0), "amplitude": 1.0, "offset": 0.0}
    >>> first = fit_voxels(stack, "exponential_decay", x=t, init=init, max_iterations=20)
    >>> int(first.converged.sum()), int(refit(first).converged.sum())
    (9, 12)
    """
    return drain(iter_refit(result, places=places, settings=settings, should_stop=should_stop), progress)


def _prepare(result: FitResult, settings: Settings | None) -> tuple[VoxelCall, VoxelSource]:
    """Return the call that made the result, with the settings of the second chance."""
    source = result.source
    if not isinstance(source, VoxelSource) or source.call is None:
        raise FitInputError("only a result of fit_voxels on a stack in memory can be fitted again; use fit_voxels")
    call = source.call
    before = call.settings
    if before.shared:
        raise FitInputError(
            f"the fits have {', '.join(before.shared)} in common and are one problem; fit all of them again"
        )
    if settings is None:
        options = replace(before.options, max_iterations=max(before.options.max_iterations, FEWEST_ITERATIONS))
        return call.with_settings(replace(before, options=options)), source
    if settings.shared:
        raise FitInputError("parameters cannot be shared in a second chance; leave shared out")
    for what, one, other in (
        ("tied", dict(before.tied or {}), dict(settings.tied or {})),
        ("fixed", dict(before.fixed or {}), dict(settings.fixed or {})),
        ("noise", before.options.criterion, settings.options.criterion),
        ("f_scale", before.options.f_scale, settings.options.f_scale),
        ("sigma", before.sigma, settings.sigma),
        ("camera", before.camera, settings.camera),
    ):
        if not _equal(one, other):
            raise FitInputError(f"{what} is not what it was in the first try, so that costs do not compare; keep it")
    return call.with_settings(settings), source


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if one is other:
        return True
    if one is None or other is None:
        return False
    same = np.asarray(one == other) if np.ndim(one) == np.ndim(other) == 0 else np.array_equal(one, other)
    return bool(np.all(same))


def _chosen(places: NDArray[np.bool_], result: FitResult) -> Booleans:
    chosen = np.asarray(places)
    if chosen.dtype != bool:
        raise FitInputError(f"places has type {chosen.dtype}; give a boolean array, True for each voxel to fit again")
    if chosen.shape != result.shape:
        raise FitInputError(f"places has shape {chosen.shape}; give one of the grid of fits, {result.shape}")
    fitted: Booleans = chosen & ~np.isin(result.status, (Status.NOT_FITTED, Status.TOO_FEW_SAMPLES))
    return fitted


@dataclass(frozen=True)
class _Round:
    """A try of all voxels that are left: how it is called, and from where each starts (NaN: the model's guess)."""

    attempt: int
    share: float  # of all work that is done before it
    call: VoxelCall
    starts: Callable[[Indices], Floats]
    wanted: Callable[[], Booleans]


class _Refit:
    def __init__(self, result: FitResult, call: VoxelCall, source: VoxelSource, places: Booleans | None) -> None:
        self.before, self.call, self.source = result, call, source
        self.whole = copy(result)
        self.grows = places is None
        self.targets = places_to_refit(result) if places is None else places
        self.free = call.with_settings(replace(call.settings, init=None))
        # a caller that names a voxel with a result wants more than one other look at it
        self.asked = self.targets & result.converged & ~suspect(result, self.targets)
        self.good = is_good(result) & ~self.targets
        self.in_vain = np.zeros(result.shape, np.int8)  # tries of a voxel with a result that have found no better one

    def steps(self, should_stop: Callable[[], bool], told: bool) -> Run:
        begun = time.perf_counter()
        for turn in self._rounds(told):
            if should_stop():
                break
            places = np.flatnonzero(turn.wanted())
            starts = turn.starts(places) if places.size else np.empty((1, 0))
            if turn.attempt == NEIGHBOURS:
                # without good neighbours it would be from a guess
                known = np.isfinite(starts).all(axis=0)
                places, starts = places[known], starts[:, known]
            if not places.size:
                continue
            total = int(np.count_nonzero(self.targets))

            def of_all(
                own: Progress, size: int = places.size, before: float = turn.share, total: int = total
            ) -> Progress:
                share = before + (1 - before) / 2 * own.done / size
                return Progress(total - size + int(size * share), total, own.compiling)

            steps = turn.call.steps(places, self.source, starts, should_stop)
            self._take(places, (yield from retold(steps, of_all)), turn.attempt)
        total = int(np.count_nonzero(self.targets))
        yield Progress(total, total)
        return replace(self.whole, seconds=self.before.seconds + time.perf_counter() - begun)

    def _take(self, places: Indices, found: FitResult, attempt: int) -> None:
        better = is_better(found, self.whole, places)
        found.attempt[:] = attempt
        vain = self.in_vain.ravel()
        vain[places] = np.where(better | ~self.whole.converged.ravel()[places], 0, vain[places] + 1)
        put(self.whole, places, found, better)
        tried = np.zeros_like(self.targets)
        tried.ravel()[places] = True
        self.good |= is_good(self.whole) & tried & ~suspect(self.whole, tried)

    def _rounds(self, told: bool) -> Iterator[_Round]:
        yield from self._passes()

        def later(number: int, starts: Callable[[Indices], Floats], wanted: Callable[[], Booleans]) -> _Round:
            return _Round(GLOBAL, 0.5 + 0.5 * number / LAST_ROUNDS, self.free, starts, wanted)

        if told:
            yield replace(later(0, self._guess, self._unsolved), call=self.call)
        yield later(1, self._guess, self._unsolved)
        yield later(2, self._from_where_it_was, self._unfinished)
        places = np.flatnonzero(self._unsolved())
        if places.size:
            pool = collect(self.free, self.whole, self.good, places)
            for rank in range(min(STARTS, pool.shape[1])):
                yield later(3 + rank, partial(self._from_pool, pool, rank), self._unsolved)
        wider = wider_bounds(self.free)
        if wider:
            settings = replace(self.free.settings, bounds={**(self.free.settings.bounds or {}), **wider})
            call = self.free.with_settings(settings)
            yield _Round(WIDER, 1 - 1 / LAST_ROUNDS, call, self._from_where_it_was, partial(self._confined, wider))

    def _passes(self) -> Iterator[_Round]:
        """Fit from neighbours, as long as voxels that have just been solved are neighbours to others."""
        active = self.targets
        for number in range(PASSES):
            known = self.good.copy()
            starts = partial(neighbour_starts, self.whole, good=known)
            yield _Round(NEIGHBOURS, 0.5 - 0.5 ** (number + 1), self.free, starts, partial(self._unsolved, active))
            fresh = self.good & ~known
            if not fresh.any():
                break
            active = self._next_to(fresh) | self._grow(fresh)

    def _unsolved(self, among: Booleans | None = None) -> Booleans:
        """Return the voxels that still need a try."""
        judged = self.targets if among is None else self.targets & among
        doubtful = suspect(self.whole, judged & (self.in_vain < CONFIRMED))
        return judged & (failed(self.whole) | doubtful | self.asked)

    def _next_to(self, fresh: Booleans) -> Booleans:
        """Voxels that have new neighbours to start from."""
        found = np.zeros_like(self.targets)
        places = np.flatnonzero(self.targets & ~self.good)
        found.ravel()[places] = any_around(fresh, places, 1)
        return found

    def _grow(self, fresh: Booleans) -> Booleans:
        """Voxels that are to be fitted too: beside those that have been solved they no longer look right.

        So a region that lies in a wrong minimum as a whole is solved from its edge on.
        """
        if not self.grows:
            return np.zeros_like(self.targets)
        near = np.zeros_like(self.targets)
        places = np.flatnonzero(self.whole.converged & ~self.targets)
        near.ravel()[places] = any_around(fresh, places, 2)
        found = suspect(self.whole, near)
        self.targets = self.targets | found
        self.good &= ~found
        return found

    def _unfinished(self) -> Booleans:
        """Return the fits that failed with values from which they can go on."""
        somewhere = np.isfinite(solution_rows(self.whole)).all(axis=0).reshape(self.whole.shape)
        return self.targets & failed(self.whole) & somewhere

    def _confined(self, wider: Bounds) -> Booleans:
        """Return the fits without a result, and those at a bound that gives way."""
        at_one = np.any([self.whole.at_bound[name] != 0 for name in wider], axis=0)
        return np.asarray(self.targets & (failed(self.whole) | at_one))

    def _guess(self, places: Indices) -> Floats:
        return np.full((len(self.whole.model.names), places.size), np.nan)

    def _from_where_it_was(self, places: Indices) -> Floats:
        return solution_rows(self.whole)[:, places]

    def _from_pool(self, pool: Floats, rank: int, places: Indices) -> Floats:
        ranked = best_for(self.free, places, pool, rank + 1)
        return ranked[rank] if rank < len(ranked) else self._guess(places)


def wider_bounds(call: VoxelCall) -> dict[str, tuple[float, float]]:
    """Return the bounds of the model's own that give way, moved out by the width of their range; by name.

    Not those that were given, nor one at 0. One without a counterpart moves out by its own size.
    """
    said = {**(call.settings.bounds or {}), **(call.settings.fixed or {})}
    wider = {}
    for parameter in call.fitted.parameters:
        lower, upper = parameter.lower, parameter.upper
        width = upper - lower if np.isfinite(upper - lower) else 0.0
        below = lower - (width or abs(lower)) if np.isfinite(lower) and lower != 0 else lower
        above = upper + (width or abs(upper)) if np.isfinite(upper) and upper != 0 else upper
        # a range on one side of 0 stays there
        below = max(below, 0.0) if lower > 0 else below
        above = min(above, 0.0) if upper < 0 else above
        if parameter.name not in said and (below, above) != (lower, upper):
            wider[parameter.name] = (below, above)
    return wider
