"""The picture of a spot is what the result says of it: window, fit, residual, and cuts through its centre."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.inspection.fit_grid import FitGrid, SpotGrid
from napari_imagefit.imaging.inspection.spot_cuts import spot_picture
from napari_imagefit.imaging.spots.filters import SpotFilter, judge

POINTS = [[1, 10, 9], [1, 1, 30], [0, 20, 25], [0, 20, 29]]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:32, 0:40]
    stack = rng.normal(2, 0.05, (2, 32, 40))
    for frame, cy, cx in [(1, 10.2, 8.7), (1, 1.3, 30.4), (0, 20.2, 25.1), (0, 19.8, 29.3)]:
        stack[frame] += 9 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5)
    return stack


@pytest.mark.parametrize("groups", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_pictures_agree_with_the_result(image: np.ndarray, groups: int | None) -> None:
    result = fit_spots(image, POINTS, "gaussian_2d", window=9, groups=groups)
    fitted, residual = result.fitted(), result.residual()
    for row in range(len(POINTS)):
        picture = spot_picture(result, (row,))
        np.testing.assert_allclose(picture.fitted, fitted[row], atol=1e-9)
        np.testing.assert_allclose(picture.residual, residual[row], atol=1e-9)
        centre = [result.params[name][row] for name in ("y", "x")]
        np.testing.assert_allclose(picture.centre, centre)
        assert [first + i for first, i in zip(picture.first, picture.middle, strict=True)] == [round(c) for c in centre]
        along_y, along_x = picture.along
        np.testing.assert_array_equal(along_y.data, picture.window[:, picture.middle[1]])
        np.testing.assert_allclose(along_x.residual, picture.residual[picture.middle[0]], atol=1e-9)
        np.testing.assert_allclose(
            np.interp(along_x.x, along_x.fine_x, along_x.fine), along_x.data - along_x.residual, atol=0.02
        )
    # cut by the edge: what the image does not have is NaN
    assert np.isnan(spot_picture(result, (1,)).window[:3]).all()


@pytest.mark.slow
def test_a_volume_has_three_planes_and_cuts() -> None:
    z, y, x = np.mgrid[0:15, 0:17, 0:19]
    volume = 9 * np.exp(-((z - 7.2) ** 2 / 8 + (y - 8.1) ** 2 / 4.5 + (x - 9.4) ** 2 / 4.5) / 1) + 2.0
    result = fit_spots(volume, [[7, 8, 9]], "gaussian_3d_elliptic", window=(9, 9, 9))
    picture = spot_picture(result, (0,))
    assert [axes for axes, _ in picture.planes("window")] == [(1, 2), (0, 2), (0, 1)]
    np.testing.assert_array_equal(picture.planes("window")[1][1], picture.window[:, picture.middle[1]])
    assert len(picture.along) == 3
    assert picture.limit < 1e-5


def test_a_spot_without_an_answer_has_a_picture(image: np.ndarray) -> None:
    broken = image.copy()
    broken[1, :15] = np.nan
    result = fit_spots(broken, POINTS, "gaussian_2d", window=9)
    picture = spot_picture(result, (0,))
    assert picture.centre is None
    assert np.isnan(picture.fitted).all()
    assert picture.middle == (4, 4)


def test_the_spot_at_a_place(image: np.ndarray) -> None:
    grid = FitGrid.of(fit_spots(image, POINTS, "gaussian_2d", window=9))
    assert isinstance(grid, SpotGrid)
    assert grid.under(np.array([1, 11.0, 9])) == (0,)
    assert grid.under(np.array([0, 11.0, 9])) is None, "another frame"
    assert grid.under(np.array([0, 20.0, 27.0])) == (2,), "the nearer of two whose windows hold the point"
    assert grid.places(np.array([[1, 10, 9], [1, 10, 8], [0, 20, 30]])) == [(0,), (3,)]
    painted = grid.paint(np.array([True, False, False, True]))
    assert painted.sum() == 18
    assert painted[1, 10, 9] == painted[0, 20, 29] == 1


def test_filters() -> None:
    table = {"sigma": np.array([0.5, 1, 2, np.nan]), "flux": np.array([1.0, 5, 5, 5])}
    reasons = judge(table, [SpotFilter("sigma", 0.8, 1.5), SpotFilter("flux", low=2), SpotFilter("other", 1, 2)])
    assert reasons.tolist() == [
        "filtered out: sigma 0.5 is below 0.8",
        "",
        "filtered out: sigma 2 is above 1.5",
        "filtered out: sigma has no value",
    ]
    for one in (SpotFilter("a", 1), SpotFilter("a", high=2), SpotFilter("a", -1, 2)):
        assert SpotFilter.of_recipe(one.recipe()) == one
    for said in (
        {"column": 3},
        {"column": "a", "low": "x"},
        {"column": "a", "lo": 1},
        [1],
        {"column": "a", "low": True},
    ):
        with pytest.raises(FitInputError, match="in the recipe"):
            SpotFilter.of_recipe(said)
    with pytest.raises(FitInputError, match="where nothing lies"):
        SpotFilter("a", 2, 1)
