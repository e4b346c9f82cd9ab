"""Fit one surface in a small window around each of many points of an image in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalogue import models
from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.validation import real_array
from ...engine.drive.problem import check_noise
from ...engine.functions.expression import term
from ...engine.models.model import Model
from ..fitting.argument_checks import check_surface
from ..fitting.positions import find_positions
from ..fitting.refusals import joined, usable
from ..fitting.run import ParameterSettings, Run, Settings, run
from ..fitting.sigma import marks_of_sigma, refused_by_sigma
from ..requests.json_fields import number
from ..requests.python_script import Script
from ..requests.request import Request
from .background import Background, background_of, surface_of, with_background
from .group_problems import iter_group_jobs, usable_windows
from .grouping import check_groups, find_groups
from .masks import check_saturation, unsaturated, with_mask
from .problems import counted_once, in_image, iter_jobs, moved_to_windows
from .source import SpotSource
from .windows import Windows, find_windows


@dataclass(frozen=True, eq=False)
class SpotRequest(Request):
    """Arguments of `fit_spots` but for the image: those of these names, and all others as settings.

    Points are positions in pixels, with frames first. Each gets a window of `window` pixels, in which one surface is
    fitted; with `groups`, spots whose windows overlap are fitted together, that many at most. `mask` and `saturation`
    leave pixels out. `steps` checks all of it against an image and fits; `chunked.spot_plan` does the same for a Dask
    array.

    Raises
    ------
    FitInputError
        If `groups` or `saturation` is no number that can be used.
    """

    verb: ClassVar[str] = "fit_spots"
    # which spots count, by the filters, is for whoever reads the table: the fit is the same
    own_fields: ClassVar[set[str]] = {"window", "background", "groups", "saturation", "filters"}

    points: ArrayLike = ()  # only where they are not known yet
    window: int | Sequence[int] = 11
    background: Background = "constant"
    groups: int | None = None
    mask: ArrayLike | None = None
    saturation: float | None = None

    def __post_init__(self) -> None:
        most = check_groups(self.groups)
        object.__setattr__(self, "groups", most if most > 1 else None)
        object.__setattr__(self, "saturation", check_saturation(self.saturation))

    @unheeded
    def steps(self, image: ArrayLike, should_stop: Callable[[], bool] | None = None) -> Run:
        """Fit an image in memory; the generator yields `Progress` and returns the `FitResult`.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        model = with_background(self.model, self.background)
        data = real_array(image, "the image")
        check_surface(model, data.ndim, "fit_spots")
        windows = find_windows(self.points, data.shape, model.ndim, self.window)
        windows, used = with_mask(windows, self.mask, self.groups or 1)
        return iter_fit_windows(data, windows, used, replace(self, window=windows.size), should_stop)

    def _own(self) -> dict[str, Any]:
        said: dict[str, Any] = {"window": self.window}
        if self.groups is not None:
            said["groups"] = self.groups
        if self.mask is not None:
            # an array is not written down, but that there was one
            said["mask"] = "array"
        if self.saturation is not None:
            said["saturation"] = self.saturation
        model = with_background(self.model, self.background)
        if (background := background_of(model)) != "constant":
            said |= {"model": surface_of(model).name, "background": background}
        return said

    @classmethod
    def _own_of(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        window, saturation = said.get("window", 11), said.get("saturation")
        sizes = window if isinstance(window, list) else [window]
        if not sizes or any(isinstance(size, bool) or not isinstance(size, int) for size in sizes):
            raise FitInputError(
                f"window in the recipe is {window!r}; give an odd number of pixels, or one for each axis"
            )
        return {
            "window": window,
            "background": said.get("background", "constant"),
            "groups": said.get("groups"),
            "saturation": None if saturation is None else number(saturation, "saturation"),
        }

    def _own_in(self, script: Script) -> dict[str, str]:
        own = {"points": script.value("points", np.asarray(self.points)), "window": repr(self.window)}
        if self.background != "constant":
            own["background"] = repr(self.background)
        if self.groups is not None:
            own["groups"] = repr(self.groups)
        if self.saturation is not None:
            own["saturation"] = repr(self.saturation)
        if self.mask is not None:
            own["mask"] = f"~{script.mask('not_counted', ~np.asarray(self.mask))}"
        return own


@unheeded
def iter_fit_windows(
    data: NDArray[Any],
    windows: Windows,
    mask: NDArray[np.bool_] | None,
    request: SpotRequest,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Fit windows of an image, or of the part of it that `data` and `mask` are, as a request says."""
    model, settings = with_background(request.model, request.background), request.settings
    weights, shifts = settings.noise(data.shape)
    fitted, ties = settings.model(model)
    every = np.arange(windows.count)
    parameter_settings = ParameterSettings.of(fitted, (windows.count,), every, settings)
    source = SpotSource(
        settings.level(data),
        unsaturated(data, request.saturation, mask),
        windows,
        moved_positions(model, settings),
        request,
        given=mask,
    )
    marks = marks_of_sigma(settings.sigma, data.shape)
    refused = joined(parameter_settings.refused, None if marks is None else _bad_sigma(source, marks))
    good = usable(every, refused)
    if request.groups is not None:
        check_groupable(model, settings)
        fitted_together = usable_windows(source, len(model.names)) & np.isin(every, good)
        source = replace(source, groups=find_groups(windows, request.groups, fitted_together))
    noise = settings.options.noise
    refuses_negative = noise == "rician" or (noise == "poisson" and shifts is None)
    if refuses_negative and (source.image < 0).any():
        for rows, is_cut in windows.portions():
            check_noise(noise, source.samples(rows, padded=is_cut), weights, shifts)
    parts = (source.samples(rows, padded=is_cut) for rows, is_cut in windows.portions())
    settings.check_camera(source.image, parts)
    moved = moved_to_windows(parameter_settings, source)
    if source.groups is None:
        jobs = iter_jobs(source, fitted, moved, weights, shifts, together=bool(settings.shared), some=good)
    else:
        jobs = iter_group_jobs(source, fitted, moved, weights, shifts, source.groups, good)
    steps = run(jobs, (windows.count,), every, model, source, settings, ties, refused=refused, should_stop=should_stop)
    return _in_image(steps, source, parameter_settings)


def _bad_sigma(source: SpotSource, marks: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Spots whose σ cannot be used, by marks of the image's shape."""
    found = np.zeros(source.windows.count, bool)
    for rows, is_cut in source.windows.portions():
        counted = np.isfinite(source.samples(rows, padded=is_cut))
        found[rows] = refused_by_sigma(source.windows.gather(marks, rows).T, counted.T)
    return found


def _in_image(steps: Run, source: SpotSource, parameter_settings: ParameterSettings) -> Run:
    result = yield from counted_once(steps, source.windows.count)
    return in_image(result, source, parameter_settings)


def check_groupable(model: Model, settings: Settings) -> None:
    """Refuse to fit together what has no place, or is bound to something else.

    Raises
    ------
    FitInputError
    """
    if not find_positions(model):
        raise FitInputError(f"model {model.name!r} has no position, which spots that are fitted together need")
    if settings.tied or settings.shared:
        raise FitInputError("spots that are fitted together have nothing tied or shared; leave groups out, or those")


def moved_positions(model: Model, settings: Settings) -> tuple[str, ...]:
    """Return the parameters that are counted from the middle of each window."""
    return find_positions(model) if _can_be_moved(model, settings) else ()


def _can_be_moved(model: Model, settings: Settings) -> bool:
    """Whether moving the coordinates does no more than move the positions.

    It does so for models of the catalogue that have a position along each axis, and no tie or other window to them.
    """
    involved = {*settings.shared, *(settings.tied or ())}
    for text in (settings.tied or {}).values():
        involved.update(term(text)[0])
    positions = find_positions(model)
    return bool(positions) and surface_of(model) in models.values() and involved.isdisjoint(positions)
