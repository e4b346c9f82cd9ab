"""Detection of spots: maxima of the Laplacian of Gaussian that stand out of the noise."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.error_state import unheeded
from ...engine.core.errors import FitInputError
from ...engine.core.progress import Progress
from ...engine.core.types import Floats
from ...engine.core.validation import in_memory, real_array
from ..fitting.argument_checks import check_said, refuse_colours
from ..fitting.chunks import is_dask
from .log_filter import Response, keep_apart, respond

PerAxis = float | tuple[float, ...]


@dataclass(frozen=True)
class Detection:
    """Settings of a detection of spots. Raises `FitInputError`.

    Parameters
    ----------
    scale : float or tuple of float
        Standard deviation of the spots in pixels, one or one per axis of the plane or volume.
    threshold : float
        In units of the noise. White noise of 1 024 × 1 024 pixels has one maximum above 5, and some 30 above 4.
    min_distance : float or tuple of float
        In pixels, one or one per axis: of spots that are less than this apart the strongest is kept. Below 1.5 it
        counts as 1.5: maxima of one spot in neighbouring pixels are one.
    border : int or tuple of int
        So many pixels at each edge are not searched, one or one per axis.
    bright : bool
        Whether spots are brighter than their surroundings.

    See Also
    --------
    napari_imagefit.find_spots : finds spots with it.
    napari_imagefit.fit_spots : fits what was found.

    Notes
    -----
    The image is filtered with −Σσᵢ²∂ᵢ²G, the Laplacian of a Gaussian G with standard deviations σ = `scale`, which
    responds most to Gaussian spots as wide as it, and not at all to a background that is constant or a slope. A spot is
    a pixel that is larger than its neighbours there and stands out by `threshold` times the noise. That noise is the
    filtered image's own, by its median absolute deviation times 1.4826 (the standard deviation, were it normal), of
    each frame by itself: a number of spots that cover a small part of the image does not change it. Where most pixels
    are equal to their neighbours (few photons, a clipped background) it is no less than that of the pixels which
    differ, or than the rounding of whole numbers; of what was clipped, than that of which the tail is left. Areas of
    one value as large as a spot's window hold no data, and no spots at their edges, where that value is far from those
    around: the border of a stitched or masked image.

    Examples
    --------
    >>> Detection(scale=(3, 1.5, 1.5), border=2).recipe()
    {'scale': [3.0, 1.5, 1.5], 'border': 2}
    """

    scale: PerAxis = 1.5
    threshold: float = 5.0
    min_distance: PerAxis = 3.0
    border: int | tuple[int, ...] = 0
    bright: bool = True

    def __post_init__(self) -> None:
        sizes = (
            ("scale", Real, 0.3, "standard deviations in pixels, from 0.3 on"),
            ("min_distance", Real, 0, "distances in pixels, from 0 on"),
            ("border", Integral, 0, "whole numbers of pixels, from 0 on"),
        )
        for name, kind, least, what in sizes:
            said = getattr(self, name)
            given = list(said) if isinstance(said, (tuple, list)) else [said]
            for value in given or [None]:
                fits = isinstance(value, kind) and not isinstance(value, bool)
                if not fits or not least <= float(value) < math.inf:
                    raise FitInputError(f"{name} is {said!r}; give {what}, one or one per axis")
            plain = [float(v) if kind is Real else int(v) for v in given]
            object.__setattr__(self, name, tuple(plain) if isinstance(said, (tuple, list)) else plain[0])
        if (
            not isinstance(self.threshold, Real)
            or isinstance(self.threshold, bool)
            or not 0 < self.threshold < math.inf
        ):
            raise FitInputError(f"threshold is {self.threshold!r}; give a number above 0, in units of the noise")
        if not isinstance(self.bright, (bool, np.bool_)):
            raise FitInputError(f"bright is {self.bright!r}; give True for bright spots, False for dark ones")
        object.__setattr__(self, "bright", bool(self.bright))

    def per_axis(self, name: str, ndim: int) -> tuple[float, ...]:
        """Return a setting as one number for each axis.

        Raises
        ------
        FitInputError
            If it has another number of them.
        """
        said = getattr(self, name)
        values = said if isinstance(said, tuple) else (said,) * ndim
        if len(values) != ndim:
            raise FitInputError(f"{name} is {said!r}, but spots are searched along {ndim} axes; give one, or {ndim}")
        return values

    def window(self, ndim: int) -> tuple[int, ...]:
        """Return a window for `fit_spots` that holds such spots and a rim of their background: 3 σ to either side."""
        return tuple(2 * math.ceil(3 * scale) + 1 for scale in self.per_axis("scale", ndim))

    def recipe(self) -> dict[str, Any]:
        """Return the settings as JSON, without defaults."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}

    @classmethod
    def of_recipe(cls, said: Any) -> Self:
        """Return the detection that `recipe` describes.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        check_said(cls, said, "the detection in the recipe", '{"scale": 1.5}')
        return cls(**said)


@dataclass(frozen=True, eq=False)
class Spots:
    """Detected spots, frame by frame, the strongest of each frame first.

    Attributes
    ----------
    points : array, ``(N, image.ndim)``
        Pixel indices, the frame first, as `fit_spots` takes them; within a pixel by the parabola through its neighbours
        along each axis.
    strengths : array, ``(N,)``
        By how much each stands out, in units of the noise.
    """

    points: Floats
    strengths: Floats

    @property
    def count(self) -> int:
        """Number of spots in all frames."""
        return len(self.points)


def find_spots(image: ArrayLike, detection: Detection, ndim: int = 2, mask: ArrayLike | None = None) -> Spots:
    """Find the spots in each frame of an image.

    Parameters
    ----------
    image : array, ``(*frames, Y, X)``, or ``(*frames, Z, Y, X)`` with ``ndim=3``
        Any real dtype, NumPy or Dask (a frame is loaded at a time). Pixels that are NaN or infinite are never found,
        nor do they reach further: the filter takes the mean of their surroundings instead.
    detection : Detection
    ndim : {2, 3}
        Axes of a frame.
    mask : boolean array, optional
        Where to search, of a frame's or the image's shape; the noise is that of these pixels.

    Returns
    -------
    Spots

    Raises
    ------
    FitInputError
        If image, mask and settings do not go together.

    See Also
    --------
    napari_imagefit.Detection : how spots are found, and the method.
    napari_imagefit.fit_spots : fits a surface around each.

    Notes
    -----
    Each frame is searched by itself. Positions within a pixel are those of the parabola through its neighbours.

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:50]
    >>> image = sum(90 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5) for cy, cx in [(10.2, 8.7), (30.0, 40.4)])
    >>> image = image + np.random.default_rng(0).normal(100, 1, image.shape)
    >>> find_spots(image, Detection(scale=1.5)).points.round(1)
    array([[30. , 40.4],
           [10.2,  8.7]])
    """
    refuse_colours(image, ndim)
    steps = iter_find_spots(image, detection, ndim, mask)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            spots: Spots = end.value
            return spots


@unheeded
def iter_find_spots(
    image: ArrayLike, detection: Detection, ndim: int = 2, mask: ArrayLike | None = None
) -> Generator[Progress, None, Spots]:
    """`find_spots` as a generator: it yields the frames done as `Progress` and returns the `Spots`."""
    data = image if is_dask(image) else real_array(image, "the image")
    shape = tuple(int(n) for n in data.shape)
    if ndim not in (2, 3) or len(shape) < ndim:
        raise FitInputError(f"ndim={ndim!r} does not go with an image of {len(shape)} axes; give 2, or 3 for volumes")
    for name in ("scale", "min_distance", "border"):
        detection.per_axis(name, ndim)
    frames = shape[: len(shape) - ndim]
    where = _as_mask(mask, shape, shape[len(frames) :])
    points, strengths = [np.empty((0, len(shape)))], [np.empty(0)]
    for done, frame in enumerate(np.ndindex(frames)):
        own = find_in_frame(data[frame], detection, None if where is None else where[frame])
        points.append(np.concatenate([np.broadcast_to(np.array(frame, float), (own.count, len(frame))), own.points], 1))
        strengths.append(own.strengths)
        yield Progress(done + 1, math.prod(frames))
    return Spots(np.concatenate(points), np.concatenate(strengths))


def find_in_frame(frame: ArrayLike, detection: Detection, mask: NDArray[np.bool_] | None = None) -> Spots:
    """Return the spots of one frame ``(Y, X)`` or volume ``(Z, Y, X)``."""
    return pick(response(frame, detection, mask), detection)


def response(frame: ArrayLike, detection: Detection, mask: NDArray[np.bool_] | None = None) -> Response:
    """One frame filtered, for `pick`: a preview that follows the threshold need not filter again.

    It depends on `scale` and `bright` alone.
    """
    data = real_array(np.asarray(frame), "the image")
    where = _as_mask(mask, data.shape, data.shape)
    return respond(data, detection.per_axis("scale", data.ndim), detection.bright, where)


def pick(filtered: Response, detection: Detection) -> Spots:
    """Return the spots of a filtered frame by the other settings: threshold, distance and border."""
    border = np.array(detection.per_axis("border", filtered.pixels.shape[1]))
    inside = ((filtered.pixels >= border) & (filtered.pixels < np.array(filtered.shape) - border)).all(axis=1)
    chosen = inside & (filtered.strengths >= detection.threshold)
    points, strengths = filtered.pixels[chosen] + filtered.shifts[chosen], filtered.strengths[chosen]
    distance = np.array(detection.per_axis("min_distance", points.shape[1]))
    kept = keep_apart(points, distance)
    return Spots(points[kept], strengths[kept])


def _as_mask(mask: ArrayLike | None, shape: Sequence[int], plane: Sequence[int]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    where = np.asarray(in_memory(mask, "the mask"))
    if where.dtype != bool or where.shape not in {tuple(shape), tuple(plane)}:
        raise FitInputError(
            f"the mask has type {where.dtype} and shape {where.shape}; give a boolean one of shape {tuple(plane)} "
            f"or {tuple(shape)}, True where to search"
        )
    return np.broadcast_to(where, tuple(shape))
