"""An end above a constant that the model contains is no result, in either way and for every kind of noise."""

from __future__ import annotations

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import OptimizeWarning

from napari_imagefit import Camera, CurveFit, FitResult, Model, Parameter, Status, curve_fit, fit_image, fit_voxels
from napari_imagefit.engine.models.model import Model as EngineModel
from napari_imagefit.engine.models.model import roles_of
from napari_imagefit.imaging.fitting.status_labels import reasons, worth_a_look

# each of its models is compiled for these tests alone
pytestmark = pytest.mark.slow

T = np.linspace(0, 4, 32)
DECAY = Model.from_expression("a*exp(-k*t)+c", ["t"])
# a step from so far off leads nowhere near the data
ASTRAY = {"a": 1e3, "k": -1.5, "c": 0.0}
# once for all tests, as each model that is made is compiled
LINE = Model.from_expression("slope*t+c", ["t"])
ALONE = Model.from_expression("a*exp(-k*t)", ["t"], bounds={"k": (1, 2)})
MANY = 9000  # fits, which are worked on in the compiled way


def stack(count: int, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (20 * np.exp(-0.7 * T) + 5)[:, None] + rng.normal(0, noise, (32, count))


def no_result(result: FitResult) -> bool:
    nothing = all(np.isnan(values).all() for values in (*result.params.values(), *result.stderr.values()))
    return bool((result.status == Status.NO_IMPROVEMENT).all() and nothing and np.isnan(result.cost).all())


def cost_of_the_mean(data: np.ndarray) -> np.ndarray:
    return 0.5 * ((data - data.mean(axis=0)) ** 2).sum(axis=0)


@pytest.mark.parametrize(
    ("count", "dtype"),
    [
        (1, "float64"),
        (3, "float64"),
        (MANY, "float64"),
        (3, "float32"),
        (MANY, "float32"),
    ],
)
def test_no_result(count: int, dtype: Any) -> None:
    data = stack(count)
    result = fit_voxels(data, DECAY, x=T, init=ASTRAY, max_iterations=1, dtype=dtype)
    assert no_result(result)
    assert np.isnan(result.fitted()).all()
    assert (result.flags == 0).all()
    # a few steps more, and each is an answer, below the mean
    done = fit_voxels(data, DECAY, x=T, init={"a": 10, "k": 1, "c": 0}, max_iterations=3, dtype=dtype)
    assert (done.status >= 0).all()
    assert (done.cost < cost_of_the_mean(data)).all()


@pytest.mark.parametrize("count", [1, 3, MANY])
@pytest.mark.parametrize(
    "wishes",
    [
        {"noise": "poisson"},
        {"noise": Camera(gain=2.0, offset=100.0, read_noise=1.5)},
        {"noise": "rician", "sigma": 0.5},
        {"loss": "soft_l1"},
        {"sigma": np.linspace(0.5, 2, 32)[:, None]},
    ],
    ids=["poisson", "camera", "rician", "robust", "weights"],
)
def test_it_is_the_cost_of_the_fit_that_counts(count: int, wishes: dict[str, Any]) -> None:
    data = np.abs(stack(count))
    if isinstance(wishes.get("noise"), Camera):
        data = 100 + 2 * data
    near = {"a": float(np.ptp(data)), "k": 1.0, "c": float(data.min())}
    assert no_result(fit_voxels(data, DECAY, x=T, init=ASTRAY | {"c": near["c"]}, max_iterations=1, **wishes))
    assert (fit_voxels(data, DECAY, x=T, init=near, max_iterations=3, **wishes).status >= 0).all()


@pytest.mark.parametrize("count", [1, 3, MANY])
def test_a_start_that_is_the_minimum_is_kept(count: int) -> None:
    """Also where that is a constant, within rounding of it."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (32, count)) + 1e3
    for dtype in ("float64", "float32"):
        result = fit_voxels(noise, LINE, x=T, init={"slope": 0.0, "c": 1e3}, dtype=dtype)  # type: ignore[arg-type]
        assert result.converged.all()
    held = fit_voxels(noise, LINE, x=T, bounds={"slope": (0, 1e-9)})
    assert held.converged.all()
    # exact data
    exact = np.repeat((3 * T + 2)[:, None], count, axis=1)
    assert fit_voxels(exact, LINE, x=T, init={"slope": 3.0, "c": 2.0}).converged.all()


@pytest.mark.parametrize("count", [1, 3, MANY])
def test_a_constant_out_of_reach_does_not_count(count: int) -> None:
    """A model without one, one that is held, and one that its bounds keep from the data have ends above the mean."""
    data = np.repeat((5 + np.sin(9 * T))[:, None], count, axis=1)
    for model, wishes in (
        (ALONE, {"init": {"a": 1, "k": 1.5}}),
        (DECAY, {"init": {"a": 1, "k": 1.5}, "fixed": {"c": 0.0}, "bounds": {"k": (1, 2)}}),
        (DECAY, {"init": {"a": 1, "k": 1.5, "c": 0.5}, "bounds": {"k": (1, 2), "c": (0, 1)}}),
    ):
        result = fit_voxels(data, model, x=T, **wishes)  # type: ignore[arg-type]
        assert (result.cost > cost_of_the_mean(data)).all()
        assert (result.status > 0).all()


def test_large_images() -> None:
    image = np.random.default_rng(2).normal(0, 1, (300, 300))
    start = {"amplitude": 1e4, "y": 150.0, "x": 150.0, "sigma": 40.0, "offset": 0.0}
    assert no_result(fit_image(image, "gaussian_2d", init=start, max_iterations=1, fixed={}))


def jax_decay(t: Any, a: float, k: float, offset: float) -> Any:
    return a * jnp.exp(-k * t) + offset


def numpy_decay(t: Any, a: float, k: float, offset: float) -> Any:
    return a * np.exp(-k * t) + offset


ABOVE = "ended above a constant that f contains"


@pytest.mark.parametrize("f", [jax_decay, numpy_decay])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"sigma": np.linspace(0.1, 0.2, 32)},
        {"sigma": 0.01 * np.eye(32) + 0.001},
        {"loss": "soft_l1"},
        {"bounds": ([-np.inf, -2, -50], [np.inf, 9, 50])},
    ],
    ids=["plain", "sigma", "covariance", "robust", "bounds"],
)
def test_curve_fit_returns_what_it_has_reached_with_a_word(f: Any, said: dict[str, Any]) -> None:
    data = stack(1)[:, 0]
    with pytest.warns(OptimizeWarning, match=ABOVE):
        popt, _ = curve_fit(f, T, data, p0=list(ASTRAY.values()), ftol=0.9, **said)
    assert np.isfinite(popt).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve_fit(f, T, data, p0=[10, 1, 0], **said)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CurveFit(64).curve_fit(f, T, data, p0=list(ASTRAY.values()), max_nfev=2, **said)
    first, second = sorted(str(warning.message) for warning in caught)
    assert ABOVE in first
    assert "The parameters reached by then are returned" in second


def test_curve_fit_says_nothing_where_there_is_no_such_constant() -> None:
    data = 5 + np.sin(9 * T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve_fit(lambda t, a, k: a * np.exp(-k * t), T, data, p0=[1, 1.5], bounds=([0, 1], [9, 2]))
        curve_fit(jax_decay, T, data, p0=[1, 1.5, 0.5], bounds=([0.1, 1, 0], [9, 2, 1]))


@pytest.mark.parametrize("shared", ["a", "c", "a k", "a c", "a k c"])
def test_fits_that_share_parameters(shared: str) -> None:
    """A height that all share is 0 for all of them or for none."""
    data = stack(40)
    names = shared.split()
    astray = fit_voxels(data, DECAY, x=T, init=ASTRAY, max_iterations=1, shared=names)
    assert no_result(astray)
    assert (astray.flags == 0).all()
    assert (astray.n_shared == 0).all()
    assert np.isnan(astray.fitted()).all()
    done = fit_voxels(data, DECAY, x=T, init={"a": 10, "k": 1, "c": 0}, shared=names)
    assert done.converged.all()
    assert (done.n_shared == len(names)).all()


def test_one_of_those_that_share_parameters() -> None:
    """It has no answer, and the others are as they would be without it."""
    one = np.arange(10) == 4
    for shared, init in (("c", {"a": np.where(one, 1e3, 20), "c": 5.0}), ("a", {"a": 20.0, "c": 5.0})):
        init |= {"k": np.where(one, -3.0, 0.7)}
        result = fit_voxels(stack(10), DECAY, x=T, init=init, max_iterations=3, shared=[shared])
        assert (result.status[one] == Status.NO_IMPROVEMENT).all()
        assert (result.n_shared == ~one).all()
        others = fit_voxels(stack(10)[:, ~one], DECAY, x=T, init={"a": 20.0, "k": 0.7, "c": 5.0}, shared=[shared])
        for name in result.params:
            np.testing.assert_allclose(result.params[name][~one], others.params[name], rtol=1e-3)


def test_a_constant_out_of_reach_of_one_of_those_that_share() -> None:
    """Its bounds keep it from what the others have in common."""
    rng = np.random.default_rng(3)
    line = Model.from_expression("s*t*u + c", ["t"], bounds={"u": (0, 9)})
    slopes = np.array([1.0, 1.1, 0.9, -1.0])
    data = slopes * T[:, None] + rng.normal(0, 0.1, (32, 4)) + 3
    bounds = {"u": ([0, 0, 0, 0.5], 9.0)}
    result = fit_voxels(data, line, x=T, init={"s": 1.0, "u": 1.0}, shared=["s"], bounds=bounds)
    assert result.converged.all()
    assert (result.cost > cost_of_the_mean(data)).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "linear", "constant"),
    [
        ("a*exp(-k*t)+c", "ac", "c"),
        ("c - a*exp(-k*t)", "ca", "c"),
        ("a*exp(-k*t) - c", "ac", None),
        ("c*(1+exp(-k*t))", "c", None),
        ("a*t + c + k*c*0", "ac", None),
        ("b + (a*t + 2*c)", "bac", "b"),
    ],
)
def test_roles_in_a_formula(text: str, linear: str, constant: str | None) -> None:
    model = Model.from_expression(text, ["t"])
    roles = roles_of(model)
    assert "".join(model.names[i] for i in roles.linear) == linear
    assert (None if roles.constant is None else model.names[roles.constant]) == constant


def test_roles_in_a_sum() -> None:
    ring = Model.from_expression("A*exp(-(hypot(y-yc,x-xc)-R)**2/(2*w**2))", ["y", "x"])
    own = EngineModel(
        "level", lambda c, offset: offset + 0 * c[0], [Parameter("offset", "data")], 2, lambda _c, d, _w: d[:1]
    )
    model = ring + own
    roles = roles_of(model)
    assert [model.names[i] for i in roles.linear] == ["A", "offset"]
    assert roles.constant == model.index("offset")
    assert {model.names[i]: axis for i, axis in roles.positions} == {"yc": 0, "xc": 1}
    assert {model.names[i] for i in roles.scales} == {"R", "w"}


def test_it_is_counted_as_a_failure() -> None:
    """In the table of reasons, with a colour of its own, and not among those that converged."""
    stacked = np.concatenate([stack(3), np.full((32, 1), np.nan)], axis=1)
    result = fit_voxels(stacked, DECAY, x=T, init=ASTRAY, max_iterations=1)
    found = {reason.words: reason.fits for reason in reasons(result)}
    assert found[Status.NO_IMPROVEMENT.message] == 3
    assert sum(found.values()) == 4
    assert worth_a_look(reasons(result))
    assert result.counts()[Status.NO_IMPROVEMENT] == 3
