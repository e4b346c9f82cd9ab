"""Layers of data that are not in memory: maps are arrays, whatever is as large as the data stays lazy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.status_labels import reason_labels
from ..layer_data.maps import map_layers, outline_layer, picture_layers, status_layer
from ..regions.region_fits import ImageSource
from .dask_result import LazySource
from .region_plan import ImagePlan

Units = Mapping[str, str]
# Values along each axis from which the contrast of fitted and residual is judged.
SAMPLED = 64


def lazy_layers(
    result: FitResult, source: LazySource, units: Units | None = None, names: Sequence[str] = ()
) -> list[LayerTuple]:
    """As `image_layers` or `voxel_layers`; `result` holds NumPy arrays."""
    plan = source.plan
    if isinstance(plan, ImagePlan):
        nothing = plan.nothing(plan.shape)
        places = ImageSource(nothing, plan.coords, [], plan.labels, plan.settings.options, {})
        painted = source.painted(result)
        others = [status_layer(result, painted), outline_layer(result, places, units or {}, names)]
    else:
        others = [*map_layers(result, units or {}), status_layer(result, reason_labels(result), remarks=True)]
    return [*_lazy_pictures(result, source, units), *others]


def _lazy_pictures(result: FitResult, source: LazySource, units: Units | None) -> list[LayerTuple]:
    """Fitted and residual; their contrast is that of a sample of a chunk in the middle."""
    fitted, residual = source.fitted(result), source.residual(result)
    middle = tuple(n // 2 for n in fitted.numblocks)
    chunk = np.asarray(fitted.blocks[middle])
    thin = tuple(slice(None, None, max(1, n // SAMPLED)) for n in chunk.shape)
    dtype = np.result_type(np.float32, source.plan.dtype)
    pictures = picture_layers(result, chunk[thin], np.asarray(residual.blocks[middle])[thin], units)
    return [
        (values.astype(dtype), options, kind)
        for values, (_, options, kind) in zip((fitted, residual), pictures, strict=True)
    ]
