"""Costs and their derivatives against SciPy's losses, exact decimals and an independent maximiser of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from scipy.optimize._lsq.least_squares import IMPLEMENTED_LOSSES

import napari_imagefit as nif
from napari_imagefit.engine.core.options import Criterion
from napari_imagefit.engine.core.types import LOSSES
from napari_imagefit.engine.noise import noise_and_loss
from napari_imagefit.engine.noise.noise_and_loss import LEAST, Terms
from napari_imagefit.engine.noise.samples import Samples

Floats = NDArray[np.float64]
EPS = np.finfo(float).eps
# tolerances near rounding, so that fits and maximiser are at the same point
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-12, "gtol": 1e-12, "max_iterations": 1000}


def terms(criterion: Criterion, value: Any, data: Any, **how: Any) -> Terms:
    """The terms of samples ``(m, 1)`` by JAX; `how` holds weights, shift and f_scale. Those by NumPy are the same."""
    data = np.asarray(data)
    given = {name: np.asarray(values) for name, values in how.items()}
    samples = Samples((np.zeros((len(data), 1)),), data, **given)
    found = noise_and_loss.terms(criterion, jnp.asarray(value), jax.tree.map(jnp.asarray, samples))
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            here = noise_and_loss.terms(criterion, value, samples)
        for one, other in zip(here, found, strict=True):
            assert isinstance(one, np.ndarray)
            # roots and logarithms may differ in their last bits, of which a few operations make a few more
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-300)
    return found


def spread_residuals() -> Floats:
    """Around 0, around the bend at 1, and far out, of both signs; ``(m, 1)``."""
    sizes = np.concatenate([[0.0], np.geomspace(1e-9, 1e6, 61), [0.99, 0.999999, 1.000001, 1.01]])
    return np.concatenate([-sizes[::-1], sizes])[:, None]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_terms_are_scipys(loss: Any, scale: float) -> None:
    """ρ, gradient and curvature as `scipy.optimize.least_squares` makes them; rounding of a few operations.

    But for the least curvature, which is ε there and a tenth of the weight ρ' here.
    """
    weight, data = 0.7, 2.0
    z_root = spread_residuals()
    value = data + z_root * scale / weight
    residual = weight * (value - data)
    z = (residual[:, 0] / scale) ** 2
    rho = np.empty((3, z.size))
    if loss == "linear":
        rho[:] = z, np.ones_like(z), np.zeros_like(z)
    else:
        IMPLEMENTED_LOSSES[loss](z, rho, False)
    curvature = np.maximum(rho[1] + 2 * rho[2] * z, LEAST * rho[1])
    given = {"weights": np.full_like(value, weight)} | ({} if loss == "linear" else {"f_scale": scale})
    found = terms(Criterion("gaussian", loss), value, np.full_like(value, data), **given)
    # SciPy's soft_l1 and arctan cancel near 0: its ρ to an absolute ε
    np.testing.assert_allclose(found.cost[:, 0], 0.5 * scale**2 * rho[0], rtol=1e-13, atol=2 * EPS * scale**2)
    np.testing.assert_allclose((found.residual * found.slope)[:, 0], weight * residual[:, 0] * rho[1], rtol=1e-12)
    # ρ' + 2zρ'' cancels in SciPy's form by up to ε·ρ'
    np.testing.assert_allclose(found.slope[:, 0] ** 2, weight**2 * curvature, rtol=1e-9, atol=4 * EPS)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("loss", [*LOSSES, "poisson"])
def test_gradient_and_curvature_are_derivatives_of_the_cost(loss: Any) -> None:
    """By automatic differentiation of the sum of the costs; for counts, the expected curvature is Fisher's 1/μ."""
    if loss == "poisson":
        criterion, given = Criterion("poisson"), {"weights": [[0.5]], "shift": [[1.5]]}
        data = np.array([[0.0, 1.0, 3.0, 40.0, 900.0, 41.0, -2.0]]).T
        value = np.array([[0.3, 5.0, 2.9, 55.0, 901.0, 41.0000001, 4.0]]).T
    else:
        criterion, given = Criterion("gaussian", loss), {"weights": [[0.5]], "f_scale": 1.3}
        data = np.zeros((9, 1))
        value = np.array([[-30.0, -2.7, -1.0, -1e-6, 1e-5, 0.5, 2.55, 2.65, 1e3]]).T

    def cost(at: Any) -> Any:
        return jnp.sum(terms(criterion, at, data, **given).cost)

    found = terms(criterion, value, data, **given)
    gradient = np.asarray(jax.jit(jax.grad(cost))(jnp.asarray(value)))
    np.testing.assert_allclose(found.residual * found.slope, gradient, rtol=1e-9, atol=1e-16)
    if loss == "poisson":
        rate = 0.5 * value + 1.5
        np.testing.assert_allclose(found.slope**2, 0.25 / rate, rtol=1e-13)
        return
    # ρ' is the gradient over the residual
    least = LEAST * (gradient / value)[:, 0]
    second = np.diagonal(jax.jit(jax.hessian(cost))(jnp.asarray(value))[:, 0, :, 0])
    np.testing.assert_allclose(found.slope[:, 0] ** 2, np.maximum(second, least), rtol=1e-8, atol=1e-15)


HUGE = [(loss, power) for loss in LOSSES[1:] for power in (20, 75, 150)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("loss", "power"), HUGE)
def test_huge_residuals_give_numbers(loss: Any, power: int) -> None:
    value = np.array([[10.0**power], [-(10.0**power)]])
    found = terms(Criterion("gaussian", loss), value, np.zeros_like(value), f_scale=1.0)
    assert all(np.isfinite(part).all() for part in found)
    assert (np.abs(found.residual * found.slope) <= 1 + 1e-12).all()


def exact_half_deviance(rate: float, count: float) -> float:
    with localcontext() as context:
        context.prec = 60
        mu, d = Decimal(rate), Decimal(count)
        return float(mu - d + (d * (d / mu).ln() if d else 0))


@pytest.mark.usefixtures("x64")
def test_half_deviance_to_the_last_digits() -> None:
    """Against 60 decimal digits of the very numbers given: from counts of 0 to 1e9, rates from equal to far away.

    Within 100 ε: the two branches meet where u − ln(1 + u) is a tenth of u, and cancels that much.
    """
    steps = [0.0, *np.geomspace(1e-15, 0.9, 40)]
    pairs = [(c * (1 + sign * s), c) for c in (1.0, 3.0, 1e3, 1e9) for s in steps for sign in (-1, 1)]
    pairs += [(r, c) for r in (1e-30, 1e-6, 1.0, 7.5, 1e4, 1e12) for c in (0.0, 0.25, 1.0, 6.0, 1e5)]
    rates, counts = np.array(pairs).T[:, :, None]
    found = np.asarray(terms(Criterion("poisson"), rates, counts).cost)[:, 0]
    expected = [exact_half_deviance(r, c) for r, c in pairs]
    assert (found >= 0).all()
    np.testing.assert_allclose(found, expected, rtol=100 * EPS, atol=0)


@pytest.mark.usefixtures("x64")
def test_no_counts_meet_a_steep_wall_at_no_rate() -> None:
    """Smooth in value and slope, rising again within a thousandth of a count, with its own curvature."""
    rates = np.array([[-0.5, -1e-3, -1e-9, 1e-9]]).T
    found = terms(Criterion("poisson"), rates, np.zeros_like(rates))
    gradient = np.asarray(found.residual * found.slope)[:, 0]
    np.testing.assert_allclose(gradient, [1 - 5e3, 1 - 10, 1, 1], rtol=2e-5)
    np.testing.assert_allclose(found.slope[:3, 0] ** 2, 1e4, rtol=1e-12)
    assert found.cost[0, 0] > 1e3


@pytest.mark.parametrize(("peak", "slope"), [(5.0, 0.5), (5e3, 1e3), (1e5, 2e4)], ids=["faint", "bright", "brighter"])
def test_lines_that_fall_to_no_counts_are_the_constrained_maximum(peak: float, slope: float) -> None:
    """Rates are bounded at the last sample, not any parameter; the reference is bounded in the rates at both ends.

    The cost may lie below the reference by what rates of a thousandth below 0 are worth: pushes of some ten counts, of
    which each moves a rate by 1e-4.
    Of bright counts most of the way to the answer leads along that edge, with a region that has become small before.
    """
    t = np.linspace(0, 10, 40)
    data = np.random.default_rng(4).poisson(np.clip(peak - slope * t, 0.01, None)[:, None] * np.ones(24)).astype(float)
    result = nif.fit_voxels(data, "linear", x=t, noise="poisson")
    assert result.converged.sum() >= 22
    rates = result.params["intercept"] + result.params["slope"] * t[:, None]
    assert np.nanmin(rates) > -2e-3

    def loss(rate: Floats, counts: Floats) -> float:
        logs = np.log(np.where(counts > 0, np.maximum(rate, 1e-300), 1))
        return float(np.sum(rate - counts * logs))

    ends = t / t[-1]
    for i in np.flatnonzero(result.converged):
        counts = data[:, i]

        def of_ends(q: Floats, counts: Floats = counts) -> tuple[float, Floats]:
            rate = q[0] * (1 - ends) + q[1] * ends
            push = 1 - counts / np.maximum(rate, 1e-300)
            return loss(rate, counts), np.array([push @ (1 - ends), push @ ends])

        # from a start with no rate at the end, where it is to stay, what is left is a parabola's bottom
        best = min(
            optimize.minimize(
                of_ends, start, jac=True, bounds=[(1e-9, None), (0, None)], method="L-BFGS-B", tol=1e-15
            ).fun
            for start in ([peak, peak / 10], [0.8 * peak, 0.002 * peak], [2 * np.mean(counts), 0])
        )
        worth = 1e4 * np.sum(np.minimum(rates[:, i], 0) ** 2)
        assert -1.05 * worth - 1e-4 < loss(rates[:, i], counts) - best < 1e-4


@pytest.mark.usefixtures("x64")
def test_impossible_rates_cost_infinitely_much() -> None:
    rates = np.array([[-1.0, -1e-300, 0.0, np.nan, np.nan, 0.0]]).T
    counts = np.array([[1.0, 3.0, 2.0, 1.0, 0.0, 0.0]]).T
    found = terms(Criterion("poisson"), rates, counts)
    assert np.asarray(found.cost).ravel().tolist() == [math.inf] * 5 + [0.0]
    assert not (np.isnan(found.residual) | np.isnan(found.slope)).any()


T = np.linspace(0, 4, 32)


def decay(a: float, tau: float, c: float) -> Floats:
    return a * np.exp(-T / tau) + c


def line(slope: float, intercept: float) -> Floats:
    return slope * T + intercept


def peak(a: float, b: float, w: float, c: float) -> Floats:
    return a * np.exp(-(((T - b) / w) ** 2)) + c


PEAK = nif.Model.from_expression(
    "a*exp(-((t-b)/w)**2) + c",
    ["t"],
    bounds={"a": (0, np.inf), "w": (0.05, 5), "c": (0, np.inf)},
    init={"a": 20.0, "b": 2.0, "w": 0.7, "c": 3.0},
)
CASES: dict[str, tuple[Any, Callable[..., Floats], tuple[float, ...], list[Any]]] = {
    "decay": ("exponential_decay", decay, (40.0, 1.1, 5.0), [(0, None), (1e-3, None), (0, None)]),
    "few counts": ("exponential_decay", decay, (6.0, 0.8, 1.0), [(0, None), (1e-3, None), (0, None)]),
    "offset at its bound": ("exponential_decay", decay, (30.0, 1.0, 0.0), [(0, None), (1e-3, None), (0, None)]),
    "line": ("linear", line, (1.5, 3.0), [(None, None), (0, None)]),
    "falling line": ("linear", line, (-1.5, 9.0), [(None, None), (0, None)]),
    "expression": (PEAK, peak, (25.0, 2.1, 0.8, 2.0), [(0, None), (None, None), (0.05, 5), (0, None)]),
}


def likeliest(
    curve: Callable[..., Floats], counts: Floats, start: Any, bounds: list[Any], to_rate: Any = lambda v: v
) -> Any:
    """Minus the log-likelihood (less ln d!) at its minimum, by L-BFGS-B and then a simplex."""

    def minus(p: Floats) -> float:
        rate = to_rate(curve(*p))
        if (rate < 0).any() or ((rate == 0) & (counts > 0)).any():
            return math.inf
        return float(np.sum(rate) - np.sum(counts[counts > 0] * np.log(rate[counts > 0])))

    with np.errstate(all="ignore"):
        first = optimize.minimize(minus, start, method="L-BFGS-B", jac="3-point", bounds=bounds)
        options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
        best = optimize.minimize(minus, first.x, method="Nelder-Mead", bounds=bounds, options=options)
    return best, minus


def compare(result: nif.FitResult, i: int, best: Any, minus: Any) -> None:
    """As likely as the maximiser's within 1e-8, and so as near to it as 1e-3 of a standard error (ΔL = δ²/2)."""
    found = np.array([values[i] for values in result.params.values()])
    assert minus(found) <= best.fun + 1e-8
    for (name, values), expected in zip(result.stderr.items(), best.x, strict=True):
        if np.isfinite(values[i]):
            assert abs(result.params[name][i] - expected) <= 1e-3 * values[i], (i, name)


@pytest.mark.parametrize("case", CASES)
def test_fits_of_counts_are_the_most_likely(case: str) -> None:
    model, curve, truth, bounds = CASES[case]
    data = np.random.default_rng(7).poisson(np.maximum(curve(*truth), 0)[:, None], (T.size, 12)).astype(float)
    result = nif.fit_voxels(data, model, x=T, noise="poisson", **TIGHT)
    assert result.converged.all(), result.summary()
    at_bound = 0
    for i in range(data.shape[1]):
        best, minus = likeliest(curve, data[:, i], truth, bounds)
        if len(best.x) == 3 and best.x[2] < 1e-9:
            at_bound += 1
            assert result.flags[i] & nif.Flag.AT_LOWER
            assert result.at_bound["offset"][i] == -1
            assert np.isnan(result.stderr["offset"][i])
            assert 0 <= result.params["offset"][i] < 1e-3
            assert minus([values[i] for values in result.params.values()]) <= best.fun + 1e-6
            continue
        compare(result, i, best, minus)
        assert not result.flags[i] & nif.Flag.AT_LOWER
        # half the deviance is from rates that are the data themselves
        own = data[:, i][data[:, i] > 0]
        assert result.cost[i] == pytest.approx(best.fun - (own.sum() - np.sum(own * np.log(own))), rel=1e-7)
    assert at_bound >= 3 or case != "offset at its bound"


def test_fits_of_scaled_counts_are_the_most_likely() -> None:
    """A camera's: both data and model are turned into counts, to which the read noise's variance is added."""
    rng = np.random.default_rng(8)
    data = 3.0 * (rng.poisson(decay(30.0, 1.1, 4.0)[:, None], (T.size, 12)) + rng.normal(0, 2, (T.size, 12))) + 50
    result = nif.fit_voxels(data, "exponential_decay", x=T, noise=nif.Camera(3.0, 50.0, 2.0), **TIGHT)
    assert result.converged.all()
    for i in range(12):
        counts = np.maximum((data[:, i] - 50) / 3 + 4, 0)
        start, bounds = (90.0, 1.1, 62.0), [(0, None), (1e-3, None), (0, None)]
        compare(result, i, *likeliest(decay, counts, start, bounds, lambda v: (v - 50) / 3 + 4))


def test_no_counts_at_all() -> None:
    """All zero: the rate is 0, which is its bound."""
    model = nif.Model.from_expression("level + 0*t", ["t"], bounds={"level": (0, np.inf)})
    data = np.zeros((32, 3))
    data[5, 2] = 1
    result = nif.fit_voxels(data, model, x=T, noise="poisson")
    assert result.params["level"][2] == pytest.approx(1 / 32, rel=1e-6)
    assert result.converged[2]
    assert (np.abs(result.solution["level"][:2]) < 1e-6).all()
    assert (result.cost[:2] < 1e-6).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_outlier_does_not_end_the_fit_at_its_start(dtype: Any) -> None:
    """What counts as rounding of the data is not to be measured by the outlier."""
    t = np.linspace(0, 4, 32)
    data = 2 * np.exp(-t / 1.2)[:, None] + 0.3 + np.random.default_rng(0).normal(0, 0.02, (32, 3))
    data[5, 1] = 1e6
    result = nif.fit_voxels(data, "exponential_decay", x=t, loss="cauchy", f_scale=0.05, dtype=dtype)
    assert result.converged.all()
    assert (result.n_iterations > 0).all()
    assert (np.abs(result.params["tau"] - 1.2) < 5 * result.stderr["tau"]).all()


def test_no_counts_at_all_are_a_rate_of_zero_at_its_bound() -> None:
    level = nif.Model.from_expression("level + 0*t", ["t"], bounds={"level": (0, np.inf)})
    result = nif.fit_voxels(np.zeros((16, 2)), level, noise="poisson")
    assert result.converged.all()
    assert (result.params["level"] < 1e-9).all()
    assert (result.at_bound["level"] == -1).all()
    assert not (result.flags & nif.Flag.STRUCTURED_RESIDUAL).any()
