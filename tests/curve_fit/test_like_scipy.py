"""Input at the edge of what SciPy's `curve_fit` takes: the same kinds of answers and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from scipy.optimize import OptimizeWarning

import napari_imagefit as nif

T = np.linspace(0, 4, 30)


def decay(t: Any, a: Any, b: Any, c: Any) -> Any:
    return a * np.exp(-b * t) + c


Y: NDArray[np.float64] = decay(T, 3.0, 1.3, 0.5) + 0.01 * np.sin(9 * T)
TOO_FEW: list[dict[str, Any]] = [{"bounds": (0, 9)}, {"method": "trf"}, {"method": "dogbox"}]


@pytest.mark.parametrize("how", TOO_FEW)
def test_fewer_points_than_parameters_leave_the_covariance_infinite(how: dict[str, Any]) -> None:
    for of in (optimize.curve_fit, nif.curve_fit):
        with pytest.warns(OptimizeWarning, match="Covariance of the parameters could not be estimated"):
            popt, pcov = of(decay, T[:2], Y[:2], **how)
        # the curve goes through both points
        np.testing.assert_allclose(decay(T[:2], *popt), Y[:2], atol=1e-6)
        assert np.isposinf(pcov).all()


def test_fvec_of_few_points_is_of_those_points() -> None:
    sigma = np.array([0.5, 0.25])
    with pytest.warns(OptimizeWarning):
        popt, _, info, *_ = nif.curve_fit(decay, T[:2], Y[:2], sigma=sigma, bounds=(0, 0.9), full_output=True)
    np.testing.assert_allclose(info["fvec"], (decay(T[:2], *popt) - Y[:2]) / sigma, rtol=1e-9)


WRONG: list[tuple[type[Exception], dict[str, Any]]] = [
    (TypeError, {"bounds": 3}),
    (TypeError, {"bounds": None}),
    (TypeError, {"jac": "foo"}),
    (TypeError, {"jac": lambda *_: np.zeros((3, 3))}),
    (TypeError, {"f_scale": "a", "method": "trf", "loss": "huber"}),
    (TypeError, {"ftol": "a", "method": "trf"}),
    (TypeError, {"loss": "huber", "method": "lm"}),
    (ValueError, {"ftol": None, "xtol": None, "gtol": None, "method": "trf"}),
    (ValueError, {"p0": [[1.0, 1.0, 1.0]], "method": "trf"}),
]


@pytest.mark.parametrize(("error", "how"), WRONG)
def test_errors_are_of_scipys_types(error: type[Exception], how: dict[str, Any]) -> None:
    for of in (optimize.curve_fit, nif.curve_fit):
        with pytest.raises(error):
            of(decay, T, Y, **how)


@pytest.mark.parametrize("p0", [None, [1.0]])
def test_what_cannot_be_called_is_a_type_error(p0: Any) -> None:
    with pytest.raises(TypeError, match="f=3 cannot be called"):
        nif.curve_fit(3, T, Y, p0)  # type: ignore[arg-type]


def test_starts_in_rows_and_a_test_taken_out() -> None:
    popt, _ = nif.curve_fit(decay, T, Y)
    np.testing.assert_array_equal(nif.curve_fit(decay, T, Y, p0=[[1.0, 1.0, 1.0]])[0], popt)
    np.testing.assert_allclose(nif.curve_fit(decay, T, Y, ftol=-1, method="trf")[0], popt, rtol=1e-6)


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (-5, 5)])
def test_data_of_zeros_determine_no_rate(bounds: Any) -> None:
    """The amplitude is 0: nothing is said of how fast it falls, and nothing but that is warned of."""
    with pytest.warns(OptimizeWarning) as record:
        popt, pcov = nif.curve_fit(decay, T, 0 * T, bounds=bounds)
    assert [w.category for w in record] == [OptimizeWarning]
    assert np.isposinf(pcov).all()
    np.testing.assert_allclose(decay(T, *popt), 0, atol=1e-9)


def test_masked_samples_may_be_anything() -> None:
    mask = np.arange(T.size) != 5
    expected = nif.curve_fit(decay, T[mask], Y[mask])
    y, x = np.where(mask, Y, np.nan), np.where(mask, T, np.nan)
    for found in (
        nif.curve_fit(decay, T, y, data_mask=mask),
        nif.curve_fit(decay, x, y, data_mask=mask),
        nif.curve_fit(decay, T, y, data_mask=mask, nan_policy="raise"),
        nif.curve_fit(decay, T, y, data_mask=mask, sigma=np.where(mask, 0.1, np.nan)),
    ):
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-4)
    with pytest.raises(ValueError, match="infs or NaNs"):
        nif.curve_fit(decay, T, y, data_mask=np.arange(T.size) != 6)
