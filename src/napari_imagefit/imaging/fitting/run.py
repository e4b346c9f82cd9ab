"""Common run of the verbs: a list of problems, fitted one after the other into one result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.device import device_name
from ...engine.core.errors import FitInputError
from ...engine.core.fits import Fits
from ...engine.core.options import Options
from ...engine.core.progress import Progress
from ...engine.core.refusal import renumbered
from ...engine.core.status import Status
from ...engine.core.types import Bounds, DType, Noise, Values
from ...engine.core.validation import float_array
from ...engine.drive.parameter_arrays import check_parameters
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ...engine.models.ties import Ties
from ...engine.noise.camera import Camera
from ...engine.results.fit_result import FitResult, Source
from .chunks import is_dask
from .positions import flag_centres
from .refusals import Numbers, refused_by_settings
from .sigma import as_weights

Run = Generator[Progress, None, FitResult]
Again = Callable[[Problem, Fits, Callable[[], bool] | None], Generator[Progress, None, Fits]]

# Progress is reported so often, and a fit in a worker thread can be cancelled.
SECONDS_BETWEEN = 0.1


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of a fit that all verbs have, beside data and model; see `fit_image`.

    They are frozen, and checked as far as that goes without data: a request holds them, chunks take their part of them,
    recipes store them and a result keeps them. Starts, bounds and fixed values are numbers, or arrays that broadcast to
    the grid of fits. Settings by parameter name are copied, so that changing an array afterwards does not change what
    the result says; like the data, `sigma` and a camera's arrays are not.
    """

    init: Values | None = None
    bounds: Bounds | None = None
    fixed: Values | None = None
    tied: Mapping[str, str] | None = None
    shared: Sequence[str] = ()
    sigma: ArrayLike | None = None
    camera: Camera | None = None
    options: Options = field(default_factory=Options)
    # how many fits the request has of which these are a piece; 0: these are all
    requested: int = 0

    @classmethod
    def of(cls, *, noise: Noise | Camera = "gaussian", dtype: DType | None = None, **arguments: Any) -> Settings:
        """Return the settings from the keyword arguments of a verb.

        Raises
        ------
        FitInputError
            If they make no sense, alone or together.
        """
        camera = noise if isinstance(noise, Camera) else None
        names = {f.name for f in fields(Options)}
        options = Options(
            noise="poisson" if camera is not None else noise,  # type: ignore[arg-type]
            dtype=dtype or "float64",
            **{name: arguments.pop(name) for name in names & arguments.keys()},
        )
        settings = cls(camera=camera, options=options, **arguments)
        if settings.sigma is not None and options.noise == "poisson":
            raise FitInputError(
                "sigma and noise='poisson' (or a camera) both say how large the noise is; leave one of them out"
            )
        if options.noise == "rician" and settings.sigma is None:
            raise FitInputError(
                "noise='rician' needs sigma, the noise of one channel; give it (where there is no signal, the root of "
                "half the mean of the squared data)"
            )
        return settings

    def __post_init__(self) -> None:
        if isinstance(self.shared, str) or not isinstance(self.shared, Sequence):
            raise FitInputError(f"shared is {self.shared!r}; give a list of parameter names")
        for name in ("init", "bounds", "fixed", "tied"):
            object.__setattr__(self, name, _kept(getattr(self, name)))

    def model(self, model: Model) -> tuple[Model, Ties | None]:
        """Return the model to fit, and what makes the whole one of it where parameters are tied.

        Raises
        ------
        FitInputError
            If a tied parameter also has a start, bounds or a value, or an expression cannot be used.
        """
        if not self.tied:
            return model, None
        if not isinstance(self.tied, Mapping):
            raise FitInputError(f"tied is {self.tied!r}; give a dict of expressions by parameter name")
        for what, given in (("a start", self.init), ("bounds", self.bounds), ("a fixed value", self.fixed)):
            for name in set(given or ()) & set(self.tied):
                raise FitInputError(f"{name!r} is tied and also has {what}; give one or the other")
        for name in set(self.shared) & set(self.tied):
            raise FitInputError(f"{name!r} is tied and also shared; give one or the other")
        ties = Ties.of(model, self.tied)
        return ties.model, ties

    def level(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return data with the differences between a camera's pixels taken out."""
        return data if self.camera is None else self.camera.level(data)

    def check_camera(self, data: NDArray[Any], samples: Iterable[NDArray[Any]]) -> None:
        """Refuse data that cannot be a camera's, see `Camera.check`; `samples` are those of the data that are fitted.

        A piece of a request may be filled with zeros as a whole: what it has is flagged fit by fit.
        """
        if self.camera is not None and not self.requested and not self.camera.may_have_made(data):
            self.camera.check(samples)

    def noise(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Weights and shifts in the data's shape; see `Problem`."""
        if self.camera is not None:
            return self.camera.counts(shape)
        return as_weights(self.sigma, shape, alone=not self.is_piece), None

    @property
    def is_piece(self) -> bool:
        """Whether these fits are a piece of a request, which what is wrong with all of them does not stop."""
        return self.requested > 0

    @property
    def knows_noise(self) -> bool:
        """Whether standard errors are absolute."""
        return self.sigma is not None or self.options.noise == "poisson"

    def recipe(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        said: dict[str, Any] = {name: getattr(self, name) or {} for name in ("init", "bounds", "fixed")}
        if self.tied:
            said["tied"] = dict(self.tied)
        if self.shared:
            said["shared"] = list(self.shared)
        if self.camera is not None:
            said["camera"] = self.camera.recipe()
        if self.sigma is not None:
            # an array is not written down, but that there was one
            said["sigma"] = float(np.asarray(self.sigma)) if np.ndim(self.sigma) == 0 else "array"
        return plain(said | {"options": vars(self.options)})


@dataclass(frozen=True)
class Job:
    """A problem, and the flat positions of its fits on the grid."""

    problem: Problem
    places: NDArray[np.intp]
    # what is to be tried for fits that a first start has led astray
    again: Again | None = field(default=None, kw_only=True)

    def apart(self, fits: Fits) -> Iterable[tuple[NDArray[np.intp], Fits]]:
        """Return what goes where on the grid."""
        return [(self.places, fits)]


@dataclass(frozen=True)
class ParameterSettings:
    """Settings of the parameters: by name, a number or an array that broadcasts to the grid of fits.

    `refused` marks which of it cannot be used in which fit of the flat grid; these are not to be fitted, and what they
    hold is another's.
    """

    init: Values
    bounds: Bounds
    fixed: Values
    refused: Numbers | None = None

    @classmethod
    def of(cls, model: Model, grid: tuple[int, ...], places: NDArray[np.intp], settings: Settings) -> ParameterSettings:
        """Broadcast everything to the grid, flat; numbers stay numbers. It is checked for the fits at `places`.

        Raises
        ------
        FitInputError
            As `Problem.build` does for numbers, and for arrays of which no fit can use its value; and if an array does
            not broadcast.
        """
        init, bounds, fixed = settings.init, settings.bounds, settings.fixed
        for what, said in (("init", init), ("bounds", bounds), ("fixed", fixed)):
            if said is not None and not isinstance(said, Mapping):
                raise FitInputError(f"{what} is {said!r}; give a dict by parameter name")
        wanted = cls(
            {name: _flat(name, value, grid) for name, value in (init or {}).items()},
            {name: _flat_pair(name, value, grid) for name, value in (bounds or {}).items()},
            {name: _flat(name, value, grid) for name, value in (fixed or {}).items()},
        )
        counts = settings.options.noise == "poisson"
        refused = refused_by_settings(model, **wanted.at(places), counts=counts, n_fits=places.size)
        if refused is None or (refused.all() and not settings.is_piece):
            check_parameters(model, **wanted.at(places), n_fits=places.size, counts=counts)
        if refused is None:
            return wanted
        everywhere = np.zeros(int(np.prod(grid)), np.uint16)
        everywhere[places] = refused
        if refused.all():
            return cls({}, {}, {}, everywhere)
        mended = wanted._mended(everywhere, int(places[np.argmin(refused)]))
        check_parameters(model, **mended.at(places), n_fits=places.size, counts=counts)
        return mended

    def _mended(self, refused: Numbers, other: int) -> ParameterSettings:
        """Replace the values of a fit that is refused by another fit's."""

        def mend(value: ArrayLike) -> ArrayLike:
            if np.ndim(value) == 0:
                return value
            array = np.asarray(value)
            return np.where(refused > 0, array[other], array)

        return ParameterSettings(
            {name: mend(value) for name, value in self.init.items()},
            {name: (mend(low), mend(high)) for name, (low, high) in self.bounds.items()},
            {name: mend(value) for name, value in self.fixed.items()},
            refused,
        )

    def at(self, places: NDArray[np.intp]) -> dict[str, Any]:
        """Return the settings for these positions on the grid, as arguments of `Problem.build`."""

        def pick(value: ArrayLike) -> ArrayLike:
            return value if np.ndim(value) == 0 else np.asarray(value)[places]

        return {
            "init": {name: pick(value) for name, value in self.init.items()},
            "bounds": {name: (pick(low), pick(high)) for name, (low, high) in self.bounds.items()},
            "fixed": {name: pick(value) for name, value in self.fixed.items()},
        }


def _kept(said: Any) -> Any:
    """Return a copy of dicts, lists and arrays, which stays as it is; what is a copy already is taken as it is."""
    if isinstance(said, Mapping):
        return {name: _kept(value) for name, value in said.items()}
    if isinstance(said, (list, tuple)):
        return type(said)(map(_kept, said)) if type(said) in (list, tuple) else said
    if isinstance(said, np.ndarray) and said.flags.writeable:
        said = said.copy()
        said.flags.writeable = False
    return said


def _flat(name: str, value: ArrayLike, grid: tuple[int, ...]) -> ArrayLike:
    """Return a number as it is, an array broadcast to the grid and flat."""
    array = float_array(value, f"what was given for {name!r}, {value!r},")
    if array.ndim == 0:
        return float(array)
    try:
        return np.broadcast_to(array, grid).reshape(-1)
    except ValueError:
        raise FitInputError(
            f"the values given for {name!r} have shape {array.shape}, which does not broadcast to the "
            f"grid of fits {grid}; give one number or one value per fit"
        ) from None


def _flat_pair(name: str, value: Any, grid: tuple[int, ...]) -> tuple[ArrayLike, ArrayLike]:
    if not isinstance(value, Sequence) or len(value) != 2:
        raise FitInputError(f"bounds of {name!r} are {value!r}; give (lower, upper)")
    return _flat(name, value[0], grid), _flat(name, value[1], grid)


def run(
    jobs: Iterable[Job],
    grid: tuple[int, ...],
    places: NDArray[np.intp],
    model: Model,
    source: Source,
    settings: Settings,
    ties: Ties | None = None,
    *,
    refused: Numbers | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Run all jobs, which fill these positions of the grid; yields the progress of all and returns the result.

    `model` is the one that the result is about; with `ties` the jobs are about its parameters that are not tied. Fits
    that are `refused`, of which there is no job, are told so.
    """
    begun = time.perf_counter()
    n_params, size = len((ties.model if ties else model).names), int(np.prod(grid))
    fits: Fits | None = None

    def blank() -> Fits:
        found = Fits.blank(n_params, size, Status.NOT_FITTED)
        found.status[places] = Status.STOPPED
        return found

    total, told = places.size, -SECONDS_BETWEEN
    done = 0 if refused is None else int(np.count_nonzero(refused[places]))
    for job in jobs:
        # a fit may fill several positions
        of_each = job.places.size // job.problem.n_fits
        problem = replace(job.problem, requested=settings.requested or total)
        if settings.shared:
            from ...engine.shared.joint_fit import iter_fit_shared

            steps = iter_fit_shared(problem, settings.shared, should_stop)
        else:
            steps = _iter_job(replace(job, problem=problem), should_stop)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                flag_centres(job.problem, end.value)
                fits = _with(fits, job.apart(end.value), size, blank)
                break
            now = time.perf_counter()
            # each yield to a window costs it, and the fit, some 20 ms
            if progress.compiling or progress.done == job.problem.n_fits or now - told > SECONDS_BETWEEN:
                told = now
                yield Progress(done + progress.done * of_each, total, progress.compiling)
        done += job.places.size
        if should_stop is not None and should_stop():
            break
    fits = fits or blank()
    fits = ties.expand(fits) if ties else fits
    if refused is not None:
        fits.refused[:] = refused if ties is None else renumbered(refused, ties.kept)
        fits.status[refused > 0] = fits.ended[refused > 0] = Status.BAD_SETTINGS
    return FitResult.on_grid(
        fits,
        grid,
        model,
        source,
        known_sigma=settings.knows_noise,
        criterion=settings.options.criterion,
        seconds=time.perf_counter() - begun,
        device=device_name(settings.options),
    )


def _with(
    fits: Fits | None, parts: Iterable[tuple[NDArray[np.intp], Fits]], size: int, blank: Callable[[], Fits]
) -> Fits | None:
    """Return the fits of the whole grid with those of a job."""
    for where, own in parts:
        if fits is None and where.size == size and (where == np.arange(size)).all():
            # most often it is all there is, which need not be copied
            fits = own
            continue
        fits = fits or blank()
        fits.put(where, own)
    return fits


def _iter_job(job: Job, should_stop: Callable[[], bool] | None) -> Generator[Progress, None, Fits]:
    # only where something is fitted: a window that opens waits for it in vain
    from ...engine.drive.run import iter_fit

    fits = yield from iter_fit(job.problem, should_stop)
    if job.again is None:
        return fits
    return (yield from job.again(job.problem, fits, should_stop))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON: arrays, Dask's loaded, become lists, infinities the texts ``"inf"`` and ``"-inf"``."""

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: convert(v) for key, v in value.items()}
        if is_dask(value):
            value = np.asarray(value)
        if isinstance(value, np.ndarray):
            # one start for each of a million fits is a long list
            if value.dtype.kind in "biu" or (value.dtype.kind == "f" and np.isfinite(value).all()):
                return value.tolist()
            value = value.tolist()
        if isinstance(value, (tuple, list)):
            return [convert(v) for v in value]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not np.isfinite(value):
            return str(value)
        return value

    result: dict[str, Any] = convert(values)
    return result
