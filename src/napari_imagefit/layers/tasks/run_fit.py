"""The fit of a request, whatever its job: what a click on Fit runs in a worker."""

from __future__ import annotations

from ...engine.core.errors import FitInputError
from ...imaging.chunked.dispatch import iter_fit
from ...imaging.fitting.chunks import is_dask
from ...imaging.fitting.run import Run
from ..request.fit_request import Outcome, Request, Stop, Task, answer
from ..request.verb_requests import region_request, voxel_request
from .region_tasks import run_regions
from .result_layers import outputs_of
from .spot_tasks import run_spots
from .voxel_tasks import run_voxels


def run_any(request: Request, should_stop: Stop | None = None) -> Task:
    """Fit whatever was asked for: regions, spots or voxels, in memory or, where the layer's data are a Dask array, not.

    Raises
    ------
    FitEngineError
        If the program fails.
    """
    if request.job == "spots":
        return answer(request, run_spots(request, should_stop))
    if is_dask(request.data):
        return answer(request, _run_lazily(request, should_stop))
    if request.job == "voxels":
        return answer(request, run_voxels(request, should_stop))
    return answer(request, run_regions(request, should_stop))


def _run_lazily(request: Request, should_stop: Stop | None) -> Task:
    result = yield from _lazy_steps(request, should_stop)
    return Outcome(request, result, outputs_of(request, result))


def _lazy_steps(request: Request, should_stop: Stop | None) -> Run:
    if request.mean != "no":
        raise FitInputError(
            f"Layer {request.layer_name!r} is not in memory, where no mean curve is fitted first; choose 'from each "
            "voxel' for the starts, or load the layer."
        )
    asked = voxel_request(request) if request.job == "voxels" else region_request(request)
    return iter_fit(request.data, asked, should_stop)
