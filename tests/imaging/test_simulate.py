"""Simulated data hold what they say: the model's values at the true parameters, and noise of the given size."""

from __future__ import annotations

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.simulation.simulate import Simulated, cold_clouds, multi_echo_phantom, simulate

Y, X = np.arange(12.0), 0.5 * np.arange(17.0)
ROUND = {"amplitude": 2.0, "y": [5.0, 6.0, 7.0], "x": 4.0, "sigma": 1.5, "offset": 0.5}


def test_surfaces_are_the_formula() -> None:
    images = simulate("gaussian_2d", (Y, X), ROUND)
    for image, y in zip(images, ROUND["y"], strict=True):
        square = (Y[:, None] - y) ** 2 + (X - 4.0) ** 2
        np.testing.assert_allclose(image, 2 * np.exp(-square / (2 * 1.5**2)) + 0.5, rtol=1e-13)


def test_curves_run_along_the_last_axis() -> None:
    times, tau = np.linspace(1, 40, 9), np.array([[4.0, 8.0], [15.0, 30.0]])
    curves = simulate("exponential_decay", (times,), {"amplitude": 3, "tau": tau, "offset": 1})
    np.testing.assert_allclose(curves, 3 * np.exp(-times / tau[..., None]) + 1, rtol=1e-13)


def test_coordinates_of_the_planes_shape() -> None:
    full = np.broadcast_arrays(Y[:, None], X)
    np.testing.assert_array_equal(simulate("gaussian_2d", full, ROUND), simulate("gaussian_2d", (Y, X), ROUND))


def test_one_set_of_numbers_makes_one_plane() -> None:
    assert simulate("gaussian_2d", (Y, X), ROUND | {"y": 5.0}).shape == (12, 17)


def test_noise_has_the_given_size_and_seed() -> None:
    params = ROUND | {"y": np.full(400, 5.0)}
    noise = np.where(X > 4, 2.0, 0.5)
    data = simulate("gaussian_2d", (Y, X), params, noise, rng=3)
    residual = (data - simulate("gaussian_2d", (Y, X), params)) / noise
    # 81 600 values: the standard error of a standard deviation is 0.0025
    assert abs(residual.std() - 1) < 0.01
    assert abs(residual.mean()) < 0.015
    np.testing.assert_array_equal(data, simulate("gaussian_2d", (Y, X), params, noise, np.random.default_rng(3)))


@pytest.mark.parametrize(
    ("coords", "params", "noise", "said"),
    [
        ((Y, X), {"amplitude": 1.0}, 0, "lack"),
        ((Y, X), ROUND | {"theta": 0.0}, 0, "hold 'theta'"),
        ((Y,), ROUND, 0, "needs 2"),
        ((Y, X), ROUND | {"x": [1.0, 2.0]}, 0, "broadcast"),
        ((Y, X), ROUND, np.ones(5), "noise has shape"),
    ],
)
def test_misuse_is_named(coords: tuple[np.ndarray, ...], params: dict[str, object], noise: object, said: str) -> None:
    with pytest.raises(FitInputError, match=said):
        simulate("gaussian_2d", coords, params, noise)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [cold_clouds, multi_echo_phantom])
def test_samples_are_the_same_for_a_seed(make: object) -> None:
    first, again, other = make(seed=1), make(seed=1), make(seed=2)  # type: ignore[operator]
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)


def noise_of(sample: Simulated) -> np.ndarray:
    """(data − model at the truth)/σ where there is a truth, the fits along the first axis."""
    absent = {name: np.nan_to_num(v, nan=1.0) for name, v in sample.truth.items()}
    if nif.models[sample.model].ndim == 1:
        inside = sample.labels > 0
        clean = simulate(sample.model, (sample.coordinates(0),), {name: v[inside] for name, v in absent.items()})
        return (sample.data[:, inside].T - clean) / sample.sigma
    clean = simulate(sample.model, (sample.coordinates(1), sample.coordinates(2)), absent)
    return (sample.data - clean) / sample.sigma


@pytest.mark.parametrize("sample", [cold_clouds(), multi_echo_phantom()], ids=["clouds", "phantom"])
def test_samples_are_the_model_and_noise(sample: Simulated) -> None:
    noise = noise_of(sample)
    assert sample.data.dtype == np.float32
    assert len(sample.axes) == sample.data.ndim
    assert set(sample.truth) == set(nif.models[sample.model].names)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < 4 / np.sqrt(2 * noise.size)


def test_clouds_go_from_gas_to_condensate() -> None:
    truth = cold_clouds().truth
    for name in ("amplitude_thermal", "sigma_y", "sigma_x"):
        assert (np.diff(truth[name]) < 0).all(), name
    condensate = truth["amplitude_condensate"]
    assert condensate[0] == 0
    assert (np.diff(condensate) >= 0).all()
    assert condensate[-1] > 1
    np.testing.assert_array_equal(np.isnan(truth["radius_y"]), condensate == 0)
    assert (truth["sigma_x"] != truth["sigma_y"]).all()


def test_clouds_are_noisiest_where_light_is_weakest() -> None:
    clouds = cold_clouds()
    y, x = (round(float(clouds.truth[name][-1]) / 3.2) for name in ("y", "x"))
    # the condensate absorbs the light; the last rows have little of it
    assert clouds.sigma[-1, y, x] > 1.3 * clouds.sigma[0, y, x]
    assert clouds.sigma[0, -1].min() > 1.3 * clouds.sigma[0, y].min()


def test_phantom_has_compartments_and_an_empty_background() -> None:
    phantom = multi_echo_phantom()
    assert phantom.labels is not None
    assert set(np.unique(phantom.labels)) == set(range(7))
    outside = phantom.labels == 0
    assert all((np.isnan(values) == outside).all() for values in phantom.truth.values())
    assert phantom.truth["tau"][~outside].min() >= 20
    assert phantom.truth["tau"][~outside].max() <= 200
    assert abs(phantom.data[:, outside].mean()) < 0.1
    np.testing.assert_allclose(phantom.coordinates(0), 8.0 * np.arange(1, 33))


def test_too_few_shots() -> None:
    with pytest.raises(FitInputError, match="at least 2"):
        cold_clouds(shots=1)
