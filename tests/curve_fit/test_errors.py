"""What is refused, and how: SciPy's exception or one of its kind, in one sentence."""

from __future__ import annotations

import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import napari_imagefit as nif

X = np.linspace(0.1, 2, 20)
Y = 3 * np.exp(-1.5 * X)
HOLE = np.where(np.arange(20) == 3, np.nan, Y)


class OwnError(Exception):
    pass


def decay(x: Any, a: Any, b: Any) -> Any:
    return a * np.exp(-b * x)


def raises(_x: Any, _a: Any, _b: Any) -> Any:
    raise OwnError("own words")


def raises_later(x: Any, a: Any, b: Any) -> Any:
    if (a, b) != (1, 1):
        raise OwnError("own words")
    return decay(x, a, b)


def is_nan(x: Any, a: Any, _b: Any) -> Any:
    return a * x * np.nan


TRF = {"method": "trf"}
# f, xdata, ydata, options; SciPy is called with the same
CALLS: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "empty": (decay, [], [], {}),
    "empty ydata": (decay, X, [], {}),
    "ydata too short": (decay, X, Y[:-1], {}),
    "ydata too long": (decay, X, np.append(Y, 1), {}),
    "ragged": (decay, X, [[1, 2], [3]], {}),
    "text in ydata": (decay, X, ["a"] * 20, {}),
    "text in xdata": (decay, ["a"] * 20, Y, {}),
    "NaN in ydata": (decay, X, HOLE, {}),
    "NaN in xdata": (decay, HOLE, Y, {}),
    "infinite ydata": (decay, X, np.where(X > 1, np.inf, Y), {}),
    "check_finite": (decay, X, HOLE, {"check_finite": True}),
    "nan_policy raise": (decay, X, HOLE, {"nan_policy": "raise"}),
    "nan_policy propagate": (decay, X, HOLE, {"nan_policy": "propagate"}),
    "nan_policy unknown": (decay, X, HOLE, {"nan_policy": "hush"}),
    "method": (decay, X, Y, {"method": "newton"}),
    "lm with bounds": (decay, X, Y, {"method": "lm", "bounds": (0, 5)}),
    "bounds the wrong way": (decay, X, Y, {"bounds": ([0, 3], [5, 2])}),
    "bounds the wrong way, infinite": (decay, X, Y, {"bounds": (np.inf, -np.inf)}),
    "bounds of three": (decay, X, Y, {"bounds": (0, 1, 2)}),
    "bounds of wrong length": (decay, X, Y, {"p0": [1, 1], "bounds": ([0, 0, 0], [1, 1, 1])}),
    "bounds of NaN": (decay, X, Y, {"bounds": (np.nan, 5)}),
    "start outside of bounds": (decay, X, Y, {"p0": [-1, 1], "bounds": (0, 5)}),
    "too many starts": (decay, X, Y, {"p0": [1, 1, 1]}),
    "too few starts": (decay, X, Y, {"p0": [1]}),
    "no starts": (decay, X, Y, {"p0": []}),
    "no parameters": (lambda x: x, X, Y, {}),
    "any number of parameters": (lambda x, *p: p[0] * x, X, Y, {}),
    "sigma of wrong length": (decay, X, Y, {"sigma": np.ones(3)}),
    "sigma of wrong shape": (decay, X, Y, {"sigma": np.eye(3)}),
    "sigma singular": (decay, X, Y, {"sigma": np.ones((20, 20))}),
    "sigma negative definite": (decay, X, Y, {"sigma": -np.eye(20)}),
    "sigma indefinite": (decay, X, Y, {"sigma": np.eye(20) - 0.2}),
    "sigma matrix of NaN": (decay, X, Y, {"sigma": np.full((20, 20), np.nan)}),
    "too few data": (decay, X[:1], Y[:1], {}),
    "f raises": (raises, X, Y, {}),
    "f raises later": (raises_later, X, Y, {}),
    "f is NaN at the start": (is_nan, X, Y, TRF),
    "f is not callable": (3, X, Y, {"p0": [1, 1]}),
    "jac raises": (decay, X, Y, TRF | {"jac": raises}),
    "jac unknown": (decay, X, Y, TRF | {"jac": "4-point"}),
    "jac with a column too many": (decay, X, Y, TRF | {"jac": lambda x, _a, _b: np.ones((x.size, 3))}),
    "jac transposed": (decay, X, Y, TRF | {"jac": lambda x, _a, _b: np.ones((2, x.size))}),
    "jac is NaN": (decay, X, Y, TRF | {"jac": lambda x, _a, _b: np.full((x.size, 2), np.nan)}),
    "loss unknown": (decay, X, Y, TRF | {"loss": "tukey"}),
    "loss of wrong shape": (decay, X, Y, TRF | {"loss": lambda z: z}),
    "x_scale unknown": (decay, X, Y, TRF | {"x_scale": "big"}),
    "x_scale negative": (decay, X, Y, TRF | {"x_scale": -1}),
    "x_scale of wrong length": (decay, X, Y, TRF | {"x_scale": [1, 1, 1]}),
    "max_nfev": (decay, X, Y, TRF | {"max_nfev": 0}),
    "unknown keyword": (decay, X, Y, TRF | {"colour": 3}),
    "args": (decay, X, Y, {"args": (1,)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_scipy(name: str) -> None:
    f, x, y, options = CALLS[name]
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - which one is what we want to know
        optimize.curve_fit(f, x, y, **options)
    with pytest.raises(theirs.type) as ours:
        nif.curve_fit(f, x, y, **options)
    assert str(ours.value).strip()


# Ours to word; the others come from NumPy or the caller's own function.
OURS = [name for name in CALLS if name not in {
    "ragged", "text in ydata", "text in xdata", "too many starts", "too few starts", "no starts", "f is not callable",
    "f raises", "f raises later", "jac raises",
}]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_one_sentence(name: str) -> None:
    f, x, y, options = CALLS[name]
    with pytest.raises((ValueError, TypeError)) as error:
        nif.curve_fit(f, x, y, **options)
    message = str(error.value)
    assert "\n" not in message
    # one sentence, perhaps with a colon or a semicolon: a second would begin after a full stop, with a capital letter
    assert ". " not in message.replace("unconstrained problems. Use", "unconstrained problems; use")
    assert 15 < len(message) < 200


@pytest.mark.parametrize("name", ["f raises", "f raises later", "jac raises"])
def test_the_exception_of_a_function_comes_through_unchanged(name: str) -> None:
    f, x, y, options = CALLS[name]
    with pytest.raises(OwnError) as error:
        nif.curve_fit(f, x, y, **options)
    assert error.type is OwnError
    assert error.value.args == ("own words",)


def test_the_exception_of_a_jax_function_comes_through_unchanged() -> None:
    def f(x: Any, a: Any, b: Any) -> Any:
        if jnp.ndim(a) == 0:
            raise OwnError("own words")
        return a * jnp.exp(-b * x)

    with pytest.raises(OwnError, match="own words"):
        nif.curve_fit(f, X, Y)


def test_not_finite_at_the_start_in_jax() -> None:
    with pytest.raises(ValueError, match="not finite in the initial point"):
        nif.curve_fit(lambda x, a, b: jnp.log(-a * x) * b, X, Y)


def test_not_finite_later_is_stepped_around() -> None:
    # the start's own step leads to a < 0, where there is no value
    y = 0.01 * np.log(X + 1)
    for f in (lambda x, a: np.sqrt(a) * np.log(x + 1), lambda x, a: jnp.sqrt(a) * jnp.log(x + 1)):
        with np.errstate(invalid="ignore"):
            popt, _ = nif.curve_fit(f, X, y, p0=[4], ftol=1e-14, xtol=1e-14, gtol=1e-14)
        assert popt[0] == pytest.approx(1e-4, rel=1e-6)


@pytest.mark.parametrize("f", [decay, lambda x, a, b: a * jnp.exp(-b * x)], ids=["numpy", "jax"])
def test_a_jacobian_of_one_column_is_not_that_of_two_parameters(f: Any) -> None:
    for jac in (lambda x, _a, _b: np.ones((x.size, 1)), lambda x, _a, _b: jnp.ones((x.size, 1))):
        with pytest.raises(ValueError, match="expected"):
            optimize.curve_fit(decay, X, Y, method="trf", jac=jac)
        with pytest.raises(ValueError, match="jac"):
            nif.curve_fit(f, X, Y, jac=jac)


def test_bounds_that_are_no_pair() -> None:
    for bounds in (3, None):
        with pytest.raises(TypeError):
            optimize.curve_fit(decay, X, Y, bounds=bounds)
        with pytest.raises((TypeError, ValueError)):
            nif.curve_fit(decay, X, Y, bounds=bounds)


@pytest.mark.parametrize("mask", [np.ones(19, bool), np.ones(20), np.ones((20, 1), bool), "all"])
def test_data_mask(mask: Any) -> None:
    with pytest.raises(ValueError, match="data_mask"):
        nif.curve_fit(decay, X, Y, data_mask=mask)


def test_a_mask_that_leaves_too_few() -> None:
    for f in (decay, lambda x, a, b: a * jnp.exp(-b * x)):
        for keep in (0, 1):
            with pytest.raises(TypeError, match="must not exceed"):
                nif.curve_fit(f, X, Y, data_mask=np.arange(20) < keep)


@pytest.mark.parametrize("flength", [0, -1, 1.5])
def test_flength(flength: Any) -> None:
    with pytest.raises(ValueError, match="flength"):
        nif.CurveFit(flength)


def test_warnings_of_no_covariance() -> None:
    # as many data as parameters
    for f in (lambda x, a, b: a * np.asarray(x) + b, lambda x, a, b: a * jnp.asarray(x) + b):
        for fit in (optimize.curve_fit, nif.curve_fit):
            with pytest.warns(optimize.OptimizeWarning, match="Covariance of the parameters could not be estimated"):
                _, pcov = fit(f, [1.0, 2], [1, 3])
            assert np.isposinf(pcov).all()
    # only the sum is known, which differences may hide behind their rounding, as SciPy's do
    with pytest.warns(optimize.OptimizeWarning, match="Covariance of the parameters could not be estimated"):
        _, pcov = nif.curve_fit(lambda x, a, b: (a + b) * x, X, X + Y)
    assert np.isposinf(pcov).all()


def test_the_signature_begins_as_scipys() -> None:
    theirs = list(inspect.signature(optimize.curve_fit).parameters.values())
    ours = inspect.signature(nif.curve_fit).parameters
    for parameter in theirs:
        assert ours[parameter.name].kind == parameter.kind
        if parameter.name != "kwargs":
            assert ours[parameter.name].default == parameter.default
