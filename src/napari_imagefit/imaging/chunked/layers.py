"""Layers of data that are not in memory: maps are arrays, whatever is as large as the data stays lazy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.status_labels import reason_labels
from ..layer_data.maps import (
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
from .dask_result import LazyImage, LazySource

# Values along each axis from which the contrast of fitted and residual is judged.
SAMPLED = 64


def lazy_layers(
    result: FitResult,
    source: LazySource,
    units: Units | None = None,
    names: Sequence[str] = (),
    roles: Collection[str] | None = None,
) -> list[LayerTuple]:
    """Return layers like `image_layers` or `voxel_layers`; `result` holds NumPy arrays."""
    of_images = isinstance(source, LazyImage)
    titles = image_titles(units or {}) if of_images else voxel_titles(result, units or {})
    wanted = set(titles if roles is None else roles)
    layers = _lazy_pictures(result, source, titles, wanted) if wanted & PICTURES else []
    if not of_images:
        layers += map_layers(result, titles, wanted)
    if STATUS in wanted:
        labels = source.painted(result) if of_images else reason_labels(result)
        layers.append(status_layer(result, labels, remarks=not of_images))
    if of_images and OUTLINES in wanted:
        assert isinstance(source, LazyImage)
        data, options = outline_layer(result, source, units or {}, names)
        layers.append((data, {**named(titles[OUTLINES], OUTLINES, result), **options}, "shapes"))
    return layers


def _lazy_pictures(
    result: FitResult, source: LazySource, titles: Mapping[str, Title], wanted: Collection[str]
) -> list[LayerTuple]:
    """Fitted and residual; their contrast is that of a sample of a chunk in the middle."""
    fitted, residual = source.fitted(result), source.residual(result)
    middle = tuple(n // 2 for n in fitted.numblocks)
    chunk = np.asarray(fitted.blocks[middle])
    thin = tuple(slice(None, None, max(1, n // SAMPLED)) for n in chunk.shape)
    dtype = np.result_type(np.float32, source.plan.dtype)
    pictures = picture_layers(result, chunk[thin], np.asarray(residual.blocks[middle])[thin], titles)
    return [
        (values.astype(dtype), options, kind)
        for values, (_, options, kind) in zip((fitted, residual), pictures, strict=True)
        if options["metadata"]["napari_imagefit"]["role"] in wanted
    ]
