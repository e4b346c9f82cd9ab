"""Tasks of a worker for regions: fit a surface to each, and make their layers ready."""

from __future__ import annotations

import numpy as np

from ...engine.core.errors import FitInputError
from ...imaging.fitting.run import Run
from ...imaging.regions.region import Region
from ..request.fit_request import Outcome, Request, Stop, Task
from ..request.verb_requests import region_request
from .result_layers import outputs_of


def run_regions(request: Request, should_stop: Stop | None = None) -> Task:
    """Fit surfaces, and make the layers ready; a generator for a worker thread, see `answer`."""
    result = yield from region_steps(request, should_stop)
    return Outcome(request, result, outputs_of(request, result))


def region_steps(request: Request, should_stop: Stop | None) -> Run:
    """Fit surfaces; the generator returns the result.

    Raises
    ------
    FitInputError
        If a region holds no number.
    """
    data = np.asarray(request.data)
    for region in request.regions:
        planes = data.reshape(-1, *data.shape[-2:])
        finite = any(np.isfinite(planes[frame].ravel()[region.pixels]).any() for frame in region.frames)
        if not finite:
            raise FitInputError(
                f"All pixels of {_name(request, region)} in {request.layer_name!r} are NaN or infinite; "
                "choose another region or layer."
            )
    return region_request(request).steps(data, should_stop)


def _name(request: Request, region: Region) -> str:
    return f"region {request.region_names[int(region.places[0]) % len(request.region_names)]!r}"
