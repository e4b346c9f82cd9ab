"""Bounds against SciPy's own ``trf``, whose treatment this is."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize._lsq import common, trf

from napari_imagefit.engine.linalg.normal_matrix import Dense
from napari_imagefit.engine.solver.bounded_step import Box, Quadratic, bounded_step, to_sphere

pytestmark = pytest.mark.usefixtures("x64")
N, FITS = 4, 200


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def random_box(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds of all kinds, and points strictly inside, each ``(N, FITS)``."""
    lower = rng.normal(size=(N, FITS)) * 10 ** rng.uniform(-3, 3, (N, FITS))
    upper = lower + 10 ** rng.uniform(-3, 3, (N, FITS))
    x = lower + rng.uniform(0.01, 0.99, (N, FITS)) * (upper - lower)
    lower[rng.random((N, FITS)) < 0.3] = -np.inf
    upper[rng.random((N, FITS)) < 0.3] = np.inf
    return lower, upper, x


def test_distance_is_scipys_scaling_vector(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    gradient = rng.normal(size=(N, FITS)) * (rng.random((N, FITS)) > 0.1)
    v, dv = Box(jnp.asarray(lower), jnp.asarray(upper)).distance(jnp.asarray(x), jnp.asarray(gradient))
    for i in range(FITS):
        theirs = common.CL_scaling_vector(x[:, i], gradient[:, i], lower[:, i], upper[:, i])
        np.testing.assert_array_equal(v[:, i], theirs[0])
        np.testing.assert_array_equal(dv[:, i], theirs[1])


def test_stride_is_scipys_step_size_to_bound(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    direction = rng.normal(size=(N, FITS)) * (rng.random((N, FITS)) > 0.2)
    direction[0] += direction[0] == 0  # SciPy warns at a step of no length
    stride, hits = Box(jnp.asarray(lower), jnp.asarray(upper)).stride(jnp.asarray(x), jnp.asarray(direction))
    for i in range(FITS):
        theirs, their_hits = common.step_size_to_bound(x[:, i], direction[:, i], lower[:, i], upper[:, i])
        np.testing.assert_allclose(stride[i], theirs, rtol=1e-14)
        if np.isfinite(theirs):
            np.testing.assert_array_equal(hits[:, i], their_hits != 0)


def test_stride_of_no_step_is_infinite() -> None:
    box = Box(-jnp.ones((2, 1)), jnp.ones((2, 1)))
    stride, hits = box.stride(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    assert np.isinf(stride).all()
    assert not np.asarray(hits).any()


def test_to_sphere_is_scipys_intersection(rng: np.random.Generator) -> None:
    inside, direction = rng.normal(size=(2, N, FITS))
    radius = np.linalg.norm(inside, axis=0) * rng.uniform(1.001, 10, FITS)
    strides = to_sphere(jnp.asarray(inside), jnp.asarray(direction), jnp.asarray(radius))
    for i in range(FITS):
        # the points are up to a thousandth from the surface: 1e-16 / 1e-3
        theirs = common.intersect_trust_region(inside[:, i], direction[:, i], radius[i])[1]
        np.testing.assert_allclose(strides[i], theirs, rtol=1e-11)


def test_points_outside_or_on_a_bound_are_moved_strictly_inside(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    x = np.where(rng.random(x.shape) < 0.2, lower, np.where(rng.random(x.shape) < 0.2, upper, x))
    x = np.where(np.isfinite(x), x, 1.0)
    x += rng.normal(size=x.shape) * (rng.random(x.shape) < 0.2)
    for margin in (0.0, 1e-10):
        moved = np.asarray(Box(jnp.asarray(lower), jnp.asarray(upper)).strictly_inside(jnp.asarray(x), margin))
        assert (moved > lower).all()
        assert (moved < upper).all()
        well_inside = (x > lower + 1e-3 * np.abs(x)) & (x < upper - 1e-3 * np.abs(x))
        well_inside &= ~np.isfinite(upper - lower) | (np.minimum(x - lower, upper - x) > 1e-9 * (upper - lower))
        np.testing.assert_array_equal(moved[well_inside], x[well_inside])


def test_bounds_next_to_each_other_leave_a_finite_point() -> None:
    lower = jnp.array([[1.0]])
    for upper in (1.0, np.nextafter(1.0, 2), 1 + 1e-15):
        moved = Box(lower, jnp.array([[upper]])).strictly_inside(jnp.array([[5.0]]), 1e-10)
        assert 1 <= float(moved[0, 0]) <= upper


def test_bounded_step_is_scipys_select_step(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    jacobian = rng.normal(size=(10, N, FITS))
    gradient = np.einsum("mif,mf->if", jacobian, rng.normal(size=(10, FITS))) * 10
    matrix = np.einsum("mif,mjf->ijf", jacobian, jacobian)
    scale = rng.uniform(0.5, 2, (N, FITS))
    newton = -np.linalg.solve(np.moveaxis(matrix, -1, 0), gradient.T[..., None])[..., 0].T
    radius = np.linalg.norm(newton, axis=0) * rng.uniform(0.1, 2, FITS)
    p = newton * np.minimum(1, radius / np.linalg.norm(newton, axis=0))
    theta = np.full(FITS, 0.995)
    ours = bounded_step(
        Box(jnp.asarray(lower), jnp.asarray(upper)),
        *(jnp.asarray(a) for a in (x, p, scale)),
        Quadratic(Dense(jnp.asarray(matrix)), jnp.asarray(gradient)),
        jnp.asarray(radius),
        jnp.asarray(theta),
    )
    step, scaled, predicted = (np.asarray(a) for a in ours)
    for i in range(FITS):
        theirs = trf.select_step(
            x[:, i], jacobian[..., i], np.zeros(N), gradient[:, i], scale[:, i] * p[:, i], p[:, i], scale[:, i],
            radius[i], lower[:, i], upper[:, i], theta[i],
        )  # fmt: skip
        # the value of the chosen step: of two equally good ones either may be taken
        np.testing.assert_allclose(predicted[i], theirs[2], rtol=1e-9)
        np.testing.assert_allclose(step[:, i], theirs[0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(scaled[:, i], theirs[1], rtol=1e-6, atol=1e-9)
        assert (x[:, i] + step[:, i] >= lower[:, i]).all()
        assert (x[:, i] + step[:, i] <= upper[:, i]).all()
