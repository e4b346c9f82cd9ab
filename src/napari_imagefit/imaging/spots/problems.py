"""Problems of spots, window by window, and their results in the coordinates of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.columns import Columns
from ...engine.core.status import Flag
from ...engine.core.types import Floats
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ..fitting.positions import find_positions
from ..fitting.run import Job, ParameterSettings, Run
from .source import SpotSource


def moved_to_windows(parameter_settings: ParameterSettings, source: SpotSource) -> ParameterSettings:
    """ParameterSettings for positions counted as the coordinates are."""

    def move(name: str, value: ArrayLike) -> ArrayLike:
        return np.asarray(value) - source.origin(name) if name in source.positions else value

    return ParameterSettings(
        {name: move(name, value) for name, value in parameter_settings.init.items()},
        {name: (move(name, low), move(name, high)) for name, (low, high) in parameter_settings.bounds.items()},
        {name: move(name, value) for name, value in parameter_settings.fixed.items()},
        parameter_settings.refused,
    )


def iter_jobs(
    source: SpotSource,
    model: Model,
    parameter_settings: ParameterSettings,
    weights: Floats | None,
    shifts: Floats | None,
    *,
    together: bool,
    some: NDArray[np.intp],
) -> Iterator[Job]:
    """One problem for some spots, whose windows are gathered when their turn comes; none where there are none.

    All have as many samples, so that one program fits them: pixels that the image does not have are NaN.
    """
    windows = source.windows
    every = np.sort(some)
    if not every.size:
        return
    # whole ones are gathered more quickly, and want no NaN
    places = every if together else every[np.argsort(windows.is_cut[every], kind="stable")]
    if places.size == 1 and not together:
        # a column by itself would be taken for one that all fits share, in a program of its own: it is fitted twice
        places = np.repeat(places, 2)

    def table(of_some: Callable[[NDArray[np.intp], bool], NDArray[Any]]) -> Columns:
        def make(positions: NDArray[np.intp]) -> NDArray[Any]:
            rows = places[positions]
            return of_some(rows, bool(windows.is_cut[rows].any())).T

        return Columns((windows.n_samples, places.size), make)

    def coordinate(axis: int) -> Columns:
        return table(lambda rows, _: source.coords(rows)[axis].T)

    def gathered(array: Floats | None) -> Floats | Columns | None:
        if array is None:
            return None
        if not any(array.strides):
            return np.full((windows.n_samples, 1), array.flat[0])

        def of_some(rows: NDArray[np.intp], padded: bool) -> Floats:
            values = windows.gather(array, rows)
            # pixels outside are wanted, so that they count as left out, from which they are subtracted in the end
            return np.where(windows.inside(rows), values, 1.0) if padded else values

        return table(of_some)

    problem = Problem.build(
        model,
        windows.offsets() if source.positions else tuple(map(coordinate, range(model.ndim))),
        table(lambda rows, padded: source.samples(rows, padded=padded)),
        weights=gathered(weights),
        shift=gathered(shifts),
        options=source.settings.options,
        plane=windows.size,
        **parameter_settings.at(places),
    )
    yield Job(problem, places)


def counted_once(steps: Run, total: int) -> Run:
    """Progress that counts no spot twice."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: FitResult = end.value
            return result
        yield replace(step, done=min(step.done, total), total=total)


def in_image(result: FitResult, source: SpotSource, parameter_settings: ParameterSettings) -> FitResult:
    """Return the result with positions in pixel indices of the image, and what is to be remarked on the windows."""
    windows = source.windows

    def absolute(values: Mapping[str, Floats]) -> dict[str, Floats]:
        moved = dict(values)
        for name in source.positions:
            position = moved[name] + source.origin(name)
            # rounding may not lead out of bounds, nor change what was fixed
            position = np.clip(position, *parameter_settings.bounds.get(name, (-np.inf, np.inf)))
            fixed = parameter_settings.fixed.get(name, position)
            moved[name] = np.where(np.isfinite(position), fixed, np.nan)
        return moved

    params = absolute(result.params)
    outside = np.zeros(windows.count, bool)
    for name, first, last in zip(find_positions(result.model), *(limit.T for limit in windows.limits), strict=False):
        with np.errstate(invalid="ignore"):
            outside |= (params[name] < first) | (params[name] > last)
    # fits that were not started have no excluded samples
    begun = result.n_left_out + result.n_used > 0
    n_left_out = result.n_left_out - np.where(begun, windows.n_outside, 0)
    flags = result.flags & ~np.where(n_left_out == 0, np.uint16(Flag.MASKED_SAMPLES), np.uint16(0))
    for flag, where in (
        (Flag.CENTRE_OUTSIDE, outside),
        (Flag.CUT_BY_EDGE, windows.is_cut),
        (Flag.NEIGHBOUR_OVERLAP, windows.have_neighbours() if source.groups is None else source.groups.parted),
    ):
        flags |= np.where(where, np.uint16(flag), np.uint16(0))
    return replace(
        result,
        params=params,
        solution=absolute(result.solution),
        start=absolute(result.start),
        n_left_out=n_left_out,
        flags=flags,
    )
