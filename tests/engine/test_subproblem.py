"""The trust-region step against a dense solution by bisection in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.linalg.trust_region_subproblem import ACCURACY, trust_region_step

pytestmark = pytest.mark.usefixtures("x64")
FITS = 64
step = jax.jit(trust_region_step)


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
def test_step_is_the_best_within_the_radius(kind: str, n: int) -> None:
    if kind == "twin columns" and n == 1:
        pytest.skip("one column has no twin")
    rng = np.random.default_rng(n)
    matrix, gradient = make(kind, n, rng)
    length = [np.linalg.norm(solve(h, g, np.inf)) for h, g in zip(matrix, gradient, strict=True)]
    # from steps cut a thousandfold to regions that hold a thousand steps
    radius = np.maximum(length, 1e-3) * 10 ** rng.uniform(-3, 3, FITS)
    p, alpha = step(
        jnp.asarray(np.moveaxis(matrix, 0, -1)), jnp.asarray(gradient.T), jnp.asarray(radius), jnp.zeros(FITS)
    )
    p, alpha = np.asarray(p).T, np.asarray(alpha)
    exact = np.array([solve(h, g, r) for h, g, r in zip(matrix, gradient, radius, strict=True)])

    assert np.isfinite(p).all()
    assert (alpha >= 0).all()
    # within the radius but for rounding
    assert (np.linalg.norm(p, axis=1) <= radius * (1 + 1e-12)).all()
    # α is found to 1 % of the radius, and at the optimum the value changes only with the square of such an error;
    # the first power is asked for, because the worst conditioned of these have little else
    best = value(matrix, gradient, exact)
    assert (value(matrix, gradient, p) <= best + ACCURACY * np.abs(best) + 1e-14).all()


def test_conditions_of_the_optimum() -> None:
    rng = np.random.default_rng(0)
    matrix, gradient = make("regular", 4, rng)
    radius = 10 ** rng.uniform(-3, 1, FITS)
    p, alpha = step(
        jnp.asarray(np.moveaxis(matrix, 0, -1)), jnp.asarray(gradient.T), jnp.asarray(radius), jnp.zeros(FITS)
    )
    p, alpha = np.asarray(p).T, np.asarray(alpha)
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
def test_extreme_radii(exponent: int) -> None:
    matrix, gradient = make("regular", 3, np.random.default_rng(1))
    radius = np.full(FITS, 10.0**exponent)
    p = np.asarray(
        step(jnp.asarray(np.moveaxis(matrix, 0, -1)), jnp.asarray(gradient.T), jnp.asarray(radius), jnp.zeros(FITS))[0]
    ).T
    if exponent > 0:
        np.testing.assert_allclose(p, -np.linalg.solve(matrix, gradient[..., None])[..., 0], rtol=1e-9)
    else:
        # steepest descent: the damping dwarfs the matrix
        np.testing.assert_allclose(
            p / radius[:, None], -gradient / np.linalg.norm(gradient, axis=1, keepdims=True), atol=1e-6
        )


def test_fits_do_not_see_each_other() -> None:
    matrix, gradient = make("regular", 3, np.random.default_rng(2))
    radius = np.full(FITS, 0.1)

    def run(h: np.ndarray, g: np.ndarray) -> np.ndarray:
        arrays = np.moveaxis(h, 0, -1), g.T, radius, np.zeros(FITS)
        return np.asarray(step(*(jnp.asarray(a) for a in arrays))[0])

    before = run(matrix, gradient)
    matrix[5], gradient[5] = 0, 0
    matrix[6] = np.diag([1e300, 1.0, 1e-300])
    after = run(matrix, gradient)
    others = np.delete(np.arange(FITS), [5, 6])
    np.testing.assert_array_equal(before[:, others], after[:, others])
