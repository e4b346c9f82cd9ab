"""The request of a verb that a request from the widget comes down to: by it, fits run and scripts are written."""

from __future__ import annotations

import numpy as np

from ...imaging.fitting.run import Settings
from ...imaging.regions.region_fits import ImageRequest
from ...imaging.spots.spot_fits import SpotRequest
from ...imaging.voxels.voxel_fits import VoxelRequest
from .fit_request import Request


def voxel_request(request: Request, settings: Settings | None = None) -> VoxelRequest:
    """Return the request of `fit_voxels`, with other settings than the request's if they are given."""
    return VoxelRequest(
        request.model,
        request.coords[0],
        request.axis,
        request.mask,
        request.select,
        settings=settings or request.settings,
    )


def region_request(request: Request) -> ImageRequest:
    """Return the request of `fit_image`, with regions in the place of a mask."""
    labels = np.arange(1, len(request.region_names) + 1)
    return ImageRequest(
        request.model, coords=request.coords, settings=request.settings, regions=request.regions, labels=labels
    )


def spot_request(request: Request) -> SpotRequest:
    """Return the request of `fit_spots`."""
    assert request.points is not None
    return SpotRequest(
        request.model, request.points, request.window, settings=request.settings, **request.spot_arguments
    )
