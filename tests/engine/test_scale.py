"""Units are a matter of taste: the same fit in metres and microns, in volts and nanovolts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import fit_image, fit_voxels


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
