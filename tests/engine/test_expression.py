"""Models from text: what may be said, where fits of them start, and what they find."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from scipy.optimize import curve_fit

from napari_imagefit import Model, fit_image, fit_voxels, models
from napari_imagefit.engine.functions.expression_syntax import CONSTANTS, FUNCTIONS

T = np.linspace(0.5, 20, 24)
DECAY = Model.from_expression("a*exp(-t/tau) + c", ["t"])


def test_what_it_makes() -> None:
    model = Model.from_expression("c + a*exp(-t/tau)", ["t"], bounds={"tau": (0, np.inf)})
    assert model.names == ("c", "a", "tau")
    assert model.ndim == 1
    assert model.name == model.formula == "c + a*exp(-t/tau)"
    assert [(p.lower, p.upper) for p in model.parameters][2] == (0, np.inf)
    assert Model.from_expression("a*x", ["y", "x"], name="ramp").name == "ramp"


def test_one_text_twice_is_two_models() -> None:
    one, other = (Model.from_expression("a*t", ["t"]) for _ in range(2))
    assert one != other
    assert len({one, other}) == 2


X, P = np.linspace(0.1, 0.9, 5), 0.4
SAID = {
    "a*x**2 - x/a + -a": lambda a, x: a * x**2 - x / a - a,
    "2**x ** a": lambda a, x: 2 ** (x**a),
    "exp(a)*log(x)+log10(x)+sqrt(x)": lambda a, x: np.exp(a) * np.log(x) + np.log10(x) + np.sqrt(x),
    "sin(x)+cos(a)+tan(x)": lambda a, x: np.sin(x) + np.cos(a) + np.tan(x),
    "arcsin(x)+arccos(a)+arctan(x)+arctan2(x, -a)": lambda a, x: (
        np.arcsin(x) + np.arccos(a) + np.arctan(x) + np.arctan2(x, -a)
    ),
    "sinh(x)+cosh(a)+tanh(x)": lambda a, x: np.sinh(x) + np.cosh(a) + np.tanh(x),
    "abs(x-a)+minimum(x, a)*maximum(x, .5)": lambda a, x: np.abs(x - a) + np.minimum(x, a) * np.maximum(x, 0.5),
    "erf(x/a) + erf(1)": lambda a, x: scipy.special.erf(x / a) + scipy.special.erf(1),
    "where(x >= a, x, -1) + where(x < 0.5, a, 2)": lambda a, x: np.where(x >= a, x, -1) + np.where(x < 0.5, a, 2),
    "a*pi + e*x + 1e-3 + sqrt(2)": lambda a, x: a * np.pi + np.e * x + 1e-3 + np.sqrt(2),
    "asin(x)+acos(a)+atan(x)+atan2(x, -a)": lambda a, x: np.arcsin(x) + np.arccos(a) + np.arctan(x) + np.arctan2(x, -a),
    "exp2(x*a)+expm1(a)+log2(a)+log1p(x)+square(a)": lambda a, x: (
        np.exp2(x * a) + np.expm1(a) + np.log2(a) + np.log1p(x) + a**2
    ),
    "pow(a, x)+hypot(a, x)+sinc(a*x)+erfc(a)": lambda a, x: (
        a**x + np.hypot(a, x) + np.sinc(a * x) + scipy.special.erfc(a)
    ),
    "a*sign(x-.45)+a*floor(5*x)+heaviside(x-.45, .5)*a": lambda a, x: (
        a * np.sign(x - 0.45) + a * np.floor(5 * x) + np.heaviside(x - 0.45, 0.5) * a
    ),
    "min(x, a)*max(x, .5)": lambda a, x: np.minimum(x, a) * np.maximum(x, 0.5),
    "a": lambda a, x: a + 0 * x,
    "a * (\n  x\n  + 1)": lambda a, x: a * (x + 1),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("text", SAID)
def test_values_and_derivatives(text: str) -> None:
    model = Model.from_expression(text, ["x"])
    assert model.names == ("a",)
    values, slopes = jax.jit(lambda p: jax.jvp(lambda a: model.function((X,), a), (p,), (1.0,)))(P)
    # the same functions from another library
    np.testing.assert_allclose(values, SAID[text](P, X), rtol=1e-12)
    h = 1e-6
    central = (SAID[text](P + h, X) - SAID[text](P - h, X)) / (2 * h)
    # h² of a third derivative, and rounding over h
    np.testing.assert_allclose(slopes, central, rtol=1e-6, atol=1e-8)


def test_the_tests_above_cover_the_language() -> None:
    assert {name for name in (*FUNCTIONS, *CONSTANTS) if any(name in text for text in SAID)} == {*FUNCTIONS, *CONSTANTS}


def test_whole_numbers_count_as_real_ones() -> None:
    model = Model.from_expression("a*t**-2 + 1/a", ["t"])
    np.testing.assert_allclose(model.function((np.array([1, 2]),), 4), [4.25, 1.25])


@pytest.mark.usefixtures("x64")
def test_whole_powers_are_differentiable_where_the_base_is_0() -> None:
    model = Model.from_expression("(t-t0)**2", ["t"])
    assert float(jax.grad(lambda t0: model.function((jnp.zeros(1),), t0)[0])(0.0)) == 0


def test_a_decay_as_scipy_fits_it() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[3.0, 4, 1], [-2, 9, 0], [100, 1.5, -20], [1, 2, 5]]).T
    clean = truth[0] * np.exp(-T[:, None] / truth[1]) + truth[2]
    data = clean + rng.normal(0, 0.02, clean.shape) * np.abs(truth[0])
    data[4, 1] = np.nan
    result = fit_voxels(data, DECAY, x=T)
    assert result.converged.all()
    for i in range(4):
        used = np.isfinite(data[:, i])
        best, covariance = curve_fit(
            lambda t, a, tau, c: a * np.exp(-t / tau) + c, T[used], data[used, i], truth[:, i], xtol=1e-12, ftol=1e-12
        )
        errors = np.sqrt(np.diag(covariance))
        for name, value, error in zip(DECAY.names, best, errors, strict=True):
            # the fit ends where a step gains less than 1e-8 of the cost
            assert result.params[name][i] == pytest.approx(value, abs=2e-3 * error)
            assert result.stderr[name][i] == pytest.approx(error, rel=1e-2)


@pytest.mark.slow
def test_a_surface_in_a_sum() -> None:
    y, x = np.mgrid[:16.0, :20.0]
    peak = Model.from_expression("h*exp(-((y-y0)**2 + (x-x0)**2)/(2*s**2)) + offset", ["y", "x"], bounds={"s": (0, 50)})
    total = peak + Model.from_expression("slope*x + offset", ["y", "x"])
    data = 5 * np.exp(-((y - 6) ** 2 + (x - 12) ** 2) / 18) + 2 - 0.05 * x
    result = fit_image(data, total)
    assert total.names == ("h", "y0", "x0", "s", "offset", "slope")
    # exact data
    np.testing.assert_allclose([float(result.params[n]) for n in total.names], [5, 6, 12, 3, 2, -0.05], rtol=1e-6)


STARTS = {
    "a*exp(-k*t)": ({}, (3.0, 0.3)),
    "a*exp(-(t-t0)**2/(2*s**2)) + c": ({"bounds": {"s": (0, np.inf)}}, (3.0, 7.0, 1.5, 1.0)),
    "a*sin(2*pi*f*t + phi) + c": ({}, (3.0, 0.3, 0.5, 1.0)),
    "a*exp(-t/t1) + b*exp(-t/t2)": ({"bounds": {"t1": (0.1, 50), "a": (0, 9)}}, (3.0, 1.0, 1.0, 9.0)),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("text", STARTS)
def test_starts_explain_most_of_the_data(text: str) -> None:
    said, truth = STARTS[text]
    model = Model.from_expression(text, ["t"], **said)
    scale = np.array([1.0, 1e6, 1e-6])
    linear = [name in ("a", "b", "c") for name in model.names]
    params = np.array(truth)[:, None] * np.where(np.array(linear)[:, None], scale, 1)
    if said.get("bounds", {}).get("a") == (0, 9):
        params = np.array(truth)[:, None] * np.ones(3)
    data = np.stack([np.asarray(model.function((T,), *p)) for p in params.T], axis=1)
    weights = np.ones_like(data)
    weights[5], data[5] = 0, 0
    starts = np.asarray(jax.jit(model.guess)((T[:, None],), data, weights))
    assert np.isfinite(starts).all()
    assert (starts >= model.lower[:, None]).all()
    assert (starts <= model.upper[:, None]).all()
    for i in range(3):
        residual = (np.asarray(model.function((T,), *starts[:, i])) - data[:, i])[weights[:, i] > 0]
        spread = data[weights[:, i] > 0, i].std()
        assert residual.std() < 0.5 * spread


@pytest.mark.usefixtures("x64")
def test_given_starts_are_kept_and_bad_data_do_no_harm() -> None:
    model = Model.from_expression("a*exp(-t/tau) + c", ["t"], init={"tau": 7, "c": 1.5})
    data = np.stack([np.zeros(24), np.full(24, 1e300), np.full(24, -3.0), 2 * np.exp(-T / 7) + 1.5], axis=1)
    weights = np.ones_like(data)
    weights[:, 0] = 0
    starts = np.asarray(jax.jit(model.guess)((T[:, None],), data, weights))
    assert starts.shape == (3, 4)
    assert np.isfinite(starts).all()
    np.testing.assert_array_equal(starts[1:], [[7] * 4, [1.5] * 4])
    # exact data
    assert starts[0, 3] == pytest.approx(2, rel=1e-9)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "where"])
def test_each_function_is_what_numpy_or_math_has_of_that_name(name: str) -> None:
    """Applied to values and folded as numbers, within rounding of single precision."""
    other = {"min": "minimum", "max": "maximum", "pow": "power", "asin": "arcsin", "acos": "arccos"}
    other |= {"atan": "arctan", "atan2": "arctan2"}
    values = (0.3, 0.5)[: FUNCTIONS[name]]
    expected = getattr(math if name.startswith("erf") else np, other.get(name, name))(*values)
    model = Model.from_expression(f"c*{name}({', '.join(['t', 'b'][: len(values)])}) + 0*b", ["t"])
    at = {"c": 2.0, "b": 0.5}
    found = model.function((np.array([0.3]),), *(at[n] for n in model.names))
    assert float(found[0]) == pytest.approx(2 * expected, rel=1e-5)
    folded = Model.from_expression(f"c*t*{name}({', '.join(map(str, values))})", ["t"])
    assert float(folded.function((np.array([1.0]),), 2.0)[0]) == pytest.approx(2 * expected, rel=1e-5)


def test_models_are_summed_from_nothing() -> None:
    parts = [models["gaussian_2d"], models["plane_2d"]]
    assert sum(parts).names == (parts[0] + parts[1]).names  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        1 + parts[0]
    with pytest.raises(KeyError, match="did you mean 'exponential_decay'"):
        models["exponential_decy"]
