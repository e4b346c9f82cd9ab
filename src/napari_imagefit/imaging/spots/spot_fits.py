"""`fit_spots`: one surface in a small window around each of many points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.types import Bounds, DType, Loss, Noise, Values
from ...engine.core.validation import real_array
from ...engine.drive.problem import check_noise
from ...engine.models.expression import term
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ...engine.sums.camera import Camera
from ..fitting.callbacks import checked_progress, checked_stop
from ..fitting.chunks import is_dask
from ..fitting.positions import find_positions
from ..fitting.run import Run, Settings, Wishes, drain, run
from .background import Background, background_of, surface_of, with_background
from .group_problems import iter_group_jobs, usable_windows
from .grouping import check_groups, find_groups
from .masks import check_saturation, unsaturated, with_mask
from .problems import counted_once, in_image, iter_jobs, moved_to_windows
from .source import SpotSource
from .windows import Windows, find_windows


def iter_fit_spots(
    image: ArrayLike,
    points: ArrayLike,
    model: str | Model,
    *,
    window: int | Sequence[int] = 11,
    background: Background = "constant",
    groups: int | None = None,
    mask: ArrayLike | None = None,
    saturation: float | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`fit_spots` as a generator: it yields `Progress` several times a second and returns the `FitResult`."""
    if is_dask(image):
        from ..chunked.iterate import iter_fit_lazily
        from ..chunked.spot_plan import SpotPlan

        plan = SpotPlan.of(
            image,
            points,
            model,
            window=window,
            background=background,
            groups=groups,
            mask=mask,
            saturation=saturation,
            settings=settings,
        )
        return iter_fit_lazily(image, plan, should_stop)
    model = with_background(models.find(model), background)
    data = real_array(image, "the image")
    check_surface(model, data.ndim)
    most = check_groups(groups)
    windows, used = with_mask(find_windows(points, data.shape, model.ndim, window), mask, most)
    return iter_fit_windows(
        data,
        windows,
        model,
        mask=used,
        saturation=check_saturation(saturation),
        settings=settings or Settings(),
        most=most,
        should_stop=should_stop,
    )


def iter_fit_windows(
    data: NDArray[Any],
    windows: Windows,
    model: Model,
    *,
    mask: NDArray[np.bool_] | None,
    saturation: float | None = None,
    settings: Settings,
    most: int = 1,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Fit windows of an image, or of the part of it that `data` and `mask` are."""
    fitted, ties = settings.model(model)
    every = np.arange(windows.count)
    wishes = Wishes.of(fitted, (windows.count,), every, settings)
    source = SpotSource(
        settings.level(data),
        unsaturated(data, saturation, mask),
        windows,
        moved_positions(model, settings),
        settings.options,
        settings.recipe(),
        asked_of(model, most, saturation),
    )
    if most > 1:
        check_groupable(model, settings)
        source = replace(source, groups=find_groups(windows, most, usable_windows(source, len(model.names))))
    weights, shifts = settings.noise(data.shape)
    noise = settings.options.noise
    refuses_negative = noise == "rician" or (noise == "poisson" and shifts is None)
    if refuses_negative and (source.image < 0).any():
        for rows, is_cut in windows.portions():
            check_noise(noise, source.samples(rows, padded=is_cut), weights, shifts)
    parts = (source.samples(rows, padded=is_cut) for rows, is_cut in windows.portions())
    settings.check_camera(source.image, parts)
    moved = moved_to_windows(wishes, source)
    if source.groups is None:
        jobs = iter_jobs(source, fitted, moved, weights, shifts, together=bool(settings.shared))
    else:
        jobs = iter_group_jobs(source, fitted, moved, weights, shifts, source.groups)
    steps = run(jobs, (windows.count,), every, model, source, settings, ties, should_stop=should_stop)
    return _in_image(steps, source, wishes)


def _in_image(steps: Run, source: SpotSource, wishes: Wishes) -> Run:
    result = yield from counted_once(steps, source.windows.count)
    return in_image(result, source, wishes)


def check_surface(model: Model, n_axes: int) -> None:
    """Refuse models that do not go with an image of so many axes."""
    if model.ndim < 2:
        raise FitInputError(f"model {model.name!r} is a curve; fit_spots takes surfaces, use fit_voxels for curves")
    if n_axes < model.ndim:
        raise FitInputError(
            f"the image has {n_axes} axes, but model {model.name!r} needs {model.ndim}; give an image with as many"
        )


def asked_of(model: Model, most: int = 1, saturation: float | None = None) -> dict[str, Any]:
    """What a recipe says of a surface on its own background, of spots in groups, and of saturated pixels."""
    said: dict[str, Any] = {"groups": most} if most > 1 else {}
    if saturation is not None:
        said["saturation"] = saturation
    if (background := background_of(model)) != "constant":
        said |= {"model": surface_of(model).name, "background": background}
    return said


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
    """The parameters that are counted from the middle of each window."""
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


def fit_spots(
    image: ArrayLike,
    points: ArrayLike,
    model: str | Model,
    *,
    window: int | Sequence[int] = 11,
    background: Background = "constant",
    groups: int | None = None,
    mask: ArrayLike | None = None,
    saturation: float | None = None,
    init: Values | None = None,
    bounds: Bounds | None = None,
    fixed: Values | None = None,
    tied: Mapping[str, str] | None = None,
    sigma: ArrayLike | None = None,
    noise: Noise | Camera = "gaussian",
    loss: Loss = "linear",
    f_scale: float = 1.0,
    shared: Sequence[str] = (),
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    max_iterations: int = 100,
    device: str | None = None,
    dtype: DType | None = None,
    progress: Callable[[int, int], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Fit one surface in a small window around each of many points.

    Minimises ½Σ((data − model)/σ)² within the bounds by a trust-region method, or a robust loss of the residuals, or
    the deviance of counts or magnitudes.

    Parameters
    ----------
    image : array, ``(*frames, Y, X)``, or ``(*frames, Z, Y, X)`` for a 3-D model
        Any real dtype. Pixels that are NaN or infinite are left out, and counted in ``n_left_out``. Of a Dask array the
        result is lazy: Dask arrays, and the spots of each chunk are fitted when Dask computes them.
    points : array, ``(N, image.ndim)``
        In pixel indices, the frame first. They need not be whole numbers: a window lies around the nearest pixel.
    model : str or Model
        Such as ``"gaussian_2d"``; see `napari_imagefit.models`.
    window : int or sequence of int
        Pixels of a window along each axis of the model, odd: ``11``, or ``(7, 11, 11)``. A window that the edge cuts is
        fitted on the pixels that it has.
    background : {"constant", "sloping"}
        Whether the model's own constant ``offset`` is all, or the background slopes: then the parameters ``slope_y``,
        ``slope_x`` (and ``slope_z``) come after the model's, and ``offset`` is the background at the spot's centre.
    groups : int, optional
        Spots whose windows overlap are fitted together, on the pixels of all their windows and one background, the
        nearest first and at most so many in one fit. Status, χ² and ``n_used`` are the group's, and starts, bounds and
        values of ``offset`` those of its first spot. A spot that still has one of another group in its window has
        `Flag.NEIGHBOUR_OVERLAP`, as have those of a group that came to no answer: they are fitted one by one.
    mask : boolean array, optional
        The pixels to use, of the plane's or the image's shape, or of shape ``(N, *window)`` for each window by itself
        (not with `groups`). Others in a window are counted in ``n_left_out``.
    saturation : float, optional
        Pixels at or above it are left out, as those that a mask leaves out are.
    init, bounds, fixed : dict, optional
        As in `fit_image`; arrays have one value per point. Positions are pixel indices of the image, and not bounded
        unless you say so: one that leaves its window has `Flag.CENTRE_OUTSIDE`.
    sigma : array, optional
        Standard deviations of the data, broadcastable to the image. Standard errors are then absolute, otherwise scaled
        by √(reduced χ²).
    tied, noise, loss, f_scale, shared
        As in `fit_image`.
    ftol, xtol, gtol, max_iterations, dtype, device
        See `Options`.
    progress, should_stop : callable, optional
        As in `fit_image`.

    Returns
    -------
    FitResult
        On the grid ``(N,)``, in the order of the points. ``fitted()`` and ``residual()`` are of shape
        ``(N, *window)``, NaN outside of the image and the mask.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = sum(9 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5) for cy, cx in [(10.2, 8.7), (1.1, 30.4)]) + 2
    >>> result = fit_spots(image, [[10, 9], [1, 30]], "gaussian_2d", window=9)
    >>> np.column_stack([result.params["y"], result.params["x"], result.params["sigma"]]).round(5)
    array([[10.2,  8.7,  1.5],
           [ 1.1, 30.4,  1.5]])
    """
    settings = Settings.of(
        init=init,
        bounds=bounds,
        fixed=fixed,
        tied=tied,
        shared=shared,
        sigma=sigma,
        noise=noise,
        loss=loss,
        f_scale=f_scale,
        ftol=ftol,
        xtol=xtol,
        gtol=gtol,
        max_iterations=max_iterations,
        device=device,
        dtype=dtype,
    )
    where: dict[str, Any] = {
        "window": window,
        "background": background,
        "groups": groups,
        "mask": mask,
        "saturation": saturation,
        "settings": settings,
    }
    if is_dask(image):
        from ..chunked.dask_entry import lazy_fit_spots
        from ..chunked.spot_plan import SpotPlan

        return lazy_fit_spots(image, SpotPlan.of(image, points, model, **where), progress, should_stop)
    progress, should_stop = checked_progress(progress), checked_stop(should_stop)
    return drain(iter_fit_spots(image, points, model, should_stop=should_stop, **where), progress)
