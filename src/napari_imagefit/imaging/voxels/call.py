"""A checked call of `fit_voxels`, of which any voxels can be fitted at any time, from any starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats, Indices
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ...engine.models.ties import Ties
from ...engine.results.fit_result import FitResult, Source
from ..fitting.refusals import Numbers, joined, usable
from ..fitting.run import Again, Job, ParameterSettings, Run, Settings, run
from ..fitting.selection import Selection
from ..fitting.sigma import marks_of_sigma, refused_by_sigma
from .exchanged_parts import FAST, FRACTION, SLOW, has_parts, iter_in_order
from .second_start import iter_second_start, needs_second_start


@dataclass(frozen=True, eq=False)
class VoxelCall:
    """Arguments of `fit_voxels`, after every check.

    Attributes
    ----------
    data : array
        With a camera's differences taken out.
    stack : array
        The same, with NaN where a sample does not count.
    axis : int
    x : array, ``(n,)``
        Of the samples that count somewhere.
    kept : bool array
        Which samples along the axis these are.
    model : Model
        The one that the result is about.
    fitted : Model
        The one that is fitted: without the parameters that are tied.
    settings : Settings
    ties : Ties or None
    parameter_settings : ParameterSettings
        Starts, bounds and fixed values on the flat grid.
    places : int array
        The flat positions of the voxels to fit.
    weights, shifts : arrays or None
        Of the stack's shape; see `Problem`.
    bad_sigma : boolean array or None
        Voxels of the flat grid whose σ cannot be used.
    """

    data: NDArray[Any]
    stack: NDArray[Any]
    axis: int
    x: Floats
    kept: NDArray[np.bool_]
    model: Model
    fitted: Model
    settings: Settings
    ties: Ties | None
    parameter_settings: ParameterSettings
    places: Indices
    weights: Floats | None
    shifts: Floats | None
    bad_sigma: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        stack: NDArray[Any],
        axis: int,
        x: Floats,
        model: Model,
        places: Indices,
        settings: Settings,
        select: Selection | None = None,
    ) -> Self:
        """Check the settings, and take out what does not count.

        Raises
        ------
        FitInputError
            If they do not go with the model or the stack.
        """
        fitted, ties = settings.model(model)
        grid = tuple(n for a, n in enumerate(stack.shape) if a != axis)
        parameter_settings = ParameterSettings.of(fitted, grid, places, settings)
        data = selected = settings.level(stack)
        weights, shifts = settings.noise(data.shape)
        kept = np.ones(x.size, bool)
        if select is not None:
            kept = select.samples(x)
            selected, strong = select.apply(data, x, axis)
            places = places[strong.ravel()[places]]
        # samples that count in no voxel are not there at all: nothing was left out of these fits
        call = cls(
            data,
            selected,
            axis,
            x[kept],
            kept,
            model,
            fitted,
            settings,
            ties,
            parameter_settings,
            places,
            weights,
            shifts,
        )
        settings.check_camera(selected, (call.curves(selected, part) for part in (places,)))
        marks = marks_of_sigma(settings.sigma, data.shape)
        return call if marks is None else replace(call, bad_sigma=call._bad_sigma(marks))

    def _bad_sigma(self, marks: NDArray[np.int8]) -> NDArray[np.bool_]:
        found = np.zeros(int(np.prod(self.grid)), bool)
        counted = np.isfinite(self.curves(self.stack, self.places))
        found[self.places] = refused_by_sigma(self.curves(marks, self.places), counted)
        return found

    @property
    def refused(self) -> Numbers | None:
        """Return which setting of which voxel of the flat grid cannot be used; None where all can."""
        return joined(self.parameter_settings.refused, self.bad_sigma)

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""
        return tuple(n for a, n in enumerate(self.stack.shape) if a != self.axis)

    def with_settings(self, settings: Settings) -> VoxelCall:
        """Return the same with other starts, bounds or options.

        What is fixed or tied, and the noise, are the same.
        """
        parameter_settings = ParameterSettings.of(self.fitted, self.grid, self.places, settings)
        return replace(self, settings=settings, parameter_settings=parameter_settings)

    def curves(self, values: NDArray[Any], places: Indices) -> NDArray[Any]:
        """Return the samples ``(n, n_places)`` of some voxels."""
        along = np.moveaxis(values, self.axis, 0)
        along = along if self.kept.all() else along[self.kept]
        size = int(np.prod(self.grid))
        if places.size == size:
            return along.reshape(len(along), size)
        where: tuple[Any, ...] = (slice(None), *np.unravel_index(places, self.grid))
        chosen: NDArray[Any] = along[where]
        return chosen

    def problem(self, places: Indices, starts: Floats | None = None) -> Problem:
        """Return the problem of some voxels.

        Parameters
        ----------
        starts : array, ``(n_params, n_places)``, optional
            Of all parameters of `model`, where the caller of `fit_voxels` gave none; NaN where they are to be guessed.
            They are moved inside the bounds.

        Raises
        ------
        FitInputError
            If too few samples are selected.
        """
        problem = Problem.build(
            self.fitted,
            (self.x,),
            self.curves(self.stack, places),
            weights=None if self.weights is None else self.curves(self.weights, places),
            shift=None if self.shifts is None else self.curves(self.shifts, places),
            options=self.settings.options,
            **self.parameter_settings.at(places),
        )
        length = self.kept.size
        if problem.n_samples < min(length, len(problem.free)):
            raise FitInputError(
                f"{problem.n_samples} of {length} samples are selected, which is too few for the {len(problem.free)} "
                f"free parameters of {self.model.name!r}; leave more samples, or fix a parameter"
            )
        if starts is None:
            return problem
        rows = [self.model.index(name) for name in self.fitted.names]
        wanted = np.clip(starts[rows], problem.lower, problem.upper)
        return replace(problem, start=np.where(np.isnan(problem.start), wanted, problem.start))

    def steps(
        self,
        places: Indices,
        source: Source,
        starts: Floats | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Run:
        """Fit some voxels; the result is on the grid ``(n_places,)``, in their order."""
        every, refused = np.arange(places.size), self.refused
        own = None if refused is None else refused[places]
        good = usable(every, own)
        starts = starts if starts is None or own is None else starts[:, good]
        again = self._again(guessed=starts is None)
        jobs = [Job(self.problem(places[good], starts), good, again=again)] if good.size else []
        return self._run(jobs, every, (places.size,), source, own, should_stop)

    def all_steps(self, source: Source, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit all voxels; the result is on the grid."""
        good = usable(self.places, self.refused)
        jobs = [Job(self.problem(good), good, again=self._again())] if good.size else []
        return self._run(jobs, self.places, self.grid, source, self.refused, should_stop)

    def _again(self, *, guessed: bool = True) -> Again | None:
        """Return what is done with fitted curves.

        The parts of a result in order, or another start where a guess misleads.
        """
        init = self.parameter_settings.init
        if has_parts(self.fitted) and not {FAST, SLOW, FRACTION} & init.keys():
            return iter_in_order
        wanted = guessed and needs_second_start(self.fitted, self.parameter_settings.bounds, init)
        return iter_second_start if wanted else None

    def _run(
        self,
        jobs: list[Job],
        places: Indices,
        grid: tuple[int, ...],
        source: Source,
        refused: Numbers | None,
        should_stop: Callable[[], bool] | None,
    ) -> Run:
        # some of the voxels, as a first look or another try, are a piece of the whole
        settings = replace(self.settings, requested=self.settings.requested or self.places.size)
        return run(
            jobs, grid, places, self.model, source, settings, self.ties, refused=refused, should_stop=should_stop
        )


def solution_rows(result: FitResult) -> Floats:
    """Return the end of each fit, ``(n_params, n_fits)``."""
    return np.stack([np.asarray(result.solution[name]).ravel() for name in result.model.names])
