"""Cost, gradient and Gauss–Newton matrix against NumPy: the sums that are compiled, and those that evaluators make."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Criterion, Options
from napari_imagefit.engine.drive.evaluators import (
    FITS_PER_CALL,
    MANY,
    BlockEvaluator,
    RowEvaluator,
    TileEvaluator,
    evaluator_of,
    free_sums,
)
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.functions.parameter import Parameter
from napari_imagefit.engine.linalg.normal_matrix import Dense
from napari_imagefit.engine.models.model import Model
from napari_imagefit.engine.models.numpy_model import NumpyModel
from napari_imagefit.engine.noise.samples import TILE, Samples, bucket
from napari_imagefit.engine.sums.normal_equations import NormalSums, normal_sums

pytestmark = pytest.mark.usefixtures("x64", "quiet")
OPTIONS = Options()
PARAMS = [Parameter(name) for name in ("a", "k", "c")]
# cost, gradient, and the lower triangle of JᵀJ row by row
Expected = tuple[np.ndarray, np.ndarray, np.ndarray]


def model_values(coords: tuple[jax.Array, ...], a: jax.Array, k: jax.Array, c: jax.Array) -> jax.Array:
    return a * jnp.exp(-k * coords[0]) + c


def slopes(coords: tuple[jax.Array, ...], a: jax.Array, k: jax.Array, c: jax.Array) -> jax.Array:
    decay = jnp.exp(-k * coords[0])
    return jnp.stack([decay, -a * coords[0] * decay, jnp.ones_like(decay) + 0 * c])


MODEL = Model("decay", model_values, PARAMS, 1, lambda _c, d, _w: jnp.ones((3, d.shape[1])))
GIVEN = replace(MODEL, jacobian=slopes)


def by_numpy(t: np.ndarray, data: np.ndarray, weights: np.ndarray | None, params: np.ndarray) -> Expected:
    """The three sums, fit by fit and without the samples that do not count; all arrays ``(m, B)``."""
    costs, gradients, grams = [], [], []
    for i in range(data.shape[1]):
        a, k, c = params[:, i]
        own = t if t.ndim == 1 else t[:, i]
        w = np.ones(len(data)) if weights is None else np.broadcast_to(weights, data.shape)[:, i]
        used = np.isfinite(data[:, i]) & (w > 0)
        decay = np.exp(-k * own)
        r = (w * (a * decay + c - data[:, i]))[used]
        j = (w * np.stack([decay, -a * own * decay, np.ones_like(own)]))[:, used]
        costs.append(0.5 * r @ r)
        gradients.append(j @ r)
        grams.append((j @ j.T)[np.tril_indices(3)])
    return np.array(costs), np.array(gradients).T, np.array(grams).T


def flat(expected: Expected) -> np.ndarray:
    return np.concatenate([expected[0][None], *expected[1:]])


def check(model: Model, samples: Samples, params: np.ndarray, expected: Expected) -> None:
    """Through the programs that fits use, which may add up in any order, and as written."""
    rows = tuple(params)
    # sums of the same numbers in another order
    near = {"rtol": 1e-11, "atol": 1e-12}
    for stacked in (True, False):
        program = NormalSums(model, OPTIONS, stacked=stacked).program(samples, rows)
        np.testing.assert_allclose(np.stack(program(samples, rows)), flat(expected), **near)
    plain = jax.jit(lambda s, p: normal_sums(model, Criterion(), s, p))
    np.testing.assert_allclose(np.stack(plain(samples, rows)), flat(expected), **near)


@pytest.mark.parametrize("fits", [1, 6])
@pytest.mark.parametrize("weighting", ["none", "common", "full"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("model", [MODEL, GIVEN], ids=["automatic", "given jacobian"])
def test_sums(fits: int, weighting: str, own: bool, model: Model) -> None:
    rng = np.random.default_rng(fits)
    m = 32
    t = rng.uniform(0, 3, (m, fits) if own else m)
    data = rng.normal(size=(m, fits))
    data[3, 0], data[5, 0], data[7, -1] = np.nan, np.inf, -np.inf
    shape = {"none": None, "common": (m, 1), "full": (m, fits)}[weighting]
    weights = None if shape is None else rng.uniform(0.5, 2, shape)
    if weights is not None:
        weights[10] = 0
    params = rng.uniform(0.5, 2, (3, fits))
    coords = (t.T.copy() if own else t[None],)
    samples = Samples(coords, data.T.copy(), None if weights is None else weights.T.copy())
    check(model, samples, params, by_numpy(t, data, weights, params))


@pytest.mark.parametrize("fits", [1, 4])
@pytest.mark.parametrize("length", [1, 500, 4095, 4096, 4097, TILE - 1, TILE])
def test_padding(length: int, fits: int) -> None:
    rng = np.random.default_rng(length)
    m = bucket(length)
    t, data = rng.uniform(0, 3, m), rng.normal(size=(m, fits))
    data[length:] = np.nan
    params = rng.uniform(0.5, 2, (3, fits))
    check(MODEL, Samples((t[None],), data.T.copy()), params, by_numpy(t[:length], data[:length], None, params))


def test_narrow_samples_are_widened() -> None:
    """Samples are kept in the narrowest type that holds them; what is computed of them is in double precision."""
    rng = np.random.default_rng(0)
    t, data = np.arange(5000), rng.integers(0, 60000, (5000, 1))
    weights = rng.integers(1, 5, (5000, 1))
    params = np.array([[40000.0], [1e-3], [100.0]])
    narrow = Samples((t[None].astype(np.uint16),), data.T.astype(np.float32), weights.T.astype(np.float32))
    check(MODEL, narrow, params, by_numpy(t.astype(float), data.astype(float), weights.astype(float), params))


@pytest.mark.parametrize("name", ["gaussian_2d", "gaussian_2d_elliptic"])
@pytest.mark.parametrize("weighted", [False, True])
def test_on_an_open_grid(name: str, weighted: bool) -> None:
    """Exponentials along each axis give the sums that those of each pixel give."""
    rng, plane, model = np.random.default_rng(0), (7, 9), models[name]
    assert model.open_grids
    coords = tuple(c.reshape(1, -1) for c in np.indices(plane, float))
    data = rng.normal(20, 5, (5, 63))
    data[1, 4], data[2] = np.nan, np.nan
    weights = rng.uniform(0, 2, data.shape) * (rng.random(data.shape) > 0.1) if weighted else None
    samples = Samples(coords, data, weights)
    params = tuple(np.full(5, p) for p in (30.0, 3.2, 4.1, *(1.4, 1.9)[: len(model.names) - 4], 6.0))
    params[1][3], params[3][4] = -40.0, 1e-3  # far outside, and far too narrow
    pixel_by_pixel, along_axes = (
        np.stack(jax.jit(lambda s, p, plane=plane: normal_sums(model, Criterion(), s, p, plane))(samples, params))
        for plane in (None, plane)
    )
    np.testing.assert_allclose(along_axes, pixel_by_pixel, rtol=1e-12, atol=1e-12)


def test_a_model_that_is_not_finite_on_unused_samples_does_no_harm() -> None:
    pole = Model("pole", lambda c, a: a / c[0], [Parameter("a")], 1, lambda _c, d, _w: jnp.ones((1, d.shape[1])))
    samples = Samples((np.array([[0.0, 1.0, 2.0, 4.0]]),), np.array([[np.nan, 2.0, 1.0, 0.5]]))
    for given in (samples, Samples(samples.coords, np.zeros((1, 4)), np.array([[0.0, 0.0, 0.0, 1.0]]))):
        params = (np.array([2.0]),)
        found = NormalSums(pole, OPTIONS, stacked=True).program(given, params)(given, params)
        expected = [0, 0, 1 + 0.25 + 0.0625] if given is samples else [0.125, 0.125, 0.0625]
        assert np.ravel(found).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("free", [(2, 0), (0, 2), (1,), (0, 1, 2)])
def test_the_sums_of_the_free_parameters_are_picked_out(free: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    t, data, params = rng.uniform(0, 3, 32), rng.normal(size=(32, 5)), rng.uniform(0.5, 2, (3, 5))
    cost, gradient, triangle = by_numpy(t, data, None, params)
    whole = np.empty((3, 3, 5))
    for k, (i, j) in enumerate(zip(*np.tril_indices(3), strict=True)):
        whole[i, j] = whole[j, i] = triangle[k]
    chosen = flat((cost, gradient, triangle))[free_sums(3, free)]
    n = len(free)
    np.testing.assert_array_equal(chosen[0], cost)
    np.testing.assert_array_equal(chosen[1 : n + 1], gradient[list(free)])
    np.testing.assert_array_equal(Dense.of(tuple(chosen[n + 1 :]), n).full(), whole[np.ix_(free, free)])


def on_host(model: Model, t: np.ndarray) -> NumpyModel:
    def values(params: np.ndarray) -> np.ndarray:
        return np.asarray(params[0] * np.exp(-params[1] * t[:, None]) + params[2])

    return NumpyModel(model.name, model.function, model.parameters, 1, model.guess, values=values)


@pytest.mark.parametrize("kind", ["block", "one", "many", "long", "tiles", "host", "one on the host", "whole"])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_every_evaluator_makes(kind: str, weighted: bool) -> None:
    """Sums of the free parameters, of all fits and of some of them, and sums over the residuals."""
    fits = {"block": FITS_PER_CALL + 3, "many": MANY + 1, "host": 5}.get(kind, 1)
    m = {"long": 3000, "tiles": TILE + 1234}.get(kind, 30)
    rng = np.random.default_rng(fits)
    t, data = rng.uniform(0, 3, m), rng.normal(size=(m, fits))
    data[4, 0], data[7, -1] = np.nan, np.inf
    weights = rng.uniform(0.5, 2, (m, fits)) if weighted else None
    model = on_host(MODEL, t) if "host" in kind else MODEL
    whole = "host" in kind or kind == "whole"
    problem = Problem.build(model, (t,), data, weights=weights, fixed={"k": 0.7}, options=OPTIONS, whole=whole)
    problem = replace(problem, requested=fits)
    evaluator = evaluator_of(problem, slice(0, fits))
    wanted = TileEvaluator if kind == "tiles" else RowEvaluator if whole else BlockEvaluator
    assert type(evaluator) is wanted
    with computing(OPTIONS):
        for future in evaluator.prepare():
            future.result()
    params = rng.uniform(0.5, 2, (3, fits))
    params[1] = 0.7
    cost, gradient, triangle = by_numpy(t, data, weights, params)
    expected = np.stack([cost, gradient[0], gradient[2], triangle[0], triangle[3], triangle[5]])
    # differences on the host know 10 digits
    near = {"rtol": 1e-9, "atol": 1e-7} if "host" in kind else {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(evaluator.sums(params), expected, **near)
    np.testing.assert_allclose(evaluator.plain(params), expected, **near)
    if fits > 1:
        some = np.array([3, 0, fits - 1])
        np.testing.assert_allclose(evaluator.sums(params[:, some], some), expected[:, some], **near)
    found = evaluator.residuals(params)
    np.testing.assert_allclose(found.chi2, 2 * cost, rtol=1e-11)
    np.testing.assert_allclose(found.squares, 2 * cost, rtol=1e-11)
    assert evaluator.level.n_used.tolist() == np.isfinite(data).sum(axis=0).tolist()
