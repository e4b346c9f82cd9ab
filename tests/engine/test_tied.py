"""Tied parameters: fits are those of the reduced model, and errors those that linear propagation gives."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from napari_imagefit import FitResult, Flag, Model, Parameter, Status, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.engine.models.ties import Ties

T = np.linspace(0, 5, 40)
NAMES = ("a", "k", "b", "c", "d")
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-12, "gtol": 1e-12}


def _function(coords: Any, a: Any, k: Any, b: Any, c: Any, d: Any) -> Any:
    t = coords[0]
    return a * jnp.exp(-k * t) + b * t + c + d * t * t


def _guess(_coords: Any, data: Any, _weights: Any) -> Any:
    return jnp.stack([jnp.full(data.shape[1], v) for v in (1.5, 0.8, 0.2, 0.4, 0.05)])


MODEL = Model("bent", _function, [Parameter("a"), Parameter("k", lower=0), *map(Parameter, "bcd")], 1, _guess)
# b = 0.1·a, c = a·k + 0.2, d = sin(c)·0.1: a chain, given in the wrong order
CHAIN = {"d": "0.1*sin(c)", "c": "a*k + 0.2", "b": "0.1*a"}


def complete(a: Any, k: Any) -> list[Any]:
    """The five parameters by hand."""
    c = a * k + 0.2
    return [a, k, 0.1 * a, c, 0.1 * np.sin(c)]


def chained(t: Any, a: float, k: float) -> Any:
    """The same model in two parameters, for SciPy."""
    a, k, b, c, d = complete(a, k)
    return a * np.exp(-k * t) + b * t + c + d * t * t


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return chained(T, 2.0, 0.7)[:, None] + np.random.default_rng(0).normal(0, 0.02, (T.size, 6))


@pytest.fixture(scope="module")
def result(data: np.ndarray) -> FitResult:
    spoilt = data.copy()
    spoilt[1:, 5] = np.nan
    return fit_voxels(spoilt, MODEL, x=T, tied=CHAIN, **TIGHT)


@pytest.mark.parametrize("known", [False, True])
def test_values_and_errors_are_those_of_scipys_fit_of_the_reduced_model(data: np.ndarray, known: bool) -> None:
    """Errors of what follows: J·C·Jᵀ with J by central differences of the formulas written out."""
    sigma = np.linspace(0.01, 0.03, T.size)[:, None] if known else None
    result = fit_voxels(data, MODEL, x=T, tied=CHAIN, sigma=sigma, **TIGHT)
    assert result.converged.all()
    assert (result.n_free == 2).all()
    assert (result.flags & ~np.uint16(Flag.LARGE_CHI2) == 0).all()
    for i in range(data.shape[1]):
        best, covariance = optimize.curve_fit(
            chained, T, data[:, i], p0=(1.5, 0.8), sigma=None if sigma is None else sigma[:, 0], absolute_sigma=known,
            ftol=1e-15, xtol=1e-15, gtol=1e-15,
        )  # fmt: skip
        step = 1e-6
        slopes = np.array(
            [
                (np.array(complete(*(best + step * e))) - np.array(complete(*(best - step * e)))) / (2 * step)
                for e in np.eye(2)
            ]
        ).T
        expected = slopes @ covariance @ slopes.T
        # SciPy's Jacobian is of forward differences, 1e-8 of the values: errors agree to about 1e-6
        for j, (name, value) in enumerate(zip(NAMES, complete(*best), strict=True)):
            assert result.params[name][i] == pytest.approx(value, abs=1e-4 * math.sqrt(expected[j, j]))
            assert result.stderr[name][i] == pytest.approx(math.sqrt(expected[j, j]), rel=1e-5)
        scale = np.sqrt(np.diag(expected))
        assert np.abs((result.covariance[i] - expected) / np.outer(scale, scale)).max() < 1e-5


def test_fits_are_those_of_a_model_written_with_fewer_parameters(data: np.ndarray, result: FitResult) -> None:
    reduced = Model(
        "reduced",
        lambda c, a, k: _function(c, a, k, 0.1 * a, a * k + 0.2, 0.1 * jnp.sin(a * k + 0.2)),
        MODEL.parameters[:2],
        1,
        lambda c, d, w: _guess(c, d, w)[:2],
    )
    by_hand = fit_voxels(data, reduced, x=T, **TIGHT)
    for name in ("a", "k"):
        # both end where rounding ends them; the same arithmetic in another order
        np.testing.assert_allclose(result.params[name][:5], by_hand.params[name][:5], rtol=1e-8)
        np.testing.assert_allclose(result.stderr[name][:5], by_hand.stderr[name][:5], rtol=1e-6)
    for name in ("cost", "chi2", "r2", "aicc", "bic", "reduced_chi2"):
        np.testing.assert_allclose(getattr(result, name)[:5], getattr(by_hand, name)[:5], rtol=1e-8)
    np.testing.assert_array_equal(result.n_used[:5], T.size)
    np.testing.assert_allclose(result.fitted()[:, :5], by_hand.fitted()[:, :5], rtol=1e-8)


def test_covariance_is_symmetric_and_of_the_rank_of_what_was_fitted(result: FitResult) -> None:
    for covariance in result.covariance[:5]:
        np.testing.assert_allclose(covariance, covariance.T, rtol=1e-12, atol=0)
        scale = np.sqrt(np.diag(covariance))
        values = np.linalg.eigvalsh(covariance / np.outer(scale, scale))
        # two parameters are free: three of five eigenvalues are rounding
        assert (np.abs(values[:3]) < 1e-12).all()
        assert (values[3:] > 1e-6).all()


def test_relations_hold_exactly(result: FitResult) -> None:
    for name, value in zip(NAMES, complete(result.params["a"], result.params["k"]), strict=True):
        np.testing.assert_allclose(result.params[name], value, rtol=1e-14)


def test_what_was_not_fitted_stays_nan(result: FitResult) -> None:
    assert result.status[5] == Status.TOO_FEW_SAMPLES
    for values in (result.params, result.stderr, result.solution):
        assert all(np.isnan(values[name][5]) for name in NAMES)
    assert np.isnan(result.covariance[5]).all()


def test_what_follows_from_a_parameter_that_is_held_or_at_a_bound() -> None:
    """What is held adds no error, and what follows from nothing else has none; the same fits by hand beside it."""
    line = Model.from_expression("a + b*t + c*t**2", ["t"])
    values = 1 + 0.5 * T[:, None] + np.random.default_rng(1).normal(0, 0.01, (T.size, 3))
    held = fit_voxels(values, line, x=T, fixed={"b": 0.5}, tied={"c": "0.001*b"})
    assert held.converged.all()
    np.testing.assert_allclose(held.params["c"], 0.0005, rtol=1e-14)
    assert np.isnan(held.stderr["c"]).all()
    assert np.isnan(held.stderr["b"]).all()
    # of a alone: the mean of 40 samples
    np.testing.assert_allclose(held.stderr["a"], np.sqrt(held.reduced_chi2 / T.size), rtol=1e-8)

    both = fit_voxels(values, line, x=T, fixed={"b": 0.5}, tied={"c": "a*b/1000"})
    np.testing.assert_allclose(both.stderr["c"], both.stderr["a"] / 2000, rtol=1e-10)

    # b wants to be 0.5: it ends at its bound
    bound = fit_voxels(values, line, x=T, bounds={"b": (0, 0.4)}, tied={"c": "b/400"})
    assert (bound.at_bound["b"] == 1).all()
    assert (bound.at_bound["c"] == 0).all()
    assert (bound.flags & Flag.AT_UPPER).all()
    assert np.isnan(bound.stderr["b"]).all()
    assert np.isnan(bound.stderr["c"]).all()
    # as near as a fit comes to a bound: a hundredth of the standard error, which is below 0.01
    np.testing.assert_allclose(bound.params["c"], 0.001, atol=1e-6)
    assert np.isfinite(bound.stderr["a"]).all()


def test_what_the_data_do_not_determine_spreads_to_what_follows() -> None:
    """b and c stand for the same slope: no answer for them, nor for what follows from them."""
    line = Model.from_expression("a + (b + c)*t + d*t**2", ["t"])
    values = 1 + 0.5 * T[:, None] + np.random.default_rng(1).normal(0, 0.01, (T.size, 2))
    result = fit_voxels(values, line, x=T, tied={"d": "0.01*b"})
    assert (result.flags & Flag.POORLY_DETERMINED == 0).all() or result.converged.all()
    twins = fit_voxels(values, line, x=T, tied={"d": "0.01*(b + c)"})
    assert (twins.status == Status.SINGULAR).all()
    for name in "abcd":
        assert np.isnan(twins.params[name]).all()
        assert np.isnan(twins.stderr[name]).all()


def test_a_tied_number() -> None:
    """An expression without names is a constant, without an error."""
    line = Model.from_expression("a + b*t", ["t"])
    values = 1 + 0.5 * T[:, None] + np.random.default_rng(1).normal(0, 0.01, (T.size, 2))
    result = fit_voxels(values, line, x=T, tied={"b": "1/2"})
    np.testing.assert_array_equal(result.params["b"], 0.5)
    assert np.isnan(result.stderr["b"]).all()
    np.testing.assert_allclose(result.params["a"], np.mean(values - 0.5 * T[:, None], axis=0), rtol=1e-10)


@pytest.mark.parametrize("tied", [{"tau": "0"}, {"tau": "offset", "offset": "0"}, {"offset": "1/tau", "tau": "0"}])
def test_a_number_that_a_formula_divides_by(tied: dict[str, str]) -> None:
    """Such a fit has no answer, and says why."""
    decays = 2 * np.exp(-T[:, None] / np.array([1.0, 2.0]))
    result = fit_voxels(decays, "exponential_decay", x=T, tied=tied)
    assert (result.status == Status.NON_FINITE_MODEL).all()
    assert np.isnan(result.params["amplitude"]).all()


@pytest.mark.parametrize(
    ("tied", "words"),
    [
        ({"a": "b", "b": "a"}, "'a', 'b' follow from each other"),
        ({"a": "a + 1"}, "'a' follow from"),
        ({"a": "b", "b": "c", "c": "d", "d": "b"}, "'b', 'c', 'd' follow from each other"),
        ({"q": "2*a"}, "no parameter 'q'"),
        ({"a": "2*q"}, "no parameter 'q'"),
        ({"a": "2*t"}, "no parameter 't'"),
        ({"a": "__import__('os')"}, "is not a function"),
        ({"a": "b^2"}, r"write a\*\*b"),
        ({"a": ""}, "cannot be read"),
        ({"k": "-1/2"}, r"'k' is tied to -0.5, which is outside of what the model takes, \[0, inf\]"),
        ({"k": "-a", "a": "b + 1", "b": "1"}, r"'k' is tied to -2, which is outside of what the model takes"),
        ({"a": 2.0}, "an expression is a text, not a float"),
        (dict.fromkeys("akbcd", "1.0"), "all parameters of 'bent' are tied"),
        (["a"], "give a dict of expressions"),
    ],
)
def test_what_is_no_tie(tied: Any, words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit_voxels(np.ones((T.size, 2)), MODEL, x=T, tied=tied)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"init": {"b": 1.0}}, "'b' is tied and also has a start"),
        ({"bounds": {"b": (0, 1)}}, "'b' is tied and also has bounds"),
        ({"fixed": {"b": 1.0}}, "'b' is tied and also has a fixed value"),
        ({"fixed": {"a": 1.0, "k": 1.0, "c": 1.0, "d": 1.0}}, "are fixed; leave at least one free"),
    ],
)
def test_ties_go_with_nothing_else(how: Any, words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit_voxels(np.ones((T.size, 2)), MODEL, x=T, tied={"b": "2*a"}, **how)


def test_reduced_model_keeps_names_units_and_order() -> None:
    ties = Ties.of(MODEL, {"k": "a/2", "c": "k + d"})
    assert ties.model.names == ("a", "b", "d")
    assert ties.full is MODEL
    assert [float(v) for v in ties.complete([2.0, 3.0, 4.0])] == [2.0, 1.0, 3.0, 5.0, 4.0]


def test_a_fit_by_itself_is_tied_as_among_others() -> None:
    """To the last bit: a number divided by itself alone goes another way than an array."""
    t = np.linspace(0, 4, 12)
    stack = np.random.default_rng(0).uniform(1, 3, (1, 30)) * np.exp(-t[:, None]) + 0.2
    stack += np.random.default_rng(1).normal(0, 0.02, stack.shape)
    wishes: dict[str, Any] = {"x": t, "tied": {"offset": "amplitude/12"}}
    together = fit_voxels(stack, "exponential_decay", **wishes)
    for i in range(8):
        alone = fit_voxels(stack[:, [i]], "exponential_decay", **wishes)
        for kind in ("params", "stderr", "solution", "start"):
            assert getattr(alone, kind)["offset"][0] == getattr(together, kind)["offset"][i]
        np.testing.assert_array_equal(alone.covariance[0], together.covariance[i])


def test_the_next_fit_compiles_nothing() -> None:
    data = np.stack([2.0 * np.exp(-0.7 * T), 3.0 * np.exp(-0.5 * T)])
    model, tied = Model.from_expression("a*exp(-k*t) + c", ["t"]), {"c": "0.1*a"}
    fit_voxels(data[0], model, x=T, tied=tied)
    before = compiled_programs()
    first, second = (fit_voxels(values, model, x=T, tied=tied) for values in data)
    assert compiled_programs() == before
    for found in (first, second):
        np.testing.assert_allclose(found.stderr["c"], 0.1 * found.stderr["a"], rtol=1e-12)


def test_where_there_is_no_answer_a_tie_to_a_number_is_none() -> None:
    stack = 2 * np.exp(-np.arange(16.0)[:, None] / 5) * np.ones(3) + 0.1
    stack[:, 1] = np.nan
    result = fit_voxels(stack, "exponential_decay", tied={"offset": "0.1"})
    assert result.converged.tolist() == [True, False, True]
    for values in (*result.params.values(), *result.solution.values()):
        assert np.isnan(values).tolist() == [False, True, False]
