"""The trust-region step against a dense solution by bisection in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from napari_imagefit.engine.linalg import batched_ldl
from napari_imagefit.engine.linalg.algebra import JaxAlgebra, NumpyAlgebra
from napari_imagefit.engine.linalg.trust_region_subproblem import ACCURACY, trust_region_step

pytestmark = pytest.mark.usefixtures("x64", "quiet")
FITS = 64
# matrices ``(B, n, n)``, gradients ``(B, n)``, radii and dampings ``(B,)`` to steps ``(B, n)`` and dampings
Step = Callable[..., tuple[np.ndarray, np.ndarray]]


def rows(matrix: np.ndarray, gradient: np.ndarray) -> tuple[Any, Any]:
    """As the formulas take them: separate arrays ``(B,)``."""
    n = range(matrix.shape[1])
    return tuple(tuple(matrix[:, i, j].copy() for j in n[: i + 1]) for i in n), tuple(gradient.T.copy())


def in_numpy(matrix: np.ndarray, gradient: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, alpha = trust_region_step(NumpyAlgebra(), *rows(matrix, gradient), *others)
    return np.stack(p, axis=1), alpha


_compiled = jax.jit(lambda *arguments: trust_region_step(JaxAlgebra(), *arguments))


def in_jax(matrix: np.ndarray, gradient: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, alpha = _compiled(*rows(matrix, gradient), *others)
    return np.stack(p, axis=1), np.asarray(alpha)


@pytest.fixture(params=[in_numpy, in_jax])
def step(request: pytest.FixtureRequest) -> Step:
    return request.param  # type: ignore[no-any-return]


def make(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Newton matrices ``(B, n, n)`` and gradients ``(B, n)`` of random least-squares problems."""
    jacobian = rng.normal(size=(FITS, 20, n))
    if kind == "badly scaled":
        jacobian *= 10 ** rng.uniform(-2, 2, (FITS, 1, n))
    if kind == "twin columns":
        jacobian[:, :, -1] = jacobian[:, :, 0]
    if kind == "empty column":
        jacobian[:, :, -1] = 0
    residual = rng.normal(size=(FITS, 20)) * (kind != "zero gradient")
    return np.einsum("bmi,bmj->bij", jacobian, jacobian), np.einsum("bmi,bm->bi", jacobian, residual)


def solve(matrix: np.ndarray, gradient: np.ndarray, radius: float) -> np.ndarray:
    """The exact step: Newton's (the shortest, where the matrix is singular) if it fits, else by bisection of α."""
    newton = -np.linalg.pinv(matrix, rcond=1e-12, hermitian=True) @ gradient
    if np.linalg.norm(newton) <= radius:
        return newton
    values, vectors = np.linalg.eigh(matrix)
    rotated = vectors.T @ gradient
    low, high = 0.0, np.linalg.norm(gradient) / radius
    for _ in range(200):
        alpha = 0.5 * (low + high)
        longer = np.linalg.norm(rotated / (np.maximum(values, 0) + alpha)) > radius
        low, high = (alpha, high) if longer else (low, alpha)
    return -vectors @ (rotated / (np.maximum(values, 0) + high))


def value(matrix: np.ndarray, gradient: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.sum(gradient * p, axis=1) + 0.5 * np.einsum("bi,bij,bj->b", p, matrix, p)


@pytest.mark.parametrize("n", [1, 3, 6])
@pytest.mark.parametrize("kind", ["regular", "badly scaled", "twin columns", "empty column", "zero gradient"])
def test_step_is_the_best_within_the_radius(step: Step, kind: str, n: int) -> None:
    check_best(step, kind, n)


@pytest.mark.parametrize("kind", ["regular", "badly scaled", "twin columns", "empty column", "zero gradient"])
def test_step_by_eigenvalues(kind: str) -> None:
    """More unknowns than an LDLᵀ is written out for; on the host alone."""
    assert batched_ldl.MOST_UNKNOWNS < 12
    check_best(in_numpy, kind, 12)


def check_best(step: Step, kind: str, n: int) -> None:
    if kind == "twin columns" and n == 1:
        pytest.skip("one column has no twin")
    rng = np.random.default_rng(n)
    matrix, gradient = make(kind, n, rng)
    length = [np.linalg.norm(solve(h, g, np.inf)) for h, g in zip(matrix, gradient, strict=True)]
    # from steps cut a thousandfold to regions that hold a thousand steps
    radius = np.maximum(length, 1e-3) * 10 ** rng.uniform(-3, 3, FITS)
    p, alpha = step(matrix, gradient, radius, np.zeros(FITS))
    exact = np.array([solve(h, g, r) for h, g, r in zip(matrix, gradient, radius, strict=True)])

    assert np.isfinite(p).all()
    assert (alpha >= 0).all()
    # within the radius but for rounding
    assert (np.linalg.norm(p, axis=1) <= radius * (1 + 1e-12)).all()
    # α is found to 1 % of the radius, and at the optimum the value changes only with the square of such an error;
    # the first power is asked for, because the worst conditioned of these have little else
    best = value(matrix, gradient, exact)
    assert (value(matrix, gradient, p) <= best + ACCURACY * np.abs(best) + 1e-14).all()


def test_conditions_of_the_optimum(step: Step) -> None:
    rng = np.random.default_rng(0)
    matrix, gradient = make("regular", 4, rng)
    radius = 10 ** rng.uniform(-3, 1, FITS)
    p, alpha = step(matrix, gradient, radius, np.zeros(FITS))
    length = np.linalg.norm(p, axis=1)
    inside = alpha == 0
    assert inside.any()
    assert (~inside).any()
    stationary = np.einsum("bij,bj->bi", matrix, p) + alpha[:, None] * p + gradient
    # p was put on the edge after α had been found to σ = 1 %
    np.testing.assert_array_less(
        np.linalg.norm(stationary, axis=1), np.where(inside, 1e-10, 2 * ACCURACY) * np.linalg.norm(gradient, axis=1)
    )
    np.testing.assert_allclose(length[~inside], radius[~inside], rtol=1e-12)


@pytest.mark.parametrize("exponent", [-100, -20, 20, 100])
def test_extreme_radii(step: Step, exponent: int) -> None:
    matrix, gradient = make("regular", 3, np.random.default_rng(1))
    radius = np.full(FITS, 10.0**exponent)
    p, _ = step(matrix, gradient, radius, np.zeros(FITS))
    if exponent > 0:
        np.testing.assert_allclose(p, -np.linalg.solve(matrix, gradient[..., None])[..., 0], rtol=1e-9)
    else:
        # steepest descent: the damping dwarfs the matrix
        np.testing.assert_allclose(
            p / radius[:, None], -gradient / np.linalg.norm(gradient, axis=1, keepdims=True), atol=1e-6
        )


def test_fits_do_not_see_each_other(step: Step) -> None:
    matrix, gradient = make("regular", 3, np.random.default_rng(2))
    radius = np.full(FITS, 0.1)
    before, its_alpha = step(matrix, gradient, radius, np.zeros(FITS))
    matrix[5], gradient[5] = 0, 0
    matrix[6] = np.diag([1e300, 1.0, 1e-300])
    matrix[7], gradient[8] = np.nan, np.nan
    after, alpha = step(matrix, gradient, radius, np.zeros(FITS))
    others = np.delete(np.arange(FITS), [5, 6, 7, 8])
    np.testing.assert_array_equal(before[others], after[others])
    np.testing.assert_array_equal(its_alpha[others], alpha[others])
