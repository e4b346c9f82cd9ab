"""Every model against SciPy from the same starts, and against the global minimum from the guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_imagefit import FitResult, fit_image, fit_voxels, models

NAMES = list(models)
# a second or five to compile each
FAST = {"bimodal_2d", "exponential_decay"}
# left to the second test, to save compiling: others of their kind are in both
ALIKE = {
    "parabola_2d", "lorentzian_2d", "plane_2d", "gaussian_3d_elliptic", "stretched_exponential", "inversion_recovery",
    "saturation_recovery", "exponential_recovery", "gaussian_1d", "lorentzian_1d", "linear",
}  # fmt: skip
MARKED = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in ALIKE]


def simulate(case: Any, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths and data ``(n, *shape)`` with noise of 1."""
    truths = case.truths(n, seed)
    clean = np.array([case.function(p, *case.coords) for p in truths])
    return truths, clean + np.random.default_rng(seed + 1).normal(0, 1, clean.shape)


def run(name: str, case: Any, data: np.ndarray, **kwargs: Any) -> FitResult:
    if len(case.coords) == 1:
        return fit_voxels(data, name, x=case.coords[0], axis=1, **kwargs)
    return fit_image(data, name, **kwargs)


def scipy_fit(name: str, case: Any, data: np.ndarray, start: np.ndarray, tolerance: float) -> Any:
    model = models[name]
    return least_squares(
        lambda p: (case.function(p, *case.coords) - data).ravel(),
        start, bounds=(model.lower, model.upper), x_scale="jac", max_nfev=300,
        ftol=tolerance, xtol=tolerance, gtol=tolerance,
    )  # fmt: skip


@pytest.mark.parametrize("name", MARKED)
def test_cost_is_not_above_scipys_from_the_same_start(cases: Any, name: str) -> None:
    case = cases[name]
    truths, data = simulate(case, 8, seed=10)
    low, high = np.array(case.low), np.array(case.high)
    start = np.clip(truths * np.random.default_rng(3).uniform(0.8, 1.25, truths.shape), low - 1, high + 1)
    start = np.clip(start, models[name].lower + 0.1, models[name].upper)
    result = run(name, case, data, init=dict(zip(models[name].names, start.T, strict=True)))
    assert result.converged.all()
    for i in range(8):
        theirs = scipy_fit(name, case, data[i], start[i], 1e-8)
        assert theirs.status > 0
        # both stop where a step gains less than 1e-8 of the cost; along a valley some of them are left
        assert result.cost[i] <= theirs.cost * (1 + 1e-6), i
        gradient = theirs.jac.T @ theirs.fun
        assert np.isfinite(gradient).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_guess_leads_to_the_global_minimum(cases: Any, name: str) -> None:
    case = cases[name]
    n = 100 if len(case.coords) == 3 else 200
    truths, data = simulate(case, n, seed=20)
    result = run(name, case, data)
    missed = []
    # a paraboloid's edge puts a kink into the cost wherever it crosses a pixel: SciPy ends above as often as below
    enough = 0.5 if name == "parabola_2d" else 0.05
    for i in range(n):
        best = scipy_fit(name, case, data[i], truths[i], 1e-10).cost
        # χ² higher by a tenth (σ = 1; for a paraboloid by 1): nothing that the data could tell apart
        if not result.cost[i] <= best + enough:
            missed.append((i, float(result.cost[i] - best), int(result.status[i])))
    assert len(missed) <= n // 100, missed
