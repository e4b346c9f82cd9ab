"""Runs of a request on data in memory or in chunks.

The verbs and the tasks of the widget come here with any request. What only data in memory can have is decided before:
coarse-to-fine fits in `verbs.voxels`, layers that fill in while a fit runs in `layers.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ...engine.core.progress import drain
from ...engine.core.types import Stop
from ...engine.results.fit_result import FitResult
from ..fitting.argument_checks import checked_progress, checked_stop
from ..fitting.chunks import Sliceable, is_dask
from ..fitting.run import Run

if TYPE_CHECKING:
    from .plan import Plan


class Request(Protocol):
    """Request of a verb: a `VoxelRequest`, an `ImageRequest` or a `SpotRequest`.

    It holds the arguments of the verb but for the data, checked and frozen. The same request is run on an array
    (`steps`), planned for a Dask array (`plan_of`), written into a recipe and sent to a worker, so that all give the
    same numbers.
    """

    def steps(self, data: Any, should_stop: Stop | None = None, /) -> Run:
        """Fit data in memory; the generator yields `Progress` and returns the `FitResult`."""


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
        progress, should_stop = checked_progress(progress), checked_stop(should_stop)
        return drain(request.steps(data, should_stop), progress)
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
    from ..regions.region_fits import ImageRequest
    from ..spots.spot_fits import SpotRequest
    from ..voxels.voxel_fits import VoxelRequest
    from .plan import VoxelPlan
    from .region_plan import ImagePlan
    from .spot_plan import SpotPlan

    match request:
        case VoxelRequest():
            return VoxelPlan.of(data, request)
        case ImageRequest():
            return ImagePlan.of(data, request)
        case SpotRequest():
            return SpotPlan.of(data, request)
    raise TypeError(f"a {type(request).__name__} is no request")
