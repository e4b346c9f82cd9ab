"""Parameters that fits share, against `scipy.optimize` on everything as one problem with a dense Jacobian.

At most 16 fits of 16 samples run in the same programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit import FitResult, Status
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.engine.core.types import Loss

from .joint_problem import NEAR, START, TIGHT, Floats, Joint, assert_like, decay

LOSSES: tuple[Loss, ...] = ("huber", "soft_l1", "cauchy")
N = 5
TAU = 1.3
T = np.linspace(0, 5, 16)
RNG = np.random.default_rng(0)
CLEAN = RNG.uniform(1, 3, N) * np.exp(-T[:, None] / TAU) + RNG.uniform(0, 1, N)
SIGMA = RNG.uniform(0.02, 0.1, CLEAN.shape)
DATA = CLEAN + SIGMA * RNG.normal(size=CLEAN.shape)


def decays(data: Floats = DATA, sigma: Floats | None = None, **more: Any) -> Joint:
    return Joint(decay, [(T, d) for d in data.T], more.pop("shared", (1,)), more.pop("start", START), sigma, **more)


def fit(data: Floats = DATA, shared: Any = ("tau",), **how: Any) -> FitResult:
    return nif.fit_voxels(data, "exponential_decay", x=T, shared=shared, **(TIGHT | how))


@pytest.mark.parametrize("known", ["unknown", "one", "each"])
def test_one_tau_of_many_decays(known: str) -> None:
    sigma = {"unknown": None, "one": np.full(DATA.shape, 0.06), "each": SIGMA}[known]
    result = fit(sigma=None if sigma is None else 0.06 if known == "one" else sigma)
    assert_like(result, decays(sigma=sigma).solve())
    assert np.ptp(result.params["tau"]) == 0
    assert np.ptp(result.stderr["tau"]) == 0


def bounded(name: str, fits: Any, low: float, high: float) -> tuple[dict[str, Any], tuple[Floats, Floats]]:
    """Bounds of one parameter in some fits, for both sides."""
    low_, high_ = (np.full((3, N), s * np.inf) for s in (-1, 1))
    low_[1] = 0
    p = ("amplitude", "tau", "offset").index(name)
    low_[p, fits], high_[p, fits] = low, high
    return {name: (low_[p], high_[p])}, (low_, high_)


def test_bounds_of_some_own_parameters() -> None:
    bounds, both = bounded("offset", [1, 3], 0.0, 0.1)
    result = fit(bounds=bounds)
    assert_like(result, decays().solve(both))
    np.testing.assert_array_equal(result.at_bound["offset"], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(np.isnan(result.stderr["offset"]), [False, True, False, True, False])


@pytest.mark.parametrize(("low", "high", "side"), [(1.5, 9.0, -1), (0.1, 1.0, 1)])
def test_the_shared_one_at_a_bound(low: float, high: float, side: int) -> None:
    bounds, both = bounded("tau", slice(None), low, high)
    result = fit(bounds=bounds)
    assert_like(result, decays().solve(both))
    assert (result.at_bound["tau"] == side).all()
    assert np.isnan(result.stderr["tau"]).all()


def test_a_map_of_fixed_values() -> None:
    held = np.full((3, N), np.nan)
    held[0] = np.linspace(1, 3, N)
    assert_like(fit(fixed={"amplitude": held[0]}), decays(held=held).solve())


def test_a_shared_one_of_no_influence_is_singular() -> None:
    result = fit(fixed={"amplitude": np.zeros(N)})
    assert (result.status == Status.SINGULAR).all()
    assert np.isnan(result.params["tau"]).all()
    assert np.isnan(result.stderr["tau"]).all()


@pytest.mark.parametrize("loss", [pytest.param(loss, marks=pytest.mark.slow) for loss in LOSSES])
def test_losses(loss: Loss) -> None:
    data = DATA.copy()
    data[3, 0], data[9, 2] = 4, -2
    truth = decays(data, SIGMA).solve(loss=loss, f_scale=1.5)
    assert_like(fit(data, sigma=SIGMA, loss=loss, f_scale=1.5), truth)


def test_counts() -> None:
    counts = np.random.default_rng(1).poisson(20 * CLEAN).astype(float)
    assert_like(fit(counts, noise="poisson"), decays(counts, start=START * [20, 1, 20]).most_likely())


def assert_same(result: FitResult, other: FitResult, near: float = 1e-9, places: Any = slice(None)) -> None:
    """Fits of one program that differ by the order of sums, for instance."""
    assert (result.status[places] == other.status).all()
    for name in other.model.names:
        np.testing.assert_allclose(result.params[name][places], other.params[name], rtol=near)
        np.testing.assert_allclose(result.stderr[name][places], other.stderr[name], rtol=near)
    np.testing.assert_allclose(result.covariance[places], other.covariance, rtol=near, atol=near * 1e-3)


def test_everything_shared() -> None:
    data = TAU * np.exp(-T[:, None] / TAU) + 0.3 + SIGMA * np.random.default_rng(2).normal(size=DATA.shape)
    assert_like(fit(data, shared=("offset", "tau", "amplitude")), decays(data, shared=(0, 1, 2)).solve())


@pytest.mark.slow
def test_two_shared() -> None:
    data = DATA - DATA[-1:] + 0.4
    assert_like(fit(data, shared=["offset", "tau"], sigma=SIGMA), decays(data, SIGMA, shared=(1, 2)).solve())


def test_one_fit_is_as_without_sharing() -> None:
    assert_same(fit(DATA[:, :1]), fit(DATA[:, :1], shared=()), near=NEAR)


def test_fits_that_are_left_out() -> None:
    """Without a sample, or with fewer than own parameters, beside one with just as many, and one of some samples."""
    data = np.concatenate([DATA[:, :2], np.full((16, 1), np.nan), DATA[:, 2:], DATA[:, :2]], axis=1)
    data[1:, 6], data[2:, 7], data[::3, 1] = np.nan, np.nan, np.nan
    result = fit(data)
    kept = np.array([0, 1, 3, 4, 5, 7])
    assert result.status[[2, 6]].tolist() == [Status.TOO_FEW_SAMPLES] * 2
    assert result.n_left_out.tolist() == [0, 6, 16, 0, 0, 0, 15, 14]
    for name in result.model.names:
        assert np.isnan(result.params[name][[2, 6]]).all()
    assert_same(result, fit(data[:, kept]), places=kept)
    assert result.fitted().shape == data.shape
    unlucky = fit(np.full((16, 3), np.nan))
    assert (unlucky.status == Status.TOO_FEW_SAMPLES).all()


def test_a_start_where_the_model_is_not_finite() -> None:
    """Squares of 1e200 are infinite."""
    starts = np.where(np.arange(N) == 2, 1e200, 2.0)
    result = fit(init={"amplitude": starts})
    kept = np.array([0, 1, 3, 4])
    assert result.status[2] == Status.NON_FINITE_MODEL
    assert np.isnan(result.params["tau"][2])
    assert_same(result, fit(DATA[:, kept]), near=NEAR, places=kept)


@pytest.mark.parametrize("tau", [0.05, 60.0])
def test_a_start_far_away(tau: float) -> None:
    away = {"amplitude": 100.0, "tau": tau, "offset": -50.0}
    assert_like(fit(init=away, max_iterations=1000), decays().solve())


def test_the_order_does_not_matter() -> None:
    order = np.array([3, 1, 4, 0, 2])
    assert_same(fit(), fit(DATA[:, order]), near=NEAR, places=order)


def test_units_do_not_matter() -> None:
    result, plain = (nif.fit_voxels(DATA * k, "exponential_decay", x=T / k, shared=["tau"]) for k in (1e9, 1))
    # with the usual tolerances: as many steps to the same place, but for rounding
    np.testing.assert_array_equal(result.status, plain.status)
    np.testing.assert_array_equal(result.n_iterations, plain.n_iterations)
    for name, unit in (("amplitude", 1e9), ("tau", 1e-9), ("offset", 1e9)):
        np.testing.assert_allclose(result.params[name] / unit, plain.params[name], rtol=1e-7)
        np.testing.assert_allclose(result.stderr[name] / unit, plain.stderr[name], rtol=1e-7)


def test_stopped() -> None:
    fit()  # compiled: what is stopped before has not even started
    assert (fit(should_stop=lambda: True).status == Status.STOPPED).all()
    asked = iter([False, True])  # what was said once holds
    result = fit(init={"tau": 60.0}, should_stop=lambda: next(asked, False))
    assert (result.status == Status.STOPPED).all()
    assert np.isfinite(result.params["tau"]).all()
    assert (fit(init={"tau": 60.0}, max_iterations=1).status == Status.ITERATION_LIMIT).all()


def test_the_start_is_where_they_begin() -> None:
    result = fit(np.exp(-T[:, None] / np.array([0.3, 1, 3])) + SIGMA[:, :3])
    assert np.ptp(result.start["tau"]) == 0


def test_fits_that_are_left_out_make_no_steps() -> None:
    data = np.where(np.arange(N) == 2, np.nan, DATA)
    assert fit(data).n_iterations[2] == 0


def test_fits_without_an_answer_do_not_measure_the_noise() -> None:
    """Beside empty voxels, which are singular, errors are what they are without these."""
    result = fit(np.concatenate([DATA, np.zeros((16, N))], axis=1))
    assert (result.status[N:] == Status.SINGULAR).all()
    np.testing.assert_allclose(result.stderr["tau"][:N], fit().stderr["tau"], rtol=NEAR)


@pytest.mark.slow
def test_without_any_residual_the_noise_is_unknown() -> None:
    t = np.arange(16.0)
    result = nif.fit_voxels(2 * t[:, None] + np.arange(4), "linear", x=t, shared=["slope"])
    assert (result.chi2 == 0).all()
    assert np.isnan(result.stderr["slope"]).all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"shared": ["rate"]}, "no parameter 'rate'"),
        ({"shared": "tau"}, "list of parameter names"),
        ({"fixed": {"tau": 1.0}}, "fixed and also shared"),
        ({"fixed": {"tau": np.arange(1.0, N + 1)}}, "fixed and also shared"),
        ({"bounds": {"tau": (1.0, 1.0)}}, "fixed and also shared"),
        ({"bounds": {"tau": (np.ones(N), np.ones(N))}}, "fixed and also shared"),
        ({"tied": {"tau": "2*offset"}}, "tied and also shared"),
        ({"bounds": {"tau": (np.arange(N) / 9, 9)}}, "bounds differ"),
        ({"bounds": {"tau": (0, np.arange(N) + 1)}}, "bounds differ"),
        ({"init": {"tau": np.arange(1.0, N + 1)}}, "starts differ"),
    ],
)
def test_what_cannot_be(how: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit(**how)


@pytest.mark.slow
def test_tied_and_shared() -> None:
    def tied(t: Floats, p: Floats) -> tuple[Floats, Floats]:
        value, (a, b, c) = decay(t, np.array([*p, 0.2 * p[0] + 0.1 * p[1]]))
        return value, np.stack([a + 0.2 * c, b + 0.1 * c])

    result = fit(tied={"offset": "0.2*amplitude + 0.1*tau"})
    truth = Joint(tied, [(T, d) for d in DATA.T], (1,), START[:2]).solve()
    params = np.stack([result.params["amplitude"], result.params["tau"]])
    np.testing.assert_allclose(params, truth.params, rtol=NEAR)
    np.testing.assert_allclose(result.covariance[:, :2, :2], truth.covariance, rtol=NEAR)
    np.testing.assert_allclose(result.params["offset"], [0.2, 0.1] @ params, rtol=1e-12)
    error = np.sqrt([[0.2, 0.1] @ c @ [0.2, 0.1] for c in truth.covariance])
    np.testing.assert_allclose(result.stderr["offset"], error, rtol=NEAR)


@pytest.mark.slow
def test_single_precision() -> None:
    """Costs are rounded at 1e-7, parameters so known to the root of it in standard errors: 1e-3."""
    result, double = (fit(dtype=dtype, ftol=1e-8, xtol=1e-8, gtol=1e-8) for dtype in ("float32", "float64"))
    for name in result.model.names:
        assert (np.abs(result.params[name] - double.params[name]) < 0.01 * double.stderr[name]).all()
        np.testing.assert_allclose(result.stderr[name], double.stderr[name], rtol=0.01)


@pytest.mark.slow
def test_coverage_of_a_shared_tau() -> None:
    """300 calls of 20 decays: within one standard error lie 68.27 %, within 3 of its own errors, 2.7 points each."""
    rng = np.random.default_rng(5)
    pulls, programs = [], 0
    for call in range(300):
        clean = rng.uniform(1, 3, 20) * np.exp(-T[:, None] / TAU) + rng.uniform(0, 1, 20)
        result = nif.fit_voxels(rng.normal(clean, 0.1), "exponential_decay", x=T, shared=["tau"])
        assert result.converged.all()
        pulls.append((result.params["tau"][0] - TAU) / result.stderr["tau"][0])
        programs = programs if call else compiled_programs()
    assert compiled_programs() == programs
    assert abs(np.mean(np.abs(pulls) < 1) - 0.6827) < 3 * 0.027
    assert abs(np.mean(np.abs(pulls) < 2) - 0.9545) < 3 * 0.012
    assert abs(np.mean(pulls)) < 3 / np.sqrt(300) + 0.05


@pytest.mark.parametrize("seed", [3917, 5007])
def test_the_bound_of_a_dim_fit_is_seen_beside_bright_ones(seed: int) -> None:
    """Amplitudes over three decades, one noise: what pulls a dim one to its bound is little beside all residuals."""
    rng, t = np.random.default_rng(seed), np.linspace(0, 5, 12)
    amplitude = 10 ** rng.uniform(-1, 2, 8) * rng.choice([1, 1, 1, -1], 8)
    tau, offset = 10 ** rng.uniform(-0.7, 0.9), rng.uniform(-1, 1)
    noise = rng.choice([1e-4, 0.05, 0.3, 1.0])
    data = amplitude * np.exp(-t[:, None] / tau) + offset + noise * rng.standard_normal((12, 8))
    if rng.random() < 0.5:
        data[rng.random(data.shape) < 0.15] = np.nan
    bounds = {"tau": (1e-3, 1e3), "offset": (-np.inf, np.inf), "amplitude": (-np.inf, np.inf)}
    if rng.random() < 0.6:
        low = tau * rng.uniform(0.3, 1.5)
        bounds["tau"] = (low, low * rng.uniform(1.05, 3))
    if rng.random() < 0.6:
        low = offset + rng.uniform(-1, 0.5)
        bounds["offset"] = (low, low + rng.uniform(0.1, 1))
    if rng.random() < 0.6:
        bounds["amplitude"] = (rng.uniform(-5, 1), rng.uniform(2, 50))
    result = nif.fit_voxels(data, "exponential_decay", x=t, shared=["tau"], bounds=bounds)
    assert result.converged.all()
    own = {name: bounds[name] for name in ("amplitude", "offset")}
    held = nif.fit_voxels(data, "exponential_decay", x=t, fixed={"tau": result.params["tau"]}, bounds=own)
    for name in own:
        np.testing.assert_array_equal(result.at_bound[name], held.at_bound[name])
    errors = result.stderr["amplitude"][np.isfinite(result.stderr["amplitude"])]
    assert errors.max() < 2 * errors.min()


def test_two_shared_of_which_one_ends_at_a_bound() -> None:
    """What the bound stops must not let the other one's share of the step go astray."""
    rng = np.random.default_rng(3)
    data = rng.uniform(1, 30, 8) * np.exp(-T[:, None] / 1.9) + 0.4 + rng.normal(0, 0.3, (16, 8))
    result = fit(data, shared=["tau", "offset"], bounds={"tau": (1.0, 1.7)}, init={"tau": 1.2})
    assert result.converged.all()
    assert (result.at_bound["tau"] == 1).all()
    held = fit(data, shared=["offset"], fixed={"tau": 1.7})
    np.testing.assert_allclose(result.params["offset"], held.params["offset"], atol=0.01 * held.stderr["offset"][0])
