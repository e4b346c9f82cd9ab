"""What the verbs share: a list of problems, run one after the other into one result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.arrays import float_array
from ..engine.batch import Fits, Progress, device_name, iter_fit
from ..engine.errors import FitInputError
from ..engine.model import Model
from ..engine.problem import Bounds, Options, Problem, Values, check_parameters
from ..engine.result import FitResult, Source
from ..engine.status import Status

Run = Generator[Progress, None, FitResult]


@dataclass(frozen=True)
class Job:
    """A problem, and the flat places of its fits on the grid."""

    problem: Problem
    places: NDArray[np.intp]


@dataclass(frozen=True)
class Wishes:
    """What the caller said of the parameters: by name, a number or an array that broadcasts to the grid of fits."""

    init: Values
    bounds: Bounds
    fixed: Values

    @classmethod
    def of(
        cls,
        model: Model,
        grid: tuple[int, ...],
        places: NDArray[np.intp],
        init: Values | None,
        bounds: Bounds | None,
        fixed: Values | None,
    ) -> Wishes:
        """Broadcast everything to the grid, flat; numbers stay numbers. It is checked for the fits at `places`.

        Raises
        ------
        FitInputError
            As `Problem.build` does, and if an array does not broadcast.
        """

        def flat(name: str, value: ArrayLike) -> ArrayLike:
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

        def pair(name: str, value: Any) -> tuple[ArrayLike, ArrayLike]:
            if not isinstance(value, Sequence) or len(value) != 2:
                raise FitInputError(f"bounds of {name!r} are {value!r}; give (lower, upper)")
            return flat(name, value[0]), flat(name, value[1])

        for what, wishes in (("init", init), ("bounds", bounds), ("fixed", fixed)):
            if wishes is not None and not isinstance(wishes, Mapping):
                raise FitInputError(f"{what} is {wishes!r}; give a dict by parameter name")
        wanted = cls(
            {name: flat(name, value) for name, value in (init or {}).items()},
            {name: pair(name, value) for name, value in (bounds or {}).items()},
            {name: flat(name, value) for name, value in (fixed or {}).items()},
        )
        check_parameters(model, **wanted.at(places), n_fits=places.size)
        return wanted

    def at(self, places: NDArray[np.intp]) -> dict[str, Any]:
        """The wishes for these places on the grid, as arguments of `Problem.build`."""

        def pick(value: ArrayLike) -> ArrayLike:
            return value if np.ndim(value) == 0 else np.asarray(value)[places]

        return {
            "init": {name: pick(value) for name, value in self.init.items()},
            "bounds": {name: (pick(low), pick(high)) for name, (low, high) in self.bounds.items()},
            "fixed": {name: pick(value) for name, value in self.fixed.items()},
        }


def as_weights(sigma: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """1/σ in the data's shape (a view where it can be); 0, which leaves a sample out, where σ is not finite.

    Raises
    ------
    FitInputError
        If σ does not broadcast, or a σ is not positive.
    """
    if sigma is None:
        return None
    values = float_array(sigma, "sigma")
    if (values <= 0).any():
        raise FitInputError(
            f"sigma has the value {values[values <= 0].flat[0]:g}; standard deviations must be positive"
        )
    with np.errstate(divide="ignore"):
        weights = np.where(np.isfinite(values), 1 / values, 0.0)
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise FitInputError(
            f"sigma has shape {values.shape}, which does not broadcast to the data's {shape}; "
            "give one number or one per sample"
        ) from None


def run(
    jobs: Iterable[Job],
    grid: tuple[int, ...],
    places: NDArray[np.intp],
    model: Model,
    source: Source,
    options: Options,
    *,
    known_sigma: bool,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Run all jobs, which fill these places of the grid; yields the progress of all and returns the result."""
    begun = time.perf_counter()
    fits = Fits.blank(len(model.names), int(np.prod(grid)), Status.NOT_FITTED)
    fits.status[places] = Status.STOPPED
    done, total = 0, places.size
    for job in jobs:
        steps = iter_fit(job.problem, should_stop)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                fits.put(job.places, end.value)
                break
            yield Progress(done + progress.done, total, progress.compiling)
        done += job.problem.n_fits
        if should_stop is not None and should_stop():
            break
    return FitResult.on_grid(
        fits,
        grid,
        model,
        source,
        known_sigma=known_sigma or options.noise == "poisson",
        criterion=options.criterion,
        seconds=time.perf_counter() - begun,
        device=device_name(options),
    )


def drain(steps: Run, progress: Callable[[int, int], object] | None = None) -> FitResult:
    """Run a generator to its end and return its result."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: FitResult = end.value
            return result
        if progress is not None:
            progress(step.done, step.total)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as JSON: arrays become lists, infinities the strings ``"inf"`` and ``"-inf"``."""

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: convert(v) for key, v in value.items()}
        if isinstance(value, (tuple, list, np.ndarray)):
            return [convert(v) for v in (value.tolist() if isinstance(value, np.ndarray) else value)]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not np.isfinite(value):
            return str(value)
        return value

    result: dict[str, Any] = convert(values)
    return result
