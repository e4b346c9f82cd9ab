"""Cost, gradient and Gauss–Newton matrix against NumPy."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.models.model import Model, Parameter
from napari_imagefit.engine.sums.normal_equations import Kernel, Samples, expand, over_tiles
from napari_imagefit.engine.sums.samples import TILE

pytestmark = pytest.mark.usefixtures("x64")
FREE = (0, 1, 2)
PARAMS = [Parameter(name) for name in ("a", "k", "c")]


def model_values(coords: tuple[jax.Array, ...], a: jax.Array, k: jax.Array, c: jax.Array) -> jax.Array:
    return a * jnp.exp(-k * coords[0]) + c


def slopes(coords: tuple[jax.Array, ...], a: jax.Array, k: jax.Array, c: jax.Array) -> jax.Array:
    decay = jnp.exp(-k * coords[0])
    return jnp.stack([decay, -a * coords[0] * decay, jnp.ones_like(decay) + 0 * c])


MODEL = Model("decay", model_values, PARAMS, 1, lambda _c, d, _w: jnp.ones((3, d.shape[1])))
GIVEN = replace(MODEL, jacobian=slopes)


def by_numpy(
    t: np.ndarray, data: np.ndarray, weights: np.ndarray | None, params: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three sums, fit by fit and without the samples that do not count."""
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
        grams.append(j @ j.T)
    return np.array(costs), np.array(gradients).T, np.moveaxis(grams, 0, -1)


def check(model: Model, samples: Samples, params: np.ndarray, expected: tuple[np.ndarray, ...]) -> None:
    there = jax.jit(lambda s, p: expand(Kernel(model, FREE), s, p))(samples, jnp.asarray(params))
    # sums of the same numbers in another order
    for ours, theirs in zip(jax.tree.leaves(there), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("fits", [1, 6])
@pytest.mark.parametrize("weighting", ["none", "column", "full"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("model", [MODEL, GIVEN], ids=["automatic", "given jacobian"])
def test_sums(fits: int, weighting: str, own: bool, model: Model) -> None:
    rng = np.random.default_rng(fits)
    m = 32
    t = rng.uniform(0, 3, (m, fits) if own else m)
    data = rng.normal(size=(m, fits))
    data[3, 0], data[5, 0], data[7, -1] = np.nan, np.inf, -np.inf
    shape = {"none": None, "column": (m, 1), "full": (m, fits)}[weighting]
    weights = None if shape is None else rng.uniform(0.5, 2, shape)
    if weights is not None:
        weights[10] = 0
    params = rng.uniform(0.5, 2, (3, fits))
    coords = (jnp.asarray(t if own else t[:, None]),)
    samples = Samples(coords, jnp.asarray(data), None if weights is None else jnp.asarray(weights))
    check(model, samples, params, by_numpy(t, data, weights, params))


@pytest.mark.parametrize("fits", [1, 4])
@pytest.mark.parametrize("length", [1, TILE - 1, TILE, TILE + 1, 3 * TILE + 5, 4 * TILE])
def test_tiles_and_padding(fits: int, length: int) -> None:
    rng = np.random.default_rng(length)
    m = 4 * TILE // fits
    length = max(1, length // fits)
    t = rng.uniform(0, 3, m)
    data = rng.normal(size=(m, fits))
    data[length:] = np.nan
    params = rng.uniform(0.5, 2, (3, fits))
    samples = Samples((jnp.asarray(t[:, None]),), jnp.asarray(data), None, jnp.int32(length))
    check(MODEL, samples, params, by_numpy(t[:length], data[:length], None, params))


def test_tiles_add_up_to_one_piece() -> None:
    data = jnp.asarray(np.random.default_rng(0).normal(size=(4 * TILE, 1)))
    samples = Samples((jnp.arange(4.0 * TILE)[:, None],), data)
    total = over_tiles(lambda s: jnp.sum(s.data * s.coords[0], axis=0), samples)
    # 32 768 terms of both signs that almost cancel
    np.testing.assert_allclose(total, jnp.sum(data * samples.coords[0], axis=0), rtol=1e-10)


def test_a_model_that_is_not_finite_on_unused_samples_does_no_harm() -> None:
    pole = Model("pole", lambda c, a: a / c[0], [Parameter("a")], 1, lambda _c, d, _w: jnp.ones((1, d.shape[1])))
    t = jnp.asarray([0.0, 1.0, 2.0, 4.0])[:, None]
    data = jnp.asarray([np.nan, 2.0, 1.0, 0.5])[:, None]
    there = expand(Kernel(pole, (0,)), Samples((t,), data), jnp.full((1, 1), 2.0))
    assert [float(np.ravel(a)[0]) for a in jax.tree.leaves(there)] == pytest.approx([0, 0, 1 + 0.25 + 0.0625])


def test_only_the_free_parameters_are_differentiated() -> None:
    rng = np.random.default_rng(0)
    t, data, params = rng.uniform(0, 3, 32), rng.normal(size=(32, 5)), rng.uniform(0.5, 2, (3, 5))
    samples = Samples((jnp.asarray(t[:, None]),), jnp.asarray(data))
    everything = by_numpy(t, data, None, params)
    for model in (MODEL, GIVEN):
        there = expand(Kernel(model, (2, 0)), samples, jnp.asarray(params))
        np.testing.assert_allclose(there.gradient, everything[1][[2, 0]], rtol=1e-11)
        np.testing.assert_allclose(there.gram.matrix, everything[2][np.ix_([2, 0], [2, 0])], rtol=1e-11)
