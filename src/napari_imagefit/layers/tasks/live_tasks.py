"""Tasks of a worker for a hand that moves: the same fit as a click's, and only the layer data that are seen.

What a table or a limit of contrast takes as long for as the fit comes once the hand has stopped, see `completed`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...imaging.fitting.chunks import is_dask
from ...imaging.layer_data.maps import STATUS, image_layers
from ..geometry.output_layers import Output
from ..request.fit_request import MeanFit, Outcome, Request, Stop, answer
from ..request.live import Place, of_voxel
from ..request.verb_requests import voxel_request
from .region_tasks import region_steps
from .result_layers import outputs_of, place
from .run_fit import run_any
from .voxel_tasks import mean_steps, seeded

if TYPE_CHECKING:
    from ...engine.core.progress import Progress
    from ...engine.results.fit_result import FitResult

Steps = Generator["Progress", None, Outcome]


@dataclass(frozen=True, eq=False)
class VoxelFit:
    """The fit of one voxel, by its position on the grid of all.

    Attributes
    ----------
    request : Request
        For a stack of that voxel alone.
    result : FitResult
        On a grid of one fit.
    """

    place: Place
    request: Request
    result: FitResult

    @property
    def own(self) -> Place:
        """The position on its own grid."""
        return (0,) * len(self.place)


def fit_seen(request: Request, visible: Collection[str], should_stop: Stop) -> Steps:
    """Fit regions or spots; of the layers that are `visible`, by role, the outcome has those that can follow."""
    if request.job != "region" or is_dask(request.data):
        return run_any(request, should_stop)
    return answer(request, _fit_regions(request, visible, should_stop))


def _fit_regions(request: Request, visible: Collection[str], should_stop: Stop) -> Steps:
    result = yield from region_steps(request, should_stop)
    source: Any = result.source
    # painted pictures of reasons cannot follow: which there are changes
    roles = set(visible) - {STATUS}
    layers = image_layers(result, source, request.units, request.region_names, roles, table=False)
    outputs = tuple(Output(new, None) for new in place(request, layers))
    return Outcome(request, result, outputs, complete=False)


def completed(outcome: Outcome) -> Outcome:
    """Return the outcome with all layers that a click on Fit would make."""
    if outcome.complete or outcome.result is None:
        return outcome
    return replace(outcome, outputs=outputs_of(outcome.request, outcome.result), complete=True)


def fit_mean(request: Request, should_stop: Stop) -> Generator[Progress, None, MeanFit | None]:
    """Fit the mean curve of the region, or of all where maps start from it; None where there is none."""
    del should_stop
    is_asked = request.mask is not None or request.mean != "no"
    if not is_asked or is_dask(request.data):
        return None
    return (yield from mean_steps(request, np.asarray(request.data), request.settings))


def fit_voxel(
    request: Request, at: Place, mean: MeanFit | None, should_stop: Stop
) -> Generator[Progress, None, VoxelFit | None]:
    """Fit one voxel as its map would be; `mean` is that of the region, from which it may start."""
    own = of_voxel(request, at)
    if own is None or (request.mean != "no" and mean is None):
        return None
    settings = own.settings if request.mean == "no" or mean is None else seeded(request, mean, own.settings)
    try:
        result = yield from voxel_request(own, settings).steps(own.data, should_stop)
    except FitInputError:
        # a voxel without numbers is no mistake of whoever points at it
        return None
    return VoxelFit(at, own, result)
