"""Grids, axes, masks and types of stacks of curves."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import FitResult, Status, fit_voxels

T = np.linspace(0, 5, 32)
NAMES = ("amplitude", "tau", "offset")


def make_stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    tau = rng.uniform(0.5, 2, (2, 4))
    return rng.uniform(1, 3, (2, 4)) * np.exp(-T[:, None, None] / tau) + 0.3 + rng.normal(0, 0.03, (32, 2, 4))


STACK = make_stack()


@pytest.fixture(scope="module")
def first() -> FitResult:
    return fit_voxels(STACK, "exponential_decay", x=T)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis(first: FitResult, axis: int) -> None:
    stack = np.moveaxis(STACK, 0, axis)
    result = fit_voxels(stack, "exponential_decay", x=T, axis=axis)
    assert result.shape == (2, 4)
    for name in NAMES:
        np.testing.assert_array_equal(result.params[name], first.params[name])
    assert result.fitted().shape == stack.shape
    np.testing.assert_array_equal(result.residual(), stack - result.fitted())


def test_a_single_curve(first: FitResult) -> None:
    result = fit_voxels(STACK[:, 0, 0], "exponential_decay", x=T)
    assert result.shape == ()
    assert float(result.params["tau"]) == pytest.approx(first.params["tau"][0, 0], rel=1e-9)
    assert result.residual().shape == (32,)
    assert len(result.to_dataframe()) == 1
    result.summary()


def test_indices_are_the_default_coordinate(first: FitResult) -> None:
    result = fit_voxels(STACK, "exponential_decay")
    np.testing.assert_allclose(result.params["tau"] * (T[1] - T[0]), first.params["tau"], rtol=1e-6)


@pytest.mark.parametrize("known", [False, True])
def test_mask(first: FitResult, known: bool) -> None:
    mask = np.array([[True, False, True, True], [False, True, True, True]])
    result = fit_voxels(STACK, "exponential_decay", x=T, mask=mask, sigma=0.03 if known else None)
    assert ((result.status == Status.NOT_FITTED) == ~mask).all()
    for name in NAMES:
        assert np.isnan(result.params[name][~mask]).all()
        np.testing.assert_allclose(result.params[name][mask], first.params[name][mask], rtol=1e-6)
    assert (np.isnan(result.fitted()) == ~mask).all()
    # in a table and in words, too
    table = result.to_dataframe()
    assert table["tau"].isna().tolist() == (~mask).ravel().tolist()
    assert "6 fits" in result.summary()
    assert (result.n_used == np.where(mask, 32, 0)).all()


def test_wishes_by_voxel_with_a_mask() -> None:
    mask = np.array([[True, False, True, True], [False, True, True, True]])
    offset = np.arange(8.0).reshape(2, 4) / 100 + 0.25
    # outside the mask anything goes
    offset[~mask] = np.nan
    result = fit_voxels(STACK, "exponential_decay", x=T, mask=mask, fixed={"offset": offset})
    np.testing.assert_array_equal(result.params["offset"], offset)


@pytest.mark.parametrize("shape", [(), (32, 1, 1), (2, 4), (32, 2, 4)])
def test_sigma_broadcasts(first: FitResult, shape: tuple[int, ...]) -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, sigma=np.full(shape, 0.03))
    for name in NAMES:
        np.testing.assert_allclose(result.params[name], first.params[name], rtol=1e-6)
    np.testing.assert_allclose(result.chi2, first.chi2 / 0.03**2, rtol=1e-7)


@pytest.mark.slow
def test_sigma_weighs() -> None:
    sigma = np.where(T < 1, 0.01, 1e3)[:, None, None]
    result = fit_voxels(STACK, "exponential_decay", x=T, sigma=sigma, fixed={"offset": 0.3})
    early = fit_voxels(STACK[T < 1], "exponential_decay", x=T[T < 1], fixed={"offset": 0.3})
    np.testing.assert_allclose(result.params["tau"], early.params["tau"], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i2", "f2", ">f4", "f8"])
def test_types(dtype: str) -> None:
    counts = np.round(STACK * 60)
    expected = fit_voxels(counts, "exponential_decay", x=T)
    result = fit_voxels(counts.astype(dtype), "exponential_decay", x=T)
    np.testing.assert_array_equal(result.params["tau"], expected.params["tau"])


def test_a_masked_array_is_not_taken_for_its_data() -> None:
    """NumPy's mask means invalid: leave out or refuse, never fit what lies under it."""
    spoilt = STACK.copy()
    spoilt[3] = 1e4
    masked = np.ma.masked_greater(spoilt, 1e3)
    try:
        result = fit_voxels(masked, "exponential_decay", x=T)
    except ValueError:
        return
    assert (result.params["amplitude"] < 10).all()


def test_goodness_is_finite_without_warnings() -> None:
    stack = STACK.reshape(32, 8).copy()
    stack[:, 0], stack[:, 1] = np.nan, 0
    stack[4:, 2] = np.nan
    result = fit_voxels(stack, "exponential_decay", x=T)
    for name in ("chi2", "reduced_chi2", "r2", "aicc", "bic"):
        values = getattr(result, name)
        assert values.shape == (8,)
        assert np.isfinite(values[3:]).all()
        assert not np.isposinf(values).any()
    assert np.isnan(result.r2[0])
