"""Noise of any size, samples without weight, data that do not vary, tables: an answer, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import napari_imagefit as nif

X = np.linspace(0, 4, 50)
Y = 3 * np.exp(-X) + 0.05 * np.random.default_rng(0).normal(size=50)
libraries = pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])


def decay(library: Any) -> Callable[..., Any]:
    return lambda x, a, b: a * library.exp(-b * x)


def decay_to_level(library: Any) -> Callable[..., Any]:
    return lambda x, a, b, c: a * library.exp(-b * x) + c


# warnings are errors: none may be raised on the way
@libraries
@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e200, 1e308])
@pytest.mark.parametrize("kind", ["number", "vector"])
def test_noise_of_any_size(library: Any, size: float, kind: str) -> None:
    sigma: Any = size if kind == "number" else np.full(50, size)
    usual = nif.curve_fit(decay(library), X, Y, p0=[1, 2], full_output=True)
    popt, pcov, info, _, ier = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=sigma, full_output=True)
    np.testing.assert_allclose(popt, usual[0], rtol=1e-7)
    # relative: the size of the noise does not matter
    np.testing.assert_allclose(pcov, usual[1], rtol=1e-6)
    assert (info["nfev"], ier) == (usual[2]["nfev"], usual[4])


@libraries
@pytest.mark.parametrize("size", [1e-200, 1e-140, 1e140, 1e150])
def test_data_of_any_size(library: Any, size: float) -> None:
    usual = nif.curve_fit(decay(library), X, Y, p0=[1, 2])
    popt, pcov = nif.curve_fit(decay(library), X, Y * size, p0=[size, 2])
    np.testing.assert_allclose(popt / [size, 1], usual[0], rtol=1e-6)
    np.testing.assert_allclose(pcov[1, 1], usual[1][1, 1], rtol=1e-5)
    absolute = nif.curve_fit(decay(library), X, Y * size, p0=[size, 2], sigma=0.1 * size, absolute_sigma=True)[1]
    expected = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=0.1, absolute_sigma=True)[1]
    np.testing.assert_allclose(absolute[1, 1], expected[1, 1], rtol=1e-5)


@libraries
def test_absolute_errors_beyond_all_numbers(library: Any) -> None:
    popt, pcov = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=1e100, absolute_sigma=True)
    expected = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=1.0, absolute_sigma=True)
    np.testing.assert_allclose(popt, expected[0], rtol=1e-7)
    np.testing.assert_allclose(pcov / 1e200, expected[1], rtol=1e-6)
    with pytest.warns(optimize.OptimizeWarning, match="could not be estimated"):
        popt, pcov = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=1e200, absolute_sigma=True)
    np.testing.assert_allclose(popt, expected[0], rtol=1e-7)
    assert np.isinf(np.diag(pcov)).all()


def test_a_small_covariance_and_a_robust_loss() -> None:
    spread = 1e-310 * (np.eye(50) + 0.3)
    usual = nif.curve_fit(decay(np), X, Y, p0=[1, 2], sigma=np.eye(50) + 0.3)
    popt, pcov = nif.curve_fit(decay(np), X, Y, p0=[1, 2], sigma=spread)
    # numbers so small have fewer digits
    np.testing.assert_allclose(popt, usual[0], rtol=1e-6)
    np.testing.assert_allclose(pcov, usual[1], rtol=1e-6)
    usual = nif.curve_fit(decay(np), X, Y, p0=[1, 2], loss="huber", f_scale=0.05)
    popt, pcov = nif.curve_fit(decay(np), X, Y * 1e-180, p0=[1e-180, 2], loss="huber", f_scale=5e-182)
    np.testing.assert_allclose(popt * [1e180, 1], usual[0], rtol=1e-6)
    np.testing.assert_allclose(pcov[1, 1], usual[1][1, 1], rtol=1e-5)


@libraries
def test_samples_of_infinite_noise_do_not_count(library: Any) -> None:
    sigma = np.full(50, 0.1)
    sigma[::3] = np.inf
    y = np.where(np.isinf(sigma), 1e3, Y)
    popt, pcov = nif.curve_fit(decay(library), X, y, p0=[1, 2], sigma=sigma)
    some = np.isfinite(sigma)
    expected = nif.curve_fit(decay(library), X[some], Y[some], p0=[1, 2], sigma=sigma[some])
    np.testing.assert_allclose(popt, expected[0], rtol=1e-7)
    # by the reduced χ² of as many samples
    np.testing.assert_allclose(pcov, expected[1], rtol=1e-6)


def test_too_few_samples_with_noise_that_is_known() -> None:
    """A method with bounds takes fewer samples than parameters; those of infinite noise are none."""
    with pytest.warns(optimize.OptimizeWarning, match="could not be estimated"):
        popt, _ = nif.curve_fit(decay(np), X[:4], Y[:4], p0=[1, 2], sigma=[0.1, *[np.inf] * 3], bounds=(0, 10))
    assert decay(np)(X[0], *popt) == pytest.approx(Y[0])
    for sigma in (np.inf, np.full(50, np.inf)):
        with pytest.raises(ValueError, match="leaves no sample"):
            nif.curve_fit(decay(np), X, Y, sigma=sigma)


def test_a_covariance_of_one_point() -> None:
    def line(x: Any, a: Any) -> Any:
        return a * x

    popt, pcov = nif.curve_fit(line, [2.0], [3.0], sigma=[[4.0]], absolute_sigma=True)
    assert popt == pytest.approx([1.5])
    # σ is 2, as in a matrix of more
    assert pcov == pytest.approx(np.array([[1.0]]))
    assert nif.curve_fit(line, [2.0], [3.0], sigma=[4.0], absolute_sigma=True)[1] == pytest.approx(np.array([[4.0]]))
    with pytest.raises(ValueError, match="incorrect shape"):
        nif.curve_fit(line, [2.0, 3.0], [3.0, 4.0], sigma=[[4.0]])


@libraries
@pytest.mark.parametrize("level", [0.0, 0.1, 5.0, -7.3])
def test_data_that_do_not_vary(library: Any, level: float) -> None:
    """A line knows all of itself; of a decay of no height nobody knows the rate, nor that it is known exactly."""
    y = np.full(50, level)
    for degree in range(3):
        popt, pcov = nif.curve_fit(lambda x, *p: library.polyval(library.stack(p), x), X, y, p0=np.ones(degree + 1))
        np.testing.assert_allclose(popt[:-1], 0, atol=1e-13)
        np.testing.assert_allclose(popt[-1], level, rtol=1e-13, atol=1e-100)
        assert (np.abs(pcov) <= 1e-26).all()
    with pytest.warns(optimize.OptimizeWarning, match="could not be estimated"):
        popt, pcov = nif.curve_fit(decay_to_level(library), X, y)
    np.testing.assert_allclose(popt[2], level, rtol=1e-12, atol=1e-100)
    assert np.isinf(pcov).all()


@libraries
def test_exact_data_that_vary_have_errors(library: Any) -> None:
    y = decay_to_level(np)(X, 2.5, 1.3, 0.5)
    popt, pcov = nif.curve_fit(decay_to_level(library), X, y)
    np.testing.assert_allclose(popt, [2.5, 1.3, 0.5], rtol=1e-8)
    assert (np.sqrt(np.diag(pcov)) < 1e-8).all()


@libraries
def test_columns_of_a_table(library: Any) -> None:
    table = pd.DataFrame({"t": X, "y": Y, "s": np.full(50, 0.1)}, index=np.arange(50) + 7)
    expected = nif.curve_fit(decay(library), X, Y, p0=[1, 2], sigma=table.s.to_numpy())
    for x in (table.t, table.t.astype("Float64"), pd.Index(table.t)):
        found = nif.curve_fit(decay(library), x, table.y, p0=[1, 2], sigma=table.s)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-8)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def test_a_column_is_passed_as_it_is_to_a_function_that_takes_it() -> None:
    column = pd.Series(X, index=np.arange(50) + 7)

    def of_column(x: Any, a: Any, b: Any) -> Any:
        # tables have a standard deviation of their own: over n − 1
        return a * (x - x.mean()) / x.std() + b

    popt, _ = nif.curve_fit(of_column, column, 2 * X)
    np.testing.assert_allclose(popt, [2 * X.std(ddof=1), 2 * X.mean()], rtol=1e-9)


@libraries
def test_missing_values_of_a_table(library: Any) -> None:
    table = pd.DataFrame({"t": X, "y": Y})
    table.loc[3, "t"] = table.loc[9, "y"] = np.nan
    whole = table.dropna().to_numpy().T
    found = nif.curve_fit(decay(library), table.t, table.y, p0=[1, 2], nan_policy="omit")
    np.testing.assert_allclose(found[0], nif.curve_fit(decay(library), *whole, p0=[1, 2])[0], rtol=1e-8)
    with pytest.raises(ValueError, match="nan"):
        nif.curve_fit(decay(library), table.t, table.y, nan_policy="raise")
