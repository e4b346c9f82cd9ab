"""Thirty free parameters: SciPy's minimum from the same start, whichever way the model is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import napari_imagefit as nif

PEAKS = 9
# of a fit of 30 parameters
NAMES = [f"{what}{k}" for k in range(PEAKS) for what in ("a", "c", "s")] + ["offset", "slope", "bend"]
NOISE = 0.05
# with the default tolerances the last step may be a hundredth of an error, and leave a thousandth
TIGHT = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}
T = np.linspace(0, 100, 400)


def peaks(np_or_jnp: Any, t: Any, p: Any) -> Any:
    value = p[27] + p[28] * t + p[29] * (t - 50) ** 2
    for a, c, s in zip(p[0:27:3], p[1:27:3], p[2:27:3], strict=True):
        value = value + a * np_or_jnp.exp(-0.5 * ((t - c) / s) ** 2)
    return value


def slopes(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Derivatives ``(m, 30)``, by hand."""
    columns = []
    for a, c, s in zip(p[0:27:3], p[1:27:3], p[2:27:3], strict=True):
        u = (t - c) / s
        bell = np.exp(-0.5 * u * u)
        columns += [bell, a * bell * u / s, a * bell * u * u / s]
    return np.stack([*columns, np.ones_like(t), t, (t - 50) ** 2], axis=1)


def truth(rng: np.random.Generator) -> np.ndarray:
    places = 100 * (np.arange(PEAKS) + 0.8 + 0.2 * rng.uniform(size=PEAKS)) / (PEAKS + 1)
    found = np.empty(30)
    found[0:27:3], found[1:27:3], found[2:27:3] = rng.uniform(2, 5, PEAKS), places, rng.uniform(1.5, 2.5, PEAKS)
    found[27:] = 1.0, 0.01, 1e-4
    return found


def fit_by_scipy(data: np.ndarray, start: np.ndarray, weights: Any = 1.0, **options: Any) -> Any:
    w = np.broadcast_to(weights, T.shape)
    options = {"x_scale": "jac", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15} | options
    return least_squares(
        lambda p: w * (peaks(np, T, p) - data), start, jac=lambda p: w[:, None] * slopes(T, p), **options
    )


class Curve(NamedTuple):
    data: np.ndarray
    start: np.ndarray
    popt: np.ndarray
    errors: np.ndarray
    cost: float


def curve_of(seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    true = truth(rng)
    data = peaks(np, T, true) + rng.normal(0, NOISE, T.size)
    start = true * rng.uniform(0.95, 1.05, true.size)
    start[1:27:3] = true[1:27:3] + rng.uniform(-0.5, 0.5, PEAKS)
    best = fit_by_scipy(data, start)
    cov = np.linalg.inv(best.jac.T @ best.jac) * 2 * best.cost / (T.size - 30)
    return Curve(data, start, best.x, np.sqrt(np.diag(cov)), best.cost)


@pytest.fixture(scope="module")
def curve() -> Curve:
    return curve_of(0)


def guess(_coords: Any, data: Any, _weights: Any) -> Any:
    return jnp.ones((30, data.shape[1]))


def written_out() -> tuple[nif.Model, list[str]]:
    parameters = [nif.Parameter(name) for name in NAMES]
    return nif.Model("peaks", lambda coords, *p: peaks(jnp, coords[0], p), parameters, 1, guess), NAMES


def expression() -> tuple[nif.Model, list[str]]:
    bells = " + ".join(f"a{k}*exp(-0.5*((t - c{k})/s{k})**2)" for k in range(PEAKS))
    return nif.Model.from_expression(f"{bells} + offset + slope*t + bend*(t - 50)**2", ["t"]), NAMES


def summed() -> tuple[nif.Model, list[str]]:
    bow = nif.Model.from_expression("slope*t + bend*(t - 50)**2", ["t"])
    names = [f"{what}_{k + 1}" for k in range(PEAKS) for what in ("amplitude", "x", "sigma")]
    return sum([nif.models["gaussian_1d"]] * PEAKS) + bow, [*names, "offset", "slope", "bend"]


@pytest.mark.parametrize("make", [written_out, expression, summed])
def test_a_model(curve: Curve, make: Callable[[], tuple[nif.Model, list[str]]]) -> None:
    model, names = make()
    assert len(model.names) == 30
    result = nif.fit_voxels(curve.data, model, x=T, init=dict(zip(names, curve.start, strict=True)), **TIGHT)
    assert result.converged
    assert float(result.cost) == pytest.approx(curve.cost, rel=1e-10)
    for name, value, error in zip(names, curve.popt, curve.errors, strict=True):
        assert abs(float(result.params[name]) - value) < 1e-5 * error, name
        assert float(result.stderr[name]) == pytest.approx(error, rel=1e-6), name


def by_jax(t: Any, *p: Any) -> Any:
    return peaks(jnp, t, p)


def by_numpy(t: Any, *p: Any) -> Any:
    return peaks(np, t, p)


@pytest.mark.parametrize("function", [by_jax, by_numpy])
def test_curve_fit(curve: Curve, function: Callable[..., Any]) -> None:
    popt, pcov, info, _, ier = nif.curve_fit(function, T, curve.data, p0=curve.start, full_output=True, **TIGHT)
    assert ier > 0
    assert 0.5 * np.sum(info["fvec"] ** 2) == pytest.approx(curve.cost, rel=1e-10)
    assert (np.abs(popt - curve.popt) < 1e-5 * curve.errors).all()
    np.testing.assert_allclose(np.sqrt(np.diag(pcov)), curve.errors, rtol=1e-6)


def test_that_a_peak_is_nothing_far_away_is_not_remarked(curve: Curve) -> None:
    # NumPy says nothing of numbers that are too small, nor does SciPy
    nif.curve_fit(by_numpy, T, curve.data, p0=curve.start)


def test_bounds_and_weights(curve: Curve) -> None:
    rng = np.random.default_rng(1)
    sigma = NOISE * rng.uniform(0.5, 2, T.size)
    lower, upper = np.full(30, -np.inf), np.full(30, np.inf)
    # at the minimum two parameters are at their bounds
    lower[2], upper[27] = curve.popt[2] + 5 * curve.errors[2], curve.popt[27] - 3 * curve.errors[27]
    start = np.clip(curve.start, lower + 0.01, upper - 0.01)
    popt, _, info, _, ier = nif.curve_fit(
        by_jax, T, curve.data, p0=start, sigma=sigma, bounds=(lower, upper), full_output=True, **TIGHT
    )
    best = fit_by_scipy(curve.data, start, 1 / sigma, bounds=(lower, upper), max_nfev=1000)
    assert ier > 0
    # SciPy comes close to a bound and never reaches it
    assert 0.5 * np.sum(info["fvec"] ** 2) <= best.cost * (1 + 1e-9)
    assert (np.abs(popt - best.x) < 1e-4 * curve.errors).all()
    np.testing.assert_allclose(popt[[2, 27]], [lower[2], upper[27]], atol=1e-5 * curve.errors[27])


def test_some_are_held(curve: Curve) -> None:
    # what is left is few enough for the step that is made for few
    model, names = expression()
    held = slice(9, 30)
    result = nif.fit_voxels(
        curve.data,
        model,
        x=T,
        init=dict(zip(names[:9], curve.start[:9], strict=True)),
        fixed=dict(zip(names[held], curve.popt[held], strict=True)),
        **TIGHT,
    )
    assert result.converged
    # where the others are at their minimum, so are these
    assert float(result.cost) == pytest.approx(curve.cost, rel=1e-10)
    for name, value, error in zip(names, curve.popt, curve.errors, strict=True):
        assert abs(float(result.params[name]) - value) < 1e-5 * error, name


@pytest.mark.slow
def test_a_batch() -> None:
    curves = [curve_of(seed) for seed in range(12)]
    # three hundred, of which every twelfth is the same
    data, start = (np.tile(np.stack([getattr(c, what) for c in curves], axis=1), 25) for what in ("data", "start"))
    model, names = expression()
    result = nif.fit_voxels(data, model, x=T, init=dict(zip(names, start, strict=True)))
    assert result.converged.all()
    np.testing.assert_allclose(result.cost, np.tile([c.cost for c in curves], 25), rtol=1e-10)
    popt, errors = (np.tile(np.stack([getattr(c, what) for c in curves], axis=1), 25) for what in ("popt", "errors"))
    found = np.stack([result.params[name] for name in names])
    assert (np.abs(found - popt) < 1e-3 * errors).all()
    for name in names:
        assert (result.params[name].reshape(25, 12) == result.params[name][:12]).all()


@pytest.mark.slow
def test_a_large_image() -> None:
    """Seven spots on more pixels than one tile."""
    rng = np.random.default_rng(2)
    shape = (280, 260)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    along = 20 + 34 * np.arange(7.0)
    true = np.stack([rng.uniform(20, 40, 7), along, rng.permutation(along), rng.uniform(6, 12, 7)], axis=1).ravel()
    true = np.append(true, [5.0, 0.02])

    def spots(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, columns = p[28] + p[29] * x, []
        for a, at, left, s in p[:28].reshape(7, 4):
            v, u = (y - at) / s, (x - left) / s
            bell = np.exp(-0.5 * (u * u + v * v))
            value = value + a * bell
            columns += [bell, a * bell * v / s, a * bell * u / s, a * bell * (u * u + v * v) / s]
        return value.ravel(), np.stack([*columns, np.ones_like(x), x]).reshape(30, -1).T

    data = spots(true)[0] + rng.normal(0, 2, y.size)
    start = true * rng.uniform(0.97, 1.03, 30)
    best = least_squares(
        lambda p: spots(p)[0] - data,
        start,
        jac=lambda p: spots(p)[1],
        x_scale="jac",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    errors = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)) * 2 * best.cost / (y.size - 30))
    model = sum([nif.models["gaussian_2d"]] * 7) + nif.Model.from_expression("slope*x + 0*y", ["y", "x"])
    names = [f"{what}_{k + 1}" for k in range(7) for what in ("amplitude", "y", "x", "sigma")] + ["offset", "slope"]
    assert sorted(names) == sorted(model.names)
    result = nif.fit_image(data.reshape(shape), model, init=dict(zip(names, start, strict=True)))
    assert result.converged
    assert float(result.cost) == pytest.approx(best.cost, rel=1e-10)
    found = np.array([float(result.params[name]) for name in names])
    assert (np.abs(found - best.x) < 1e-3 * errors).all()
