"""Value at which the samples of a result are cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Flag
from ...engine.results.fit_result import FitResult
from ..fitting.selection import Selection


def saturation_value(result: FitResult) -> float | None:
    """Return the largest sample of the first fit with `Flag.SATURATED`.

    None where there is none, or data are not in memory.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(16.0)[:, None]
    >>> stack = np.minimum(1000 * np.exp(-t / np.array([4.0, 6.0])), 255).astype("uint8")
    >>> saturation_value(fit_voxels(stack, "exponential_decay"))
    255.0
    """
    flagged = np.flatnonzero(result.flags.ravel() & np.uint16(Flag.SATURATED))
    samples = _samples(result.source, int(flagged[0])) if flagged.size else None
    return None if samples is None else float(np.fmax.reduce(samples, axis=None))


def _samples(source: Any, place: int) -> NDArray[Any] | None:
    """Return what one fit was made to."""
    if not source.in_memory:
        return None
    if source.job == "voxels":
        along = np.moveaxis(source.stack, source.axis, 0).reshape(source.x.size, -1)[:, place]
        return np.where((source.select or Selection()).usable(along, source.x), along, np.nan)
    if source.job == "spots":
        return np.asarray(source.samples(np.array([place]), padded=True))
    flat = source.image.reshape(-1, source.coords[0].size)
    for region in source.regions:
        for frame in region.frames[region.places == place]:
            return np.asarray(flat[frame][np.asarray(region.pixels)])
    return None
