"""Random bounded problems against SciPy's ``trf``, from the same starts and with the same bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from napari_imagefit.engine.functions.parameter import Parameter
from napari_imagefit.engine.models.model import Model

T = np.linspace(0.1, 4, 24)
FITS = 8
Shape = Callable[..., Any]


def decay(xp: Any, t: Any, p: Any) -> Any:
    return p[0] * xp.exp(-p[1] * t) + p[2]


def peak(xp: Any, t: Any, p: Any) -> Any:
    return p[0] * xp.exp(-(((t - p[1]) / (0.2 + p[2] ** 2)) ** 2))


def saturation(xp: Any, t: Any, p: Any) -> Any:
    return p[0] * t / (0.1 + xp.abs(p[1]) + t) + p[2] * t


def cubic(_xp: Any, t: Any, p: Any) -> Any:
    return p[0] + p[1] * t + p[2] * t**2 + p[0] * p[2] * t**3 / 10


SHAPES = {shape.__name__: shape for shape in (decay, peak, saturation, cubic)}
MODELS = {
    name: Model(
        name,
        lambda c, *p, shape=shape: shape(jnp, c[0], p),
        [Parameter(n) for n in "abc"],
        1,
        lambda _c, d, _w: jnp.ones((3, d.shape[1])),
    )
    for name, shape in SHAPES.items()
}


def random_problem(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, ...]:
    """Data, starts and bounds of every kind; the truth may lie outside the bounds, and starts on them."""
    truth = rng.uniform(0.2, 2.5, (3, FITS))
    data = np.stack([shape(np, T, p) for p in truth.T], axis=1) + rng.normal(0, 0.1, (len(T), FITS))
    lower = truth - rng.exponential(1, truth.shape) + 0.2
    upper = np.maximum(truth + rng.exponential(1, truth.shape) - 0.2, lower + 0.05)
    lower[rng.random(lower.shape) < 0.4] = -np.inf
    upper[rng.random(upper.shape) < 0.4] = np.inf
    start = np.clip(rng.uniform(0.2, 2.5, truth.shape), lower, upper)
    start = np.where((rng.random(start.shape) < 0.1) & np.isfinite(lower), lower, start)
    start = np.where((rng.random(start.shape) < 0.1) & np.isfinite(upper), upper, start)
    # bounds that coincide; not in the first fit, so that the free parameters of the batch are always the same
    held = rng.random(start.shape) < 0.1
    held[:, 0] = held[0] = False
    return data, start, np.where(held, start, lower), np.where(held, start, upper)


def scipy_cost(shape: Shape, data: np.ndarray, start: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float | None:
    """The cost that SciPy reaches, None if it does not converge; it knows no equal bounds, so those are taken out."""
    free = lower < upper

    def residual(p: np.ndarray) -> np.ndarray:
        full = start.copy()
        full[free] = p
        return shape(np, T, full) - data

    answer = least_squares(
        residual, start[free], jac="3-point", bounds=(lower[free], upper[free]), x_scale="jac",
        ftol=1e-12, xtol=1e-12, gtol=1e-12, max_nfev=500,
    )  # fmt: skip
    return float(answer.cost) if answer.status > 0 else None


@pytest.mark.parametrize(
    "name", ["decay", *(pytest.param(name, marks=pytest.mark.slow) for name in SHAPES if name != "decay")]
)
@given(seed=st.integers(0, 2**32 - 1))
# SciPy needs a second for each; derandomised, so that a failure is one for everybody
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_cost_is_not_above_scipys(fit: Any, name: str, seed: int) -> None:
    shape = SHAPES[name]
    data, start, lower, upper = random_problem(np.random.default_rng(seed), shape)
    ours = fit(
        MODELS[name],
        (T,),
        data,
        init=dict(zip("abc", start, strict=True)),
        bounds=dict(zip("abc", zip(lower, upper, strict=True), strict=True)),
        ftol=1e-12,
        xtol=1e-12,
        gtol=1e-12,
        max_iterations=500,
    )
    assert (ours.solution >= lower).all()
    assert (ours.solution <= upper).all()
    for i in range(FITS):
        theirs = scipy_cost(shape, data[:, i], start[:, i], lower[:, i], upper[:, i])
        if theirs is None or ours.status[i] == 0:
            continue
        # 1e-8: what remains of a valley's floor when both stop at 1e-12
        if ours.cost[i] > theirs * (1 + 1e-8):
            # another minimum: SciPy, started from our answer, must find nothing to gain there either
            there = np.clip(ours.solution[:, i], lower[:, i], upper[:, i])
            again = scipy_cost(shape, data[:, i], there, lower[:, i], upper[:, i])
            assert again is None or ours.cost[i] <= again * (1 + 1e-8)


def test_equal_bounds_in_some_fits_are_as_good_as_a_fixed_parameter(fit: Any) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 2, (3, FITS))
    data = np.stack([decay(np, T, p) for p in truth.T], axis=1) + rng.normal(0, 0.05, (len(T), FITS))
    odd = np.arange(FITS) % 2 == 1
    bounds = {"c": (np.where(odd, truth[2], -np.inf), np.where(odd, truth[2], np.inf))}
    held = fit(MODELS["decay"], (T,), data, init={"a": 1, "b": 1}, bounds=bounds)
    fixed = fit(MODELS["decay"], (T,), data, init={"a": 1, "b": 1}, fixed={"c": truth[2]})
    # the same problem: the same path to rounding
    np.testing.assert_array_equal(held.n_iterations[odd], fixed.n_iterations[odd])
    np.testing.assert_allclose(held.params[:, odd], fixed.params[:, odd], rtol=1e-9)
    np.testing.assert_allclose(held.covariance[odd], fixed.covariance[odd], rtol=1e-7, equal_nan=True)
    assert (held.n_free == np.where(odd, 2, 3)).all()
