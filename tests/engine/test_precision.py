"""Single precision: it converges, agrees, and never hands back the start."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import FitResult, Flag, Model, Parameter, fit_image, fit_spots, fit_voxels
from napari_imagefit.engine.drive import run


def test_curves_agree_with_double_precision() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 32)
    truth = rng.uniform(1, 3, 200), rng.uniform(0.5, 2, 200)
    stack = truth[0] * np.exp(-t[:, None] / truth[1]) + 0.3 + rng.normal(0, 0.05, (32, 200))
    single = fit_voxels(stack, "exponential_decay", x=t, dtype="float32")
    double = fit_voxels(stack, "exponential_decay", x=t)
    # guessed starts may be minima, as far as single precision tells
    far = {"amplitude": 5.0, "tau": 4.0, "offset": -1.0}
    from_far = fit_voxels(stack, "exponential_decay", x=t, dtype="float32", init=far)
    assert single.converged.all()
    assert from_far.converged.all()
    for name in double.params:
        # within a twentieth of the standard error: the cost is flat to 1e-6, so a parameter to 1e-3 of its error ×√m
        for found in (single, from_far):
            assert (np.abs(found.params[name] - double.params[name]) < 0.05 * double.stderr[name]).all(), name
        np.testing.assert_allclose(single.stderr[name], double.stderr[name], rtol=0.02)
        assert (from_far.params[name] != from_far.start[name]).all()
    assert np.median(single.n_iterations) <= np.median(double.n_iterations) + 2


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_surfaces_agree_with_double_precision(offset: float) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :28]
    image = 50 * np.exp(-0.5 * ((y - 11) ** 2 + (x - 14) ** 2) / 9) + offset + rng.normal(0, 2, (4, 24, 28))
    start = {"amplitude": 30, "y": 9, "x": 16, "sigma": 2, "offset": offset + 5}
    single = fit_image(image, "gaussian_2d", init=start, dtype="float32")
    double = fit_image(image, "gaussian_2d", init=start)
    assert single.converged.all()
    for name in double.params:
        assert (np.abs(single.params[name] - double.params[name]) < 0.05 * double.stderr[name]).all(), name


def test_values_beyond_single_precision_are_left_out_in_silence() -> None:
    t = np.linspace(0, 5, 32)
    stack = 2 * np.exp(-t[:, None]) + np.random.default_rng(0).normal(0, 0.05, (32, 2))
    stack[3, 0] = 1e300
    result = fit_voxels(stack, "exponential_decay", x=t, dtype="float32")
    assert result.converged.all()
    assert result.n_left_out.tolist() == [1, 0]


def test_data_too_small_for_single_precision_are_not_called_converged_at_the_start() -> None:
    t = np.linspace(0, 5, 32)
    stack = 1e-25 * (2 * np.exp(-t[:, None]) + np.random.default_rng(0).normal(0, 0.05, (32, 2)))
    result = fit_voxels(stack, "exponential_decay", x=t, dtype="float32", init={"tau": 3, "amplitude": 1e-25})
    good = fit_voxels(stack, "exponential_decay", x=t)
    same = np.isclose(result.params["tau"], good.params["tau"], rtol=0.01)
    assert (same | ~result.converged).all()


T = np.linspace(5, 160, 32)
# The same curves on levels that leave 1 to 12 bits of single precision for them, and on none.
LEVELS = np.array([1e7, -3e7, 1e6, 2e8, 0.0, 40.0, 1e7, 1e5])


def decays(level: np.ndarray, noise: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    tau = rng.uniform(30, 80, (40, level.size))
    return level + 300 * np.exp(-T[:, None, None] / tau) + rng.normal(0, noise, (32, *tau.shape))


def check_single(data: np.ndarray, model: str | Model, most: float = 0.05, **said: Any) -> FitResult:
    single = fit_voxels(data, model, x=T, dtype="float32", **said)
    double = fit_voxels(data, model, x=T, **said)
    assert (single.status > 0).mean() > 0.99
    both = single.converged & double.converged
    for name in double.params:
        away = np.abs(single.params[name] - double.params[name])[both]
        assert (away <= most * np.nan_to_num(double.stderr[name][both]) + 1e-9).all(), name
    return single


SAID: dict[str, dict[str, Any]] = {
    "nothing": {},
    "start": {"init": {"offset": LEVELS + 30, "tau": 50}},
    "bounds": {"bounds": {"offset": (LEVELS - 100, LEVELS + 100)}},
    "fixed": {"fixed": {"offset": LEVELS}},
    "loss": {"loss": "soft_l1", "f_scale": 10.0},
    "sigma": {"sigma": np.linspace(4, 6, 8)},
}


@pytest.mark.parametrize("said", SAID)
def test_a_large_level_does_not_matter(said: str) -> None:
    # a robust loss in double precision ends a little earlier on the largest of the levels
    single = check_single(decays(LEVELS), "exponential_decay", 0.1 if said == "loss" else 0.05, **SAID[said])
    np.testing.assert_allclose(single.residual().std(axis=0), 5, rtol=0.6)
    np.testing.assert_allclose(np.nanmedian(single.params["offset"], axis=0), LEVELS, atol=10)


@pytest.mark.parametrize("wide", [False, True])
def test_each_fit_has_its_own_level(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit as without its neighbours, in either way."""
    if wide:
        monkeypatch.setattr(run, "WIDE_FROM", 2)
    data = decays(LEVELS)
    every = fit_voxels(data, "exponential_decay", x=T, dtype="float32")
    for one in (0, 4, 5):
        alone = fit_voxels(data[..., [one]], "exponential_decay", x=T, dtype="float32")
        for name in every.params:
            np.testing.assert_array_equal(alone.params[name][:, 0], every.params[name][:, one])
            np.testing.assert_array_equal(alone.stderr[name][:, 0], every.stderr[name][:, one])
    assert (every.converged).all()


def test_samples_that_are_missing_tell_no_level() -> None:
    data = decays(LEVELS)
    data[::4, ::2] = np.nan
    data[31] = np.inf
    check_single(data, "exponential_decay")


def test_any_constant_takes_it_up() -> None:
    model = Model.from_expression("a*exp(-t/tau) + base", ["t"])
    check_single(decays(LEVELS), model, init={"a": 200.0, "tau": 50.0})


def test_a_constant_of_other_people_s_code() -> None:
    model = Model(
        "mine",
        lambda coords, tau, level, a: level + a * jnp.exp(-coords[0] / tau),
        [Parameter("tau", lower=0), Parameter("level"), Parameter("a")],
        1,
        lambda _coords, data, _weights: jnp.stack([50.0 + 0 * data[0], data[-1], data[0] - data[-1]]),
    )
    check_single(decays(LEVELS), model)


def test_tied_and_shared_levels() -> None:
    data = decays(np.full(4, 1e7))
    check_single(data, "exponential_decay", shared=["offset"])
    check_single(data, "exponential_decay", shared=["tau"], most=0.1)
    check_single(data, "exponential_decay", tied={"amplitude": "2*tau"})


def test_images_and_spots_on_a_large_level() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:40, :60]
    points = np.array([[9, 12], [28, 40], [20, 57]])
    light = sum(500 * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / 4) for cy, cx in points + 0.3)
    image = 1e7 + light + rng.normal(0, 5, light.shape)
    for said in ({}, {"init": {"offset": 1e7}}, {"background": "sloping"}):
        single = fit_spots(image, points, "gaussian_2d", dtype="float32", **said)
        double = fit_spots(image, points, "gaussian_2d", **said)
        assert single.converged.all()
        for name in double.params:
            assert (np.abs(single.params[name] - double.params[name]) < 0.05 * double.stderr[name]).all(), name
    one = fit_image(image[:20, :24], "gaussian_2d", dtype="float32")
    two = fit_image(image[:20, :24], "gaussian_2d")
    assert abs(one.params["sigma"] - two.params["sigma"]) < 0.05 * two.stderr["sigma"]


def test_a_model_without_a_constant_says_that_digits_are_missing() -> None:
    """A magnitude that hardly decays: there is nothing that could take its level up."""
    rng = np.random.default_rng(0)
    data = 1e7 * np.exp(-T[:, None] / np.full(20, 1e9)) + rng.normal(0, 1, (32, 20))
    model = Model.from_expression("a*exp(-t/tau)", ["t"], bounds={"tau": (1, np.inf)}, init={"tau": 1e8, "a": 1e7})
    single = fit_voxels(data, model, x=T, dtype="float32")
    assert (single.flags & Flag.POORLY_DETERMINED).all()
    # but not of data that vary, however little noise they have
    clean = 300 * np.exp(-T[:, None] / np.linspace(30, 80, 20))
    plain = fit_voxels(clean, model, x=T, dtype="float32", init={"tau": 50, "a": 200})
    assert not (plain.flags & Flag.POORLY_DETERMINED).any()
