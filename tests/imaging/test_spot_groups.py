"""Spots that are fitted together because their windows overlap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_imagefit import FitResult, Flag, Status, fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.files.localisations import read_localisations, write_localisations
from napari_imagefit.imaging.recipes.recipe import Recipe
from napari_imagefit.imaging.spot_analysis.beads import average_bead, orthogonal_cuts
from napari_imagefit.imaging.spot_analysis.crlb import crlb
from napari_imagefit.imaging.spots.grouping import find_groups
from napari_imagefit.imaging.spots.windows import find_windows

SHAPE, WINDOW = (70, 80), 9
Y, X = np.indices(SHAPE)
# two alone, two pairs, a triple, and a pair of which one is cut by the edge
CENTRES = np.array([
    (12.2, 12.3), (12.4, 60.7),
    (30.3, 12.1), (33.2, 14.8), (30.1, 40.2), (30.6, 44.4),
    (52.3, 20.2), (52.1, 24.9), (56.4, 22.3), (66.9, 60.2), (63.6, 62.8),
])  # fmt: skip
HEIGHTS = np.linspace(50, 90, len(CENTRES))
CLEAN = 10 + sum(
    a * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.3**2) for a, (y, x) in zip(HEIGHTS, CENTRES, strict=True)
)
NOISY = CLEAN + np.random.default_rng(0).normal(0, 1, SHAPE)
POINTS = np.floor(CENTRES + 0.5)
TRUTH = {
    "amplitude": HEIGHTS,
    "y": CENTRES[:, 0],
    "x": CENTRES[:, 1],
    "sigma": np.full(11, 1.3),
    "offset": np.full(11, 10),
}
NAMES = ("amplitude", "y", "x", "sigma", "offset")


def together(image: np.ndarray = NOISY, points: np.ndarray = POINTS, **said: Any) -> FitResult:
    return fit_spots(image, points, "gaussian_2d", window=WINDOW, **{"groups": 3, **said})


@pytest.fixture(scope="module")
def found() -> FitResult:
    return together()


def test_groups_are_those_whose_windows_overlap() -> None:
    windows = find_windows(POINTS, SHAPE, 2, WINDOW)
    every = np.ones(len(POINTS), bool)
    groups = find_groups(windows, 3, every)
    assert [m.tolist() for m in groups.members] == [[[0], [1]], [[2, 3], [4, 5], [9, 10]], [[6, 7, 8]]]
    assert groups.others[7].tolist() == [6, 8]
    assert not groups.parted.any()
    pairs = find_groups(windows, 2, every)
    assert len(pairs.members[1]) == 4
    assert pairs.parted[[6, 7, 8]].any()
    alone = find_groups(windows, 3, every & (np.arange(11) != 7))
    assert [6, 8] in alone.members[1].tolist()
    # two frames never meet
    stacked = np.concatenate([np.insert(POINTS, 0, f, axis=1) for f in (0, 1)])
    twice = find_groups(find_windows(stacked, (2, *SHAPE), 2, WINDOW), 3, np.ones(22, bool))
    assert [len(m) for m in twice.members] == [4, 6, 2]


def test_without_noise_all_is_found() -> None:
    result = together(CLEAN)
    assert result.converged.all()
    for name, value in TRUTH.items():
        np.testing.assert_allclose(result.params[name], value, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(np.nan_to_num(result.residual()), 0, atol=1e-5)
    assert not (result.flags & np.uint16(Flag.NEIGHBOUR_OVERLAP)).any()
    apart = fit_spots(CLEAN, POINTS, "gaussian_2d", window=WINDOW)
    assert np.abs(apart.params["x"] - CENTRES[:, 1])[2:].max() > 0.1


def test_errors_are_those_of_the_noise(found: FitResult) -> None:
    assert found.converged.all()
    pulls = np.stack([(found.params[name] - value) / found.stderr[name] for name, value in TRUTH.items()])
    assert np.abs(pulls).max() < 4.5
    assert 0.7 < np.sqrt(np.mean(pulls**2)) < 1.3
    # a group has one background
    assert found.params["offset"][6] == found.params["offset"][7] == found.params["offset"][8]


def test_a_group_is_what_scipy_makes_of_its_pixels(found: FitResult) -> None:
    rows = [6, 7, 8]
    used = np.zeros(SHAPE, bool)
    for y, x in POINTS[rows].astype(int):
        used[y - 4 : y + 5, x - 4 : x + 5] = True
    y, x, data = Y[used], X[used], NOISY[used]

    def residual(p: np.ndarray) -> np.ndarray:
        spots = p[:12].reshape(3, 4)
        return sum(a * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / s**2) for a, cy, cx, s in spots) + p[12] - data

    start = np.concatenate([[HEIGHTS[r], *CENTRES[r], 1.3] for r in rows] + [[10.0]])
    there = least_squares(residual, start, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    for spot, row in enumerate(rows):
        ours = [found.params[name][row] for name in NAMES]
        np.testing.assert_allclose(ours, [*there.x[4 * spot : 4 * spot + 4], there.x[12]], rtol=1e-5, atol=1e-6)
        assert found.cost[row] == pytest.approx(there.cost, rel=1e-7)
        assert found.n_used[row] == used.sum()
        assert found.n_left_out[row] == 0
    scale = 2 * there.cost / (used.sum() - 13)
    covariance = scale * np.linalg.inv(there.jac.T @ there.jac)
    for spot, row in enumerate(rows):
        block = [*range(4 * spot, 4 * spot + 4), 12]
        np.testing.assert_allclose(found.covariance[row], covariance[np.ix_(block, block)], rtol=1e-2, atol=1e-9)
    assert found.reduced_chi2[6] == pytest.approx(scale, rel=1e-7)


def test_windows_show_the_joint_model(found: FitResult) -> None:
    residual = found.residual()
    assert 0.8 < np.nanstd(residual) < 1.2
    inside = residual[6]
    y, x = POINTS[6].astype(int)
    box = (slice(y - 4, y + 5), slice(x - 4, x + 5))
    np.testing.assert_allclose((found.fitted()[6] + inside), NOISY[box], rtol=1e-12)
    assert np.abs(found.fitted()[6] - CLEAN[box]).max() < 4
    assert np.isnan(found.fitted()[9]).any()


def same(result: FitResult, other: FitResult, rows: Any, others: Any) -> None:
    for name in NAMES:
        for kind in ("params", "stderr", "start"):
            np.testing.assert_array_equal(getattr(result, kind)[name][rows], getattr(other, kind)[name][others])
    for kind in ("covariance", "status", "flags", "cost", "n_used", "n_left_out", "n_iterations"):
        np.testing.assert_array_equal(getattr(result, kind)[rows], getattr(other, kind)[others])


def test_no_group_depends_on_another(found: FitResult) -> None:
    some = np.array([0, 4, 5])
    same(together(points=POINTS[some]), found, slice(None), some)
    # one bad spot spoils its own group at most, and there its neighbour is still fitted
    image = NOISY.copy()
    image[48:58, 14:18] = np.nan
    image[26:34, 8:12] = 1e4
    result = together(image)
    rows = np.array([0, 1, 4, 5, 9, 10])
    same(result, found, rows, rows)
    dead = NOISY.copy()
    dead[24:37, 4:21] = np.nan
    result = together(dead)
    assert result.status[2] == Status.TOO_FEW_SAMPLES
    assert not result.converged[3]
    same(result, found, rows, rows)


def test_masked_pixels_are_counted_once(found: FitResult) -> None:
    mask = np.ones(SHAPE, bool)
    mask[31, 42] = False
    mask[66, 61] = False
    result = together(mask=mask)
    expected = np.isin(np.arange(11), [4, 5, 9, 10]).astype(int)
    np.testing.assert_array_equal(result.n_left_out, expected)
    np.testing.assert_array_equal(result.n_used, found.n_used - expected)
    np.testing.assert_array_equal((result.flags & np.uint16(Flag.MASKED_SAMPLES)) > 0, expected > 0)


@pytest.mark.slow
def test_wishes_are_for_each_spot() -> None:
    upper = CENTRES[:, 1] + np.where(np.arange(11) == 7, -0.3, 2)
    result = together(
        bounds={"x": (0, upper)}, fixed={"y": CENTRES[:, 0], "offset": 10}, init={"sigma": np.linspace(1, 1.6, 11)}
    )
    np.testing.assert_array_equal(result.params["y"], CENTRES[:, 0])
    np.testing.assert_array_equal(result.params["offset"], 10)
    assert result.params["x"][7] == pytest.approx(upper[7], rel=1e-12)
    np.testing.assert_array_equal(result.at_bound["x"], np.arange(11) == 7)
    np.testing.assert_array_equal((result.flags & np.uint16(Flag.AT_UPPER)) > 0, np.arange(11) == 7)
    np.testing.assert_allclose(result.start["sigma"], np.linspace(1, 1.6, 11), rtol=1e-14)
    assert np.isnan(result.stderr["y"]).all()


@pytest.mark.slow
def test_counts() -> None:
    image = np.random.default_rng(1).poisson(CLEAN)
    result = together(image, noise="poisson")
    assert result.converged.all()
    pulls = np.stack([(result.params[name] - value) / result.stderr[name] for name, value in TRUTH.items()])
    assert np.abs(pulls).max() < 4.5


@pytest.mark.slow
def test_on_a_slope_the_offset_is_that_under_each_spot() -> None:
    sloped = CLEAN + 0.5 * Y - 0.3 * X
    result = together(sloped, background="sloping")
    np.testing.assert_allclose(result.params["x"], CENTRES[:, 1], atol=1e-4)
    np.testing.assert_allclose(result.params["offset"], 10 + 0.5 * CENTRES[:, 0] - 0.3 * CENTRES[:, 1], atol=1e-3)
    noisy = together(sloped + NOISY - CLEAN, background="sloping")
    pull = (noisy.params["offset"] - (10 + 0.5 * CENTRES[:, 0] - 0.3 * CENTRES[:, 1])) / noisy.stderr["offset"]
    assert np.abs(pull).max() < 4
    np.testing.assert_allclose(noisy.stderr["offset"][3], noisy.stderr["offset"][2], rtol=0.3)


def test_what_is_made_of_a_spot_is_without_its_neighbours(found: FitResult, tmp_path: Path) -> None:
    pair = np.zeros(len(POINTS), bool)
    pair[[4, 5]] = True
    clean = together(CLEAN)
    profile = np.exp(-0.5 * (np.arange(-4, 5) / 1.3) ** 2)
    # a fifth of the height of one is in the window of the other; splines and the pixel grid leave a hundredth
    mean = average_bead(CLEAN, clean, pair).mean
    # at the rim there is none where both lie off the middle of their window
    np.testing.assert_allclose(mean[1:-1, 1:-1], np.outer(profile, profile)[1:-1, 1:-1], atol=0.01)
    for cut in orthogonal_cuts(CLEAN, clean, 5):
        assert cut.fwhm_data == pytest.approx(cut.fwhm_fit, rel=0.1)
        assert cut.data[[0, -1]] == pytest.approx(10, abs=5)
    with pytest.raises(FitInputError, match="without groups"):
        crlb(found)
    write_localisations(found, tmp_path / "spots.csv", "thunderstorm", pixel_size=100, units="nm")
    # the noise is 1; of 81 pixels it is known within 8 %
    spread = read_localisations(tmp_path / "spots.csv", pixel_size=100).features["bkgstd [photon]"]
    np.testing.assert_allclose(spread, 1, atol=0.3)
    assert np.mean(spread) == pytest.approx(1, abs=0.1)


def test_a_group_that_comes_to_no_answer_is_fitted_one_by_one() -> None:
    image = NOISY.copy()
    # both of a pair have nothing but one value
    image[26:35, 44:49] = 10
    image[26:35, 36:44] = 10
    result = together(image)
    assert (result.status[[4, 5]] <= 0).all()
    # as only spots have it that were fitted with another one in their window
    assert (result.flags[[4, 5]] & Flag.NEIGHBOUR_OVERLAP).all()
    alone = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW)
    np.testing.assert_array_equal(result.status[[4, 5]], alone.status[[4, 5]])
    np.testing.assert_array_equal(result.n_used[[4, 5]], alone.n_used[[4, 5]])
    rows = np.array([0, 1, 2, 3])
    same(result, together(), rows, rows)


def test_recipe_and_what_makes_no_sense(found: FitResult) -> None:
    said = json.loads(json.dumps(found.recipe()))
    assert said["groups"] == 3
    assert Recipe.of(said).fit.groups == 3
    for wrong in (0, 2.5, True, 99):
        with pytest.raises(FitInputError, match="no number of spots to be fitted together"):
            together(groups=wrong)
    with pytest.raises(FitInputError, match="nothing tied or shared"):
        together(tied={"offset": "amplitude/10"})
    with pytest.raises(FitInputError, match="has no position"):
        fit_spots(NOISY, POINTS, "plane_2d", window=WINDOW, groups=2)
    dask_array = pytest.importorskip("dask.array")
    with pytest.raises(FitInputError, match="several chunks"):
        together(dask_array.from_array(NOISY, chunks=40))
