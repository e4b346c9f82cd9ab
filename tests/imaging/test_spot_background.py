"""A background that slopes under the spots."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from napari_imagefit import FitResult, Flag, fit_spots, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.chunked.model_pickling import receive, send
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.recipes.recipe import Recipe
from napari_imagefit.imaging.spots.background import surface_of, with_background
from napari_imagefit.imaging.spots.spot_fits import moved_positions

SHAPE = (60, 70)
CENTRES = np.array([(12.3, 14.8), (30.6, 40.1), (45.2, 20.4), (2.1, 50.2)])
Y, X = np.indices(SHAPE)
CLEAN = 30 + 0.8 * Y - 0.5 * X
for _centre in CENTRES:
    CLEAN = CLEAN + 60 * np.exp(-0.5 * ((Y - _centre[0]) ** 2 + (X - _centre[1]) ** 2) / 1.4**2)
NOISY = CLEAN + np.random.default_rng(0).normal(0, 1, SHAPE)


@pytest.fixture(scope="module")
def sloped() -> FitResult:
    return fit_spots(NOISY, CENTRES.round(), "gaussian_2d", window=9, background="sloping")


def test_the_slope_is_found_and_the_offset_is_that_under_the_spot() -> None:
    found = fit_spots(CLEAN, CENTRES.round(), "gaussian_2d", window=9, background="sloping")
    assert found.model.names == ("amplitude", "y", "x", "sigma", "offset", "slope_y", "slope_x")
    truth = {"y": CENTRES[:, 0], "x": CENTRES[:, 1], "sigma": 1.4, "slope_y": 0.8, "slope_x": -0.5, "amplitude": 60}
    truth["offset"] = 30 + 0.8 * CENTRES[:, 0] - 0.5 * CENTRES[:, 1]
    for name, value in truth.items():
        np.testing.assert_allclose(found.params[name], np.broadcast_to(value, 4), atol=1e-6, err_msg=name)
    np.testing.assert_allclose(np.nan_to_num(found.residual()), 0, atol=1e-6)


def test_errors_are_those_of_noise(sloped: FitResult) -> None:
    pull = (sloped.params["x"] - CENTRES[:, 1]) / sloped.stderr["x"]
    assert np.abs(pull).max() < 4
    constant = fit_spots(NOISY, CENTRES.round(), "gaussian_2d", window=9)
    # a slope of half the noise per pixel shows in what is left over, and moves the spots
    assert (constant.reduced_chi2 > 1.5 * sloped.reduced_chi2).all()


def test_windows_are_moved_as_without_a_slope() -> None:
    model = with_background(models["gaussian_2d"], "sloping")
    assert with_background(models["gaussian_2d"], "sloping") is model
    assert surface_of(model) is models["gaussian_2d"]
    assert moved_positions(model, Settings()) == ("y", "x")
    # the same spot elsewhere is the same fit
    image = np.zeros((2, *SHAPE))
    image[0] = NOISY
    image[1, 20:, 30:] = NOISY[:40, :40]
    points = np.array([(0, 12.0, 15.0), (1, 32.0, 45.0)])
    found = fit_spots(image, points, "gaussian_2d", window=9, background="sloping")
    assert found.params["sigma"][0] == found.params["sigma"][1]
    assert found.params["slope_x"][0] == found.params["slope_x"][1]
    assert found.params["y"][1] - found.params["y"][0] == pytest.approx(20, abs=1e-12)


@pytest.mark.slow
def test_starts_bounds_and_fixed_values_of_slopes() -> None:
    found = fit_spots(
        NOISY, CENTRES.round(), "gaussian_2d", window=9, background="sloping",
        fixed={"slope_y": 0.8}, bounds={"slope_x": (-0.4, 1)}, init={"slope_x": np.linspace(0, 0.3, 4)},
    )  # fmt: skip
    np.testing.assert_array_equal(found.params["slope_y"], 0.8)
    # within its bound, and next to it by rounding
    np.testing.assert_allclose(found.params["slope_x"], -0.4, rtol=1e-15)
    np.testing.assert_array_equal(found.at_bound["slope_x"], -1)
    assert ((found.flags & Flag.AT_LOWER) > 0).all()


def test_lazy_and_recipe(sloped: FitResult) -> None:
    dask_array = pytest.importorskip("dask.array")
    lazy = fit_spots(
        dask_array.from_array(NOISY, chunks=(30, 35)), CENTRES.round(), "gaussian_2d", window=9, background="sloping"
    )
    computed = lazy.compute()  # type: ignore[attr-defined]
    for name in sloped.model.names:
        np.testing.assert_array_equal(computed.params[name], sloped.params[name])
    np.testing.assert_array_equal(np.asarray(computed.residual()), sloped.residual())
    for result in (sloped, computed):
        said = json.loads(json.dumps(result.recipe()))
        assert said["model"] == "gaussian_2d"
        assert said["background"] == "sloping"
        recipe = Recipe.of(said)
        assert recipe.model is models["gaussian_2d"]
        assert (recipe.fit.window, recipe.fit.background) == ([9, 9], "sloping")
    assert "background" not in fit_spots(NOISY, CENTRES.round(), "gaussian_2d", window=9).recipe()


def test_models_travel_to_other_processes() -> None:
    model = with_background(models["gaussian_2d"], "sloping")
    assert receive(pickle.loads(pickle.dumps(send(model)))) is model


@pytest.mark.slow
def test_volumes() -> None:
    z, y, x = np.indices((9, 21, 21))
    square = ((z - 4.2) / 1.2) ** 2 + ((y - 10.3) / 1.5) ** 2 + ((x - 9.8) / 1.5) ** 2
    image = 40 * np.exp(-0.5 * square) + 20 + 0.5 * z - 0.3 * y + 0.2 * x
    found = fit_spots(image, [[4, 10, 10]], "gaussian_3d_elliptic", window=(5, 7, 7), background="sloping")
    for name, value in {"slope_z": 0.5, "slope_y": -0.3, "slope_x": 0.2, "z": 4.2, "sigma_z": 1.2}.items():
        assert found.params[name][0] == pytest.approx(value, abs=1e-6)


def test_what_makes_no_sense() -> None:
    with pytest.raises(FitInputError, match="background='tilted' is not known; choose from constant, sloping"):
        fit_spots(NOISY, CENTRES, "gaussian_2d", background="tilted")  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match="'plane_2d' has a parameter 'slope_x' of its own"):
        fit_spots(NOISY, CENTRES, "plane_2d", background="sloping")
    with pytest.raises(FitInputError, match="use fit_voxels for curves"):
        fit_spots(NOISY, CENTRES, "exponential_decay", background="sloping")
