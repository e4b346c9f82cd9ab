"""Runs of a request on data in memory or in chunks.

The verbs and the tasks of the widget come here with any request. What only data in memory can have is decided before:
coarse-to-fine fits in `verbs.voxels`, layers that fill in while a fit runs in `layers.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...engine.core.types import Stop
from ...engine.results.fit_result import FitResult
from ..fitting.chunks import Sliceable, is_dask
from ..fitting.run import Run
from ..requests.request import Request

if TYPE_CHECKING:
    from .plan import Plan


def fit(
    data: Any,
    request: Request,
    progress: Callable[[int, int], object] | None = None,
    should_stop: Stop | None = None,
) -> FitResult:
    """Fit an array now, or make the lazy result of a Dask array; the arguments are those of the verbs.

    Raises
    ------
    FitInputError
        For input that cannot work, before anything is computed.
    """
    if not is_dask(data):
        return request.run(data, progress, should_stop)
    # only now: its modules are not needed otherwise
    from .dask_entry import lazy_fit

    return lazy_fit(data, plan_of(data, request), progress, should_stop)


def iter_fit(data: Any, request: Request, should_stop: Stop | None = None) -> Run:
    """Fit an array, or a Dask array piece by piece; yields `Progress` several times a second, returns the result."""
    if not is_dask(data):
        return request.steps(data, should_stop)
    from .iterate import iter_fit_lazily

    return iter_fit_lazily(data, plan_of(data, request), should_stop)


def plan_of(data: Sliceable, request: Request) -> Plan:
    """Return how chunked data are fitted, checked as far as that goes without them.

    Raises
    ------
    FitInputError
        As the verb does.
    """
    from .plan import VoxelPlan
    from .region_plan import ImagePlan
    from .spot_plan import SpotPlan

    plans: dict[str, Callable[[Sliceable, Any], Plan]] = {
        "fit_voxels": VoxelPlan.of,
        "fit_image": ImagePlan.of,
        "fit_spots": SpotPlan.of,
    }
    return plans[request.verb](data, request)
