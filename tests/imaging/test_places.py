"""Which surface is nearest to what is looked at."""

from __future__ import annotations

import numpy as np

from napari_imagefit.imaging.inspection.fit_grid import FitGrid
from napari_imagefit.imaging.regions.region import find_regions


def test_the_surface_nearest_to_a_sample() -> None:
    mask = np.zeros((3, 10, 12), int)
    mask[:2, 1:4, 1:4] = 1
    mask[:2, 6:9, 7:11] = 2
    regions, grid, _ = find_regions(mask, (3,), (10, 12))
    places = FitGrid(mask.shape, grid, None, tuple(regions))
    assert places.nearest((0, 2, 2)) == (0, 0)
    assert places.nearest((1.2, 40, 40)) == (1, 1), "outside counts too"
    assert places.nearest((2, 0, 0)) == (1, 0), "nothing was fitted in this frame: the one before"
    assert FitGrid(mask.shape, (10, 12), axis=0).nearest((0, 2, 2)) is None
