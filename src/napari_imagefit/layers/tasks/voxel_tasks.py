"""Tasks of workers for voxels: a fit that shows its maps as they come, and all that may be done with its result."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...catalogue.titles import title_of
from ...engine.core.errors import FitInputError
from ...engine.core.status import Status
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ...imaging.fitting.exclude import without
from ...imaging.fitting.run import Run, Settings
from ...imaging.layer_data.maps import STATUS
from ..geometry.output_layers import role
from ..request.fit_request import MeanFit, Outcome, Request, Showing, Stop, Task
from ..request.verb_requests import voxel_request
from .result_layers import make_outputs, outputs_of, place, ready, wanted_roles

if TYPE_CHECKING:
    from collections.abc import Generator

    from ...engine.core.progress import Progress

BETWEEN = 0.6  # s between two showings of a map that fills in


def run_voxels(request: Request, should_stop: Stop | None = None, resume: Outcome | None = None) -> Task:
    """Fit curves, and make the layers ready; a generator for a worker thread, see `answer`.

    With `resume` only the voxels that it left are fitted.
    """
    from ...imaging.voxels.coarse_to_fine import iter_fit_voxels_progressively

    data = np.asarray(request.data)
    if not np.isfinite(data).any():
        raise FitInputError(f"All values of {request.layer_name!r} are NaN or infinite; choose another layer.")
    mean = None if resume is None else resume.mean
    settings = request.settings
    if request.mean != "no":
        if mean is None:
            mean = yield from mean_steps(request, data, settings)
        settings = seeded(request, mean, settings)
    asked, resumed = voxel_request(request, settings), None if resume is None else resume.result
    if resume is not None or request.coarse_to_fine:
        steps = iter_fit_voxels_progressively(data, asked, should_stop, resumed)
    else:
        steps = asked.steps(data, should_stop)
    result, shown = yield from _showing(request, steps)
    history = () if resume is None else (*resume.history, ("resume",))
    outputs = outputs_of(replace(request, shown=shown), result)
    return Outcome(request, result, outputs, mean=mean, history=history)


def run_mean(request: Request, should_stop: Stop | None = None) -> Task:
    """Fit the mean curve of the region alone."""
    del should_stop  # it is over at once
    mean = yield from mean_steps(request, np.asarray(request.data), request.settings)
    return Outcome(request, mean=mean, complete=False)


def refit(outcome: Outcome, should_stop: Stop | None = None) -> Task:
    """Fit again what failed, with help from neighbours."""
    return _refit(outcome, _result(outcome), None, outcome.history, should_stop)


def refit_painted(
    outcome: Outcome, again: NDArray[np.bool_], left: NDArray[np.bool_], should_stop: Stop | None = None
) -> Task:
    """Leave out what was painted so, and fit again what was painted so."""
    result, history = _result(outcome), outcome.history
    if left.any():
        result, history = without(result, left), (*history, ("leave_out", left))
    if again.any():
        return (yield from _refit(outcome, result, again, history, should_stop))
    note = f"{int(np.count_nonzero(left))} voxels left out."
    return _anew(outcome, outcome.request, result, note, history)


def _anew(outcome: Outcome, request: Request, result: FitResult, note: str, history: tuple[Any, ...]) -> Outcome:
    outputs = outputs_of(request, result)
    return replace(outcome, result=result, outputs=outputs, offers=(), note=note, history=history, complete=True)


def _refit(
    outcome: Outcome,
    before: FitResult,
    places: NDArray[np.bool_] | None,
    history: tuple[Any, ...],
    should_stop: Stop | None,
) -> Task:
    from ...imaging.voxels.refit import iter_refit, places_to_refit

    steps = iter_refit(before, places=places, should_stop=should_stop)
    result, shown = yield from _showing(outcome.request, steps)
    tried = np.count_nonzero(places_to_refit(before) if places is None else places)
    solved = np.count_nonzero(result.converged & ~before.converged)
    note = f"{tried} voxels fitted again: {solved} more converged."
    return _anew(outcome, replace(outcome.request, shown=shown), result, note, (*history, ("refit", places)))


def add_map(outcome: Outcome, expression: str, should_stop: Stop | None = None) -> Task:
    """Return the map of an expression of the parameters, and of its error."""
    del should_stop
    yield from ()
    check_expression(outcome, expression)
    request, result = outcome.request, _result(outcome)
    if expression not in request.derived:
        request = replace(request, derived=(*request.derived, expression))
    outputs = make_outputs(request, result, {f"derived:{expression}"})
    if not any(np.isfinite(output.data[0]).any() for output in outputs):
        raise FitInputError(
            f"{expression!r} has no finite value in any voxel, so that no map was made; look at the signs in it."
        )
    return replace(outcome, request=request, outputs=outputs, complete=False, note="")


def compare_with(outcome: Outcome, model: Model, should_stop: Stop | None = None) -> Task:
    """Fit another model to the same samples of the same voxels, and map which of the two explains them better."""
    from ...imaging.fitting.model_comparison import compare
    from ...imaging.voxels.maps import WINNER, comparison_layers
    from ...imaging.voxels.refit import FEWEST_ITERATIONS

    request, result = outcome.request, _result(outcome)
    # what is fixed in both is the same in both; all else is the other model's own
    fixed = {name: value for name, value in (request.settings.fixed or {}).items() if name in model.names}
    # not to lose for want of steps
    options = replace(request.options, max_iterations=max(request.options.max_iterations, FEWEST_ITERATIONS))
    settings = replace(request.settings, init={}, bounds={}, tied={}, shared=(), fixed=fixed, options=options)
    asked = voxel_request(replace(request, model=model), settings)
    other = yield from asked.steps(np.asarray(request.data), should_stop)
    found = compare(result, other)
    offers = place(request, comparison_layers(result, other, found))
    shown = {WINNER, *request.shown}
    outputs = ready(request, [new for new in offers if request.chosen_roles.get(role(new), role(new) in shown)])
    counts = [int(np.count_nonzero(found.winner == label)) for label in (1, 2)]
    compared = int(np.count_nonzero(result.status != Status.NOT_FITTED))
    undecided = int(np.count_nonzero((found.winner == 0) & (result.converged | other.converged)))
    neither = compared - sum(counts) - undecided
    one, two = title_of(result.model), title_of(model)
    note = (
        f"{one} is better in {counts[0]}, {two} in {counts[1]} of {compared} voxels; undecided in {undecided}"
        f"{f', no answer in {neither}' if neither else ''}."
    )
    return replace(outcome, outputs=outputs, offers=offers, note=note, complete=False)


def _showing(request: Request, steps: Run) -> Generator[Progress, None, tuple[FitResult, frozenset[str]]]:
    """Pass progress on, with layers of what is known so far; returns the result and the roles that were shown."""
    from ...imaging.voxels.maps import unfinished_layers

    told, shown = -BETWEEN, request.shown
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value, shown
        now = time.perf_counter()
        if progress.partial is None or now - told < BETWEEN:
            yield replace(progress, partial=None)
            continue
        told = now
        # a map of reasons covers what is waited for: it follows only where it is there
        roles = wanted_roles(request, progress.partial) - ({STATUS} - request.shown)
        layers = unfinished_layers(progress.partial, request.units, roles)
        outputs = ready(replace(request, shown=shown), place(request, layers))
        shown |= {role(output.data) for output in outputs}
        yield Showing(progress.done, progress.total, progress.compiling, outputs=outputs)


def mean_steps(request: Request, data: NDArray[Any], settings: Settings) -> Generator[Progress, None, MeanFit]:
    """Fit the mean curve of the region."""
    from ...engine.core.progress import Progress
    from ...imaging.voxels.mean_curve import fit_mean_curve, mean_curve

    yield Progress(0, 1)
    where: dict[str, Any] = {"axis": request.axis, "mask": request.mask}
    select = request.select
    curve = mean_curve(data, request.coords[0], **where, select=select)
    result = fit_mean_curve(data, request.model, x=request.coords[0], **where, select=select, settings=settings)
    by_value = None if select is None else select.by_value()
    every = curve if by_value == select else mean_curve(data, request.coords[0], **where, select=by_value)
    return MeanFit(curve.x, curve.mean, curve.sem, curve.n, result, every)


def seeded(request: Request, mean: MeanFit, settings: Settings) -> Settings:
    """Return the settings of a map that starts from the fit of the mean curve, as the request has it.

    Raises
    ------
    FitInputError
        If the mean curve has no result.
    """
    from ...imaging.voxels.mean_curve import seed

    if not mean.result.converged.all():
        status = Status(int(mean.result.status.flat[0]))
        raise FitInputError(
            f"The region's mean curve gives no start for the map ({status.message}); choose another region, or start "
            "from each voxel."
        )
    return seed(settings, mean.result, bounds_factor=request.factor if request.mean == "bounds" else None)


def _result(outcome: Outcome) -> FitResult:
    assert outcome.result is not None
    return outcome.result


def check_expression(outcome: Outcome, expression: str) -> None:
    """Refuse an expression that no map can be made of.

    Raises
    ------
    FitInputError
    """
    from ...engine.functions.expression import term

    names = _result(outcome).model.names
    if not expression:
        raise FitInputError(f"Type an expression of the parameters {', '.join(names)}, such as 1/{names[-1]}.")
    used, _ = term(expression)
    for name in used:
        if name not in names:
            raise FitInputError(f"{expression!r} has {name!r}, which is no parameter; use {', '.join(names)}.")
