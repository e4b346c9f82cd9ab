"""Few fits in NumPy and many in compiled blocks: the same minima, errors and remarks, whichever way a request goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.fits import Fits
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.status import Flag, Status
from napari_imagefit.engine.drive import run
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.drive.wide_programs import plane_of

COUNT = 200
# of a standard error, by which results of the two ways may differ
NEAR = {"float64": 1e-5, "float32": 1e-2}
# tolerances near rounding: both ways end at the minimum, not somewhere within 1e-4 of a standard error of it
TIGHT: dict[str, Any] = {"ftol": 1e-15, "xtol": 1e-12, "gtol": 1e-12, "max_iterations": 500}
T = np.linspace(0, 4, 31)
Y, X = (a.ravel() for a in np.mgrid[:9.0, :10.0])
OWN = nif.Model.from_expression(
    "a*exp(-(t/tau)**2) + b*t + c", ["t"], bounds={"tau": (0.2, 3.0)}, init={"a": 10.0, "tau": 1.0}
)
Case = tuple[Any, tuple[np.ndarray, ...], np.ndarray]


def decays(rng: np.random.Generator) -> Case:
    clean = rng.uniform(40, 90, COUNT) * np.exp(-T[:, None] / rng.uniform(0.5, 1.5, COUNT)) + rng.uniform(4, 9, COUNT)
    return models["exponential_decay"], (T,), clean


def own_formula(rng: np.random.Generator) -> Case:
    a, tau, b, c = rng.uniform([[30], [0.6], [1], [5]], [[60], [1.4], [3], [9]], (4, COUNT))
    return OWN, (T,), a * np.exp(-((T[:, None] / tau) ** 2)) + b * T[:, None] + c


def spots(rng: np.random.Generator) -> Case:
    y, x, s = rng.uniform([[3], [3], [1.2]], [[5], [6], [1.9]], (3, COUNT))
    peaks = np.exp(-0.5 * ((Y[:, None] - y) ** 2 + (X[:, None] - x) ** 2) / s**2)
    return models["gaussian_2d"], (Y, X), rng.uniform(60, 200, COUNT) * peaks + 6


def lines(rng: np.random.Generator) -> Case:
    """Without any bounds."""
    return models["linear"], (T,), rng.uniform(2, 5, COUNT) * T[:, None] + rng.uniform(20, 30, COUNT)


def sums(rng: np.random.Generator) -> Case:
    _, coords, clean = decays(rng)
    return models["exponential_decay"] + models["linear"], coords, clean + 3 * T[:, None]


MAKERS = {f.__name__: f for f in (decays, own_formula, spots, lines, sums)}
SLOW = pytest.mark.slow
SETTINGS: dict[str, dict[str, Any]] = {
    "least squares": {},
    "known noise": {"weights": "each"},
    "common noise": {"weights": "common"},
    "counts": {"noise": "poisson"},
    "magnitudes": {"noise": "rician", "weights": "common"},
    **{loss: {"loss": loss, "f_scale": 2.0} for loss in ("soft_l1", "huber", "cauchy", "arctan")},
}
BUILT: dict[str, Case] = {}


def clean(name: str) -> Case:
    if name not in BUILT:
        BUILT[name] = MAKERS[name](np.random.default_rng(1))
    return BUILT[name]


def build(name: str, setting: str = "least squares", dtype: Any = "float64", **how: Any) -> Problem:
    """Data with the noise of the setting, gaps, outliers where the loss is robust, and a few hopeless fits."""
    model, coords, values = clean(name)
    rng = np.random.default_rng(2)
    options = dict(SETTINGS[setting])
    weighting = options.pop("weights", None)
    sigma = rng.uniform(1.5, 3, (values.shape[0], 1 if weighting == "common" else COUNT))
    if options.get("noise") == "poisson":
        data = rng.poisson(values).astype(float)
    elif options.get("noise") == "rician":
        data = np.hypot(values + sigma * rng.normal(size=values.shape), sigma * rng.normal(size=values.shape))
    else:
        data = values + sigma * rng.normal(size=values.shape)
    if "loss" in options:
        data[rng.random(data.shape) < 0.03] += 60
    data[rng.random(data.shape) < 0.02] = np.nan
    data[:, 11::50] = np.nan
    data[2:, 12::50] = np.nan
    data[:, 13::50] = 7.0
    weights = None if weighting is None else np.where(rng.random(sigma.shape) < 0.02, 0, 1 / sigma)
    tight = TIGHT if dtype == "float64" else {}
    return Problem.build(model, coords, data, weights=weights, options=Options(dtype=dtype, **options, **tight), **how)


def solve(problem: Problem, requested: int) -> Fits:
    steps = run.iter_fit(replace(problem, requested=requested))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def both(problem: Problem) -> tuple[Fits, Fits]:
    assert not run.is_wide(replace(problem, requested=1))
    assert run.is_wide(replace(problem, requested=10**6))
    return solve(problem, 1), solve(problem, 10**6)


def errors(fits: Fits, problem: Problem) -> np.ndarray:
    """Standard errors ``(n_params, N)``."""
    variance = np.diagonal(fits.covariance, axis1=1, axis2=2).T
    if not problem.noise_is_known and not problem.options.criterion.is_robust:
        freedom = fits.n_used - fits.n_free
        variance = variance * np.where(freedom > 0, fits.chi2 / np.maximum(freedom, 1), np.nan)
    return np.sqrt(variance)


def check(problem: Problem, good: float = 0.85) -> tuple[Fits, Fits]:
    """All that is told of every fit, of both ways."""
    few, many = both(problem)
    near = NEAR[problem.options.dtype]
    single = problem.options.dtype == "float32"
    ended = (few.status > 0) & (many.status > 0)
    assert ended.mean() > good
    # what has an answer in one way has one in the other; which of the tests was passed first is a matter of rounding
    np.testing.assert_array_equal(few.status > 0, many.status > 0)
    np.testing.assert_array_equal(few.status[~ended], many.status[~ended])
    for name in ("n_used", "n_left_out", "n_free"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))
    np.testing.assert_array_equal(few.at_bound, many.at_bound)
    size = errors(few, problem)
    known = np.isfinite(size)
    np.testing.assert_array_equal(known, np.isfinite(errors(many, problem)))
    assert known[:, ended].mean() > 0.4
    apart = np.abs(few.params - many.params)
    assert (apart[known] <= near * size[known]).all(), np.max(apart[known] / size[known])
    np.testing.assert_array_equal(np.isnan(few.params), np.isnan(many.params))
    rtol = 1e-3 if single else 1e-5
    np.testing.assert_allclose(errors(many, problem)[known], size[known], rtol=rtol)
    for name in ("cost", "chi2", "squares", "spread"):
        ours, theirs = getattr(few, name)[ended], getattr(many, name)[ended]
        # of what is not at its minimum, as χ² of another loss, to the first power of what parameters differ
        rtol = 1e-4 if single else 1e-9 if name in ("cost", "spread") else 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * few.spread[ended].min(), err_msg=name)
    if not (problem.options.criterion.is_robust or single):
        # some guesses see whether the last sample is missing, or cut off
        like = np.isclose(many.start[:, ended], few.start[:, ended], rtol=1e-8, atol=1e-9, equal_nan=True)
        assert like.all(axis=0).mean() > 0.85
    # a flag that hangs on a threshold may be on either side of it
    assert np.count_nonzero(few.flags[ended] != many.flags[ended]) <= (2 if single else 0)
    return few, many


@pytest.mark.parametrize(
    "setting", [pytest.param(s, marks=SLOW) if s in {"soft_l1", "cauchy", "arctan"} else s for s in SETTINGS]
)
def test_every_noise_and_loss(setting: str) -> None:
    check(build("decays", setting))


def test_a_loss_of_many_minima_from_given_starts() -> None:
    check(build("decays", "arctan", init={"amplitude": 60.0, "tau": 1.0, "offset": 6.0}))


@pytest.mark.parametrize(
    "name", ["own_formula", "spots", pytest.param("lines", marks=SLOW), pytest.param("sums", marks=SLOW)]
)
@pytest.mark.parametrize(
    "setting", ["least squares", pytest.param("counts", marks=SLOW), pytest.param("huber", marks=SLOW),
                pytest.param("magnitudes", marks=SLOW), pytest.param("known noise", marks=SLOW)],
)  # fmt: skip
def test_every_kind_of_model(name: str, setting: str) -> None:
    check(build(name, setting))


@pytest.mark.parametrize(
    ("name", "setting"),
    [("decays", "least squares"), pytest.param("decays", "huber", marks=SLOW),
     pytest.param("decays", "counts", marks=SLOW), pytest.param("spots", "counts", marks=SLOW),
     pytest.param("lines", "known noise", marks=SLOW), pytest.param("own_formula", "least squares", marks=SLOW)],
)  # fmt: skip
def test_single_precision(name: str, setting: str) -> None:
    check(build(name, setting, "float32"))


@pytest.mark.parametrize("setting", ["least squares", pytest.param("known noise", marks=SLOW)])
def test_windows_of_full_rows_and_columns(setting: str) -> None:
    """In a batch they reach the model as an open grid."""
    problem = build("spots", setting, plane=(9, 10))
    assert plane_of(problem) == (9, 10)
    check(problem)


BOUNDS: dict[str, dict[str, Any]] = {
    "bounds": {"bounds": {"tau": (0.7, 1.2), "offset": (5.0, 8.0)}},
    "bounds of each": {"bounds": {"tau": (np.full(COUNT, 0.4), np.linspace(0.7, 3, COUNT))}},
    "bounds of some": {"bounds": {"offset": (np.where(np.arange(COUNT) % 2, 5.0, -np.inf), np.full(COUNT, np.inf))}},
    "fixed": {"fixed": {"offset": 6.5}},
    "fixed for each": {"fixed": {"offset": np.linspace(4, 9, COUNT)}},
    "held for some": {"bounds": {"offset": (np.full(COUNT, 6.0), np.where(np.arange(COUNT) % 2, 6.0, 9.0))}},
    "starts": {"init": {"tau": np.linspace(0.3, 2, COUNT), "amplitude": 50.0}},
    "starts and bounds": {"init": {"tau": 0.9}, "bounds": {"tau": (0.8, 1.3)}, "fixed": {"offset": 6.0}},
}


@pytest.mark.parametrize("what", BOUNDS)
@pytest.mark.parametrize("setting", ["least squares", pytest.param("counts", marks=SLOW)])
def test_bounds_starts_and_what_is_held(what: str, setting: str) -> None:
    few, many = check(build("decays", setting, **BOUNDS[what]))
    if "bounds" in what and what != "starts and bounds":
        assert (few.at_bound != 0).any()
        assert ((few.flags & np.uint16(Flag.AT_LOWER | Flag.AT_UPPER)) > 0).any()
    if what.startswith(("fixed", "held")):
        held = few.n_free < 3
        assert held.any()
        np.testing.assert_array_equal(few.params[2][held], many.params[2][held])


def test_fits_without_an_answer() -> None:
    """NaN, too few samples, a constant, a model that is not finite: the same status in both ways, and no values."""
    problem = build("decays")
    start = np.full((3, COUNT), np.nan)
    start[1, 5] = 1e-320
    few, many = both(replace(problem, start=start))
    np.testing.assert_array_equal(few.status > 0, many.status > 0)
    for one in (few, many):
        assert (one.status[11::50] == Status.TOO_FEW_SAMPLES).all()
        assert (one.status[12::50] == Status.TOO_FEW_SAMPLES).all()
        assert (one.status[13::50] == Status.SINGULAR).all()
        assert np.isnan(one.params[:, [11, 12, 13]]).all()
        assert np.isnan(one.covariance[[11, 12, 13]]).all()


def test_singular_fits_are_solved_by_eigenvalues_in_both_ways() -> None:
    """Two parameters that stand for the same: no answer, but the sum of both is right, and few steps have found it."""
    twins = nif.Model.from_expression("(a + b)*exp(-t) + c", ["t"], init={"a": 1.0, "b": 2.0})
    rng = np.random.default_rng(3)
    data = rng.uniform(4, 9, COUNT) * np.exp(-T[:, None]) + 2 + rng.normal(0, 0.1, (T.size, COUNT))
    design = np.stack([np.exp(-T), np.ones_like(T)], axis=1)
    best = np.linalg.lstsq(design, data)[0]
    for one in both(Problem.build(twins, (T,), data)):
        assert (one.status == Status.SINGULAR).all()
        assert (one.flags & Flag.POORLY_DETERMINED > 0).all()
        assert (one.n_iterations < 20).all()
        assert np.isnan(one.params[:2]).all()
        np.testing.assert_allclose(one.solution[0] + one.solution[1], best[0], rtol=1e-6)
        np.testing.assert_allclose(one.solution[2], best[1], rtol=1e-5)


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_of_iterations(limit: int) -> None:
    problem = build("decays", bounds={"tau": (0.3, 5.0)}, init={"tau": 3.0, "amplitude": 20.0, "offset": 1.0})
    problem = replace(problem, options=replace(problem.options, max_iterations=limit))
    few, many = both(problem)
    stopped = few.status == Status.ITERATION_LIMIT
    assert stopped.mean() > 0.9
    np.testing.assert_array_equal(few.status, many.status)
    assert (few.n_iterations[stopped] == limit).all()
    np.testing.assert_array_equal(few.n_iterations, many.n_iterations)
    np.testing.assert_allclose(few.params[:, stopped], many.params[:, stopped], rtol=1e-8)
