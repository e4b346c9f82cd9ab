"""Flags tell the truth: seldom raised by chance, and raised when something is wrong.

False alarms are counted over at least 20 000 fits of data that were simulated with the model that is fitted. A flag
that promises at most 1 in 1 000 may be raised N/1000 + 4·√(N/1000) times: 4 standard deviations of the binomial
distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_imagefit as nif
from napari_imagefit import Flag, Status

Floats = NDArray[np.float64]
N = 20_000
LEVEL = nif.Model.from_expression("level + 0*t", ["t"], bounds={"level": (0, np.inf)})
MEANS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
Y, X = np.mgrid[0:11, 0:11].astype(float)
SPOT = np.exp(-((Y - 5) ** 2 + (X - 5) ** 2) / (2 * 1.5**2))
T = np.linspace(0, 5, 64)


def seldom(result: nif.FitResult, flag: Flag, what: object = "") -> None:
    """At most 1 in 1 000, within chance."""
    raised = (result.flags & flag) != 0
    # where what was given is an axis of the grid, each part keeps the promise by itself
    parts = raised.reshape(-1, raised.shape[-1])
    most = 1e-3 * parts.shape[1] + 4 * np.sqrt(1e-3 * parts.shape[1])
    counts = np.count_nonzero(parts, axis=1)
    print(flag.name, what, "per mille:", 1e3 * counts / parts.shape[1])  # noqa: T201
    assert parts.shape[1] >= N
    assert (counts <= most).all(), (flag, what, counts, most)


def curves(n: int) -> Floats:
    return np.linspace(0, 1, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 32, 128])
def test_gaussian_noise_on_curves(n: int) -> None:
    rng = np.random.default_rng(n)
    data = rng.normal(5, 1, (n, 2 * N))
    for model in ("linear", LEVEL):
        result = nif.fit_voxels(data, model, x=curves(n), sigma=1.0)
        assert result.converged.all()
        seldom(result, Flag.LARGE_CHI2, n)
        seldom(result, Flag.STRUCTURED_RESIDUAL, n)
        seldom(result, ~(Flag.LARGE_CHI2 | Flag.STRUCTURED_RESIDUAL), n)


@pytest.mark.slow
def test_noise_of_unknown_size_has_no_large_chi2() -> None:
    data = np.random.default_rng(1).normal(5, 100, (32, N))
    result = nif.fit_voxels(data, "linear", x=curves(32))
    assert not (result.flags & Flag.LARGE_CHI2).any()
    seldom(result, Flag.STRUCTURED_RESIDUAL)


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 32, 128])
def test_heavy_tails_are_no_structure(n: int) -> None:
    """Student's t of 3 degrees of freedom, and of 1, whose mean does not exist."""
    rng = np.random.default_rng(100 + n)
    data = np.stack([rng.standard_t(3, (n, N)), rng.standard_t(1, (n, N))], axis=1)
    seldom(nif.fit_voxels(100 + data, LEVEL, x=curves(n)), Flag.STRUCTURED_RESIDUAL, n)


@pytest.mark.slow
def test_gaussian_noise_on_windows() -> None:
    data = np.random.default_rng(2).normal(20 * SPOT, 1, (N, 11, 11))
    result = nif.fit_image(data, "gaussian_2d", sigma=1.0)
    assert result.converged.all()
    seldom(result, Flag.LARGE_CHI2)
    seldom(result, Flag.STRUCTURED_RESIDUAL)


@pytest.mark.slow
def test_counts_on_windows() -> None:
    """About 7 to 400 counts in all, over 0.5 in each pixel; fewer do not determine a spot."""
    rng = np.random.default_rng(3)
    peaks = np.array([3.0, 10.0, 30.0])[:, None, None, None]
    result = nif.fit_image(rng.poisson(peaks * SPOT + 0.5, (3, N, 11, 11)), "gaussian_2d", noise="poisson")
    # of 3 counts at the peak, a few have no spot at all
    assert (np.mean(~result.converged, axis=1) <= [0.01, 0, 0]).all()
    seldom(result, Flag.LARGE_CHI2)
    seldom(result, Flag.STRUCTURED_RESIDUAL)


def counted(n: int) -> nif.FitResult:
    """Levels of all means, along the first axis of the grid."""
    data = np.random.default_rng(200 + n).poisson(np.array(MEANS)[:, None], (n, len(MEANS), N))
    return nif.fit_voxels(data, LEVEL, x=curves(n), noise="poisson")


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 32, 128])
def test_counts_are_no_structure(n: int) -> None:
    seldom(counted(n), Flag.STRUCTURED_RESIDUAL, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 32, 128])
def test_counts_are_not_larger_than_their_noise(n: int) -> None:
    seldom(counted(n), Flag.LARGE_CHI2, n)


@pytest.mark.slow
def test_a_cameras_noise_is_not_larger_than_it_says() -> None:
    rng = np.random.default_rng(5)
    electrons = np.array([5.0, 30.0])[:, None]
    data = 2.2 * (rng.poisson(electrons, (32, 2, N)) + rng.normal(0, 1.6, (32, 2, N))) + 100
    seldom(nif.fit_voxels(data, LEVEL, x=curves(32), noise=nif.Camera(2.2, 100.0, 1.6)), Flag.LARGE_CHI2)


def decays(*parts: tuple[float, float]) -> Floats:
    return sum((a * np.exp(-T / tau) for a, tau in parts), np.full(T.size, 2.0))


def test_wrong_models_of_curves_are_flagged() -> None:
    """One exponential for two: residuals of about 2 standard deviations, in waves."""
    clean = decays((60, 0.3), (60, 2.5))[:, None]
    rng = np.random.default_rng(6)
    wrong = nif.fit_voxels(rng.normal(clean, 1, (T.size, 500)), "exponential_decay", x=T, sigma=1.0)
    # an alarm for nearly all: χ² is some 5 of its standard deviations above its mean, and more
    for flag in (Flag.LARGE_CHI2, Flag.STRUCTURED_RESIDUAL):
        assert np.mean((wrong.flags & flag) != 0) > 0.99, flag
    right = nif.fit_voxels(
        rng.normal(decays((120, 1.2))[:, None], 1, (T.size, 500)), "exponential_decay", x=T, sigma=1.0
    )
    # 500 fits at 2 alarms in 1 000: 1, and 4 standard deviations
    assert np.count_nonzero(right.flags) <= 5
    # noise twice as large as was said is large, but has no structure
    loud = nif.fit_voxels(
        rng.normal(decays((120, 1.2))[:, None], 2, (T.size, 500)), "exponential_decay", x=T, sigma=1.0
    )
    assert (loud.flags & Flag.LARGE_CHI2).all()
    assert np.count_nonzero(loud.flags & Flag.STRUCTURED_RESIDUAL) <= 5
    # counts: the same flags, where the noise is the data's own
    counts = nif.fit_voxels(rng.poisson(20 * clean, (T.size, 500)), "exponential_decay", x=T, noise="poisson")
    for flag in (Flag.LARGE_CHI2, Flag.STRUCTURED_RESIDUAL):
        assert np.mean((counts.flags & flag) != 0) > 0.99, flag


def test_wrong_models_of_images_are_flagged() -> None:
    """A Gaussian for a Lorentzian, whose wings are wide enough to be seen."""
    y, x = np.mgrid[0:24, 0:24].astype(float)
    distance = (y - 11.5) ** 2 + (x - 12) ** 2
    rng = np.random.default_rng(7)
    wrong = nif.fit_image(rng.normal(50 / (1 + distance / 3**2), 1, (300, 24, 24)), "gaussian_2d", sigma=1.0)
    for flag in (Flag.LARGE_CHI2, Flag.STRUCTURED_RESIDUAL):
        assert np.mean((wrong.flags & flag) != 0) > 0.99, flag
    right = nif.fit_image(rng.normal(50 * np.exp(-distance / 18), 1, (300, 24, 24)), "gaussian_2d", sigma=1.0)
    # 0.6 expected
    assert np.count_nonzero(right.flags) <= 4


def test_bounds_are_flagged_where_they_hold_a_parameter_back() -> None:
    """By the truth: well inside, held back from below, from above, and from both."""
    rng = np.random.default_rng(8)
    tau = np.array([1.0, 0.5, 2.0, 1.0])
    amplitude = np.array([100.0, 100.0, 100.0, 50.0])
    data = amplitude * np.exp(-T[:, None] / tau) + 2 + rng.normal(0, 0.5, (T.size, 4))
    limits = {"tau": (0.8, 1.5), "amplitude": (80, 300)}
    result = nif.fit_voxels(data, "exponential_decay", x=T, bounds=limits, sigma=0.5)
    assert result.at_bound["tau"].tolist()[:3] == [0, -1, 1]
    # too little amplitude: the bound lifts it, and the time constant falls, to a bound or not
    assert result.at_bound["amplitude"].tolist() == [0, 0, 0, -1]
    lower, upper = result.flags & Flag.AT_LOWER != 0, result.flags & Flag.AT_UPPER != 0
    assert lower.tolist() == [False, True, False, True]
    assert upper.tolist()[:3] == [False, False, True]
    for name in ("amplitude", "tau"):
        held = result.at_bound[name] != 0
        assert np.isnan(result.stderr[name][held]).all()
        assert np.isfinite(result.stderr[name][~held]).all()
    # the wrong model is one, whoever made it wrong
    assert (result.flags[1:3] & Flag.LARGE_CHI2 != 0).all()
    assert result.flags[0] == 0


def test_what_the_data_hardly_determine_is_flagged() -> None:
    """Noise alone, a decay much longer than the data, and one that is well measured."""
    rng = np.random.default_rng(9)
    kinds = [np.zeros(T.size), 100 * np.exp(-T / 1e5), decays((100, 1.2))]
    data = np.repeat(np.stack(kinds, axis=1)[:, :, None], 200, axis=2)
    result = nif.fit_voxels(data + rng.normal(0, 1, data.shape), "exponential_decay", x=T, sigma=1.0)
    vague = (result.flags & Flag.POORLY_DETERMINED != 0) | (result.status == Status.SINGULAR)
    # noise may look like a short peak, or a jump, once in a while
    assert (vague.mean(axis=1)[:2] > 0.7).all(), vague.mean(axis=1)
    assert not vague[2].any()
    # where nothing is said against it, an error that is smaller than the value, or none at a bound
    sure = ~vague & result.converged
    assert not (result.stderr["tau"][sure] > result.params["tau"][sure]).any()
    assert (np.isfinite(result.stderr["tau"][sure]) | (result.at_bound["tau"][sure] != 0)).all()


def test_parameters_that_stand_for_the_same_are_flagged() -> None:
    model = nif.Model.from_expression("a*b*exp(-t/tau)", ["t"], bounds={"tau": (0.1, 10)})
    result = nif.fit_voxels(decays((100, 1.2))[:, None] - 2 + np.zeros(3), model, x=T)
    assert (result.flags & Flag.POORLY_DETERMINED).all()
    assert (result.status == Status.SINGULAR).all()


def test_left_out_samples_are_flagged_where_they_are() -> None:
    data = decays((100, 1.2))[:, None] + np.random.default_rng(10).normal(0, 1, (T.size, 5))
    data[3, 1], data[[4, 9], 2], data[:, 3] = np.nan, (np.inf, -np.inf), np.nan
    result = nif.fit_voxels(data, "exponential_decay", x=T, sigma=1.0)
    assert (result.flags & Flag.MASKED_SAMPLES != 0).tolist() == [False, True, True, True, False]
    assert result.n_left_out.tolist() == [0, 1, 2, T.size, 0]
    assert result.status[3] == Status.TOO_FEW_SAMPLES
    # of a fit that did not take place nothing else is said
    assert result.flags[3] == Flag.MASKED_SAMPLES
    assert (result.flags[[0, 4]] == 0).all()


def test_one_outlier_is_large_but_has_no_structure() -> None:
    data = decays((100, 1.2))[:, None] + np.random.default_rng(11).normal(0, 1, (T.size, 4))
    data[30, 2] += 30
    result = nif.fit_voxels(data, "exponential_decay", x=T, sigma=1.0)
    assert (result.flags & Flag.LARGE_CHI2 != 0).tolist() == [False, False, True, False]
    assert not (result.flags & Flag.STRUCTURED_RESIDUAL).any()


@pytest.mark.parametrize("axis", [0, 1])
def test_any_axis_of_a_grid(axis: int) -> None:
    """Flags lie where their fits do."""
    data: Any = decays((100, 1.2))[:, None, None] + np.random.default_rng(12).normal(0, 1, (T.size, 2, 3))
    data[7, 1, 2] = np.nan
    result = nif.fit_voxels(np.moveaxis(data, 0, axis), "exponential_decay", x=T, sigma=1.0, axis=axis)
    assert np.argwhere(result.flags & Flag.MASKED_SAMPLES).tolist() == [[1, 2]]
