"""Starts of a fit: what is given, and the model's own guess for the rest, as the fit itself takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ...engine.drive.problem import Problem
from ...engine.drive.run import find_starts
from ...engine.models.model import Model
from ...engine.models.ties import Ties
from ..fitting.run import Settings
from ..fitting.selection import Selection
from ..regions.region import Pixels, Region
from ..regions.region_fits import ImageRequest
from ..voxels.call import VoxelCall


def region_starts(
    image: NDArray[np.generic],
    model: Model,
    pixels: Pixels,
    *,
    coords: Sequence[ArrayLike] | None = None,
    settings: Settings | None = None,
) -> dict[str, float]:
    """Return the start of every parameter of the fit of a plane's pixels.

    Parameters
    ----------
    image : array, ``(Y, X)``
    pixels : int array
        Flat positions in the plane.
    coords, settings
        As `fit_image` has them.

    Raises
    ------
    FitInputError
        If the fit could not be made.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> y, x = np.mgrid[0:32, 0:40]
    >>> image = 2 * np.exp(-((y - 15) ** 2 + (x - 21) ** 2) / (2 * 4**2)) + 1
    >>> found = region_starts(image, models["gaussian_2d"], np.arange(image.size))
    >>> round(found["y"]), round(found["x"]), round(found["sigma"])
    (15, 21, 4)
    """
    here = np.array([0])
    with np.errstate(all="ignore"):
        region = Region(1, pixels, here, here)
        request = ImageRequest(model, None, coords, [region], np.array([1]), settings=settings or Settings())
        call = request.prepare(image)
        problems = [job.problem for job in call.jobs]
        if not problems:
            raise FitInputError("what is said of σ or of a parameter cannot be used here; correct it")
        return _starts(problems[0], model, call.ties)


def curve_starts(
    x: Floats,
    data: Floats,
    model: Model,
    *,
    select: Selection | None = None,
    settings: Settings | None = None,
) -> dict[str, float]:
    """Return the start of every parameter of the fit of one curve.

    Parameters
    ----------
    x, data : array, ``(n,)``
    select, settings
        As `fit_voxels` has them.

    Raises
    ------
    FitInputError
        If the fit could not be made.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> t = np.arange(8.0)
    >>> found = curve_starts(t, 3 * np.exp(-t / 2), models["exponential_decay"])
    >>> round(found["tau"], 1), round(found["amplitude"], 1)
    (2.0, 3.0)
    """
    with np.errstate(all="ignore"):
        here = np.array([0])
        call = VoxelCall.of(data[:, None], 0, x, model, here, settings or Settings(), select)
        if call.refused is not None and call.refused.any():
            raise FitInputError("what is said of σ or of a parameter cannot be used here; correct it")
        return _starts(call.problem(here), model, call.ties)


def _starts(problem: Problem, model: Model, ties: Ties | None) -> dict[str, float]:
    found = find_starts(problem)
    found = found if ties is None else ties.values(found)
    return dict(zip(model.names, found[:, 0].tolist(), strict=True))
