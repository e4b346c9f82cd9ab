"""Covariances against ``scipy.optimize.curve_fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from napari_imagefit import fit_voxels

T = np.linspace(0, 4, 32)


def decay(t: np.ndarray, a: float, tau: float, b: float) -> np.ndarray:
    return a * np.exp(-t / tau) + b


@pytest.mark.parametrize("known", [False, True])
def test_covariance_is_scipys(known: bool) -> None:
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.02, 0.1, (32, 4))
    stack = decay(T, 2, 1.3, 0.5)[:, None] + sigma * rng.normal(size=(32, 4))
    tight: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
    result = fit_voxels(stack, "exponential_decay", x=T, sigma=sigma if known else None, **tight)
    for i in range(4):
        popt, pcov = curve_fit(
            decay, T, stack[:, i], [2, 1, 0], sigma=sigma[:, i] if known else None, absolute_sigma=known,
            method="trf", jac="3-point", bounds=([-np.inf, 0, -np.inf], np.inf), **tight,
        )  # fmt: skip
        # SciPy's Jacobian is by central differences: 1e-10 of it, more in the inverse
        np.testing.assert_allclose([result.params[n][i] for n in result.model.names], popt, rtol=1e-6)
        np.testing.assert_allclose(result.covariance[i], pcov, rtol=1e-5)
        np.testing.assert_allclose([result.stderr[n][i] for n in result.model.names], np.sqrt(np.diag(pcov)), rtol=1e-5)


def test_no_degree_of_freedom_gives_no_error() -> None:
    stack = np.full((32, 2), np.nan)
    stack[:3] = decay(T[:3], 2, 0.2, 0.5)[:, None]
    result = fit_voxels(stack, "exponential_decay", x=T)
    assert np.isnan(result.stderr["tau"]).all()
    assert np.isnan(result.reduced_chi2).all()
    assert np.isfinite(result.params["tau"]).all()
