"""Single precision: it converges, agrees, and never hands back the start."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import fit_image, fit_voxels


def test_curves_agree_with_double_precision() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 32)
    truth = rng.uniform(1, 3, 200), rng.uniform(0.5, 2, 200)
    stack = truth[0] * np.exp(-t[:, None] / truth[1]) + 0.3 + rng.normal(0, 0.05, (32, 200))
    single = fit_voxels(stack, "exponential_decay", x=t, dtype="float32")
    double = fit_voxels(stack, "exponential_decay", x=t)
    assert single.converged.all()
    for name in double.params:
        # within a twentieth of the standard error: the cost is flat to 1e-6, so a parameter to 1e-3 of its error ×√m
        assert (np.abs(single.params[name] - double.params[name]) < 0.05 * double.stderr[name]).all(), name
        np.testing.assert_allclose(single.stderr[name], double.stderr[name], rtol=0.02)
        assert (single.params[name] != single.start[name]).all()
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
