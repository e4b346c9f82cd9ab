"""A camera's formulas (F. Huang et al., Nature Methods 10, 2013), arrays per pixel, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_imagefit import Camera, fit_image, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError

GAIN = np.array([[2.0, 2.5, 3.0], [1.5, 2.2, 4.0]])
OFFSET = np.array([[100.0, 98.0, 103.0], [101.0, 99.5, 100.0]])
READ = np.array([[1.0, 1.5, 0.0], [2.0, 8.0, 1.6]])


@pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3)])
def test_counts_follow_the_published_formula(shape: tuple[int, ...]) -> None:
    """(D − o)/g + var/g², with the variance of the read noise var in data units: read noise² in electrons."""
    data = np.random.default_rng(0).uniform(90, 300, shape)
    camera = Camera(GAIN, OFFSET, READ)
    scale, shift = camera.counts(shape)
    assert scale.shape == shift.shape == shape
    variance = (READ * GAIN) ** 2
    # a handful of roundings of numbers around 100
    np.testing.assert_allclose(
        scale * camera.level(data) + shift, (data - OFFSET) / GAIN + variance / GAIN**2, rtol=1e-12, atol=1e-12
    )


def test_counts_have_the_moments_of_a_poisson_distribution() -> None:
    """Mean and variance of what the data become are both electrons + read noise²."""
    rng, n, electrons = np.random.default_rng(1), 400_000, 7.0
    data = 2.2 * (rng.poisson(electrons, n) + rng.normal(0, 1.6, n)) + 100
    scale, shift = Camera(2.2, 100.0, 1.6).counts((n,))
    counts = scale * data + shift
    rate = electrons + 1.6**2
    # 4 standard deviations: of the mean √(rate/n), of the variance at most √((μ₄ − rate²)/n) with a Poisson's μ₄
    assert abs(counts.mean() - rate) <= 4 * np.sqrt(rate / n)
    assert abs(counts.var() - rate) <= 4 * np.sqrt((rate + 2 * rate**2) / n)


def test_a_perfect_camera_changes_nothing() -> None:
    scale, shift = Camera().counts((4,))
    np.testing.assert_array_equal(scale, np.ones(4))
    np.testing.assert_array_equal(shift, np.zeros(4))


def test_sigma_is_the_scatter_of_the_data() -> None:
    """Of data without noise it is the standard deviation that simulated data have."""
    rng, n = np.random.default_rng(2), 200_000
    for electrons in (2.0, 50.0):
        data = 2.2 * (rng.poisson(electrons, n) + rng.normal(0, 1.6, n)) + 100
        sigma = float(Camera(2.2, 100.0, 1.6).sigma(2.2 * electrons + 100))
        # the relative error of a standard deviation is about √((κ − 1)/4n), with a kurtosis κ below 3.5
        assert abs(data.std() / sigma - 1) <= 4 * np.sqrt(2.5 / (4 * n))


def test_sigma_by_hand() -> None:
    camera = Camera(2.0, 100.0, 1.5)
    # 400 electrons, 1, and as many at least where there are less: √(400 + 2.25), √3.25
    expected = 2 * np.sqrt([402.25, 3.25, 3.25, 3.25])
    np.testing.assert_allclose(camera.sigma([900.0, 102.0, 100.0, -50.0]), expected, rtol=1e-14)
    own = Camera(GAIN, OFFSET, READ).sigma(np.full((7, 2, 3), 200.0))
    assert own.shape == (7, 2, 3)
    np.testing.assert_allclose(own[3], GAIN * np.sqrt((200 - OFFSET) / GAIN + READ**2), rtol=1e-14)
    assert np.isnan(camera.sigma([np.nan])).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gain": 0.0}, "gain has the value 0"),
        ({"gain": [[2.0, -1.0]]}, "gain has the value -1"),
        ({"read_noise": -0.5}, "read_noise has the value -0.5"),
        ({"read_noise": np.inf}, "read_noise holds a value that is not finite"),
        ({"offset": [1.0, np.nan]}, "offset holds a value that is not finite"),
        ({"gain": "two"}, "gain"),
        ({"gain": [[1.0], [1.0, 2.0]]}, "gain has rows of different lengths"),
        ({"offset": 1j}, "offset"),
        ({"offset": []}, "offset is empty"),
    ],
)
def test_what_is_no_camera(values: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        Camera(**values)


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(FitInputError, match=r"shapes \(2, 3\), \(\), \(\).*\(4, 5, 5\)"):
        fit_image(np.full((4, 5, 5), 120.0), "gaussian_2d", noise=Camera(gain=GAIN))
    with pytest.raises(FitInputError, match="do not broadcast"):
        Camera(offset=np.full(7, 100.0)).counts((8,))


@pytest.mark.parametrize("camera", [Camera(2.2, 100.0, 1.6), Camera(GAIN, OFFSET, READ)])
def test_recipe_is_json(camera: Camera) -> None:
    again = Camera(**json.loads(json.dumps(camera.recipe())))
    for name in ("gain", "offset", "read_noise"):
        np.testing.assert_array_equal(getattr(again, name), getattr(camera, name))


def test_units_of_the_data_change_nothing_but_units() -> None:
    """A camera that doubles counts: the fit of the counts, in doubled units, digit for digit or nearly.

    Without read noise the likelihood is that of Poisson counts, in one unit or another.
    """
    t = np.linspace(0, 4, 32)
    counts = np.random.default_rng(5).poisson(40 * np.exp(-t / 1.2)[:, None] + 6, (32, 20))
    plain = fit_voxels(counts, "exponential_decay", x=t, noise="poisson")
    doubled = fit_voxels(2.0 * counts + 100, "exponential_decay", x=t, noise=Camera(2.0, 100.0))
    # both end within the tolerances of a fit, 1e-8 of the cost: 1e-4 of a standard error, which is below 0.2 of a value
    rtol = 1e-4
    np.testing.assert_allclose(doubled.params["tau"], plain.params["tau"], rtol=rtol)
    np.testing.assert_allclose(doubled.params["amplitude"], 2 * plain.params["amplitude"], rtol=rtol)
    np.testing.assert_allclose(doubled.params["offset"], 2 * plain.params["offset"] + 100, rtol=rtol)
    np.testing.assert_allclose(doubled.stderr["amplitude"], 2 * plain.stderr["amplitude"], rtol=rtol)
    np.testing.assert_allclose(doubled.stderr["tau"], plain.stderr["tau"], rtol=rtol)
    np.testing.assert_allclose(doubled.cost, plain.cost, rtol=1e-7)
    np.testing.assert_allclose(doubled.chi2, plain.chi2, rtol=rtol)


def test_noise_below_nothing_is_fitted() -> None:
    """Read noise makes data below the camera's offset, which counts cannot be; they are as if empty."""
    t = np.linspace(0, 4, 32)
    data = 2.2 * np.random.default_rng(6).normal(0.5, 1.6, (32, 50)) + 100
    assert (data < 100 - 2.2 * 1.6**2).any()
    result = fit_voxels(data, "linear", x=t, noise=Camera(2.2, 100.0, 1.6))
    assert result.converged.all()
