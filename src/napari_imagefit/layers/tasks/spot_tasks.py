"""Tasks of a worker for spots: fit them, and make their layer ready."""

from __future__ import annotations

import numpy as np

from ...engine.results.fit_result import FitResult
from ...imaging.chunked.dispatch import iter_fit
from ...imaging.fitting.chunks import is_dask
from ...imaging.spot_analysis.noise_check import find_noise_growth
from ...imaging.spot_analysis.shared_width_bias import find_shared_width
from ...imaging.spot_analysis.signal_dependent_noise import is_unaware
from ..inspection.spot_table import spot_table
from ..request.fit_request import Outcome, Request, Stop, Task
from ..request.verb_requests import spot_request
from .result_layers import spot_outputs

UNSEEN = (
    "All errors suppose the same noise everywhere: whether it grows with the light, as that of counts does, is not "
    "looked up in a Dask array. For counts choose the noise Poisson or Camera."
)


def run_spots(request: Request, should_stop: Stop | None = None) -> Task:
    """Fit spots; a generator for a worker thread, see `answer`."""
    data = request.data if is_dask(request.data) else np.asarray(request.data)
    result = yield from iter_fit(data, spot_request(request), should_stop)
    table = spot_table(result, request, request.filters)
    return Outcome(request, result, spot_outputs(request, result, table), note=_note(result), facts=table)


def _note(result: FitResult) -> str:
    """Say where errors suppose a noise that is not there, or may not be, and where a number is not what it seems."""
    if is_unaware(result) and not result.source.in_memory:
        return UNSEEN
    found = find_noise_growth(result), find_shared_width(result)
    return " ".join(f"⚠ {one.sentence()}." for one in found if one is not None)
