"""Units and origins are a matter of taste: the same fit in metres and microns, around 0 and around 1e10."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import FitResult, fit_image, fit_voxels
from napari_imagefit.engine.core.types import Loss


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :28]
    peak = np.exp(-0.5 * ((y - 11.3) / 3) ** 2 - 0.5 * ((x - 15.1) / 4.2) ** 2)
    return 5 * peak + 1 + rng.normal(0, 0.3, (2, 24, 28))


@pytest.mark.parametrize("data_factor", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("coord_factor", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("model", [pytest.param("gaussian_2d_rotated", marks=pytest.mark.slow), "thomas_fermi_2d"])
def test_surfaces(image: np.ndarray, model: str, data_factor: float, coord_factor: float) -> None:
    one = fit_image(image, model)
    scaled = fit_image(image * data_factor, model, coords=[np.arange(n) * coord_factor for n in (24, 28)])
    np.testing.assert_array_equal(scaled.status, one.status)
    np.testing.assert_array_equal(scaled.n_iterations, one.n_iterations)
    for parameter in one.model.parameters:
        factor = {"data": data_factor, "coord": coord_factor}.get(parameter.unit.rstrip("01"), 1.0)
        # the minimum is defined to about the root of the rounding of the cost
        np.testing.assert_allclose(scaled.params[parameter.name] / factor, one.params[parameter.name], rtol=1e-7)
        np.testing.assert_allclose(scaled.stderr[parameter.name] / factor, one.stderr[parameter.name], rtol=1e-6)


@pytest.mark.parametrize("data_factor", [1e-9, 1e9])
@pytest.mark.parametrize("coord_factor", [1e-9, 1e6])
@pytest.mark.parametrize("constant", [False, True])
def test_curves(data_factor: float, coord_factor: float, constant: bool) -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 32)
    stack = np.full((32, 8), 7.3)
    if not constant:
        stack = rng.uniform(1, 3, 8) * np.exp(-t[:, None] / rng.uniform(0.5, 2, 8)) + rng.normal(0, 0.05, (32, 8))
    one = fit_voxels(stack, "exponential_decay", x=t)
    scaled = fit_voxels(stack * data_factor, "exponential_decay", x=t * coord_factor)
    np.testing.assert_array_equal(scaled.status, one.status)
    np.testing.assert_array_equal(scaled.n_iterations, one.n_iterations)
    for name, factor in (("amplitude", data_factor), ("tau", coord_factor), ("offset", data_factor)):
        np.testing.assert_allclose(scaled.params[name] / factor, one.params[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("data_factor", [1e-25, 1e-18, 1e18, 1e25])
def test_units_far_from_one(image: np.ndarray, data_factor: float) -> None:
    one, scaled = fit_image(image, "thomas_fermi_2d"), fit_image(image * data_factor, "thomas_fermi_2d")
    np.testing.assert_array_equal(scaled.n_iterations, one.n_iterations)
    for name in ("y", "x", "radius_y", "radius_x"):
        np.testing.assert_allclose(scaled.params[name], one.params[name], rtol=1e-7)


@pytest.mark.parametrize("data_factor", [1e-9, 1e9])
def test_single_precision(image: np.ndarray, data_factor: float) -> None:
    # bounds on some of the parameters, and none on others
    rng = np.random.default_rng(3)
    t = np.linspace(0, 10, 30)
    stack = (50 * np.exp(-t / 2.5) + 5)[:, None] + rng.normal(size=(30, 50))
    one = fit_voxels(stack, "exponential_decay", x=t)
    scaled = fit_voxels(stack * data_factor, "exponential_decay", x=t, dtype="float32")
    assert scaled.converged.all()
    assert scaled.n_iterations.max() <= one.n_iterations.max() + 1
    # single precision resolves the minimum to the root of its rounding times the error of a parameter
    np.testing.assert_allclose(scaled.params["tau"], one.params["tau"], atol=4e-4 * one.stderr["tau"].max())
    cloud, scaled_cloud = (
        fit_image(image * factor, "gaussian_2d_elliptic", dtype=dtype)
        for factor, dtype in ((1.0, "float64"), (data_factor, "float32"))
    )
    assert scaled_cloud.converged.all()
    np.testing.assert_allclose(
        scaled_cloud.params["sigma_x"], cloud.params["sigma_x"], atol=1e-2 * cloud.stderr["sigma_x"].max()
    )


def lines(n_fits: int) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of width 51 within 500 of 0."""
    rng = np.random.default_rng(0)
    x = np.linspace(-500, 500, 101)
    centres = rng.uniform(-100, 100, n_fits)
    return x, 5 * np.exp(-0.5 * ((x[:, None] - centres) / 50.9) ** 2) + 1 + rng.normal(0, 0.2, (101, n_fits))


def assert_same_lines(one: FitResult, far: FitResult, origin: float, level: float, within: float) -> None:
    """Within a part of their standard errors."""
    assert far.converged.all()
    for name, shift in (("amplitude", 0), ("x", origin), ("sigma", 0), ("offset", level)):
        moved = np.abs(far.params[name] - shift - one.params[name])
        assert (moved <= within * one.stderr[name]).all(), (name, (moved / one.stderr[name]).max())


# some are fitted in NumPy, many in compiled programs
@pytest.mark.parametrize("n_fits", [20, pytest.param(8200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("loss", ["linear", "huber"])
def test_where_coordinates_and_data_begin(n_fits: int, loss: Loss) -> None:
    x, data = lines(n_fits)
    one = fit_voxels(data, "gaussian_1d", x=x, loss=loss, f_scale=0.4)
    far = fit_voxels(data, "gaussian_1d", x=x + 6.8e9, loss=loss, f_scale=0.4)
    # numbers there are 1e-6 apart, and a loss that bends makes the last steps slow
    assert_same_lines(one, far, 6.8e9, 0, within=1e-4)
    np.testing.assert_array_equal(far.status, one.status)
    assert np.abs(far.n_iterations - one.n_iterations).max() <= 1
    high = fit_voxels(data + 1e5, "gaussian_1d", x=x, loss=loss, f_scale=0.4)
    # the sum of squares is rounded at some 1e-10 of itself, and tells of parameters to the root of that
    assert_same_lines(one, high, 0, 1e5, within=1e-4)
    # steps are cut to a quarter until they are small beside the lines, at 1e5 some more times
    assert high.n_iterations.max() <= one.n_iterations.max() + 15


def test_where_the_coordinates_of_an_image_begin(image: np.ndarray) -> None:
    starts = {"amplitude": 4.0, "y": 9.0, "x": 12.0, "sigma_y": 5.0, "sigma_x": 6.0, "offset": 0.0}
    one = fit_image(image, "gaussian_2d_elliptic", init=starts)
    far = fit_image(
        image,
        "gaussian_2d_elliptic",
        coords=[np.arange(n) + 738_000_000.0 for n in (24, 28)],
        init={name: value + 738_000_000.0 if name in "yx" else value for name, value in starts.items()},
    )
    np.testing.assert_array_equal(far.status, one.status)
    np.testing.assert_array_equal(far.n_iterations, one.n_iterations)
    for name in one.params:
        shift = 738_000_000.0 if name in "yx" else 0
        np.testing.assert_allclose(far.params[name] - shift, one.params[name], rtol=1e-6)
