"""The mean curve of a region: of the very samples that the map is fitted to, fitted, and as a start of the map."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_imagefit import Selection, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.progress import drain
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.voxels.mean_curve import fit_mean_curve, mean_curve, seed
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

T = np.linspace(0, 5, 24)
SELECT = Selection(skip_first=2, exclude=[(4, 4.3)], noise_floor=0.6, saturation=3.0, min_signal=1.2)


def make_stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    tau, height = rng.uniform(0.8, 1.6, (5, 6)), rng.uniform(1, 4, (5, 6))
    stack = height * np.exp(-T[:, None, None] / tau) + 0.5 + rng.normal(0, 0.05, (24, 5, 6))
    stack[:, 0, 0] = np.nan
    return stack


STACK = make_stack()
REGION = np.zeros((5, 6), bool)
REGION[:3, 1:5] = REGION[0, 0] = True


@pytest.mark.parametrize("select", [None, SELECT])
@pytest.mark.parametrize("lazily", [False, True])
def test_it_is_the_mean_of_what_the_map_is_fitted_to(select: Selection | None, lazily: bool) -> None:
    stack = da.from_array(STACK, chunks=(8, 2, 3)) if lazily else STACK
    curve = mean_curve(stack, T, 0, REGION, select)
    data, chosen = (select or Selection()).apply(STACK, T)
    for i in range(24):
        values = data[i][REGION & chosen]
        values = values[np.isfinite(values)]
        assert curve.n[i] == values.size
        if values.size:
            assert curve.mean[i] == pytest.approx(values.mean(), rel=1e-12)
        if values.size > 1:
            assert curve.sem[i] == pytest.approx(values.std(ddof=1) / np.sqrt(values.size), rel=1e-9)
    assert np.isnan(curve.mean[curve.n == 0]).all()
    assert np.isnan(curve.sem[curve.n < 2]).all()
    if select is not None:
        assert (curve.n[:2] == 0).all()
        # the map counts the same samples
        fitted = fit_voxels(STACK, "exponential_decay", x=T, mask=REGION, select=select)
        assert curve.n.sum() == fitted.n_used.sum()


@pytest.mark.parametrize("axis", [1, -1])
def test_any_axis(axis: int) -> None:
    curve = mean_curve(np.moveaxis(STACK, 0, axis), T, axis, REGION, SELECT)
    np.testing.assert_array_equal(curve.mean, mean_curve(STACK, T, 0, REGION, SELECT).mean)


def test_its_fit_is_that_of_the_mean() -> None:
    result = fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION, select=SELECT)
    curve = mean_curve(STACK, T, 0, REGION, SELECT)
    expected = fit_voxels(curve.mean[curve.n > 0], "exponential_decay", x=T[curve.n > 0])
    assert result.shape == ()
    assert result.converged
    for name in result.model.names:
        assert float(result.params[name]) == pytest.approx(float(expected.params[name]), rel=1e-6)
    assert result.fitted().shape == T.shape


def test_arrays_over_the_map_count_by_their_mean_in_the_region() -> None:
    offset = np.where(REGION, 0.5, np.nan)
    offset[0, 1] = 0.7
    settings = Settings.of(fixed={"offset": offset}, bounds={"tau": (0.1, np.full((5, 6), np.inf))}, sigma=0.05)
    result = fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION, settings=settings)
    assert float(result.params["offset"]) == pytest.approx(0.5 + 0.2 / 13)
    assert not result.known_sigma
    with pytest.raises(FitInputError, match="shape \\(3,\\)"):
        fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION, settings=Settings(init={"tau": np.ones(3)}))


@pytest.mark.parametrize("noise", ["poisson", "rician"])
def test_the_mean_of_counts_or_magnitudes_is_neither(noise: Any) -> None:
    stack = np.random.default_rng(1).poisson(50 * np.exp(-T[:, None] / 1.2) * np.ones((1, 40)) + 3).astype(float)
    settings = Settings.of(noise=noise, sigma=None if noise == "poisson" else 1.0)
    result = fit_mean_curve(stack, "exponential_decay", x=T, settings=settings)
    assert result.criterion.noise == "gaussian"
    assert abs(float(result.params["tau"]) - 1.2) < 4 * float(result.stderr["tau"])


def test_a_map_starts_from_it_and_stays_near_it() -> None:
    model, mean = models["exponential_decay"], fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION)
    seeded = seed(Settings(), mean)
    assert {name: float(mean.params[name]) for name in mean.model.names} == seeded.init
    assert not seeded.bounds
    result = drain(VoxelRequest(model, x=T, mask=REGION, settings=seeded).steps(STACK))
    for name in mean.model.names:
        assert (result.start[name][REGION] == float(mean.params[name])).all()

    narrow = seed(Settings(), mean, bounds_factor=1.05)
    tight = drain(VoxelRequest(model, x=T, settings=narrow).steps(STACK))
    tau = tight.solution["tau"][tight.converged]
    at = float(mean.params["tau"])
    assert ((tau >= at / 1.05) & (tau <= at * 1.05)).all()
    assert (tight.at_bound["tau"] != 0).any()


def test_what_was_said_of_the_map_stays() -> None:
    mean = fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION)
    per_voxel = np.full((5, 6), 0.5)
    said = Settings(init={"amplitude": 9.0}, bounds={"tau": (5.0, 6.0)}, fixed={"offset": per_voxel})
    seeded = seed(said, mean, bounds_factor=3)
    assert seeded.init == {"amplitude": 9.0, "tau": 5.0}
    assert seeded.fixed is not None
    np.testing.assert_array_equal(seeded.fixed["offset"], per_voxel)
    assert set(seeded.bounds or {}) == {"tau"}
    tied = seed(Settings(tied={"offset": "0.1*amplitude"}), mean)
    assert set(tied.init or {}) == {"amplitude", "tau"}
    # bounds that differ from voxel to voxel
    low = np.linspace(0.5, 2, 30).reshape(5, 6)
    start = seed(Settings(bounds={"tau": (low, 9.0)}), mean).init
    assert start is not None
    np.testing.assert_array_equal(start["tau"], np.maximum(low, float(mean.params["tau"])))


def test_bounds_stay_within_the_models() -> None:
    negative = fit_mean_curve(-STACK, "exponential_recovery", x=T, mask=REGION)
    bounds = seed(Settings(), negative, bounds_factor=2).bounds
    assert bounds is not None
    for name, (low, high) in bounds.items():
        value = float(negative.params[name])
        assert low < value < high
    perfect = fit_mean_curve(STACK, "ivim", x=T, mask=REGION)
    upper = seed(Settings(), perfect, bounds_factor=100).bounds
    assert upper is not None
    assert "f" not in upper or upper["f"][1] <= 1


def test_seeding_another_model_takes_what_they_have_in_common() -> None:
    mean = fit_mean_curve(STACK, "exponential_decay", x=T, mask=REGION)
    assert set(seed(Settings(), mean, model="stretched_exponential").init or {}) == {"amplitude", "tau", "offset"}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"mask": np.zeros((5, 6), bool)}, "the region holds no voxel"),
        ({"mask": np.ones((6, 5), bool)}, "the mask has shape"),
        ({"x": T[1:]}, "x has shape"),
        ({"axis": 3}, "axis 3 does not exist"),
        ({"select": Selection(min_signal=99)}, "below min_signal"),
    ],
)
def test_what_makes_no_sense_is_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit_mean_curve(np.nan_to_num(STACK, nan=1.0), "exponential_decay", **how)


def test_nothing_starts_from_a_fit_without_an_answer() -> None:
    failed = fit_mean_curve(np.zeros((24, 3)), "exponential_decay", x=T)
    with pytest.raises(FitInputError, match="has not converged"):
        seed(Settings(), failed)
    with pytest.raises(FitInputError, match="bounds_factor=1 "):
        seed(Settings(), fit_mean_curve(STACK, "exponential_decay", x=T), bounds_factor=1)
