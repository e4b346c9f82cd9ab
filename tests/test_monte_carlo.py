"""Standard errors against simulations, for every noise and loss: intervals hold the truth as often as they say.

Each case simulates 10 000 data sets of known parameters with NumPy's generators, fits them from the plugin's own
starts, and looks at the pulls (estimate − truth)/stderr of every parameter:

- within 1 and 2 standard errors lie 68.27 % and 95.45 %, within 2 percentage points. Of 10 000 fits the fractions
  scatter by 0.47 and 0.21 points, so chance does not fail a case; errors that are wrong by 5 % do (by 2.4 points).
  Where σ is estimated, from 61 or 116 degrees of freedom, the expected fractions are 0.4 points lower.
- the mean is 0, within 4 standard deviations of a mean of 10 000, 0.04, and the case's bias. An estimate that is not
  linear in the data has a bias of the order of stderr², and stderr goes with the estimate: least squares and losses at
  these noises up to 0.05 of a standard error, maximum likelihood of counts around 1 per pixel up to 0.12 (the width
  and the background come out that much too small).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_imagefit as nif

pytestmark = pytest.mark.slow

N = 10_000
WITHIN = {1: 68.27, 2: 95.45}
POINTS = 2.0
CHANCE = 4 / np.sqrt(N)
BIAS, BIAS_OF_COUNTS = 0.05, 0.12
Floats = NDArray[np.float64]
Params = dict[str, Floats]

Y, X = np.mgrid[0:11, 0:11].astype(float)
T = np.linspace(0, 200, 64)


def spots(rng: np.random.Generator, background: float = 1.0) -> tuple[Params, Floats]:
    """Parameters, and images ``(N, 11, 11)`` without noise: about 30 at the peak."""
    truth = {
        "amplitude": rng.uniform(24, 36, N),
        "y": rng.uniform(4.5, 5.5, N),
        "x": rng.uniform(4.5, 5.5, N),
        "sigma": rng.uniform(1.3, 1.7, N),
        "offset": np.full(N, background),
    }
    height, y, x, sigma, offset = (values[:, None, None] for values in truth.values())
    return truth, height * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * sigma**2)) + offset


def decays(rng: np.random.Generator) -> tuple[Params, Floats]:
    """Parameters, and curves ``(N, 64)`` without noise."""
    truth = {"amplitude": rng.uniform(80, 120, N), "tau": rng.uniform(30, 50, N), "offset": np.full(N, 20.0)}
    height, tau, offset = (values[:, None] for values in truth.values())
    return truth, height * np.exp(-T / tau) + offset


def fit_decays(data: Floats, **how: object) -> nif.FitResult:
    return nif.fit_voxels(data, "exponential_decay", x=T, axis=1, **how)  # type: ignore[arg-type]


def check(result: nif.FitResult, truth: Params, bias: float) -> None:
    """All converged, with the coverage and the bias that are claimed."""
    assert result.shape == (N,)
    assert result.converged.all(), result.summary()
    wrong = []
    for name, true in truth.items():
        pull = (result.params[name] - true) / result.stderr[name]
        assert np.isfinite(pull).all(), name
        found = {k: 100 * np.mean(np.abs(pull) <= k) for k in WITHIN}
        print(f"{name:10s} {found[1]:.2f} {found[2]:.2f} mean {pull.mean():+.3f} sd {pull.std():.3f}")  # noqa: T201
        if any(abs(found[k] - WITHIN[k]) > POINTS for k in WITHIN) or abs(pull.mean()) > CHANCE + bias:
            wrong.append((name, found, pull.mean()))
    assert not wrong


@pytest.mark.parametrize("known", [False, True], ids=["sigma estimated", "sigma known"])
def test_least_squares_of_images(known: bool) -> None:
    rng = np.random.default_rng(10 + known)
    truth, clean = spots(rng)
    check(nif.fit_image(rng.normal(clean, 1.0), "gaussian_2d", sigma=1.0 if known else None), truth, BIAS)


@pytest.mark.parametrize("known", [False, True], ids=["sigma estimated", "sigma known"])
def test_least_squares_of_curves(known: bool) -> None:
    """Where σ is known it differs from sample to sample."""
    rng = np.random.default_rng(20 + known)
    truth, clean = decays(rng)
    sigma = rng.uniform(2, 4, clean.shape) if known else np.asarray(3.0)
    check(fit_decays(rng.normal(clean, sigma), sigma=sigma if known else None), truth, BIAS)


def test_counts_of_images() -> None:
    rng = np.random.default_rng(30)
    truth, clean = spots(rng)
    check(nif.fit_image(rng.poisson(clean), "gaussian_2d", noise="poisson"), truth, BIAS_OF_COUNTS)


def test_counts_of_curves() -> None:
    rng = np.random.default_rng(31)
    truth, clean = decays(rng)
    check(fit_decays(rng.poisson(clean), noise="poisson"), truth, BIAS_OF_COUNTS)


def in_units(truth: Params, gain: float, offset: float) -> Params:
    """Parameters in a camera's units."""
    return truth | {"amplitude": gain * truth["amplitude"], "offset": gain * truth["offset"] + offset}


@pytest.mark.parametrize("background", [1.0, 5.0])
def test_camera(background: float) -> None:
    """Photoelectrons are drawn from Poisson's distribution, the read noise from a normal one."""
    rng = np.random.default_rng(40)
    truth, clean = spots(rng, background)
    data = 2.2 * (rng.poisson(clean) + rng.normal(0, 1.6, clean.shape)) + 100
    result = nif.fit_image(data, "gaussian_2d", noise=nif.Camera(2.2, 100.0, 1.6))
    check(result, in_units(truth, 2.2, 100), BIAS_OF_COUNTS)


def test_camera_with_a_read_noise_for_each_pixel() -> None:
    """With a pixel in the flank of the spot that is 5 times as noisy as the others."""
    rng = np.random.default_rng(41)
    truth, clean = spots(rng)
    read = rng.uniform(1, 2.2, Y.shape)
    read[3, 6] = 8
    data = 2.2 * (rng.poisson(clean) + rng.normal(0, read, clean.shape)) + 100
    result = nif.fit_image(data, "gaussian_2d", noise=nif.Camera(2.2, 100.0, read))
    check(result, in_units(truth, 2.2, 100), BIAS_OF_COUNTS)


def test_camera_with_maps_of_gain_and_offset() -> None:
    """An sCMOS sensor: a smooth spot of electrons, amplified and shifted by each pixel in its own way.

    Parameters are in units of the mean gain and offset.
    """
    rng = np.random.default_rng(42)
    truth, clean = spots(rng)
    gain, offset, read = rng.uniform(1.8, 2.6, Y.shape), rng.uniform(97, 103, Y.shape), rng.uniform(1, 2.2, Y.shape)
    data = gain * (rng.poisson(clean) + rng.normal(0, read, clean.shape)) + offset
    result = nif.fit_image(data, "gaussian_2d", noise=nif.Camera(gain, offset, read))
    check(result, in_units(truth, gain.mean(), offset.mean()), BIAS_OF_COUNTS)


@pytest.mark.parametrize("share", [0.0, 0.05], ids=["clean", "outliers"])
@pytest.mark.parametrize("surface", [False, True], ids=["curves", "images"])
def test_huber(share: float, surface: bool) -> None:
    """σ is not told. Outliers are 10 times as large, on either side; the errors measure what they leave."""
    rng = np.random.default_rng(50 + surface)
    truth, clean = spots(rng) if surface else decays(rng)
    sigma = 1.0 if surface else 3.0
    noise = rng.normal(0, sigma, clean.shape)
    noise[rng.random(clean.shape) < share] *= 10
    data = clean + noise
    how = {"loss": "huber", "f_scale": 1.345 * sigma}
    result = nif.fit_image(data, "gaussian_2d", **how) if surface else fit_decays(data, **how)
    check(result, truth, BIAS)


@pytest.mark.parametrize("loss", ["cauchy", "soft_l1"])
def test_losses_on_heavy_tails(loss: str) -> None:
    """Student's t of 3 degrees of freedom, whose fourth moment does not exist; f_scale in units of the σ given."""
    rng = np.random.default_rng(60)
    truth, clean = decays(rng)
    data = clean + 3 * rng.standard_t(3, clean.shape)
    check(fit_decays(data, loss=loss, f_scale=2.0, sigma=3.0), truth, BIAS)
