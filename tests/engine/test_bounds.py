"""Bounds against SciPy's own ``trf``, whose treatment this is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize._lsq import common, trf

from napari_imagefit.engine.linalg.algebra import NumpyAlgebra
from napari_imagefit.engine.linalg.normal_matrix import Dense
from napari_imagefit.engine.solver.bounded_step import Box, Quadratic, cut_step, to_sphere

pytestmark = pytest.mark.usefixtures("quiet")
ALGEBRA = NumpyAlgebra()
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


def to_dense(matrix: np.ndarray) -> Dense:
    """From ``(N, N, B)``."""
    return Dense(tuple(tuple(row[: i + 1]) for i, row in enumerate(matrix)))


def test_distance_is_scipys_scaling_vector(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    gradient = rng.normal(size=(N, FITS)) * (rng.random((N, FITS)) > 0.1)
    v, dv = map(np.stack, Box(tuple(lower), tuple(upper)).distance(ALGEBRA, tuple(x), tuple(gradient)))
    for i in range(FITS):
        theirs = common.CL_scaling_vector(x[:, i], gradient[:, i], lower[:, i], upper[:, i])
        np.testing.assert_array_equal(v[:, i], theirs[0])
        np.testing.assert_array_equal(dv[:, i], theirs[1])


def test_stride_is_scipys_step_size_to_bound(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    direction = rng.normal(size=(N, FITS)) * (rng.random((N, FITS)) > 0.2)
    direction[0] += direction[0] == 0  # SciPy warns at a step of no length
    stride, hits = Box(tuple(lower), tuple(upper)).stride(ALGEBRA, tuple(x), tuple(direction))
    hits = np.stack(hits)
    for i in range(FITS):
        theirs, their_hits = common.step_size_to_bound(x[:, i], direction[:, i], lower[:, i], upper[:, i])
        np.testing.assert_allclose(stride[i], theirs, rtol=1e-14)
        if np.isfinite(theirs):
            np.testing.assert_array_equal(hits[:, i], their_hits != 0)


def test_stride_of_no_step_is_infinite() -> None:
    nothing = (np.zeros(1), np.zeros(1))
    stride, hits = Box((-np.ones(1),) * 2, (np.ones(1),) * 2).stride(ALGEBRA, nothing, nothing)
    assert np.isinf(stride).all()
    assert not np.any(hits)


def test_to_sphere_is_scipys_intersection(rng: np.random.Generator) -> None:
    inside, direction = rng.normal(size=(2, N, FITS))
    radius = np.linalg.norm(inside, axis=0) * rng.uniform(1.001, 10, FITS)
    strides = to_sphere(ALGEBRA, tuple(inside), tuple(direction), radius)
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
        moved = np.stack(Box(tuple(lower), tuple(upper)).strictly_inside(ALGEBRA, tuple(x), margin))
        assert (moved > lower).all()
        assert (moved < upper).all()
        well_inside = (x > lower + 1e-3 * np.abs(x)) & (x < upper - 1e-3 * np.abs(x))
        well_inside &= ~np.isfinite(upper - lower) | (np.minimum(x - lower, upper - x) > 1e-9 * (upper - lower))
        np.testing.assert_array_equal(moved[well_inside], x[well_inside])


def test_bounds_next_to_each_other_leave_a_finite_point() -> None:
    for upper in (1.0, np.nextafter(1.0, 2), 1 + 1e-15):
        box = Box((np.array([1.0]),), (np.array([upper]),))
        (moved,) = box.strictly_inside(ALGEBRA, (np.array([5.0]),), 1e-10)
        assert 1 <= float(moved[0]) <= upper


def test_cut_step_is_scipys_select_step(rng: np.random.Generator) -> None:
    lower, upper, x = random_box(rng)
    jacobian = rng.normal(size=(10, N, FITS))
    gradient = np.einsum("mif,mf->if", jacobian, rng.normal(size=(10, FITS))) * 10
    matrix = np.einsum("mif,mjf->ijf", jacobian, jacobian)
    scale = rng.uniform(0.5, 2, (N, FITS))
    newton = -np.linalg.solve(np.moveaxis(matrix, -1, 0), gradient.T[..., None])[..., 0].T
    radius = np.linalg.norm(newton, axis=0) * rng.uniform(0.1, 2, FITS)
    p = newton * np.minimum(1, radius / np.linalg.norm(newton, axis=0))
    theta = np.full(FITS, 0.995)
    box, quadratic = Box(tuple(lower), tuple(upper)), Quadratic(to_dense(matrix), tuple(gradient))
    cut, value = cut_step(ALGEBRA, box, *(tuple(a) for a in (x, p, scale)), quadratic, radius, theta)
    # it is for steps that are too long
    whole = box.contains(ALGEBRA, tuple(x + scale * p))
    scaled = np.where(whole, p, np.stack(cut))
    step, predicted = scale * scaled, -np.where(whole, quadratic.value(ALGEBRA, tuple(p)), value)
    inside = 0
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
        inside += bool(np.array_equal(scaled[:, i], p[:, i]))
    # both kinds were among them: whole steps, and steps that had to be cut
    assert 0 < inside < FITS
