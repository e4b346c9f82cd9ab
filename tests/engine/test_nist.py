"""NIST's 27 nonlinear reference problems (StRD), from both starts: certified values to 6 digits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.optimize import least_squares

import napari_imagefit as nif

from ..problems.nist import MODELS, Problem, digits, load

pytestmark = pytest.mark.slow
TIGHT = 1e-15


@pytest.mark.parametrize("name", MODELS)
def test_certified_values(nist_folder: Path, name: str) -> None:
    problem = load(nist_folder, name)
    for start in problem.starts:
        popt, pcov = nif.curve_fit(
            problem.f, problem.x, problem.y, start, ftol=TIGHT, xtol=TIGHT, gtol=TIGHT, max_nfev=10_000
        )
        # what is asked of the engine; ENSO is the worst with 6.5
        assert digits(popt, problem.certified) >= 6
        # Lanczos1 is exact but for the 11 digits to which its data are given: its errors are those of rounding
        if name != "Lanczos1":
            assert digits(np.sqrt(np.diag(pcov)), problem.deviations) >= 4


def by_us(problem: Problem, start: np.ndarray) -> np.ndarray:
    return np.asarray(nif.curve_fit(problem.f, problem.x, problem.y, start, method="trf")[0])


def by_scipy(problem: Problem, start: np.ndarray) -> np.ndarray:
    residual = jax.jit(lambda p: problem.f(problem.x, *p) - problem.y)
    jacobian = jax.jit(jax.jacfwd(residual))
    with jax.enable_x64(True):
        found = least_squares(
            lambda p: np.asarray(residual(p)), start, lambda p: np.asarray(jacobian(p)), method="trf", x_scale="jac"
        )
    return np.asarray(found.x)


def test_default_tolerances_solve_no_fewer_than_scipy(nist_folder: Path) -> None:
    problems = [load(nist_folder, name) for name in MODELS]

    def solved(fit: Callable[[Problem, np.ndarray], np.ndarray]) -> set[tuple[str, int]]:
        return {
            (problem.name, i)
            for problem in problems
            for i, start in enumerate(problem.starts)
            if digits(fit(problem, start), problem.certified) >= 4
        }

    with warnings.catch_warnings():
        # models overflow on the way, and both stop at 100 n evaluations in one or two valleys
        warnings.simplefilter("ignore")
        ours, scipy = solved(by_us), solved(by_scipy)
    # 48 of 54 for either; which ones may differ where a fit crawls along a valley
    assert len(ours) >= len(scipy), f"only SciPy solves {sorted(scipy - ours)}"
    assert len(scipy) >= 40
