"""What is drawn of a fitted surface."""

from __future__ import annotations

import math

from napari_imagefit import models
from napari_imagefit.imaging.layer_data.drawn_fits import SIZE_COLOURS
from napari_imagefit.imaging.layer_data.outlines import find_ellipses


def test_every_surface_with_a_width_has_an_outline_and_a_colour() -> None:
    for model in models.values():
        if model.ndim == 2 and "x" in model.names:
            ellipses = find_ellipses(dict.fromkeys(model.names, 2.0))
            assert ellipses, model.name
            assert all(ellipse.kind in SIZE_COLOURS for ellipse in ellipses)


def test_a_rotated_gaussian_is_drawn_at_its_angle() -> None:
    (ellipse,) = find_ellipses({"y": 3, "x": 4, "sigma_y": 1, "sigma_x": 2, "theta": 0.3})
    assert (ellipse.center, ellipse.radii, ellipse.theta) == ((3, 4), (1, 2), 0.3)


def test_nothing_is_drawn_without_a_place_or_a_width() -> None:
    assert find_ellipses({"slope_y": 1, "slope_x": 2, "offset": 0}) == []
    assert find_ellipses({"y": math.nan, "x": 4, "sigma": 2}) == []
    # a condensate without a radius leaves its thermal cloud
    params = {"y": 3, "x": 4, "sigma_y": 1, "sigma_x": 2, "radius_y": math.nan, "radius_x": 1}
    assert [ellipse.kind for ellipse in find_ellipses(params)] == ["sigma"]
