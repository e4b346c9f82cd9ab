"""One set of formulas for three ways to compute: single numbers, arrays of NumPy, and JAX under jit.

Numbers and arrays give the same bits, so that a fit by itself is the same as among others. What is compiled may join a
product and a sum into one operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.status import Status
from napari_imagefit.engine.core.trees import tree_map
from napari_imagefit.engine.linalg import batched_ldl
from napari_imagefit.engine.linalg.algebra import Algebra, JaxAlgebra, NumberAlgebra, NumpyAlgebra
from napari_imagefit.engine.linalg.normal_matrix import Dense
from napari_imagefit.engine.linalg.straight_line import CodeAlgebra
from napari_imagefit.engine.linalg.trust_region_subproblem import trust_region_step
from napari_imagefit.engine.solver.bounded_step import Quadratic, cut_step
from napari_imagefit.engine.solver.trust_region import (
    RUNNING,
    UNEVALUATED,
    Expansion,
    State,
    Task,
    begin,
    judge,
    propose,
)

pytestmark = pytest.mark.usefixtures("x64", "quiet")
FITS, SAMPLES = 64, 20
SIZES = range(1, 9)
COMPILED = [n if n in (1, 3) else pytest.param(n, marks=pytest.mark.slow) for n in SIZES]
TOLERANCES = Options().tolerances
KINDS = ("regular", "badly scaled", "twin columns", "empty column", "no gradient", "NaN", "infinite")


class Case(NamedTuple):
    """A batch as the solver meets it; rows are arrays ``(FITS,)``."""

    kinds: np.ndarray
    task: Task
    state: State
    there: Expansion  # at the place of a trial
    enough: np.ndarray


def expansion(rng: np.random.Generator, n: int, kinds: np.ndarray, reach: float) -> tuple[Expansion, np.ndarray]:
    """Cost, gradient and JᵀJ of random problems, and their conditions."""
    jacobian = rng.normal(size=(FITS, SAMPLES, n))
    residual = reach * rng.normal(size=(FITS, SAMPLES))
    jacobian[kinds == "badly scaled"] *= 10 ** rng.uniform(-3, 3, (np.count_nonzero(kinds == "badly scaled"), 1, n))
    jacobian[kinds == "twin columns", :, -1] = jacobian[kinds == "twin columns", :, 0]
    jacobian[kinds == "empty column", :, -1] = 0
    residual[kinds == "no gradient"] = 0
    matrix = np.einsum("bmi,bmj->ijb", jacobian, jacobian)
    gradient, cost = np.einsum("bmi,bm->ib", jacobian, residual), 0.5 * np.sum(residual**2, axis=1)
    where = rng.integers(0, 3, FITS)
    for kind, bad in (("NaN", np.nan), ("infinite", np.inf)):
        chosen = kinds == kind
        cost[chosen & (where == 0)] = bad
        gradient[-1, chosen & (where == 1)] = bad
        matrix[0, 0, chosen & (where == 2)] = bad
    conditions = np.linalg.cond(np.where(np.isfinite(matrix), matrix, 0).transpose(2, 0, 1))
    lower = tuple(tuple(matrix[i, j].copy() for j in range(i + 1)) for i in range(n))
    return Expansion(cost, tuple(gradient), Dense(lower)), conditions


def make(n: int, seed: int = 0, bounded: bool = True, dtype: Any = "float64") -> tuple[Case, np.ndarray]:
    """A case of all kinds of fits, and the conditions of their matrices."""
    rng = np.random.default_rng(100 * n + seed)
    kinds = np.array(KINDS)[rng.integers(0, len(KINDS), FITS)]
    x = rng.normal(size=(n, FITS)) * 10 ** rng.uniform(-1, 1, (n, FITS))
    lower, upper = x - 10 ** rng.uniform(-3, 2, (n, FITS)), x + 10 ** rng.uniform(-3, 2, (n, FITS))
    x, lower, upper = (a.astype(dtype).astype(float) for a in (x, lower, upper))
    lower[rng.random(x.shape) < 0.4], upper[rng.random(x.shape) < 0.4] = -np.inf, np.inf
    held = rng.random(x.shape) < 0.1
    lower[held] = upper[held] = x[held]
    here, conditions = expansion(rng, n, np.where(np.isin(kinds, ("NaN", "infinite")), "regular", kinds), 1.0)
    there, _ = expansion(rng, n, kinds, 0.7)
    limits = (tuple(lower), tuple(upper)) if bounded else ((), ())
    task = Task(*limits, np.full(FITS, 1e-25), 10 ** rng.uniform(-1, 1, FITS))
    if bounded:
        here, there = (one.without(NumpyAlgebra(), task.held) for one in (here, there))
    status = rng.choice([RUNNING, RUNNING, RUNNING, UNEVALUATED, int(Status.COST), int(Status.TOO_FEW_SAMPLES)], FITS)
    norms = [np.sqrt(d) * rng.uniform(1, 3, FITS) for d in here.matrix.diagonal()]
    state = State(
        x=tuple(x),
        here=here,
        column_norms=tuple(norms),
        radius=10 ** rng.uniform(-2, 2, FITS),
        alpha=np.where(rng.random(FITS) < 0.5, 0, 10 ** rng.uniform(-2, 2, FITS)),
        status=status,
        iterations=rng.integers(0, 100, FITS),
        gain=10 ** rng.uniform(-6, 1, FITS),
        optimality=rng.uniform(1e-9, 1, FITS),
    )
    return Case(kinds, task, state, there, rng.random(FITS) < 0.9), conditions


def one(tree: Any, index: int) -> Any:
    """The numbers of one fit."""
    return jax.tree.map(lambda a: a[index], tree)


def plain(tree: Any) -> Any:
    """Python's numbers in the place of NumPy's."""
    return tree_map(lambda value: value.item() if isinstance(value, np.generic) else value, tree)


def check_bits(numbers: Any, arrays: Any, index: int) -> None:
    theirs = jax.tree.leaves(one(arrays, index))
    ours = jax.tree.leaves(numbers)
    assert len(ours) == len(theirs)
    for number, other in zip(ours, theirs, strict=True):
        assert np.ndim(number) == 0
        assert np.array_equal(number, other, equal_nan=True), (number, other)
        # zeros of another sign would divide into another infinity
        assert np.signbit(np.float64(number)) == np.signbit(np.float64(other)) or np.isnan(number)


def check_near(found: Any, arrays: Any, which: np.ndarray, rtol: float) -> None:
    """Rows of one kind, such as a step's, to `rtol` of their norm; what counts or decides, exactly."""
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(arrays), strict=True):
        ours, theirs = np.asarray(ours)[which], np.asarray(theirs)[which]
        if theirs.dtype.kind != "f":
            np.testing.assert_array_equal(ours, theirs)
            continue
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


def in_numpy(function: Callable[..., Any], arguments: tuple[Any, ...], dtype: Any = "float64") -> Any:
    """``function(algebra, *arguments)`` of arrays: the same bits as of each fit's numbers, and of its code."""
    arrays = function(NumpyAlgebra(dtype), *arguments)
    code = CodeAlgebra(dtype)
    for index in range(FITS):
        numbers = one(arguments, index)
        check_bits(function(NumberAlgebra(dtype), *numbers), arrays, index)
        check_bits(code.run(function, *plain(numbers)), arrays, index)
    return arrays


def check_compiled(
    function: Callable[..., Any], arguments: tuple[Any, ...], arrays: Any, which: np.ndarray, dtype: Any, rtol: float
) -> None:
    """Those of the fits whose results are not amplified by their condition are what the compiled function gives."""
    # all at once, and what some of them need in groups
    for together in (None, 8):
        compiled = jax.jit(lambda *given, size=together: function(JaxAlgebra(dtype, size), *given))(*arguments)
        check_near(compiled, arrays, which, rtol)


def usable(case: Case, conditions: np.ndarray) -> np.ndarray:
    """Whose results are as good as their rounding: others are amplified by their condition."""
    return np.isin(case.kinds, ("regular", "no gradient", "NaN", "infinite")) & (conditions < 1e3)


def trust_region(algebra: Algebra, *given: Any) -> Any:
    return trust_region_step(algebra, *given)


def subproblem(n: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """Arguments of `trust_region_step`, and the fits that can be compared."""
    case, conditions = make(n)
    here = case.state.here
    return (here.matrix.lower, here.gradient, case.state.radius, case.state.alpha), usable(case, conditions)


@pytest.mark.parametrize("n", SIZES)
def test_trust_region_step(n: int) -> None:
    arguments, _ = subproblem(n)
    p, alpha = in_numpy(trust_region, arguments)
    assert (np.linalg.norm(np.stack(p), axis=0) <= arguments[2] * (1 + 1e-12)).all()
    assert (alpha > 0).any()
    assert (alpha == 0).any()


@pytest.mark.parametrize("n", COMPILED)
def test_compiled_trust_region_step(n: int) -> None:
    arguments, which = subproblem(n)
    check_compiled(trust_region, arguments, trust_region(NumpyAlgebra(), *arguments), which, "float64", 1e-12)


def within_bounds(algebra: Algebra, *given: Any) -> Any:
    box, x, p, scale, quadratic, *_ = given
    inside = box.contains(algebra, tuple(v + d * s for v, d, s in zip(x, scale, p, strict=True)))
    cut, value = cut_step(algebra, *given)
    # a step that is not too long is not cut
    scaled = tuple(algebra.where(inside, whole, part) for whole, part in zip(p, cut, strict=True))
    step = tuple(d * s for d, s in zip(scale, scaled, strict=True))
    return step, scaled, -algebra.where(inside, quadratic.value(algebra, p), value)


def bounded_problem(n: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """Arguments of `cut_step`, with steps inside of the region, and the fits that can be compared."""
    case, conditions = make(n)
    rng = np.random.default_rng(n)
    state = case.state
    p = rng.normal(size=(n, FITS))
    # what is held has no gradient, and so no step
    p[np.stack(case.task.held)] = 0
    length = np.linalg.norm(p, axis=0)
    p *= state.radius * rng.uniform(0.1, 1, FITS) / np.where(length > 0, length, 1)
    scale = tuple(rng.uniform(0.3, 3, (n, FITS)))
    quadratic = Quadratic(state.here.matrix, state.here.gradient)
    arguments = case.task.box, state.x, tuple(p), scale, quadratic, state.radius, rng.uniform(0.995, 1, FITS)
    return arguments, usable(case, conditions)


@pytest.mark.parametrize("n", SIZES)
def test_bounded_step(n: int) -> None:
    arguments, _ = bounded_problem(n)
    box, x, p, _, quadratic, radius, _ = arguments
    found, scaled, predicted = in_numpy(within_bounds, arguments)
    moved = np.stack(x) + np.stack(found)
    # a step onto a bound is one but for the rounding of its sum, which the solver moves inside
    near = 1e-12 * np.abs(np.stack(x))
    assert (moved >= np.stack(box.lower) - near).all()
    assert (moved <= np.stack(box.upper) + near).all()
    assert (np.linalg.norm(np.stack(scaled), axis=0) <= radius * (1 + 1e-9)).all()
    whole = same_step(scaled, p)
    np.testing.assert_array_equal(predicted[whole], -quadratic.value(NumpyAlgebra(), p)[whole])
    assert 0 < np.count_nonzero(whole) < FITS


def same_step(one: Any, other: Any) -> np.ndarray:
    return np.all(np.stack(one) == np.stack(other), axis=0)


@pytest.mark.parametrize("n", COMPILED)
def test_compiled_bounded_step(n: int) -> None:
    arguments, which = bounded_problem(n)
    check_compiled(within_bounds, arguments, within_bounds(NumpyAlgebra(), *arguments), which, "float64", 1e-12)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_bounds_are_infinite_ones(n: int, dtype: Any) -> None:
    """To the last bit: whether others have bounds does not matter."""
    case, _ = make(n, 4, bounded=False)
    algebra = NumpyAlgebra(dtype)
    infinite = case.task._replace(lower=(np.full(FITS, -np.inf),) * n, upper=(np.full(FITS, np.inf),) * n)
    state = case.state
    for task in (case.task, infinite):
        trial = propose(algebra, task, state)
        after = judge(algebra, task, TOLERANCES, 100, state, trial, case.there)
        fresh = begin(algebra, task, state.x, state.here, case.enough)
        if task is case.task:
            expected = jax.tree.leaves((trial, after, fresh))
            continue
        for ours, theirs in zip(expected, jax.tree.leaves((trial, after, fresh)), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def next_trial(algebra: Algebra, task: Task, state: State) -> Any:
    return propose(algebra, task, state)


def verdict(algebra: Algebra, task: Task, state: State, trial: Any, there: Expansion) -> Any:
    return judge(algebra, task, TOLERANCES, 100, state, trial, there)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_propose_and_judge(n: int, bounded: bool, dtype: Any) -> None:
    case, _ = make(n, 1, bounded, dtype)
    trial = in_numpy(next_trial, (case.task, case.state), dtype)
    assert all(np.isfinite(row).all() for row in trial.x)
    if dtype == "float32":
        assert all((row == row.astype(np.float32)).all() for row in trial.x)
    after = in_numpy(verdict, (case.task, case.state, trial, case.there), dtype)
    before = case.state.status
    bad = ~case.there.is_finite(NumpyAlgebra())
    # what has ended stays as it is; what is not finite is no step, and no start
    for old, new in zip(jax.tree.leaves(case.state), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old[before < RUNNING], new[before < RUNNING])
    for old, new in zip(case.state.x, after.x, strict=True):
        np.testing.assert_array_equal(old[bad], new[bad])
    assert (after.status[bad & (before == UNEVALUATED)] == Status.NON_FINITE_MODEL).all()
    assert np.isfinite(after.here.cost).all()
    assert (after.radius > 0).all()
    assert {RUNNING, int(Status.NON_FINITE_MODEL)} <= set(after.status.tolist())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("n", COMPILED)
def test_compiled_propose_and_judge(n: int, bounded: bool, dtype: Any) -> None:
    case, conditions = make(n, 1, bounded, dtype)
    which = usable(case, conditions)
    algebra = NumpyAlgebra(dtype)
    trial = next_trial(algebra, case.task, case.state)
    # a place may be rounded to the next number of single precision
    rtol = 1e-12 if dtype == "float64" else 2e-7
    check_compiled(next_trial, (case.task, case.state), trial, which, dtype, rtol)
    arguments = case.task, case.state, trial, case.there
    check_compiled(verdict, arguments, verdict(algebra, *arguments), which, dtype, 1e-12)


def first(algebra: Algebra, task: Task, x: Any, blank: Expansion, enough: Any) -> Any:
    return begin(algebra, task, x, blank, enough)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_begin(n: int, dtype: Any) -> None:
    case, _ = make(n, 2)
    x = tuple(np.random.default_rng(n).normal(0, 30, (n, FITS)))
    arguments = case.task, x, jax.tree.map(np.zeros_like, case.state.here), case.enough
    state = in_numpy(first, arguments, dtype)
    check_compiled(first, arguments, state, np.ones(FITS, bool), dtype, 1e-12)
    assert set(state.status.tolist()) == {UNEVALUATED, int(Status.TOO_FEW_SAMPLES)}
    for row, low, high in zip(state.x, case.task.lower, case.task.upper, strict=True):
        held = low == high
        np.testing.assert_array_equal(row[held], low[held])
        if dtype == "float64":
            assert ((row > low) & (row < high))[~held].all()
        else:
            assert ((row >= low.astype(np.float32)) & (row <= high.astype(np.float32)))[~held].all()


def test_more_unknowns_than_are_written_out() -> None:
    """By eigenvalues, in NumPy: a batch, and each by itself."""
    n = 12
    assert n > batched_ldl.MOST_UNKNOWNS
    case, _ = make(n)
    matrix, gradient = case.state.here.matrix.lower, case.state.here.gradient
    p, alpha = trust_region_step(NumpyAlgebra(), matrix, gradient, case.state.radius, case.state.alpha)
    assert (np.linalg.norm(np.stack(p), axis=0) <= case.state.radius * (1 + 1e-12)).all()
    for index in range(FITS):
        arguments = one((matrix, gradient, case.state.radius, case.state.alpha), index)
        own, its = trust_region_step(NumberAlgebra(), *arguments)
        # LAPACK and its sums may go another way for one matrix than for many
        np.testing.assert_allclose(
            np.stack(own), np.stack(p)[:, index], rtol=1e-7, atol=1e-7 * case.state.radius[index]
        )
        np.testing.assert_allclose(its, alpha[index], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("bounded", [True, False])
def test_propose_by_eigenvalues(bounded: bool) -> None:
    """The whole step of 12 parameters: the minimum of the quadratic within the region, without bounds in the way."""
    case, _ = make(12, 3, bounded)
    trial = propose(NumpyAlgebra(), case.task, case.state)
    assert all(np.isfinite(row).all() for row in (*trial.x, *trial.step, trial.predicted))
    assert (trial.predicted >= 0).all()
    length = np.linalg.norm(np.stack(trial.scaled_step), axis=0)
    assert (length <= case.state.radius * (1 + 1e-9)).all()
    if bounded:
        assert (np.stack(trial.x) >= np.stack(case.task.lower)).all()
        assert (np.stack(trial.x) <= np.stack(case.task.upper)).all()


SPECIAL = [0.0, -0.0, 1.0, -1.0, 3.7, 1e-320, 1e300, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "abs", "sqrt", "isfinite", "where", "divide", "clip", "next_to"]
)
def test_functions_of_numbers_are_those_of_arrays(name: str) -> None:
    for dtype in ("float64", "float32"):
        numbers, arrays = NumberAlgebra(dtype), NumpyAlgebra(dtype)
        for a in SPECIAL:
            for b in SPECIAL:
                given = {
                    "abs": (a,), "sqrt": (a,), "isfinite": (a,), "where": (a > b, a, b), "clip": (a, b, 2.0)
                }.get(name, (a, b))  # fmt: skip
                own = getattr(numbers, name)(*(np.bool_(v) if isinstance(v, bool) else np.float64(v) for v in given))
                theirs = getattr(arrays, name)(*(np.array([v]) for v in given))[0]
                assert np.array_equal(own, theirs, equal_nan=True), (name, given, own, theirs)
                # an operator of a plain number would raise where it cannot be computed
                assert isinstance(own, np.generic)
