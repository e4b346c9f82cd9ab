"""The published problems that we test against are what was published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from scipy.optimize import least_squares

from .problems import mgh, nist

# norms of the residuals at the start, from the output of MINPACK's own tests
STARTS = {
    "Rosenbrock": 4.919350,
    "Freudenstein and Roth": 20.01250,
    "Jennrich and Sampson": 64.58565,
    "helical valley": 50.0,
    "Bard": 6.456136,
    "Meyer": 41153.47,
    "Box, three-dimensional": 32.11158,
    "Powell singular": 14.66288,
    "Kowalik and Osborne": 0.07289151,
    "Brown and Dennis": 2815.438,
    "Osborne 1": 0.9375640,
    "Osborne 2": 1.446865,
    "Watson, n = 6": 5.477226,
    "Watson, n = 9": 5.477226,
    "Watson, n = 12": 5.477226,
    "Brown almost-linear, n = 10": 16.53022,
    "linear, full rank, n = 5": 5.0,
    "linear, rank 1, n = 5": 291.5219,
    "Chebyquad, n = 8": 0.1965139,
}
# where the residuals vanish, of problems that MINPACK's tests do not have
ROOTS: list[tuple[Callable[[Any], Any], list[float]]] = [
    (mgh.brown_badly_scaled, [1e6, 2e-6]),
    (mgh.beale, [3, 0.5]),
    (mgh.gulf, [50, 25, 1.5]),
    (mgh.wood, [1] * 4),
    (mgh.biggs, [1, 10, 1, 5, 4, 3]),
    (mgh.extended_rosenbrock, [1] * 4),
    (mgh.variably_dimensioned, [1] * 6),
    (mgh.boundary_value, [-0.07502213, -0.1319762, -0.1648488, -0.1646647, -0.1174177]),
    (mgh.integral_equation, [-0.07502213, -0.1319762, -0.1648488, -0.1646647, -0.1174177]),
    (mgh.broyden_banded, [-0.4283029, -0.4765965, -0.5196377, -0.5588620, -0.5588620]),
]
NAMED = {problem.name: problem for problem in mgh.PROBLEMS}


def test_there_are_35_and_more_sizes_of_some() -> None:
    assert len({name.partition(", n =")[0] for name in NAMED}) == 35
    assert len(NAMED) == len(mgh.PROBLEMS) == 41


@pytest.mark.parametrize("problem", mgh.PROBLEMS, ids=lambda problem: problem.name)
def test_scipy_finds_a_known_minimum(problem: mgh.Problem) -> None:
    both = jax.jit(lambda p: (problem.residual(p), jax.jacfwd(problem.residual)(p)))
    with jax.enable_x64(True):
        found = least_squares(
            lambda p: np.asarray(both(p)[0]), problem.start, lambda p: np.asarray(both(p)[1]), x_scale="jac",
            ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=1000,
        )  # fmt: skip
    assert len(found.fun) >= len(problem.start)
    assert list(problem.minima) == sorted(problem.minima)
    assert any(2 * found.cost == pytest.approx(minimum, rel=1e-5, abs=1e-20) for minimum in problem.minima)


@pytest.mark.parametrize("name", STARTS)
def test_starts(name: str) -> None:
    with jax.enable_x64(True):
        residuals = NAMED[name].residual(np.array(NAMED[name].start))
    assert np.linalg.norm(residuals) == pytest.approx(STARTS[name], rel=1e-6)


@pytest.mark.parametrize(("residual", "root"), ROOTS, ids=lambda value: getattr(value, "__name__", ""))
def test_roots(residual: Callable[[Any], Any], root: list[float]) -> None:
    # as one array and as scalars
    with jax.enable_x64(True):
        assert np.abs(residual(np.array(root, float))).max() < 1e-6
        assert np.abs(residual(tuple(map(float, root)))).max() < 1e-6


def test_nist() -> None:
    folder = nist.find_folder()
    if not folder.is_dir():
        pytest.skip("the NIST StRD files are not here; set NAPARI_IMAGEFIT_DATA to their parent folder")
    names = nist.list_problems(folder)
    assert len(names) == len(nist.MODELS) == 27
    for name in names:
        problem = nist.load(folder, name)
        assert problem.starts.shape == (2, len(problem.certified)) == (2, len(problem.deviations))
        assert problem.x.shape[-1:] == problem.y.shape
        with jax.enable_x64(True):
            residuals = [np.asarray(problem.f(problem.x, *b)) - problem.y for b in (*problem.starts, problem.certified)]
        first, second, best = (float(r @ r) for r in residuals)
        assert best < min(first, second)
