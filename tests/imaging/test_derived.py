"""Expressions of parameters: closed forms, Monte Carlo, and what has no error."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from napari_imagefit import FitResult, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.imaging.fitting.derived_maps import derive
from napari_imagefit.imaging.fitting.units import unit_of

T = np.linspace(0, 5, 32)
MANY = 3000
NOISE = 0.03


@pytest.fixture(scope="module")
def many() -> FitResult:
    """The same decay with other noise each time, and a curve of NaN."""
    stack = 2 * np.exp(-T[:, None] / 1.3) + 0.4 + np.random.default_rng(1).normal(0, NOISE, (T.size, MANY))
    stack[:, 7] = np.nan
    return fit_voxels(stack, "exponential_decay", x=T, sigma=NOISE)


def test_closed_forms(many: FitResult) -> None:
    tau, amplitude = many.params["tau"], many.params["amplitude"]
    rate = derive(many, "1/tau")
    np.testing.assert_allclose(rate.values, 1 / tau, rtol=1e-14)
    np.testing.assert_allclose(rate.stderr, many.stderr["tau"] / tau**2, rtol=1e-12)
    area = derive(many, "amplitude*tau")
    a, t = many.model.index("amplitude"), many.model.index("tau")
    variance = (
        tau**2 * many.covariance[:, a, a]
        + amplitude**2 * many.covariance[:, t, t]
        + 2 * tau * amplitude * many.covariance[:, a, t]
    )
    np.testing.assert_allclose(area.stderr, np.sqrt(variance), rtol=1e-10)


def test_another_number_of_fits_compiles_nothing(many: FitResult, caplog: pytest.LogCaptureFixture) -> None:
    derive(many, "amplitude*tau**2")
    few = fit_voxels(2 * np.exp(-T[:, None] / np.linspace(1, 2, MANY - 100)), "exponential_decay", x=T)
    before = compiled_programs()
    with jax.log_compiles():
        derive(few, "amplitude*tau**2")
    assert not caplog.records, "operations of JAX's were compiled one by one"
    assert compiled_programs() == before


def test_a_parameter_is_itself(many: FitResult) -> None:
    own = derive(many, "tau")
    np.testing.assert_array_equal(own.values, many.params["tau"])
    np.testing.assert_allclose(own.stderr, many.stderr["tau"], rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["amplitude*tau", "amplitude/tau + offset", "log(amplitude) - offset**2", "exp(-1/tau)"]
)
def test_the_scatter_is_the_error(many: FitResult, text: str) -> None:
    found = derive(many, text)
    scatter, error = np.nanstd(found.values), np.nanmedian(found.stderr)
    # a standard deviation of 3 000 values is known to 1.3 %; five times that, and the curvature of the expression
    assert error == pytest.approx(scatter, rel=0.07)


def test_nothing_where_there_is_no_answer(many: FitResult) -> None:
    found = derive(many, "1/tau")
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [7]
    assert np.flatnonzero(np.isnan(found.stderr)).tolist() == [7]
    nowhere = derive(many, "log(-tau)")
    assert np.isnan(nowhere.values).all()
    assert np.isnan(nowhere.stderr).all()


STACK = 2 * np.exp(-T[:, None, None] / np.array([[1.3, 0.8]])) + 0.4
STACK = STACK + np.random.default_rng(2).normal(0, NOISE, STACK.shape)


def test_what_is_fixed_adds_no_error() -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, fixed={"amplitude": 2.0})
    found = derive(result, "amplitude*tau")
    np.testing.assert_allclose(found.stderr, 2.0 * result.stderr["tau"], rtol=1e-12)
    alone = derive(result, "amplitude**2")
    np.testing.assert_array_equal(alone.values, 4.0)
    assert np.isnan(alone.stderr).all()


def test_a_parameter_held_by_equal_bounds_adds_no_error() -> None:
    low, high = np.array([[1.9, 2.0]]), np.array([[2.1, 2.0]])
    result = fit_voxels(STACK, "exponential_decay", x=T, bounds={"amplitude": (low, high)})
    found = derive(result, "amplitude*tau")
    assert np.isfinite(result.stderr["amplitude"][0, 0])
    np.testing.assert_allclose(found.stderr[0, 1], 2.0 * result.stderr["tau"][0, 1], rtol=1e-12)
    assert found.stderr[0, 0] > 0


def test_a_parameter_at_a_bound_adds_no_error() -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, bounds={"offset": (0.5, 1.0)})
    assert (result.at_bound["offset"] == -1).all()
    found = derive(result, "amplitude + offset")
    np.testing.assert_allclose(found.stderr, result.stderr["amplitude"], rtol=1e-12)


def test_what_is_free_without_an_error_has_none() -> None:
    exact = fit_voxels(STACK[:3], "exponential_decay", x=T[:3])  # three samples, three parameters
    assert np.isnan(exact.stderr["tau"]).all()
    assert np.isfinite(derive(exact, "1/tau").values).all()
    assert np.isnan(derive(exact, "1/tau").stderr).all()


@pytest.mark.slow
def test_tied_parameters_count_with_what_they_follow_from() -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, tied={"offset": "0.2*amplitude"})
    both = derive(result, "amplitude + offset")
    np.testing.assert_allclose(both.stderr, 1.2 * result.stderr["amplitude"], rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "units", "expected"),
    [
        ("1/tau", {"tau": "ms"}, "1/ms"),
        ("amplitude*tau", {"tau": "ms", "amplitude": ""}, "ms"),
        ("2*pi*amplitude*x*x", {"x": "µm", "amplitude": ""}, "µm²"),
        ("sqrt(x*x)", {"x": "µm"}, "µm"),
        ("x**2/y", {"x": "mm", "y": "s"}, "mm²/s"),
        ("x + y", {"x": "mm", "y": "mm"}, "mm"),
        ("x + y", {"x": "mm", "y": "µm"}, ""),  # the numbers do not add up
        ("exp(x/y)", {"x": "mm", "y": "mm"}, ""),
        ("exp(x)*y", {"x": "mm", "y": "mm"}, ""),
        ("abs(x)", {"x": "px"}, "px"),
        ("where(x < y, x, y)", {"x": "ms", "y": "ms"}, "ms"),
        ("x*y", {"x": "ms"}, ""),
        ("x", {"x": "no unit at all"}, ""),
    ],
)
def test_units(text: str, units: dict[str, str], expected: str) -> None:
    assert unit_of(text, units) == expected


def test_the_unit_is_part_of_the_map(many: FitResult) -> None:
    assert derive(many, "1/tau", {"tau": "ms"}).unit == "1/ms"
    assert derive(many, "1/tau").unit == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [("1/nothing", "no parameter 'nothing'"), ("2*pi", "names no parameter"), ("tau.real", "is not part of")],
)
def test_mistakes(many: FitResult, text: str, said: str) -> None:
    with pytest.raises(FitInputError, match=said):
        derive(many, text)


def test_a_lazy_result_is_computed_first(many: FitResult) -> None:
    da = pytest.importorskip("dask.array")
    with pytest.raises(FitInputError, match=r"call its compute\(\) first"):
        derive(replace(many, status=da.from_array(many.status)), "1/tau")
