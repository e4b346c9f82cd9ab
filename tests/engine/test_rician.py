"""Rician noise: costs against SciPy's Bessel functions and quadratures, fits against an independent maximiser."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import dask.array as da
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special, stats

import napari_imagefit as nif
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.options import Criterion
from napari_imagefit.engine.noise import rician
from napari_imagefit.engine.noise.noise_and_loss import terms
from napari_imagefit.engine.noise.samples import Samples
from napari_imagefit.imaging.recipes.recipe import Recipe

Floats = NDArray[np.float64]
T = np.linspace(5, 160, 32)
SIGNALS = np.concatenate([[0.0], np.geomspace(1e-8, 1e6, 57), [math.sqrt(2), 1, 3, math.sqrt(1e3), 40]])
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-12, "gtol": 1e-12, "max_iterations": 1000}


@functools.cache
def quadrature() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(600)


def minus_log(m: Floats, x: Floats) -> Floats:
    """−ln p(x|m), less −ln x, which does not depend on m."""
    return np.asarray(0.5 * (x - m) ** 2 - np.log(special.i0e(x * m)))


def least(x: float) -> float:
    """Its minimum over m."""
    if x * x <= 2:
        return 0.5 * x * x

    def slope(m: float) -> float:
        return float(m - x * special.i1e(x * m) / special.i0e(x * m))

    # above √2 the slope is negative next to 0, and positive at x
    low = 0.5 * math.sqrt(x * x - 2)
    best = optimize.brentq(slope, min(low, 0.5 * x), x, xtol=1e-14) if slope(min(low, 0.5 * x)) < 0 else 0.0
    return float(minus_log(np.array(best), np.array(x)))


@pytest.mark.usefixtures("x64")
def test_the_cost_is_the_likelihood_less_what_depends_on_the_datum() -> None:
    """Never negative, 0 at the likeliest signal of a weak datum and within 0.012 of it for any other."""
    for x in (0.0, 1e-6, 0.3, 1.0, math.sqrt(2), 1.5, 2.0, 3.0, 10.0, 300.0, 1e5):
        m = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 40), x + np.linspace(-3, 3, 41)])
        m = m[m >= 0]
        found = np.asarray(rician.cost(jnp.asarray(m), jnp.asarray(x)))
        assert (found >= 0).all()
        expected = minus_log(m, np.full_like(m, x))
        level = found - expected
        # x·m of 1e8 has a logarithm of 10 and squares of 1e6 round at 1e-10
        np.testing.assert_allclose(level, level[0], atol=1e-9 * max(1.0, x))
        assert 0 <= least(x) + level[0] + 1e-9 * max(1.0, x) <= 0.0121
        if x * x <= 2:
            assert abs(least(x) + level[0]) <= 1e-12


@pytest.mark.usefixtures("x64")
def test_the_gradient_is_the_derivative_and_the_curvature_fishers_information() -> None:
    criterion, weight = Criterion("rician"), 0.5
    value = np.array([-40.0, -3.0, -1e-3, 0.0, 1e-9, 0.4, 1.0, 5.0, 60.0, 1e4])[:, None]
    data = np.array([38.0, 2.0, 5.0, 3.0, 0.0, 2.0, 0.0, 6.0, 64.0, 1.0001e4])[:, None]
    samples = Samples((jnp.zeros_like(value),), jnp.asarray(data), jnp.full_like(value, weight))

    def cost(at: Any) -> Any:
        return jnp.sum(terms(criterion, at, samples).cost)

    found = terms(criterion, jnp.asarray(value), samples)
    m, x = weight * np.abs(value), weight * data
    ratio = special.i1e(x * m) / special.i0e(x * m)
    np.testing.assert_allclose(found.residual * found.slope, weight * np.sign(value) * (m - x * ratio), atol=1e-12)
    # an even function has no slope at 0, but |·| has a derivative there for JAX
    smooth = value != 0
    gradient = np.asarray(jax.grad(cost)(jnp.asarray(value)))
    np.testing.assert_allclose((found.residual * found.slope)[smooth], gradient[smooth], atol=1e-11)
    expected = [weight**2 * fisher(one) for one in m[:, 0]]
    np.testing.assert_allclose(found.slope[:, 0] ** 2, expected, rtol=3e-5, atol=1e-15)


def fisher(m: float) -> float:
    """The variance of the score, by quadrature."""
    nodes, weights = quadrature()
    low, high = max(0.0, m - 13), m + 13
    x, weights = 0.5 * (high - low) * nodes + 0.5 * (high + low), 0.5 * (high - low) * weights
    density = x * np.exp(-minus_log(np.full_like(x, m), x))
    assert abs(np.sum(weights * density) - 1) < 1e-12
    score = x * special.i1e(x * m) / special.i0e(x * m) - m
    return float(np.sum(weights * density * score**2))


@pytest.mark.usefixtures("x64")
def test_information_to_its_word() -> None:
    signals = SIGNALS[(SIGNALS > 1e-4) & (SIGNALS < 1e3)]
    found = signals**2 * np.asarray(rician.information(jnp.asarray(signals)))
    np.testing.assert_allclose(found, [fisher(m) for m in signals], rtol=2e-5)
    assert rician.information(jnp.asarray(0.0)) == 1


@pytest.mark.usefixtures("x64")
def test_moments_are_those_of_the_distribution() -> None:
    """By quadrature of the density."""
    signals = SIGNALS[SIGNALS < 1e3]
    nodes, weights = quadrature()
    low, high = np.maximum(0, signals - 13), signals + 13
    x = 0.5 * (high - low) * nodes[:, None] + 0.5 * (high + low)
    density = 0.5 * (high - low) * weights[:, None] * x * np.exp(-minus_log(signals, x))
    expected = np.sum(density * x, axis=0)
    mean, deviation = rician.moments(jnp.asarray(signals))
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    # beyond √1000, where the series begins, to its first term
    np.testing.assert_allclose(deviation, np.sqrt(np.sum(density * (x - expected) ** 2, axis=0)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strong_and_weak_signals_give_numbers(dtype: Any) -> None:
    with jax.enable_x64(dtype == np.float64):
        signals = SIGNALS.astype(dtype)
        m, x = (jnp.asarray(a) for a in np.meshgrid(signals, signals))
        for part in (rician.cost(m, x), rician.score(m, x), rician.information(m), *rician.moments(m)):
            assert part.dtype == dtype
            assert jnp.isfinite(part).all()
        assert (rician.moments(m)[1] > 0.6).all()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "part", [rician.cost, rician.score, lambda m, _x: rician.information(m), lambda m, _x: rician.moments(m)]
)
def test_numpy_and_jax_compute_the_same(part: Any) -> None:
    """Within the rounding of their Bessel functions, which differ in their last bits, and of the squares of 1e6."""
    m, x = np.meshgrid(SIGNALS[SIGNALS < 1e5], SIGNALS[SIGNALS < 1e5])
    here, there = part(m, x), part(jnp.asarray(m), jnp.asarray(x))
    allowed = 1e-12 * (1 + x * m if part is rician.cost else np.ones_like(m))
    pairs = zip(here, there, strict=True) if isinstance(here, tuple) else [(here, there)]
    for one, other in pairs:
        assert isinstance(one, np.ndarray)
        assert (np.abs(one - other) <= 1e-9 * np.abs(one) + allowed).all()


def magnitudes(clean: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    return np.hypot(clean + rng.normal(0, sigma, clean.shape), rng.normal(0, sigma, clean.shape))


@pytest.mark.parametrize("sigma", [1.0, 10.0, 25.0])
def test_fits_are_the_most_likely(sigma: float) -> None:
    """By Nelder and Mead on SciPy's own density: as likely within 1e-8, and as near as 1e-3 standard errors."""
    rng = np.random.default_rng(3)
    truth = np.stack([rng.uniform(80, 120, 10), rng.uniform(20, 60, 10)])
    data = magnitudes(truth[0] * np.exp(-T[:, None] / truth[1]), sigma, rng)
    result = nif.fit_voxels(data, "exponential_decay", x=T, noise="rician", sigma=sigma, fixed={"offset": 0}, **TIGHT)
    assert result.converged.all(), result.summary()
    for i in range(10):

        def minus(p: Floats, datum: Floats = data[:, i]) -> float:
            if p[1] <= 0:
                return math.inf
            signal = np.abs(p[0]) * np.exp(-T / p[1])
            return -float(np.sum(stats.rice.logpdf(datum, signal / sigma, scale=sigma)))

        how = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000, "maxfev": 5000}
        best = optimize.minimize(minus, truth[:, i], method="Nelder-Mead", options=how)
        found = np.array([result.params["amplitude"][i], result.params["tau"][i]])
        assert minus(found) <= best.fun + 1e-8
        errors = np.array([result.stderr["amplitude"][i], result.stderr["tau"][i]])
        assert (np.abs(found - best.x) <= 1e-3 * errors).all()


def test_float32_finds_the_same() -> None:
    rng = np.random.default_rng(4)
    data = magnitudes(100 * np.exp(-T[:, None] / rng.uniform(20, 60, 64)), 5.0, rng)
    how: dict[str, Any] = {"x": T, "noise": "rician", "sigma": 5.0, "fixed": {"offset": 0}}
    single = nif.fit_voxels(data, "exponential_decay", dtype="float32", **how)
    double = nif.fit_voxels(data, "exponential_decay", **how)
    assert single.converged.all()
    assert (np.abs(single.params["tau"] - double.params["tau"]) < 0.02 * double.stderr["tau"]).all()


def test_a_signed_model_counts_by_its_magnitude() -> None:
    """Magnitudes of an inversion recovery, from starts near by: the likeliest parameters are those of signed data."""
    rng = np.random.default_rng(5)
    t1 = rng.uniform(30, 60, 20)
    clean = 100 * (1 - 2 * np.exp(-T[:, None] / t1))
    data = magnitudes(clean, 1.0, rng)
    result = nif.fit_voxels(
        data,
        "inversion_recovery",
        x=T,
        noise="rician",
        sigma=1.0,
        init={"amplitude": 90, "t1": 45, "efficiency": 0.9},
    )
    assert result.converged.all(), result.summary()
    assert (np.abs(result.params["t1"] - t1) < 4 * result.stderr["t1"]).all()


def test_sigma_per_voxel_and_lazily() -> None:
    rng = np.random.default_rng(6)
    sigma = np.array([[2.0, 8.0, 5.0, 3.0]])
    data = magnitudes(100 * np.exp(-T[:, None, None] / 40) * np.ones((1, 2, 4)), 1.0, rng) * 1.0
    how: dict[str, Any] = {"x": T, "noise": "rician", "sigma": sigma, "fixed": {"offset": 0}}
    result = nif.fit_voxels(data, "exponential_decay", **how)
    lazy = nif.fit_voxels(da.from_array(data, chunks=(8, 1, 2)), "exponential_decay", **how).compute()
    np.testing.assert_array_equal(lazy.params["tau"], result.params["tau"])
    each = nif.fit_voxels(data[..., 1], "exponential_decay", **how | {"sigma": 8.0})
    np.testing.assert_allclose(result.params["tau"][:, 1], each.params["tau"], rtol=1e-6)


def test_a_recipe_holds_the_noise() -> None:
    data = magnitudes(100 * np.exp(-T[:, None] / 40) * np.ones((1, 3)), 5.0, np.random.default_rng(7))
    result = nif.fit_voxels(data, "exponential_decay", x=T, noise="rician", sigma=5, fixed={"offset": 0})
    recipe = Recipe.of(json.loads(json.dumps(result.recipe())))
    assert recipe.fit.settings.sigma == 5
    assert recipe.fit.settings.options.noise == "rician"
    with pytest.raises(FitInputError, match="needs sigma"):
        Recipe.of({**result.recipe(), "sigma": None}).plan(data)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "noise='rician' needs sigma"),
        ({"sigma": 1.0, "loss": "huber"}, "for Gaussian noise"),
        ({"sigma": 1.0}, "the data hold -3, but noise='rician' takes magnitudes"),
        ({"sigma": 0.0}, "must be positive"),
    ],
)
@pytest.mark.parametrize("verb", [nif.fit_voxels, nif.fit_image])
def test_what_makes_no_sense_is_refused(verb: Any, how: dict[str, Any], words: str) -> None:
    data = np.ones((32, 30))
    data[3, 4] = -3
    with pytest.raises(FitInputError, match=words):
        verb(data, "linear" if verb is nif.fit_voxels else "gaussian_2d", noise="rician", **how)


def test_criteria_compare_models() -> None:
    """AICc of two models of the same magnitudes: the right one has the lower in most voxels."""
    rng = np.random.default_rng(8)
    data = magnitudes(100 * np.exp(-((T[:, None] / 40) ** 0.6)) * np.ones((1, 40)), 2.0, rng)
    how: dict[str, Any] = {"x": T, "noise": "rician", "sigma": 2.0, "fixed": {"offset": 0}}
    right = nif.fit_voxels(data, "stretched_exponential", **how)
    wrong = nif.fit_voxels(data, "exponential_decay", **how)
    assert right.converged.all()
    assert np.mean(right.aicc < wrong.aicc) > 0.95
    # Σe² has the mean n − p, and a standard deviation of about √(2n) for each of the 40
    assert abs(right.chi2.mean() - 29) < 4 * math.sqrt(2 * 29 / 40)
    assert np.mean((wrong.flags & nif.Flag.LARGE_CHI2) > 0) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("strength", [10, 40])
def test_errors_keep_their_word_where_least_squares_is_biased(strength: int) -> None:
    """10 000 decays to nothing, at 10 and 40 times the noise of one channel at the first echo, of 16 echoes.

    Within 1 and 2 standard errors lie 68.27 % and 95.45 % by 2 points, as of the other noises in `test_monte_carlo`;
    a mean pull of 0 by 0.04 for chance and 0.12 for the bias of order stderr² that a likelihood has. Least squares of
    the weaker ones is off by more than half a standard error.
    """
    rng, n = np.random.default_rng(9), 10_000
    times = np.linspace(5, 120, 16)
    truth = {"amplitude": rng.uniform(90, 110, n), "tau": rng.uniform(30, 60, n)}
    sigma = 100.0 / strength
    data = magnitudes(truth["amplitude"] * np.exp(-times[:, None] / truth["tau"]), sigma, rng)
    how: dict[str, Any] = {"x": times, "sigma": sigma, "fixed": {"offset": 0}}
    result = nif.fit_voxels(data, "exponential_decay", noise="rician", **how)
    squares = nif.fit_voxels(data, "exponential_decay", **how)
    assert result.converged.mean() > 0.9999
    for name, true in truth.items():
        pull = (result.params[name] - true) / result.stderr[name]
        for k, expected in ((1, 68.27), (2, 95.45)):
            assert abs(100 * np.mean(np.abs(pull) <= k) - expected) <= 2, (name, k)
        assert abs(np.mean(pull)) <= 0.04 + 0.12, name
    pull = (squares.params["tau"] - truth["tau"]) / squares.stderr["tau"]
    assert np.mean(pull) > 0.5 or strength > 10
