"""Objects of osipy's protocol: how they are computed, and what is refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.engine.osipy_api.adapter import ForeignModel, to_model
from napari_imagefit.engine.osipy_api.fitter import TrustRegionFitter
from napari_imagefit.engine.osipy_api.protocol import Calls

T = np.linspace(0, 4, 24)
RNG = np.random.default_rng(5)
TRUE = np.stack([RNG.uniform(50, 200, 40), RNG.uniform(0.5, 2, 40)])
CLEAN = TRUE[0] * np.exp(-T[:, None] / TRUE[1])
NOISY = CLEAN + RNG.normal(0, 1, CLEAN.shape)


class Decay:
    """Mono-exponential, written for any xp, without an analytic Jacobian."""

    parameters = ("S0", "T2*")

    def get_bounds(self) -> dict[str, tuple[float, float]]:
        return {"S0": (0.0, 1e4), "T2*": (0.01, 50.0)}

    def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
        assert xp is np
        assert np.isfinite(observed).all()
        return xp.stack([observed.max(axis=0), xp.ones(observed.shape[1])])

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return params[0] * xp.exp(-xp.asarray(T)[:, None] / params[1])

    def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
        return None


class Analytic(Decay):
    """It must be used: `factor` spoils it."""

    factor = 1.0

    def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
        slopes = xp.stack([predicted / params[0], predicted * xp.asarray(T)[:, None] / params[1] ** 2])
        return self.factor * slopes


class NumPyOnly(Decay):
    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        out = np.empty((T.size, params.shape[1]))
        for i, t in enumerate(T):
            out[i] = params[0] * np.exp(-t / params[1])
        return out


class NumPyAnalytic(NumPyOnly):
    calls = 0

    def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
        type(self).calls += 1
        assert isinstance(params, np.ndarray)
        assert np.isfinite(params).all()
        return np.stack([predicted / params[0], predicted * T[:, None] / params[1] ** 2])


class Single(NumPyOnly):
    """In single precision inside, where a step of 1e-7 vanishes."""

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        p = np.asarray(params, np.float32)
        return p[0] * np.exp(-T.astype(np.float32)[:, None] / p[1])


class Company(Decay):
    """JAX traces it, but a column depends on the others."""

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return super().predict_array_batch(params, xp) * (1 + 0 * params[0].max()) + 1e-3 * (params.shape[1] > 1)


class Kinked(Decay):
    """Automatic differentiation gives NaN at t = 0."""

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return params[0] * xp.exp(-xp.sqrt((xp.asarray(T)[:, None] / params[1]) ** 2))


class Keeper(Decay):
    """Keeps what it is called with."""

    kept: Any = None

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        self.kept = params
        return super().predict_array_batch(params, xp)


class Mixed(Decay):
    """Computes with JAX whatever xp is."""

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return super().predict_array_batch(jnp.asarray(params), jnp)


def as_model(model: Any) -> Any:
    starts = np.stack([CLEAN.max(axis=0), np.ones(40)])
    return to_model(model, Calls(model, T.size), starts)


KINDS = [Decay, Analytic, NumPyOnly, NumPyAnalytic, Single, Company, Kinked, Keeper, Mixed]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_all_are_called_on_the_host(kind: type[Decay]) -> None:
    model = as_model(kind())
    assert isinstance(model, ForeignModel)
    assert model.precision == (np.float32 if kind is Single else np.float64)
    params = TRUE[:, :5]
    values = model.values(params)
    derivatives = model.derivatives(params, values, (0, 1), np.full((2, 5), -np.inf), np.full((2, 5), np.inf))
    assert isinstance(values, np.ndarray)
    assert values.dtype == derivatives.dtype == np.float64
    exact = np.stack([CLEAN[:, :5] / params[0], CLEAN[:, :5] * T[:, None] / params[1] ** 2])
    # differences of three points leave two thirds of the digits; those of `Company` are of values off by 1e-3
    size = np.abs(exact).max(axis=(1, 2), keepdims=True)
    assert (np.abs(derivatives - exact) <= (1e-3 if kind is Single else 1e-8) * size).all()


def test_columns_that_are_no_numbers_never_reach_the_object() -> None:
    class Strict(NumPyAnalytic):
        def predict_array_batch(self, params: Any, xp: Any) -> Any:
            assert np.isfinite(params).all()
            return super().predict_array_batch(params, xp)

    model = as_model(Strict())
    params = TRUE[:, :4].copy()
    params[0, 1], params[1, 3] = np.nan, np.inf
    values = model.values(params)
    slopes = model.slopes(params, values)
    assert np.isnan(values[:, [1, 3]]).all()
    assert np.isnan(slopes[..., [1, 3]]).all()
    np.testing.assert_allclose(values[:, [0, 2]], CLEAN[:, [0, 2]], rtol=1e-14)
    assert np.isfinite(slopes[..., [0, 2]]).all()
    assert np.isnan(model.values(np.full((2, 3), np.nan))).all()


def test_objects_compile_nothing() -> None:
    before = compiled_programs()
    for kind in KINDS:
        TrustRegionFitter().fit_batch(kind(), NOISY)
    assert compiled_programs() == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_all_find_the_same(kind: type[Decay]) -> None:
    expected, r2, converged = TrustRegionFitter().fit_batch(Analytic(), NOISY)
    params, its_r2, its_converged = TrustRegionFitter().fit_batch(kind(), NOISY)
    assert converged.all()
    assert its_converged.all()
    np.testing.assert_allclose(params, expected, rtol=2e-4)
    np.testing.assert_allclose(its_r2, r2, atol=1e-5)


def test_an_analytic_jacobian_is_used() -> None:
    spoilt = Analytic()
    spoilt.factor = 0.0
    params, _, _ = TrustRegionFitter().fit_batch(spoilt, NOISY)
    assert np.isnan(params).all()  # zeros determine nothing
    NumPyAnalytic.calls = 0
    TrustRegionFitter().fit_batch(NumPyAnalytic(), NOISY)
    assert NumPyAnalytic.calls > 3


def test_tracers_are_not_kept() -> None:
    model = Keeper()
    TrustRegionFitter().fit_batch(model, NOISY)
    assert isinstance(model.kept, np.ndarray)
    assert not isinstance(model.kept, jax.core.Tracer)


def test_relative_steps_in_single_precision() -> None:
    """osipy: 2 000 of 2 000 voxels came back with their start."""
    true = np.stack([RNG.uniform(5e3, 2e4, 2000), RNG.uniform(0.5, 2, 2000)])
    data = (true[0] * np.exp(-T[:, None] / true[1])).astype(np.float32)

    class Scaled(Single):
        def get_bounds(self) -> dict[str, tuple[float, float]]:
            return {}

        def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
            return xp.stack([0.5 * observed.max(axis=0), xp.full(observed.shape[1], 0.8)])

    params, r2, converged = TrustRegionFitter().fit_batch(Scaled(), data)
    np.testing.assert_allclose(params, true, rtol=1e-4)
    assert (r2 > 0.9999).all()
    assert converged.mean() > 0.99


def test_gaps_and_lost_starts() -> None:
    data = NOISY.copy()
    data[3:6, 1] = np.nan
    data[0, 2] = np.inf
    data[:, 4] = np.nan
    data[1:, 5] = np.nan  # one sample for two parameters

    class Lost(NumPyOnly):
        def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
            start = super().get_initial_guess_batch(observed, xp)
            start[1, np.isclose(observed[2], NOISY[2, 7])] = np.nan
            start[1, np.isclose(observed[2], NOISY[2, 9])] = np.inf
            return start

        def predict_array_batch(self, params: Any, xp: Any) -> Any:
            assert np.isfinite(params).all()
            return super().predict_array_batch(params, xp)

    for kind in (Decay, Lost):
        params, r2, converged = TrustRegionFitter().fit_batch(kind(), data)
        failed = [4, 5, 7, 9] if kind is Lost else [4, 5]
        good = np.delete(np.arange(40), failed)
        assert np.isnan(params[:, failed]).all()
        assert np.isnan(r2[failed]).all()
        assert not converged[failed].any()
        assert converged[good].all()
        np.testing.assert_allclose(params[:, good], TRUE[:, good], rtol=0.15)


def test_bounds_of_the_object_and_others() -> None:
    for kind in (Decay, NumPyOnly):
        fit = TrustRegionFitter().fit_batch
        params, _, _ = fit(kind(), NOISY, {"T2*": (0.01, 0.8)})
        assert (params[1] <= 0.8).all()
        fixed = np.where(np.arange(40) % 2, 1.25, 0.01)
        params, _, converged = fit(kind(), NOISY, {"T2*": (fixed, np.where(np.arange(40) % 2, 1.25, 50))})
        np.testing.assert_array_equal(params[1, 1::2], 1.25)
        np.testing.assert_allclose(params[1, ::2], TRUE[1, ::2], rtol=0.15)
        assert converged.all()


def test_wrong_objects() -> None:
    fit = TrustRegionFitter().fit_batch

    class Guess(Decay):
        def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
            return xp.ones((3, observed.shape[1]))

    class Prediction(Decay):
        def predict_array_batch(self, params: Any, xp: Any) -> Any:
            return super().predict_array_batch(params, xp).T

    class Jacobian(Analytic):
        def compute_jacobian_batch(self, params: Any, predicted: Any, xp: Any) -> Any:
            return super().compute_jacobian_batch(params, predicted, xp)[:1]

    class Broken(Decay):
        def predict_array_batch(self, params: Any, xp: Any) -> Any:
            raise ZeroDivisionError

    for model, message in (
        (Guess(), r"get_initial_guess_batch of the model returns shape \(3, 40\); let it return \(2, 40\)"),
        (Prediction(), "one row per voxel; let it return its transpose"),
        (Jacobian(), "compute_jacobian_batch of the model returns shape"),
        (models["linear"], r"give linear.bind\(x\)"),
        ("linear", "the model is a str without parameters, get_bounds"),
    ):
        with pytest.raises(FitInputError, match=message):
            fit(model, NOISY)
    with pytest.raises(FitInputError, match="10 observations per voxel, but the model predicts 24"):
        fit(Decay(), NOISY[:10])
    with pytest.raises(ZeroDivisionError):
        fit(Broken(), NOISY)


class Transposed(Decay):
    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return super().predict_array_batch(params, xp).T


def test_a_transposed_prediction_is_said_to_be_one() -> None:
    with pytest.raises(FitInputError, match="one row per voxel; let it return its transpose"):
        TrustRegionFitter().fit_batch(Transposed(), NOISY)
