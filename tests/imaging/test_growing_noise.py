"""Noise that grows with the light: found where it is and nowhere else, and errors that are the scatter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_imagefit import Camera, FitResult, fit_spots
from napari_imagefit.imaging.files.localisations import write_localisations
from napari_imagefit.imaging.spot_analysis.photometry import photometry
from napari_imagefit.imaging.spot_analysis.signal_dependent_noise import find_noise_line, with_growing_noise

RNG = np.random.default_rng(8)
SIDE, WINDOW, SIGMA, COUNT = 21, 9, 1.3, 1500
LINE = np.arange(SIDE, dtype=float)
PLACES = SIDE // 2 + RNG.uniform(-0.5, 0.5, (COUNT, 2))
PHOTONS = RNG.uniform(300, 3000, COUNT)


def light(places: np.ndarray = PLACES, background: float = 2.0) -> np.ndarray:
    """Expected photons of a spot per frame."""
    bells = [np.exp(-0.5 * ((LINE - c[:, None]) / SIGMA) ** 2) for c in places.T]
    height = PHOTONS[: len(places)] / (2 * np.pi * SIGMA**2)
    return height[:, None, None] * bells[0][:, :, None] * bells[1][:, None, :] + background


def fitted(stack: np.ndarray, places: np.ndarray = PLACES, **said: Any) -> FitResult:
    points = np.column_stack([np.arange(len(places)) % len(stack), np.round(places)])
    return fit_spots(stack, points, "gaussian_2d", window=WINDOW, **said)


COUNTS = np.random.default_rng(9).poisson(light()).astype(float)


@pytest.fixture(scope="module")
def found() -> FitResult:
    return fitted(COUNTS)


def pull(result: FitResult, places: np.ndarray = PLACES) -> float:
    """The root mean square of (found − true)/stated error, of y and x."""
    errors = np.stack([result.params["y"] - places[:, 0], result.params["x"] - places[:, 1]])
    stated = np.stack([result.stderr["y"], result.stderr["x"]])
    return float(np.sqrt(np.nanmean((errors / stated) ** 2)))


def test_the_line_of_counts_is_their_gain_and_that_of_a_camera_its_read_noise_too(found: FitResult) -> None:
    line = find_noise_line(found)
    assert line is not None
    # 1 500 · 441 squares; the line is known to 1 %
    assert line.slope == pytest.approx(1, abs=0.05)
    assert line.even == pytest.approx(0, abs=0.1)
    read = np.random.default_rng(1).normal(0, 6, COUNTS.shape)
    line = find_noise_line(fitted(2 * COUNTS + read + 100))
    assert line is not None
    assert line.slope == pytest.approx(2, abs=0.1)
    assert line.even == pytest.approx(36 - 2 * 100, abs=8)


def test_errors_are_the_scatter(found: FitResult) -> None:
    """3 000 errors scatter by 1.3 %; stated by least squares they are half of it."""
    assert pull(found) > 1.7
    precise = with_growing_noise(found)
    assert pull(precise) == pytest.approx(1, abs=0.05)
    amplitude = (found.params["amplitude"] - PHOTONS / (2 * np.pi * SIGMA**2)) / precise.stderr["amplitude"]
    assert np.sqrt(np.mean(amplitude**2)) == pytest.approx(1, abs=0.07)
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(precise.covariance, axis1=1, axis2=2)), np.stack(list(precise.stderr.values()), axis=1)
    )


def test_derived_columns_and_tables_have_these_errors(found: FitResult, tmp_path: Any) -> None:
    import pandas as pd

    precise = with_growing_noise(found)
    columns = photometry(found)
    photons = (columns["photons"].values - PHOTONS) / columns["photons"].stderr
    assert np.sqrt(np.mean(photons**2)) == pytest.approx(1, abs=0.07)
    both = np.stack([precise.stderr["y"], precise.stderr["x"]])
    np.testing.assert_allclose(columns["precision"].values, np.sqrt((both**2).mean(axis=0)))
    write_localisations(found, tmp_path / "spots.csv", "picasso")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "spots.csv")["lpx"], precise.stderr["x"])
    write_localisations(found, tmp_path / "storm.csv", "thunderstorm", pixel_size=100, units="nm")
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "storm.csv")["uncertainty [nm]"], 100 * columns["precision"].values
    )
    # the contract's own errors stay
    write_localisations(found, tmp_path / "own.csv")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "own.csv")["x_stderr [px]"], found.stderr["x"])


def test_done_twice_is_done_once(found: FitResult) -> None:
    precise = with_growing_noise(found)
    assert find_noise_line(precise) is None
    assert with_growing_noise(precise) is precise


EVEN = light() + np.random.default_rng(10).normal(0, 5, COUNTS.shape)


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (EVEN, {}),
        (COUNTS, {"noise": "poisson"}),
        (COUNTS, {"noise": Camera(gain=1)}),
        (COUNTS, {"sigma": 3.0}),
        (COUNTS, {"loss": "huber"}),
        (COUNTS[:15], {}),
    ],
    ids=["even", "poisson", "camera", "sigma", "robust", "few"],
)
def test_nothing_is_changed_where_there_is_nothing_to_change(stack: np.ndarray, said: dict[str, Any]) -> None:
    result = fitted(stack, PLACES[: len(stack)], **said)
    assert find_noise_line(result) is None
    assert with_growing_noise(result) is result


def test_held_parameters_stay_without_error() -> None:
    result = fitted(COUNTS, fixed={"sigma": SIGMA})
    precise = with_growing_noise(result)
    assert precise is not result
    assert np.isnan(precise.stderr["sigma"]).all()
    assert pull(precise) == pytest.approx(1, abs=0.05)


def test_a_spot_with_a_hot_pixel_neither_spoils_the_others_nor_looks_precise(found: FitResult) -> None:
    stack = COUNTS.copy()
    stack[3, 12, 12] += 30000
    result = fitted(stack)
    precise, without = with_growing_noise(result), with_growing_noise(found)
    others = np.arange(COUNT) != 3
    np.testing.assert_allclose(precise.stderr["x"][others], without.stderr["x"][others], rtol=0.01)
    if result.converged[3]:
        assert precise.stderr["x"][3] > 0.5 * result.stderr["x"][3]


def test_fits_without_an_answer_have_no_error() -> None:
    stack = COUNTS.copy()
    stack[5] = np.nan
    stack[6] = 7.0
    result = with_growing_noise(fitted(stack))
    assert result.source.noise is not None  # type: ignore[attr-defined]
    for row in (5, 6):
        assert np.isnan(result.stderr["x"][row])
    good = fitted(stack).converged
    assert np.isfinite(np.stack(list(result.stderr.values()))[:, good]).all()


@pytest.mark.parametrize("apart", [4.0, 6.0])
def test_spots_of_a_group(apart: float) -> None:
    """Each in its own window is an approximation: 1 600 errors scatter by 1.8 %, and 8 % are allowed."""
    rng = np.random.default_rng(11)
    count, angle = 400, np.random.default_rng(12).uniform(0, 2 * np.pi, 400)
    step = apart / 2 * np.column_stack([np.sin(angle), np.cos(angle)])
    places = np.concatenate([PLACES[:count] + step, PLACES[:count] - step])
    mean = light(places[:count]) + light(places[count:], background=0.0)
    result = fitted(rng.poisson(mean).astype(float), places, groups=4)
    assert result.converged.mean() > 0.99
    assert pull(result, places) > 1.6
    assert pull(with_growing_noise(result), places) == pytest.approx(1, abs=0.08)


def test_a_width_that_all_share_and_what_each_has_for_itself() -> None:
    """3 000 errors scatter by 1.3 %, and one width in 24 sheets of 60 by 15 %."""
    shared = fitted(COUNTS, shared=["sigma"])
    assert pull(shared) > 1.7
    precise = with_growing_noise(shared)
    assert pull(precise) == pytest.approx(1, abs=0.05)
    amplitude = (shared.params["amplitude"] - PHOTONS / (2 * np.pi * SIGMA**2)) / precise.stderr["amplitude"]
    assert np.sqrt(np.mean(amplitude**2)) == pytest.approx(1, abs=0.07)
    assert np.ptp(precise.stderr["sigma"]) < 1e-12
    pulls = []
    for first in range(0, 1440, 60):
        part = slice(first, first + 60)
        some = with_growing_noise(fitted(COUNTS[part], PLACES[part], shared=["sigma"]))
        pulls.append((some.params["sigma"][0] - shared.params["sigma"][0]) / some.stderr["sigma"][0])
    assert 0.7 < np.std(pulls) < 1.4


def test_a_shared_width_at_its_bound_is_as_if_it_were_fixed() -> None:
    """Bright ones beside dim ones: the noise of all together is that of none."""
    photons = np.where(np.arange(60) % 2, 600.0, 60000.0)
    bells = [np.exp(-0.5 * ((LINE - c[:, None]) / SIGMA) ** 2) for c in PLACES[:60].T]
    spots = photons[:, None, None] / (2 * np.pi * SIGMA**2) * bells[0][:, :, None] * bells[1][:, None, :] + 2
    counts = np.random.default_rng(2).poisson(spots).astype(float)
    counts[7] = np.nan  # one without an answer has no bound, and no say
    low, high = 0.5, 0.96 * SIGMA
    bound = with_growing_noise(fitted(counts, PLACES[:60], shared=["sigma"], bounds={"sigma": (low, high)}))
    assert (bound.at_bound["sigma"][bound.converged] == 1).all()
    fixed = with_growing_noise(fitted(counts, PLACES[:60], fixed={"sigma": high}))
    for name in ("amplitude", "y", "x", "offset"):
        np.testing.assert_allclose(bound.stderr[name], fixed.stderr[name], rtol=1e-4)


def test_tied_parameters_keep_the_errors_of_the_fit() -> None:
    points = np.column_stack([np.arange(COUNT), np.round(PLACES)])
    result = fit_spots(COUNTS, points, "gaussian_2d_elliptic", window=WINDOW, tied={"sigma_y": "sigma_x"})
    assert with_growing_noise(result) is result


def test_what_is_returned_is_a_whole_result(found: FitResult) -> None:
    """It is fitted, tabled and described as the other."""
    precise = with_growing_noise(found)
    np.testing.assert_array_equal(precise.residual(), found.residual())
    assert precise.recipe() == found.recipe()
    assert len(replace(precise, seconds=0.0).to_dataframe()) == COUNT
