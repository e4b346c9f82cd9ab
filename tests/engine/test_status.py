"""Every status can be reached, and means what it says; every flag and count likewise."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.core.status import Flag, Status
from napari_imagefit.engine.drive import wide
from napari_imagefit.engine.drive.wide_programs import Program
from napari_imagefit.engine.functions.parameter import Parameter
from napari_imagefit.engine.models.model import Model

M, FITS = 32, 8
T = np.linspace(0, 4, M)


def ones(n: int) -> Any:
    return lambda _c, d, _w: jnp.ones((n, d.shape[1]))


DECAY = Model(
    "decay", lambda c, a, k, b: a * jnp.exp(-k * c[0]) + b, [Parameter("a"), Parameter("k"), Parameter("b")], 1, ones(3)
)


@pytest.fixture
def data() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (2 * np.exp(-0.7 * T) + 0.5)[:, None] + rng.normal(0, 0.05, (M, FITS))


def no_answer(fits: Any, i: int) -> bool:
    return bool(np.isnan(fits.params[:, i]).all() and np.isnan(fits.covariance[i]).all())


def test_gradient_at_an_exact_start(fit: Any) -> None:
    truth = {"a": 2.0, "k": 0.75, "b": 0.5}
    with_values = np.asarray(2 * np.exp(-0.75 * T) + 0.5)[:, None] * np.ones(FITS)
    fits = fit(DECAY, (T,), with_values, init=truth)
    assert (fits.status > 0).all()
    np.testing.assert_allclose(fits.params, np.array(list(truth.values()))[:, None] * np.ones(FITS), rtol=1e-12)
    zero = fit(DECAY, (T,), np.zeros((M, FITS)), init={"a": 1.0, "k": 1.0, "b": 1.0}, fixed={})
    assert (zero.status == Status.SINGULAR).all()  # k says nothing about nothing


def test_gradient_where_nothing_is_to_be_gained(fit: Any) -> None:
    line = Model("level", lambda c, a: a + 0 * c[0], [Parameter("a")], 1, lambda _c, d, _w: jnp.mean(d, axis=0)[None])
    signs = np.where(np.arange(M) % 2, 1.0, -1.0)[:, None] * np.ones(FITS)
    fits = fit(line, (T,), signs)
    assert (fits.status == Status.GRADIENT).all()
    assert (fits.n_iterations == 0).all()


def test_cost_step_and_both(fit: Any, data: np.ndarray) -> None:
    off = {"ftol": 0.0, "xtol": 0.0, "gtol": 0.0}
    assert (fit(DECAY, (T,), data, **off | {"ftol": 1e-8}).status == Status.COST).all()
    assert (fit(DECAY, (T,), data, **off | {"gtol": 1e-8}).status == Status.GRADIENT).all()
    assert set(fit(DECAY, (T,), data, **off | {"xtol": 1e-4}).status) <= {Status.STEP, Status.COST_AND_STEP}
    assert (fit(DECAY, (T,), data, **off | {"xtol": 1e-4, "ftol": 1e-2}).status > 0).all()
    both = fit(DECAY, (T,), data, **off | {"xtol": 0.1, "ftol": 0.2})
    assert (both.status == Status.COST_AND_STEP).all()
    # without tolerances it ends where rounding ends it
    assert (fit(DECAY, (T,), data, **off).status > 0).all()


def test_iteration_limit_keeps_the_result(fit: Any, data: np.ndarray) -> None:
    fits = fit(DECAY, (T,), data, max_iterations=2)
    assert (fits.status == Status.ITERATION_LIMIT).all()
    assert (fits.n_iterations == 2).all()
    assert np.isfinite(fits.params).all()
    done = fit(DECAY, (T,), data)
    assert (fits.cost > done.cost).all()
    start = 0.5 * np.sum((np.exp(-T)[:, None] + 1 - data) ** 2, axis=0)
    assert (fits.cost < start).all()


def test_too_few_samples(fit: Any, data: np.ndarray) -> None:
    data[2:, 0] = np.nan
    data[:, 1] = np.nan
    data[3:, 2] = np.inf
    fits = fit(DECAY, (T,), data)
    assert (fits.status[:2] == Status.TOO_FEW_SAMPLES).all()
    assert no_answer(fits, 0)
    assert no_answer(fits, 1)
    assert np.isnan(fits.cost[:2]).all()
    # as many samples as parameters: a fit, but no degree of freedom
    assert fits.status[2] > 0
    assert fits.n_used[:3].tolist() == [2, 0, 3]
    assert fits.n_left_out[:4].tolist() == [30, 32, 29, 0]
    assert fits.flags[1] & Flag.MASKED_SAMPLES
    assert not fits.flags[3] & Flag.MASKED_SAMPLES


def test_model_that_is_not_finite_at_the_start(fit: Any, data: np.ndarray) -> None:
    k = np.ones(FITS)
    k[3] = -1e6
    fits = fit(DECAY, (T,), data, init={"k": k, "a": 1, "b": 0})
    assert fits.status[3] == Status.NON_FINITE_MODEL
    assert no_answer(fits, 3)
    assert np.isnan(fits.cost[3])
    assert (np.delete(fits.status, 3) > 0).all()


@pytest.mark.parametrize("constant", [0.0, 1.0, 7.3, 0.1, 1 / 3, 1e6 + 0.1, -5.7])
def test_a_constant_does_not_determine_a_decay(fit: Any, constant: float) -> None:
    fits = fit(DECAY, (T,), np.full((M, FITS), constant))
    assert (fits.status == Status.SINGULAR).all()
    assert (fits.flags & Flag.POORLY_DETERMINED == Flag.POORLY_DETERMINED).all()
    assert np.isnan(fits.params).all()
    # but where it ended fits the data
    np.testing.assert_allclose(fits.solution[2], constant, rtol=1e-6, atol=1e-12)


def test_a_parameter_without_effect_and_one_too_many(fit: Any, data: np.ndarray) -> None:
    idle = Model("idle", lambda c, a, b: a * jnp.exp(-c[0]) + 0 * b, [Parameter("a"), Parameter("b")], 1, ones(2))
    twice = Model("twice", lambda c, a, b: (a + b) * jnp.exp(-c[0]), [Parameter("a"), Parameter("b")], 1, ones(2))
    for model in (idle, twice):
        fits = fit(model, (T,), data)
        assert (fits.status == Status.SINGULAR).all(), model.name
        assert np.isnan(fits.params).all()
        # it did not take the whole limit to notice
        assert (fits.n_iterations < 20).all(), model.name
        total = fits.solution[0] + (fits.solution[1] if model is twice else 0)
        basis = np.exp(-T)
        np.testing.assert_allclose(total, basis @ data / (basis @ basis), rtol=1e-6)


def test_stopped_before_the_first_step_has_no_answer(fit: Any, data: np.ndarray) -> None:
    fits = fit(DECAY, (T,), data, should_stop=lambda: True)
    assert (fits.status == Status.STOPPED).all()
    assert np.isnan(fits.params).all()
    assert np.isnan(fits.covariance).all()
    # the start was not even evaluated: there is neither a cost nor a place where the fit ended
    assert np.isnan(fits.cost).all()
    assert np.isnan(fits.solution).all()
    assert not (fits.flags & ~np.uint16(Flag.MASKED_SAMPLES)).any()


def test_stopped_on_the_way_keeps_what_it_has(fit: Any, data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    # asked soon after a step of a block of thousands
    monkeypatch.setattr(wide, "REPORT_INTERVAL_S", 0.001)
    program, steps = Program.obtain, []

    def counting(wanted: Program) -> Any:
        found = program(wanted)

        def call(*args: Any) -> Any:
            steps.append(0)
            return found(*args)

        return call if wanted.key[1] == "step" else found

    monkeypatch.setattr(Program, "obtain", counting)
    fits = fit(DECAY, (T,), np.tile(data, 16384), should_stop=lambda: len(steps) > 2)
    stopped = fits.status == Status.STOPPED
    on_the_way = stopped & (fits.n_iterations > 0)
    assert on_the_way.any()
    assert np.isfinite(fits.cost[on_the_way]).all()
    never_begun = stopped & np.isnan(fits.cost)
    assert never_begun.any()
    assert np.isnan(fits.params[:, never_begun]).all()


@pytest.mark.parametrize("count", [1, FITS])
def test_few_fits_that_are_stopped_keep_what_they_have(fit: Any, data: np.ndarray, count: int) -> None:
    data = data[:, :count]
    done = fit(DECAY, (T,), data)
    assert (done.n_iterations > 3).all()
    for most in range(1, 6):
        asked: list[int] = []
        fits = fit(DECAY, (T,), data, should_stop=lambda asked=asked, most=most: asked.append(0) or len(asked) > most)
        begun = ~np.isnan(fits.cost)
        assert (fits.status == Status.STOPPED).all()
        assert (fits.n_iterations < 6).all()
        assert (fits.cost[begun] > done.cost[begun]).all()
        assert np.isfinite(fits.params[:, begun]).all()
        assert np.isnan(fits.params[:, ~begun]).all()
    assert begun.all()
    assert (fits.n_iterations > 0).all()


def test_at_a_bound(fit: Any, data: np.ndarray) -> None:
    fits = fit(DECAY, (T,), data, bounds={"k": (0, 0.3), "b": (0.9, 5)}, init={"k": 0.1})
    assert (fits.status > 0).all()
    assert (fits.at_bound == np.array([0, 1, -1])[:, None]).all()
    assert ((fits.flags & 3) == Flag.AT_LOWER | Flag.AT_UPPER).all()
    variance = np.diagonal(fits.covariance, axis1=1, axis2=2)
    assert np.isfinite(variance[:, 0]).all()
    assert np.isnan(variance[:, 1:]).all()


def test_an_inactive_bound_is_no_remark(fit: Any, data: np.ndarray) -> None:
    fits = fit(DECAY, (T,), data, bounds={"k": (0.1, 3)}, init={"k": 1})
    assert (fits.flags == 0).all()
    free = fit(DECAY, (T,), data)
    # two paths to one minimum, each to ftol = 1e-8 of the cost
    np.testing.assert_allclose(fits.params, free.params, rtol=1e-4)
    np.testing.assert_allclose(fits.cost, free.cost, rtol=1e-8)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("weighting", ["none", "column", "full"])
def test_what_is_counted(fit: Any, data: np.ndarray, padded: bool, weighting: str) -> None:
    m = 27  # padded to 32
    data = data[:m]
    data[[1, 4], 0] = np.nan
    data[2, 1] = np.inf
    weights = {"none": None, "column": np.ones((m, 1)), "full": np.ones((m, FITS))}[weighting]
    used, left_out = np.full(FITS, m), np.zeros(FITS, int)
    used[:2] -= [2, 1]
    left_out[:2] += [2, 1]
    if weights is not None:
        # weight 0 is a wish, not a defect of the data; on a NaN it is a wish too
        weights[[1, 8]] = 0
        used -= 2
        used[0] += 1
        left_out[0] -= 1
    fits = fit(DECAY, (T[:m],), data, weights=weights, padded=padded)
    np.testing.assert_array_equal(fits.n_used, used)
    np.testing.assert_array_equal(fits.n_left_out, left_out)
    np.testing.assert_array_equal((fits.flags & Flag.MASKED_SAMPLES) > 0, left_out > 0)


def test_the_model_may_be_nan_for_some_parameters(fit: Any) -> None:
    root = Model(
        "root", lambda c, a, b: jnp.sqrt(a - c[0]) + jnp.log(b), [Parameter("a"), Parameter("b")], 1,
        lambda _c, d, _w: jnp.stack([jnp.full(d.shape[1], 30.0), jnp.full(d.shape[1], 9.0)]),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    a = rng.uniform(4.01, 5, FITS)  # the model is NaN below 4
    exact = np.sqrt(a - T[:, None]) + np.log(0.5)
    fits = fit(root, (T,), exact)
    assert (fits.status > 0).all()
    # exact data: to the root of the rounding of the cost
    np.testing.assert_allclose(fits.params, [a, np.full(FITS, 0.5)], rtol=1e-6)
