"""Answers beside SciPy's: noise, bounds, Jacobians, scales, losses, and every way to write a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import napari_imagefit as nif

TIGHT = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
RNG = np.random.default_rng(0)
X = np.linspace(0, 4, 50)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.1 * RNG.normal(size=50)
# where the sum of squares is flat, it tells of parameters only to the root of its own rounding, some 1e-8
FLAT = 2e-8


def decay_jax(x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * jnp.exp(-b * x) + c


def decay_numpy(x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * np.exp(-b * x) + c


def slopes_numpy(x: Any, a: Any, b: Any, _c: Any) -> Any:
    e = np.exp(-b * x)
    return np.stack([e, -a * x * e, np.ones_like(x)], axis=1)


def slopes_jax(x: Any, a: Any, b: Any, _c: Any) -> Any:
    e = jnp.exp(-b * x)
    return jnp.stack([e, -a * x * e, jnp.ones_like(x)], axis=1)


both = pytest.mark.parametrize("f", [decay_jax, decay_numpy], ids=["jax", "numpy"])


def scipy_fit(y: Any = Y, **options: Any) -> tuple[Any, Any]:
    """SciPy's best: exact derivatives, tight tolerances."""
    return optimize.curve_fit(decay_numpy, X, y, method="trf", jac=slopes_numpy, x_scale="jac", **options, **TIGHT)


def assert_same(ours: Any, theirs: Any, rtol: float = FLAT) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=rtol)
    error = np.sqrt(np.diag(theirs[1]))
    # pcov moves with popt, a few times as much
    np.testing.assert_allclose(ours[1] / np.outer(error, error), theirs[1] / np.outer(error, error), atol=10 * rtol)


def covariance(kind: str) -> np.ndarray:
    distance = np.subtract.outer(X, X)
    if kind == "correlated":
        return 0.01 * np.exp(-np.abs(distance) / 0.5)
    # smooth noise: nearly singular (condition 3e8) but positive definite
    return 0.01 * np.exp(-(distance**2) / 8) + 1e-9 * np.eye(50)


SIGMAS = {
    "none": None,
    "vector": RNG.uniform(0.05, 0.3, 50),
    "list": [0.1, 0.2] * 25,
    "scalar": 0.13,
    "one element": [0.13],
    "correlated": covariance("correlated"),
    "nearly singular": covariance("nearly singular"),
}


@both
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_sigma(f: Callable[..., Any], sigma: str, absolute: bool) -> None:
    given = SIGMAS[sigma]
    # a user's Jacobian goes with no scalar sigma in SciPy
    vector = np.full(50, 0.13) if np.size(given) == 1 and given is not None else given
    y = Y
    if np.ndim(given) == 2:
        y = decay_numpy(X, 2.5, 1.3, 0.5) + np.linalg.cholesky(given) @ np.random.default_rng(2).normal(size=50)
    ours = nif.curve_fit(f, X, y, sigma=given, absolute_sigma=absolute, **TIGHT)
    # a condition of 3e8 takes some digits of the differences that NumPy's version is differentiated by
    rtol = 1e-5 if sigma == "nearly singular" else FLAT
    assert_same(ours, scipy_fit(y, sigma=vector, absolute_sigma=absolute), rtol)


def test_sigma_of_a_linear_model_in_closed_form() -> None:
    design = np.stack([X, np.ones(50)], axis=1)
    inverse = np.linalg.inv(covariance("correlated"))
    exact = np.linalg.inv(design.T @ inverse @ design)
    best = exact @ design.T @ inverse @ Y
    popt, pcov = nif.curve_fit(lambda x, a, b: a * x + b, X, Y, sigma=covariance("correlated"), absolute_sigma=True)
    # linear: one step is exact but for rounding times the conditions of sigma and of the design
    np.testing.assert_allclose(popt, best, rtol=1e-9)
    np.testing.assert_allclose(pcov, exact, rtol=1e-9)


INACTIVE = {
    "numbers": (0, 10),
    "lists": ([0, 0, 0], [10, 10, 10]),
    "mixed": ([-np.inf, 0, -1], 10.0),
    "Bounds": optimize.Bounds([0, 0, 0], [10, 10, 10]),
    "Bounds of numbers": optimize.Bounds(0, 10),
}


@both
@pytest.mark.parametrize("bounds", INACTIVE)
def test_bounds_that_do_not_matter(f: Callable[..., Any], bounds: str) -> None:
    # without a p0, SciPy cannot read a Bounds of numbers
    assert_same(nif.curve_fit(f, X, Y, bounds=INACTIVE[bounds], **TIGHT), scipy_fit())


@both
@pytest.mark.parametrize(("lower", "upper"), [([0, 0, 0], [5, 5, 0.4]), ([0, 0, 0.7], [5, 5, np.inf])])
def test_an_active_bound(f: Callable[..., Any], lower: Any, upper: Any) -> None:
    popt, pcov = nif.curve_fit(f, X, Y, bounds=optimize.Bounds(lower, upper), **TIGHT)
    np.testing.assert_array_equal(nif.curve_fit(f, X, Y, bounds=(lower, upper), **TIGHT)[0], popt)
    # SciPy stays inside; how far, its own stop decides
    np.testing.assert_allclose(popt, scipy_fit(bounds=(lower, upper))[0], rtol=1e-7)
    at = 0.4 if upper[2] == 0.4 else 0.7
    # at it within rounding, and never outside
    assert popt[2] == pytest.approx(at, rel=1e-15)
    assert lower[2] <= popt[2] <= upper[2]
    reduced = optimize.curve_fit(lambda x, a, b: decay_numpy(x, a, b, at), X, Y, method="trf", jac="3-point", **TIGHT)
    # the parameter at its bound has no error of its own, and counts as fixed for the others
    assert np.isnan(pcov[2]).all()
    assert np.isnan(pcov[:, 2]).all()
    # three parameters were fitted, in the reduced function two
    np.testing.assert_allclose(pcov[:2, :2], reduced[1] * 48 / 47, rtol=1e-6)


@both
def test_equal_bounds_hold_a_parameter(f: Callable[..., Any]) -> None:
    bounds = ([0, 0, 0.45], [10, 10, 0.45])
    with pytest.raises(ValueError, match="strictly less"):
        optimize.curve_fit(decay_numpy, X, Y, p0=[1, 1, 0.45], bounds=bounds)
    popt, pcov = nif.curve_fit(f, X, Y, p0=[1, 1, 0.45], bounds=bounds, **TIGHT)
    best, exact = optimize.curve_fit(
        lambda x, a, b: decay_numpy(x, a, b, 0.45), X, Y, method="trf", x_scale="jac", bounds=(0, 10), **TIGHT,
        jac=lambda x, a, b: slopes_numpy(x, a, b, 0.45)[:, :2],
    )  # fmt: skip
    assert popt[2] == 0.45
    assert (pcov[2] == 0).all()
    assert (pcov[:, 2] == 0).all()
    assert_same((popt[:2], pcov[:2, :2]), (best, exact))


@both
@pytest.mark.parametrize("jac", [slopes_jax, slopes_numpy, "2-point", "3-point", "cs", None])
def test_jac(f: Callable[..., Any], jac: Any) -> None:
    assert_same(nif.curve_fit(f, X, Y, jac=jac, **TIGHT), scipy_fit())


@both
def test_a_jacobian_is_asked_for(f: Callable[..., Any]) -> None:
    # with a wrong one the fit must end elsewhere, or else it was never used
    popt, _ = nif.curve_fit(f, X, Y, jac=lambda x, a, b, c: slopes_jax(x, a, b + 1, c), max_nfev=60, **TIGHT)
    assert np.abs(popt - scipy_fit()[0]).max() > 1e-4


@both
@pytest.mark.parametrize("x_scale", [1.0, 0.1, [1.0, 10.0, 0.1], np.array([3, 1, 1]), "jac", None])
def test_x_scale(f: Callable[..., Any], x_scale: Any) -> None:
    assert_same(nif.curve_fit(f, X, Y, p0=[1, 3, 0], x_scale=x_scale, **TIGHT), scipy_fit())


def soft_l1_numpy(z: Any) -> Any:
    rho = np.empty((3, z.size))
    rho[0], rho[1], rho[2] = 2 * ((1 + z) ** 0.5 - 1), (1 + z) ** -0.5, -0.5 * (1 + z) ** -1.5
    return rho


def soft_l1_jax(z: Any) -> Any:
    return jnp.stack([2 * ((1 + z) ** 0.5 - 1), (1 + z) ** -0.5, -0.5 * (1 + z) ** -1.5])


LOSSES = ["linear", "soft_l1", "huber", "cauchy", "arctan", soft_l1_numpy, soft_l1_jax]


SLOW = pytest.mark.slow
CASES = [
    pytest.param(decay_jax, None, id="jax"),
    pytest.param(decay_numpy, None, id="numpy", marks=SLOW),
    pytest.param(decay_jax, "vector", id="jax, vector", marks=SLOW),
    pytest.param(decay_jax, "correlated", id="jax, matrix", marks=SLOW),
    pytest.param(decay_numpy, "correlated", id="numpy, matrix", marks=SLOW),
]


@pytest.mark.parametrize(("f", "noise"), CASES)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss(f: Callable[..., Any], loss: Any, noise: str | None) -> None:
    y = Y.copy()
    y[[5, 20]] += 1.0
    sigma: Any = None if noise is None else SIGMAS[noise]
    root = np.eye(50) if sigma is None else np.diag(sigma) if sigma.ndim == 1 else np.linalg.cholesky(sigma)
    # at 0.5 the correlated noise makes outliers of nearly all samples, and arctan has its valleys far away: from p0 = 1
    # SciPy ends at a cost of 6.846, ours runs off along another at 6.829
    for f_scale in (0.05, 2.0) if sigma is None else (5.0, 20.0):
        popt, _ = nif.curve_fit(f, X, y, loss=loss, f_scale=f_scale, sigma=sigma, **TIGHT)
        best = optimize.least_squares(
            lambda p: np.linalg.solve(root, decay_numpy(X, *p) - y), popt * 1.02,
            lambda p: np.linalg.solve(root, slopes_numpy(X, *p)), x_scale="jac",
            loss=loss if isinstance(loss, str) else "soft_l1", f_scale=f_scale, **TIGHT,
        )  # fmt: skip
        # SciPy's robust costs cancel where residuals are small: their minimum is flat within some 1e-7
        np.testing.assert_allclose(popt, best.x, rtol=3e-7)


@both
def test_full_output(f: Callable[..., Any]) -> None:
    sigma = SIGMAS["vector"]
    popt, pcov, info, message, ier = nif.curve_fit(f, X, Y, sigma=sigma, full_output=True)
    fvec = (decay_numpy(X, *popt) - Y) / sigma
    np.testing.assert_allclose(info["fvec"], fvec, atol=1e-11)  # rounding of numbers of some 20
    assert pcov.shape == (3, 3)
    assert ier in {1, 2, 3, 4}
    assert isinstance(message, str)
    assert "termination condition" in message
    theirs = optimize.curve_fit(
        decay_numpy, X, Y, sigma=sigma, full_output=True, method="trf", x_scale="jac", jac=slopes_numpy
    )
    # the same algorithm but for details of the radius
    assert abs(info["nfev"] - theirs[2]["nfev"]) <= 2
    whitened = nif.curve_fit(f, X, Y, sigma=SIGMAS["correlated"], full_output=True)
    root = np.linalg.cholesky(SIGMAS["correlated"])
    expected = np.linalg.solve(root, decay_numpy(X, *whitened[0]) - Y)
    np.testing.assert_allclose(whitened[2]["fvec"], expected, atol=1e-10)


def test_nfev_counts_calls_of_the_function() -> None:
    calls: list[int] = []

    def counted(x: Any, a: Any, b: Any, c: Any) -> Any:
        calls.append(1)
        return decay_numpy(x, a, b, c)

    result = nif.curve_fit(counted, X, Y, jac=slopes_numpy, full_output=True)
    # one more to look whether JAX can trace it, and one to return fvec
    assert result[2]["nfev"] <= len(calls) <= result[2]["nfev"] + 2


def test_double_precision_leaves_jax_as_it_is() -> None:
    before = jax.config.jax_enable_x64
    nif.curve_fit(decay_jax, X, Y)
    assert jax.config.jax_enable_x64 == before
