"""Sums in any order: as exact as those that are computed as written, which a model may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import Model, Parameter, models
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.models.prediction import linearise
from napari_imagefit.engine.models.ties import Ties
from napari_imagefit.engine.noise.samples import Samples
from napari_imagefit.engine.sums.normal_equations import NormalSums


def sums_of(model: Model, samples: Samples, params: tuple[np.ndarray, ...], dtype: Any = "float64") -> np.ndarray:
    options = Options(dtype=dtype)
    with computing(options):
        return np.asarray(NormalSums(model, options, stacked=True).program(samples, params)(samples, params), float)


REASSOCIATED = {
    "exponential_decay": (2.0, 1.3, 0.4),
    "biexponential_decay": (2.0, 0.4, 3.0, 2.1, 0.3),
    "gaussian_1d": (3.0, 2.2, 0.7, 1.0),
    "stretched_exponential": (2.0, 1.3, 0.8, 0.4),
    "linear": (0.4, 2.0),
}


@pytest.mark.parametrize("name", REASSOCIATED)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_in_any_order_are_those_as_written(name: str, dtype: str) -> None:
    """To a few units in the last place of the terms that are added up."""
    model, eps = models[name], float(np.finfo(dtype).eps)
    exact = replace(model, reassociate=False)
    rng = np.random.default_rng(0)
    t = rng.uniform(0.1, 5, (6, 500)).astype(dtype)
    values = [np.full(6, v, dtype) * rng.uniform(0.9, 1.1, 6).astype(dtype) for v in REASSOCIATED[name]]
    assert len(values) == len(model.names)
    data = (2 + rng.normal(size=t.shape)).astype(dtype)
    data[:, 7::50], data[2, 11], data[3, 400] = np.nan, np.inf, -np.inf
    samples = Samples((t,), data)
    loose, written = (sums_of(one, samples, tuple(values), dtype) for one in (model, exact))
    # what is summed up, in double precision
    value, slopes = linearise(model, (t.T.astype(float),), np.array(values, float))
    used = np.isfinite(data.T)
    residual, rest = np.where(used, value - data.T, 0), np.where(used, np.abs(value) + np.abs(data.T), 0)
    size = np.where(used, np.abs(slopes), 0)
    expected = [0.5 * np.sum(residual**2, axis=0), *np.sum(np.where(used, slopes, 0) * residual, axis=1)]
    terms = [np.sum(np.abs(residual) * rest, axis=0), *np.sum(size * rest, axis=1)]
    for i in range(len(slopes)):
        for j in range(i + 1):
            expected.append(np.sum(np.where(used, slopes[i] * slopes[j], 0), axis=0))
            terms.append(np.sum(size[i] * size[j], axis=0))
    # one after the other, 500 terms may round by the root of their number; values and slopes by some units themselves
    assert (np.abs(loose - np.array(expected)) <= 16 * eps * np.array(terms)).all()
    assert (np.abs(written - np.array(expected)) <= 32 * eps * np.array(terms)).all()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_that_are_no_numbers_stay_out(bad: float, dtype: str) -> None:
    """Whatever the compiler may assume: the sums with zeros of no weight in their places."""
    model = models["gaussian_1d"]
    rng = np.random.default_rng(1)
    for m in (3, 16, 33, 500):
        t = rng.uniform(0, 5, (4, m)).astype(dtype)
        data = rng.normal(size=t.shape).astype(dtype)
        gone = rng.random(t.shape) < 0.3
        params = tuple(np.full(4, v, dtype) for v in (2.0, 2.5, 0.8, 0.1))
        weights = np.where(gone, 0, 1).astype(dtype)
        spoilt = sums_of(model, Samples((t,), np.where(gone, bad, data).astype(dtype)), params, dtype)
        assert np.isfinite(spoilt).all()
        unweighted = sums_of(model, Samples((t,), np.where(gone, 0, data), weights), params, dtype)
        np.testing.assert_allclose(spoilt, unweighted, rtol=1e-5 if dtype == "float32" else 1e-13)
        everything = sums_of(model, Samples((t,), np.full_like(data, bad)), params, dtype)
        np.testing.assert_array_equal(everything, 0)
        # a model that is not finite where there is no sample
        weights[:, 0], t[:, 0] = 0, 1e30
        assert np.isfinite(sums_of(model, Samples((t,), data, weights), params, dtype)).all()


LARGE = 2.0**33


def parted(reassociate: bool) -> Model:
    """A formula whose rounding is meant: of the coordinate to a multiple of 2⁻²⁰."""
    return Model(
        "rounded",
        lambda c, a: a * ((c[0] + LARGE) - LARGE),
        [Parameter("a")],
        1,
        lambda _c, d, _w: jnp.ones((1, d.shape[1])),
        reassociate=reassociate,
    )


def parted_by_a_parameter(reassociate: bool) -> Model:
    return Model(
        "rounded by",
        lambda c, a, large: a * ((c[0] + large) - large),
        [Parameter("a"), Parameter("large")],
        1,
        lambda _c, d, _w: jnp.ones((2, d.shape[1])),
        reassociate=reassociate,
    )


@pytest.mark.parametrize("constant", [True, False], ids=["a constant", "a parameter"])
def test_a_model_may_ask_to_be_evaluated_as_written(constant: bool) -> None:
    t = np.random.default_rng(0).uniform(0, 5, (1, 100))
    # of which a product with 2 is exact
    params = (np.array([2.0]),) if constant else (np.array([2.0]), np.array([LARGE]))
    rounded = 2 * ((t + LARGE) - LARGE)
    assert not np.array_equal(rounded, 2 * t)
    samples = Samples((t,), rounded)
    make = parted if constant else parted_by_a_parameter
    found = sums_of(make(False), samples, params)
    np.testing.assert_array_equal(found[: 1 + len(params)], 0)
    np.testing.assert_allclose(found[1 + len(params)], np.sum(rounded**2) / 4, rtol=1e-14)
    values = make(False).bind(t[0]).predict(np.array(params))
    np.testing.assert_array_equal(values[:, 0], rounded[0])
    # with leave to reorder it may be another function
    if constant:
        assert sums_of(make(True), samples, params)[0] > 0


def test_what_is_made_of_such_a_model_is_evaluated_as_written_too() -> None:
    exact, usual = parted(False), parted(True)
    line = Model.from_expression("b*t", ["t"])
    assert not (exact + line).reassociate
    assert not (line + exact).reassociate
    assert (usual + line).reassociate
    assert not Ties.of(exact + line, {"b": "2*a"}).model.reassociate
    assert Ties.of(usual + line, {"b": "2*a"}).model.reassociate
