"""What is compiled, padded and masked: many lengths, changing constants, masks, limits, large data."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import napari_imagefit as nif
from napari_imagefit.engine.core.programs import compiled_programs

TIGHT = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
# minima are flat within the root of the rounding of the cost
FLAT = 2e-8
RATE = 1.5


def decay(x: Any, a: Any, b: Any) -> Any:
    return a * jnp.exp(-b * x)


def samples(length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 2, length)
    return x, 3 * np.exp(-1.5 * x) + 0.05 * np.random.default_rng(seed).normal(size=length)


def scipy_fit(x: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    def slopes(x: Any, a: Any, b: Any) -> Any:
        return np.stack([np.exp(-b * x), -a * x * np.exp(-b * x)], axis=1)

    return optimize.curve_fit(
        lambda x, a, b: a * np.exp(-b * x), x, y, method="trf", jac=slopes, x_scale="jac", **options, **TIGHT
    )


def assert_same(ours: Any, theirs: Any, rtol: float = FLAT) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=rtol)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=10 * rtol, atol=1e-13)


def test_a_hundred_lengths_share_a_few_programs() -> None:
    fitter = nif.CurveFit(flength=128)
    before = compiled_programs()
    for length in range(20, 120):
        x, y = samples(length, length)
        ours = fitter.curve_fit(decay, x, y, **TIGHT)
        if length % 7 == 0:
            assert_same(ours, scipy_fit(x, y))
    # begin, advance, answer and the like, each once
    assert compiled_programs() - before <= 4


def derivatives(x: Any, a: Any, b: Any) -> Any:
    return jnp.stack([jnp.exp(-b * x), -a * x * jnp.exp(-b * x)], axis=1)


def test_a_hundred_lengths_with_a_jacobian_share_a_few_programs() -> None:
    calls = 0

    def given(x: Any, a: Any, b: Any) -> Any:
        nonlocal calls
        calls += 1
        return derivatives(x, a, b)

    fitter = nif.CurveFit(flength=128)
    before = compiled_programs()
    for length in range(20, 120):
        x, y = samples(length, length)
        ours = fitter.curve_fit(decay, x, y, jac=given, **TIGHT)
        if length % 7 == 0:
            assert_same(ours, scipy_fit(x, y))
        if length == 20:
            once = calls
    assert compiled_programs() - before <= 4
    assert calls == once


def test_a_jacobian_is_used() -> None:
    fitter = nif.CurveFit(flength=128)

    def wrong(x: Any, a: Any, b: Any) -> Any:
        return 2 * derivatives(x, a, b)

    x, y = samples(50)
    right, wrongly = (fitter.curve_fit(decay, x, y, jac=jac)[1] for jac in (derivatives, wrong))
    np.testing.assert_allclose(wrongly, right / 4, rtol=1e-5)


def test_a_jacobian_that_mixes_samples_is_not_padded() -> None:
    """Its rows depend on how many samples there are."""

    def f(x: Any, a: Any, b: Any) -> Any:
        return a * x + b

    def slopes(x: Any, *_: Any) -> Any:
        return jnp.stack([x, jnp.ones_like(x) * (x.shape[0] / 20)], axis=1)

    x, y = samples(20)
    right = nif.curve_fit(f, x, y)
    np.testing.assert_allclose(nif.curve_fit(f, x, y, jac=slopes)[0], right[0], rtol=1e-6)


def test_lengths_of_the_plain_function_share_powers_of_two() -> None:
    before = compiled_programs()
    for length in range(10, 250, 8):
        x, y = samples(length, length)
        ours = nif.curve_fit(decay, x, y, **TIGHT)
        if length % 5 == 0:
            assert_same(ours, scipy_fit(x, y))
    # 16, 32, 64, 128, 256
    assert compiled_programs() - before <= 5 * 4


def test_equal_functions_share_programs() -> None:
    def make() -> Any:
        return lambda x, a, b: a * jnp.exp(-b * x) + 0.125

    x, y = samples(40)
    first = nif.curve_fit(make(), x, y)
    before = compiled_programs()
    second = nif.curve_fit(make(), x, y)
    assert compiled_programs() == before
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
@pytest.mark.parametrize("flength", [None, 64])
def test_closures_that_differ_in_a_constant(library: Any, flength: int | None) -> None:
    def make(rate: float) -> Any:
        return lambda x, a: a * library.exp(-rate * x)

    fitter = nif.CurveFit(flength)
    x = np.linspace(0, 2, 30)
    for rate, amplitude in ((0.5, 2.0), (1.5, 3.0), (0.5, 4.0)):
        popt, _ = fitter.curve_fit(make(rate), x, amplitude * np.exp(-rate * x))
        assert popt[0] == pytest.approx(amplitude, rel=1e-9)


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_a_global_that_changes_between_calls(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any, a: Any) -> Any:
        return a * library.exp(-RATE * x)

    x = np.linspace(0, 2, 30)
    for rate in (1.5, 0.7, 1.5):
        monkeypatch.setitem(globals(), "RATE", rate)
        popt, _ = nif.curve_fit(f, x, 3 * np.exp(-rate * x))
        assert popt[0] == pytest.approx(3, rel=1e-9)


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_an_array_that_is_written_to_between_calls(library: Any) -> None:
    rates = np.full(30, 1.5)

    def f(x: Any, a: Any) -> Any:
        return a * library.exp(-rates * x)

    x = np.linspace(0, 2, 30)
    for rate in (1.5, 0.7):
        rates[:] = rate
        popt, _ = nif.curve_fit(f, x, 3 * np.exp(-rate * x))
        assert popt[0] == pytest.approx(3, rel=1e-9)


WHOLE = {
    "maximum": lambda x, a, b: a * x / x.max() + b * x**2,
    "length": lambda x, a, b: a * x * x.size / 50 + b,
    "cumsum, numpy": lambda x, a, b: a * np.cumsum(x) / 30 + b,
    "cumsum, jax": lambda x, a, b: a * jnp.cumsum(x) / 30 + b,
    "reversed": lambda x, a, b: a * x[::-1] + b,
    "first sample": lambda x, a, b: a * (x - x[0]) + b * x,
    "gradient": lambda x, a, b: a * jnp.gradient(x**3) + b * x,
    "normalised": lambda x, a, b: a * jnp.exp(-b * x) / jnp.sum(jnp.exp(-b * x)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_functions_that_are_not_sample_wise(name: str) -> None:
    f = WHOLE[name]
    x = np.linspace(0.5, 2.5, 37)
    y = np.asarray(f(x, 2.0, 0.7)) + 0.01 * np.random.default_rng(3).normal(size=37)
    theirs = optimize.curve_fit(
        lambda x, a, b: np.asarray(f(x, a, b), float), x, y, method="trf", jac="3-point", x_scale="jac", **TIGHT
    ) if "jax" not in name and name not in ("gradient", "normalised") else None  # fmt: skip
    plain = nif.curve_fit(f, x, y, **TIGHT)
    padded = nif.CurveFit(flength=64).curve_fit(f, x, y, **TIGHT)
    assert_same(padded, plain)
    np.testing.assert_allclose(plain[0], [2, 0.7], rtol=0.1)
    if theirs is not None:
        assert_same(plain, theirs)


def masked(seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples of which the masked ones would spoil any fit."""
    x, y = samples(45, seed)
    keep = np.random.default_rng(seed).random(45) > 0.3
    y[~keep] = 50
    return x, y, keep


@pytest.mark.parametrize("flength", [None, 64])
@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
@pytest.mark.parametrize("junk", ["numbers", "NaN in y", "NaN in x and y"])
def test_data_mask(library: Any, flength: int | None, junk: str) -> None:
    x, y, keep = masked()
    if junk != "numbers":
        y[~keep] = np.nan
    if junk == "NaN in x and y":
        x[~keep] = np.nan
    ours = nif.CurveFit(flength).curve_fit(
        lambda x, a, b: a * library.exp(-b * x), x, y, data_mask=keep, check_finite=False, **TIGHT
    )
    assert_same(ours, scipy_fit(x[keep], y[keep]))


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
@pytest.mark.parametrize("absolute", [False, True])
def test_data_mask_with_sigma(library: Any, absolute: bool) -> None:
    x, y, keep = masked()
    matrix = 0.01 * np.exp(-np.abs(np.subtract.outer(x, x)) / 0.3)
    vector = np.linspace(0.05, 0.2, 45)
    for sigma, kept in ((vector, vector[keep]), (matrix, matrix[np.ix_(keep, keep)])):
        ours = nif.curve_fit(
            lambda x, a, b: a * library.exp(-b * x), x, y, sigma=sigma, absolute_sigma=absolute, data_mask=keep, **TIGHT
        )
        assert_same(ours, scipy_fit(x[keep], y[keep], sigma=kept, absolute_sigma=absolute))


@pytest.mark.parametrize("flength", [None, 64])
@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_data_mask_of_a_function_that_is_not_sample_wise(library: Any, flength: int | None) -> None:
    # f still sees all of x; the mask only says which residuals count
    x, _, keep = masked()
    design = np.stack([np.cumsum(x) / 30, np.ones(45)], axis=1)
    y = design @ [2, 0.7] + 0.01 * np.random.default_rng(5).normal(size=45)
    best = np.linalg.lstsq(design[keep], y[keep])[0]
    y[~keep] = 50
    popt, _ = nif.CurveFit(flength).curve_fit(lambda x, a, b: a * library.cumsum(x) / 30 + b, x, y, data_mask=keep)
    np.testing.assert_allclose(popt, best, rtol=1e-9)  # differences good to 1e-10


@pytest.mark.parametrize("f", [decay, lambda x, a, b: a * np.exp(-b * x)], ids=["jax", "numpy"])
def test_the_limit_keeps_the_result(f: Any) -> None:
    x, y = samples(30)
    costs = []
    for limit in (2, 3, 30):
        if limit < 30:
            with pytest.warns(optimize.OptimizeWarning, match="maximum number of function evaluations"):
                _, _, info, message, ier = nif.curve_fit(f, x, y, max_nfev=limit, full_output=True)
            assert ier == 0
            assert "maximum number" in message
        else:
            _, _, info, _, ier = nif.curve_fit(f, x, y, max_nfev=limit, full_output=True)
            assert ier > 0
        assert info["nfev"] <= limit
        costs.append(np.sum(info["fvec"] ** 2))
    assert np.sum((np.exp(-x) - y) ** 2) > costs[0] > costs[1] > costs[2]


def test_the_result_is_a_tuple() -> None:
    x, y = samples(30)
    result = nif.curve_fit(decay, x, y)
    popt, pcov = result
    assert result[0] is popt
    assert result[1] is pcov
    assert len(result) == 2
    assert isinstance(popt, np.ndarray)
    assert isinstance(pcov, np.ndarray)
    assert popt.dtype == pcov.dtype == np.float64


@pytest.mark.parametrize("fitter", [nif.CurveFit(), nif.CurveFit(flength=32_000)], ids=["plain", "flength"])
def test_large_data(fitter: Any) -> None:
    # tiles of 8192, of which the last is not full
    x, y = samples(30_000)
    ours = fitter.curve_fit(decay, x, y, **TIGHT)
    assert_same(ours, scipy_fit(x, y))
    keep = np.random.default_rng(6).random(30_000) > 0.2
    y[~keep] = np.nan
    assert_same(fitter.curve_fit(decay, x, y, data_mask=keep, check_finite=False, **TIGHT), scipy_fit(x[keep], y[keep]))


def test_data_longer_than_flength() -> None:
    x, y = samples(300)
    assert_same(nif.CurveFit(flength=64).curve_fit(decay, x, y, **TIGHT), scipy_fit(x, y))
