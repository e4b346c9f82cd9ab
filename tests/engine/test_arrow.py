"""Arrow matrices against the dense matrix that they stand for; 5 fits with 2 own and 2 shared unknowns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_imagefit.engine.linalg.algebra import Joint, NumpyAlgebra, Rows
from napari_imagefit.engine.linalg.arrowhead_matrix import Arrow, Solver, join
from napari_imagefit.engine.linalg.trust_region_subproblem import ACCURACY, trust_region_step

pytestmark = pytest.mark.usefixtures("quiet")
Floats = NDArray[np.float64]
N_OWN, N_SHARED, FITS = 2, 2, 5
SIZE = N_OWN * FITS + N_SHARED
EPS = float(np.finfo(float).eps)
JOINT = Joint()
# sums of at most 40 products of numbers near 1
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
KINDS = ("regular", "singular blocks", "empty blocks", "empty border")


def rows(vector: Any) -> Rows:
    """A vector ``(SIZE,)`` as rows: own unknowns ``(FITS,)``, then shared ones ``(1,)``."""
    own = np.reshape(vector[: N_OWN * FITS], (N_OWN, FITS))
    return (*own, *np.reshape(vector[N_OWN * FITS :], (-1, 1)))


def flat(found: Rows) -> Floats:
    """The inverse of `rows`."""
    return np.concatenate([np.ravel(row) for row in found])


def place(own: int, fit: int) -> int:
    return own * FITS + fit


def jacobians(kind: str, seed: int = 0) -> tuple[Floats, Floats]:
    """Per fit: of the own unknowns ``(FITS, 8, N_OWN)``, and of the shared ones ``(FITS, 8, N_SHARED)``."""
    rng = np.random.default_rng(seed)
    own, shared = rng.normal(size=(FITS, 8, N_OWN)), rng.normal(size=(FITS, 8, N_SHARED))
    if kind == "singular blocks":
        own[1, :, 1] = 2 * own[1, :, 0]
        own[3, :, 1] = -own[3, :, 0]
    if kind == "empty blocks":
        own[0], own[2, :, 0] = 0, 0
    if kind == "empty border":
        shared[:] = 0
    return own, shared


def to_arrow(own: Floats, shared: Floats) -> Arrow:
    return Arrow(
        np.einsum("fmi,fmj->ijf", own, own),
        np.einsum("fmi,fmk->ikf", own, shared),
        np.einsum("fmk,fml->kl", shared, shared),
    )


def to_jacobian(own: Floats, shared: Floats) -> Floats:
    """Of everything by everything, ``(FITS*8, SIZE)``."""
    whole = np.zeros((FITS, own.shape[1], SIZE))
    for fit in range(FITS):
        for i in range(N_OWN):
            whole[fit, :, place(i, fit)] = own[fit, :, i]
        whole[fit, :, N_OWN * FITS :] = shared[fit]
    return whole.reshape(-1, SIZE)


def make(kind: str, seed: int = 0) -> tuple[Arrow, Floats, Floats]:
    """An arrow matrix, the same dense, and a gradient Jᵀr."""
    parts = jacobians(kind, seed)
    whole = to_jacobian(*parts)
    residual = np.random.default_rng(seed + 100).normal(size=len(whole))
    return to_arrow(*parts), whole.T @ whole, whole.T @ residual


def to_dense(arrow: Arrow) -> Floats:
    local, border, common = arrow
    dense = np.zeros((SIZE, SIZE))
    edge = slice(N_OWN * FITS, SIZE)
    dense[edge, edge] = common
    for fit in range(FITS):
        where = [place(i, fit) for i in range(N_OWN)]
        dense[np.ix_(where, where)] = local[:, :, fit]
        dense[where, edge] = border[:, :, fit]
        dense[edge, where] = border[:, :, fit].T
    return dense


def vector(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=SIZE)


def solve(arrow: Arrow, right: Floats, alpha: float) -> Floats:
    return flat(join(*Solver.of(arrow, EPS)(*arrow.split(rows(right)), alpha)))


def arrow_step(arrow: Arrow, gradient: Floats, radius: float) -> tuple[Floats, float]:
    step, alpha = arrow.begin_search(JOINT, rows(gradient), np.array([radius]), np.zeros(1))
    return flat(step), float(alpha[0])


def dense_step(dense: Floats, gradient: Floats, radius: float) -> tuple[Floats, float]:
    """The same by the eigenvalues of the dense matrix, which is too large for a written-out LDLᵀ."""
    triangle = tuple(tuple(np.array([v]) for v in row[: i + 1]) for i, row in enumerate(dense))
    step, alpha = trust_region_step(NumpyAlgebra(), triangle, tuple(gradient[:, None]), np.array([radius]), np.zeros(1))
    return flat(step), float(alpha[0])


def inverse(arrow: Arrow) -> tuple[Floats, NDArray[np.bool_]]:
    """Each fit's block of the inverse, and what is undetermined, ``(SIZE,)``."""
    found, own, shared = Solver.of(arrow, EPS).inverse()
    return found, flat(join(own, shared)).astype(bool)


def test_layout_product_and_diagonal() -> None:
    arrow, dense, _ = make("regular")
    np.testing.assert_allclose(to_dense(arrow), dense, **ROUNDING)
    np.testing.assert_allclose(flat(arrow.product(JOINT, rows(vector(1)))), dense @ vector(1), **ROUNDING)
    np.testing.assert_allclose(flat(arrow.diagonal()), np.diag(dense), **ROUNDING)
    numbers = np.arange(float(SIZE))
    own, shared = arrow.split(rows(numbers))
    assert own.shape == (N_OWN, FITS)
    assert [float(own[1, 3]), *shared.tolist()] == [place(1, 3), 10, 11]
    for one, other in zip(join(own, shared), rows(numbers), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_over_rows_are_sums_over_fits() -> None:
    """What `Joint` makes of rows is what the whole vector is."""
    one, other = vector(6), vector(7)
    np.testing.assert_allclose(JOINT.norm(rows(one)), [np.linalg.norm(one)], rtol=1e-14)
    np.testing.assert_allclose(JOINT.dot(rows(one), rows(other)), [one @ other], rtol=1e-12)
    assert JOINT.largest(rows(one)).tolist() == [one.max()]
    assert JOINT.least(rows(one)).tolist() == [one.min()]
    assert JOINT.every(rows(one > one.min() - 1)).tolist() == [True]
    assert JOINT.every(rows(one > one.min())).tolist() == [False]


def test_scaled_without_and_identity() -> None:
    arrow, dense, _ = make("regular")
    scale, added = vector(2), vector(3)
    expected = scale[:, None] * dense * scale + np.diag(added)
    np.testing.assert_allclose(to_dense(arrow.scaled(rows(scale), rows(added))), expected, **ROUNDING)
    # an own unknown of two fits, and a shared one
    held = np.zeros(SIZE, bool)
    held[[place(0, 1), place(1, 4), SIZE - 1]] = True
    np.testing.assert_allclose(
        to_dense(arrow.without(JOINT, rows(held))), np.where(held[:, None] | held, 0, dense), **ROUNDING
    )
    np.testing.assert_array_equal(to_dense(arrow.identity_unless(JOINT, np.array([False]))), np.eye(SIZE))
    np.testing.assert_array_equal(to_dense(arrow.identity_unless(JOINT, np.array([True]))), to_dense(arrow))
    other = make("regular", 1)[0]
    np.testing.assert_array_equal(to_dense(arrow.select(JOINT, np.array([True]), other)), to_dense(arrow))
    np.testing.assert_array_equal(to_dense(arrow.select(JOINT, np.array([False]), other)), to_dense(other))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_finite_looks_at_every_part(part: int) -> None:
    parts = list(make("regular")[0])
    assert Arrow(*parts).finite(JOINT).tolist() == [True]
    parts[part] = parts[part].copy()
    parts[part][(0,) * parts[part].ndim] = np.nan
    assert Arrow(*parts).finite(JOINT).tolist() == [False]


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.1, 1e3])
def test_solver(alpha: float) -> None:
    arrow, dense, _ = make("regular")
    found = solve(arrow, vector(4), alpha)
    # the condition of these is below 1e3
    np.testing.assert_allclose(found, np.linalg.solve(dense + alpha * np.eye(SIZE), vector(4)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [1e-3, 10.0])
def test_damping_makes_every_matrix_regular(kind: str, alpha: float) -> None:
    arrow, dense, _ = make(kind)
    found = solve(arrow, vector(5), alpha)
    # eigenvalues that are 0 count as rounding: 1e-14 next to α
    np.testing.assert_allclose(found, np.linalg.solve(dense + alpha * np.eye(SIZE), vector(5)), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1e-3, 0.3, 0.98, 1.02, 10.0])
def test_step_is_that_of_the_dense_matrix(kind: str, factor: float) -> None:
    arrow, dense, gradient = make(kind)
    newton = -np.linalg.pinv(dense, rcond=1e-12, hermitian=True) @ gradient
    radius = float(factor * np.linalg.norm(newton))
    moved, damping = arrow_step(arrow, gradient, radius)
    expected, its_damping = dense_step(dense, gradient, radius)
    if kind == "regular":
        np.testing.assert_allclose(damping, its_damping, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-10)
    elif factor < 1:
        # only rounding, divided by rounding, says how long an undamped step in the null space is, and by that where the
        # search for α begins: either ends at one whose step is as long as the radius within its accuracy
        for step, its in ((moved, damping), (expected, its_damping)):
            back = np.linalg.solve(dense + its * np.eye(SIZE), gradient)
            assert abs(np.linalg.norm(back) / radius - 1) < ACCURACY
            np.testing.assert_allclose(step, -back * radius / np.linalg.norm(back), rtol=1e-6, atol=1e-6 * radius)
    assert np.linalg.norm(moved) <= radius * (1 + 1e-12)
    if factor > 1:
        # inside: Newton's step; a null space may be stepped into, but it changes nothing
        np.testing.assert_allclose(dense @ moved, -gradient, rtol=1e-6, atol=1e-8)
        assert kind != "regular" or damping == 0
    else:
        np.testing.assert_allclose(np.linalg.norm(moved), radius, rtol=1e-12)


def test_nothing_to_do() -> None:
    arrow = make("regular")[0]
    for matrix in (arrow, Arrow(*(np.zeros_like(part) for part in arrow))):
        step, _ = arrow_step(matrix, np.zeros(SIZE), 1.0)
        np.testing.assert_array_equal(step, 0)


def blocks(dense: Floats) -> Floats:
    """Each fit's part of a dense matrix, own unknowns first, ``(n + k, n + k, FITS)``."""
    edge = list(range(N_OWN * FITS, SIZE))
    places = [[place(i, fit) for i in range(N_OWN)] + edge for fit in range(FITS)]
    return np.stack([dense[np.ix_(where, where)] for where in places], axis=-1)


def test_inverse() -> None:
    arrow, dense, _ = make("regular")
    found, vague = inverse(arrow)
    np.testing.assert_allclose(found, blocks(np.linalg.inv(dense)), rtol=1e-10, atol=1e-12)
    assert not vague.any()


def test_inverse_of_what_one_fit_does_not_determine() -> None:
    """Two columns of fit 1 and of fit 3 are alike: their own are lost, and nobody else's."""
    arrow, dense, _ = make("singular blocks")
    found, own, shared = Solver.of(arrow, EPS).inverse()
    np.testing.assert_array_equal(own, [[False, True, False, True, False]] * 2)
    assert not shared.any()
    expected = blocks(np.linalg.pinv(dense, rcond=1e-12, hermitian=True))
    for fit in (0, 2, 4):
        np.testing.assert_allclose(found[:, :, fit], expected[:, :, fit], rtol=1e-8, atol=1e-10)


def test_inverse_where_a_shared_one_has_no_influence() -> None:
    own, shared = jacobians("regular")
    shared[:, :, 1] = 0
    arrow = to_arrow(own, shared)
    found, vague = inverse(arrow)
    np.testing.assert_array_equal(np.flatnonzero(vague), [SIZE - 1])
    expected = blocks(np.linalg.pinv(to_dense(arrow), rcond=1e-12, hermitian=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_inverse_where_a_shared_one_does_what_own_ones_do() -> None:
    """The second shared column is each fit's own first one: neither is determined, all others are."""
    own, shared = jacobians("regular")
    shared[:, :, 1] = own[:, :, 0]
    _, vague = inverse(to_arrow(own, shared))
    np.testing.assert_array_equal(np.flatnonzero(vague), [*range(FITS), SIZE - 1])


@pytest.mark.parametrize("exponent", [-2, -4, -5])
def test_ill_conditioned_blocks(exponent: int) -> None:
    """A fit whose own columns are nearly alike does not spoil the others."""
    own, shared = jacobians("regular")
    own[2, :, 1] = own[2, :, 0] + 10.0**exponent * own[2, :, 1]
    found, vague = inverse(to_arrow(own, shared))
    assert not vague.any()
    # by QR of J, which does not square the condition
    triangle = np.linalg.inv(np.linalg.qr(to_jacobian(own, shared), mode="r"))
    expected = blocks(triangle @ triangle.T)
    # the block's condition is 10^(−2·exponent); rounding of its inverse reaches others by its root
    error = EPS * 10.0 ** (-exponent)
    for fit in (0, 1, 3, 4):
        np.testing.assert_allclose(found[:, :, fit], expected[:, :, fit], rtol=1e4 * error, atol=1e3 * error)
    np.testing.assert_allclose(found[:, :, 2], expected[:, :, 2], rtol=1e3 * error * 10.0 ** (-exponent))


def test_no_own_unknowns() -> None:
    """All parameters are shared: only the common block is left."""
    _, shared = jacobians("regular")
    common = np.einsum("fmk,fml->kl", shared, shared)
    arrow = Arrow(np.zeros((0, 0, FITS)), np.zeros((0, N_SHARED, FITS)), common)
    gradient = (np.array([1.0]), np.array([-2.0]))
    np.testing.assert_allclose(flat(arrow.product(JOINT, gradient)), common @ flat(gradient), **ROUNDING)
    step, _ = arrow.begin_search(JOINT, gradient, np.array([1e3]), np.zeros(1))
    np.testing.assert_allclose(flat(step), -np.linalg.solve(common, flat(gradient)), rtol=1e-10)
    found, own, vague = Solver.of(arrow, EPS).inverse()
    assert own.shape == (0, FITS)
    np.testing.assert_allclose(found, np.repeat(np.linalg.inv(common)[:, :, None], FITS, axis=2), rtol=1e-10)
    assert not vague.any()
