"""`fit_spots`: one surface in a small window around each of many points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..catalogue import models
from ..engine.arrays import real_array
from ..engine.batch import predict
from ..engine.camera import Camera
from ..engine.criterion import Loss, Noise
from ..engine.errors import FitInputError
from ..engine.expression import term
from ..engine.model import Model
from ..engine.problem import Bounds, DType, Options, Problem, Values, check_counts
from ..engine.result import FitResult, LayerTuple
from ..engine.status import Flag
from .centres import find_positions
from .run import Job, Run, Settings, Wishes, drain, run
from .spot_layers import spot_layers
from .windows import Windows, find_windows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpotSource:
    """How the fits of spots lie in an image; see `napari_imagefit.engine.result.Source`.

    Attributes
    ----------
    image : array
    mask : boolean array of the image's shape, or None
        Which pixels to use.
    windows : Windows
    positions : tuple of str
        The parameters to which each window's middle is added, in the order of the axes: coordinates then count from
        there, and all fits share them. Empty where coordinates are pixel indices of the image.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_] | None
    windows: Windows
    positions: tuple[str, ...]
    options: Options
    wishes: dict[str, Any]

    def coords(self, rows: NDArray[np.intp]) -> tuple[Floats, ...]:
        """Coordinates of some windows, ``(m,)`` or ``(m, n_rows)`` along each axis."""
        return self.windows.offsets() if self.positions else self.windows.coordinates(rows)

    def samples(self, rows: NDArray[np.intp], *, padded: bool) -> NDArray[Any]:
        """The pixels of some windows, ``(n_rows, m)``."""
        return self.windows.samples(self.image, self.mask, rows, padded=padded)

    def origin(self, name: str) -> NDArray[np.intp] | int:
        """From where a parameter is counted in each window: the middle for a position, otherwise 0."""
        return self.windows.centres[:, self.positions.index(name)] if name in self.positions else 0

    def fitted(self, result: FitResult) -> Floats:
        values = np.empty((self.windows.count, self.windows.n_samples))
        params = np.stack([result.solution[name] - self.origin(name) for name in result.model.names])
        for rows, is_cut in self.windows.portions():
            own = predict(result.model, self.coords(rows), params[:, rows], self.options).T
            if is_cut:
                own = np.where(self.windows.inside(rows), own, np.nan)
            if self.mask is not None:
                own = np.where(self.windows.gather(self.mask, rows), own, np.nan)
            values[rows] = own
        return values.reshape(-1, *self.windows.size)

    def residual(self, result: FitResult) -> Floats:
        residual = self.fitted(result)
        flat = residual.reshape(self.windows.count, -1)
        for rows, _ in self.windows.portions():
            flat[rows] = self.windows.gather(self.image, rows) - flat[rows]
        residual[~np.isfinite(residual)] = np.nan
        return residual

    def index_columns(self) -> dict[str, NDArray[Any]]:
        frames, n_axes = self.windows.frames.T, len(self.windows.size)
        names = ["frame"] if len(frames) == 1 else [f"frame_{axis}" for axis in range(len(frames))]
        axes = "zyx"[-n_axes:] if n_axes <= 3 else map(str, range(n_axes))
        points = self.windows.points.T[len(frames) :]
        return dict(zip([*names, *(f"point_{axis}" for axis in axes)], [*frames, *points], strict=True))

    def layers(self, result: FitResult) -> list[LayerTuple]:
        return spot_layers(result, self)

    def recipe(self) -> dict[str, Any]:
        return {"verb": "fit_spots", "window": list(self.windows.size), **self.wishes}


def iter_fit_spots(
    image: ArrayLike,
    points: ArrayLike,
    model: str | Model,
    *,
    window: int | Sequence[int] = 11,
    mask: ArrayLike | None = None,
    settings: Settings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """`fit_spots` as a generator: it yields `Progress` several times a second and returns the `FitResult`."""
    model = models.find(model)
    settings = settings or Settings()
    data = real_array(image, "the image")
    if model.ndim < 2:
        raise FitInputError(f"model {model.name!r} is a curve; fit_spots takes surfaces, use fit_voxels for curves")
    if data.ndim < model.ndim:
        raise FitInputError(
            f"the image has {data.ndim} axes, but model {model.name!r} needs {model.ndim}; give an image with as many"
        )
    windows = find_windows(points, data.shape, model.ndim, window)
    used = _as_mask(mask, data.shape, windows.plane)
    fitted, ties = settings.model(model)
    every = np.arange(windows.count)
    wishes = Wishes.of(fitted, (windows.count,), every, settings)
    positions = find_positions(model) if _can_be_moved(model, settings) else ()
    source = SpotSource(settings.level(data), used, windows, positions, settings.options, settings.recipe())
    weights, shifts = settings.noise(data.shape)
    if settings.options.noise == "poisson" and shifts is None and (source.image < 0).any():
        for rows, is_cut in windows.portions():
            check_counts(source.samples(rows, padded=is_cut))
    jobs = _iter_jobs(source, fitted, _moved(wishes, source), weights, shifts, together=bool(settings.shared))
    steps = run(jobs, (windows.count,), every, model, source, settings, ties, should_stop=should_stop)
    result = yield from _counted(steps, windows.count)
    return _in_image(result, source, wishes)


def _as_mask(mask: ArrayLike | None, shape: tuple[int, ...], plane: tuple[int, ...]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    used = np.asarray(mask)
    if used.shape not in {plane, shape}:
        raise FitInputError(
            f"the mask has shape {used.shape}, the image {shape}; give a mask of the image's plane {plane}, "
            "or one of its full shape"
        )
    if used.dtype != bool:
        raise FitInputError(f"the mask has type {used.dtype}; give a boolean one, True for each pixel to use")
    if not used.any():
        raise FitInputError("the mask selects no pixel; set at least one")
    return np.broadcast_to(used, shape)


def _can_be_moved(model: Model, settings: Settings) -> bool:
    """Whether moving the coordinates does no more than move the positions.

    It does so for models of the catalogue that have a position along each axis, and no tie or other window to them.
    """
    involved = {*settings.shared, *(settings.tied or ())}
    for text in (settings.tied or {}).values():
        involved.update(term(text)[0])
    positions = find_positions(model)
    return bool(positions) and model in models.values() and involved.isdisjoint(positions)


def _moved(wishes: Wishes, source: SpotSource) -> Wishes:
    """Wishes for positions counted as the coordinates are."""

    def move(name: str, value: ArrayLike) -> ArrayLike:
        return np.asarray(value) - source.origin(name) if name in source.positions else value

    return Wishes(
        {name: move(name, value) for name, value in wishes.init.items()},
        {name: (move(name, low), move(name, high)) for name, (low, high) in wishes.bounds.items()},
        {name: move(name, value) for name, value in wishes.fixed.items()},
    )


def _iter_jobs(
    source: SpotSource,
    model: Model,
    wishes: Wishes,
    weights: Floats | None,
    shifts: Floats | None,
    *,
    together: bool,
) -> Iterator[Job]:
    """Problems for all windows, gathered when their turn comes; a single one with `together`.

    All have as many samples, so that one program fits them: pixels that the image does not have are NaN.
    """
    windows = source.windows
    everything = [(np.arange(windows.count), bool(windows.is_cut.any()))]
    for rows, padded in everything if together else windows.portions():
        # a column by itself would be taken for one that all fits share, in a program of its own: it is fitted twice
        places = rows if rows.size > 1 or together else np.repeat(rows, 2)

        def gather(array: Floats | None, places: NDArray[np.intp] = places, padded: bool = padded) -> Floats | None:
            if array is None:
                return None
            if not any(array.strides):
                return np.full((windows.n_samples, 1), array.flat[0])
            # pixels outside are wanted, so that they count as left out, from which they are subtracted in the end
            values = windows.gather(array, places)
            return (np.where(windows.inside(places), values, 1.0) if padded else values).T

        problem = Problem.build(
            model,
            source.coords(places),
            source.samples(places, padded=padded).T,
            weights=gather(weights),
            shift=gather(shifts),
            options=source.options,
            **wishes.at(places),
        )
        yield Job(problem, places)


def _counted(steps: Run, total: int) -> Run:
    """Progress that counts no spot twice."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: FitResult = end.value
            return result
        yield replace(step, done=min(step.done, total), total=total)


def _in_image(result: FitResult, source: SpotSource, wishes: Wishes) -> FitResult:
    """The result with positions in pixel indices of the image, and what is to be remarked on the windows."""
    windows = source.windows

    def absolute(values: Mapping[str, Floats]) -> dict[str, Floats]:
        moved = dict(values)
        for name in source.positions:
            position = moved[name] + source.origin(name)
            # rounding may not lead out of bounds, nor change what was fixed
            position = np.clip(position, *wishes.bounds.get(name, (-np.inf, np.inf)))
            fixed = wishes.fixed.get(name, position)
            moved[name] = np.where(np.isfinite(position), fixed, np.nan)
        return moved

    params = absolute(result.params)
    outside = np.zeros(windows.count, bool)
    for name, first, last in zip(find_positions(result.model), *(limit.T for limit in windows.limits), strict=False):
        with np.errstate(invalid="ignore"):
            outside |= (params[name] < first) | (params[name] > last)
    # of what was never begun nothing was left out
    begun = result.n_left_out + result.n_used > 0
    n_left_out = result.n_left_out - np.where(begun, windows.n_outside, 0)
    flags = result.flags & ~np.where(n_left_out == 0, np.uint16(Flag.MASKED_SAMPLES), np.uint16(0))
    for flag, where in (
        (Flag.CENTRE_OUTSIDE, outside),
        (Flag.CUT_BY_EDGE, windows.is_cut),
        (Flag.NEIGHBOUR_OVERLAP, windows.have_neighbours()),
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


def fit_spots(
    image: ArrayLike,
    points: ArrayLike,
    model: str | Model,
    *,
    window: int | Sequence[int] = 11,
    mask: ArrayLike | None = None,
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
        Any real dtype. Pixels that are NaN or infinite are left out, and counted in ``n_left_out``.
    points : array, ``(N, image.ndim)``
        In pixel indices, the frame first. They need not be whole numbers: a window lies around the nearest pixel.
    model : str or Model
        Such as ``"gaussian_2d"``; see `napari_imagefit.models`.
    window : int or sequence of int
        Pixels of a window along each axis of the model, odd: ``11``, or ``(7, 11, 11)``. A window that the edge cuts is
        fitted on the pixels that it has.
    mask : boolean array, optional
        The pixels to use, of the plane's or the image's shape. Others in a window are counted in ``n_left_out``.
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
    steps = iter_fit_spots(
        image,
        points,
        model,
        window=window,
        mask=mask,
        settings=Settings.of(
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
        ),
        should_stop=should_stop,
    )
    return drain(steps, progress)
