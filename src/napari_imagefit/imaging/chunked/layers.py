"""Layers of data that are not in memory: maps are arrays, whatever is as large as the data stays lazy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.status_labels import reason_labels
from ..layer_data.maps import (
    METADATA_KEY,
    OUTLINES,
    PICTURES,
    STATUS,
    Title,
    image_titles,
    map_layers,
    named,
    outline_layer,
    picture_layers,
    status_layer,
    voxel_titles,
)
from ..layer_data.sources import Units
from .dask_sources import LazyGrid, LazyImage, LazyStack

# Values along each axis from which the contrast of fitted and residual is judged.
SAMPLED = 64


def lazy_voxel_layers(
    result: FitResult, source: LazyStack, units: Units | None = None, roles: Collection[str] | None = None
) -> list[LayerTuple]:
    """Return layers like `voxel_layers`; `result` holds NumPy arrays."""
    titles = voxel_titles(result, units or {})
    wanted = set(titles if roles is None else roles)
    layers = [*_lazy_pictures(result, source, titles, wanted), *map_layers(result, titles, wanted)]
    if STATUS in wanted:
        layers.append(status_layer(result, reason_labels(result), remarks=True))
    return layers


def lazy_image_layers(
    result: FitResult,
    source: LazyImage,
    units: Units | None = None,
    names: Sequence[str] = (),
    roles: Collection[str] | None = None,
) -> list[LayerTuple]:
    """Return layers like `image_layers`; `result` holds NumPy arrays."""
    titles = image_titles(units or {})
    wanted = set(titles if roles is None else roles)
    layers = _lazy_pictures(result, source, titles, wanted)
    if STATUS in wanted:
        layers.append(status_layer(result, source.painted(result), remarks=False))
    if OUTLINES in wanted:
        data, options = outline_layer(result, source, units or {}, names)
        layers.append((data, {**named(titles[OUTLINES], OUTLINES, result), **options}, "shapes"))
    return layers


def _lazy_pictures(
    result: FitResult, source: LazyGrid, titles: Mapping[str, Title], wanted: set[str]
) -> list[LayerTuple]:
    """Return fitted and residual, if wanted; their contrast is that of a sample of a chunk in the middle."""
    if not wanted & PICTURES:
        return []
    fitted, residual = source.fitted(result), source.residual(result)
    middle = tuple(n // 2 for n in fitted.numblocks)
    chunk = np.asarray(fitted.blocks[middle])
    thin = tuple(slice(None, None, max(1, n // SAMPLED)) for n in chunk.shape)
    dtype = np.result_type(np.float32, source.plan.dtype)
    pictures = picture_layers(result, chunk[thin], np.asarray(residual.blocks[middle])[thin], titles)
    return [
        (values.astype(dtype), options, kind)
        for values, (_, options, kind) in zip((fitted, residual), pictures, strict=True)
        if options["metadata"][METADATA_KEY]["role"] in wanted
    ]
