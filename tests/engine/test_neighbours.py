"""One bad fit never moves another, and neither does the order or the company of fits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.fits import Fits
from napari_imagefit.engine.drive.run import MOST_FITS
from napari_imagefit.engine.models.model import Model, Parameter

M, FITS = 32, 8
T = np.linspace(0, 4, M)
DECAY = Model(
    "decay",
    lambda c, a, k, b: a * jnp.exp(-k * c[0]) + b,
    [Parameter("a"), Parameter("k", lower=0, upper=2), Parameter("b")],
    1,
    lambda _c, d, _w: jnp.ones((3, d.shape[1])),
)
ARRAYS = ("params", "solution", "start", "at_bound")
ROWS = ("covariance", "status", "flags", "cost", "n_used", "n_left_out", "n_iterations", "spread")


def same(one: Fits, other: Fits, places: Any, other_places: Any) -> None:
    """Bit for bit."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name)[:, places], getattr(other, name)[:, other_places], name)
    for name in ROWS:
        np.testing.assert_array_equal(getattr(one, name)[places], getattr(other, name)[other_places], name)


@pytest.fixture
def data() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(1, 3, FITS) * np.exp(-rng.uniform(0.3, 1.8, FITS) * T[:, None]) + rng.normal(0, 0.1, (M, FITS))


BAD = {
    "nan": np.full(M, np.nan),
    "inf": np.full(M, np.inf),
    "zero": np.zeros(M),
    "constant": np.full(M, 7.3),
    "huge": np.full(M, 1e300),
    "alternating": 1e300 * (-1.0) ** np.arange(M),
    "tiny": np.full(M, 1e-300),
    "one sample": np.r_[1.0, np.full(M - 1, np.nan)],
}


@pytest.mark.parametrize("model", [DECAY, models["exponential_decay"]], ids=["decay", "exponential_decay"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_neighbour_changes_nothing(fit: Any, data: np.ndarray, model: Model, kind: str) -> None:
    before = fit(model, (T,), data)
    spoilt = data.copy()
    spoilt[:, 3] = BAD[kind]
    after = fit(model, (T,), spoilt)
    others = np.delete(np.arange(FITS), 3)
    same(before, after, others, others)
    assert (before.status > 0).all()


def test_a_hopeless_start_changes_nothing(fit: Any, data: np.ndarray) -> None:
    start = np.ones(FITS)
    before = fit(DECAY, (T,), data, init={"a": start})
    start[5] = 1e200
    after = fit(DECAY, (T,), data, init={"a": start})
    others = np.delete(np.arange(FITS), 5)
    same(before, after, others, others)


def test_order_does_not_matter(fit: Any, data: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(FITS)
    same(fit(DECAY, (T,), data), fit(DECAY, (T,), data[:, order]), order, np.arange(FITS))


@pytest.mark.parametrize("model", [DECAY, models["exponential_decay"]], ids=["decay", "exponential_decay"])
def test_chunks_do_not_matter(fit: Any, data: np.ndarray, model: Model) -> None:
    # more than one chunk, the last of which is hardly filled
    many = np.tile(data, MOST_FITS // FITS + 1)
    fits, alone = fit(model, (T,), many), fit(model, (T,), data)
    for first in range(0, many.shape[1], FITS):
        same(fits, alone, np.arange(first, first + FITS), np.arange(FITS))
    one = fit(model, (T,), data[:, 2:3])
    same(alone, one, np.array([2]), np.array([0]))


@pytest.mark.parametrize("what", ["bounds", "fixed"])
def test_the_bounds_of_others_do_not_matter(fit: Any, data: np.ndarray, what: str) -> None:
    # of each fit alone, all of them coincide; of all together, some do, or all of them
    lower, upper = np.full(FITS, 0.1), np.full(FITS, 1.9)
    lower[::2] = upper[::2] = 1.0

    def said(part: slice) -> dict[str, Any]:
        return (
            {"fixed": {"k": np.ones(FITS)[part]}} if what == "fixed" else {"bounds": {"k": (lower[part], upper[part])}}
        )

    together = fit(DECAY, (T,), data, **said(slice(None)))
    for k in range(FITS):
        alone = fit(DECAY, (T,), data[:, k : k + 1], **said(slice(k, k + 1)))
        same(together, alone, np.array([k]), np.array([0]))
    even = fit(DECAY, (T,), data[:, ::2], **said(slice(None, None, 2)))
    same(together, even, np.arange(0, FITS, 2), np.arange(FITS // 2))
    assert (together.params[1, ::2] == 1).all()
    assert (together.status > 0).all()


@pytest.mark.parametrize("noise", ["poisson", "huber"])
def test_other_costs_have_no_neighbours_either(fit: Any, data: np.ndarray, noise: str) -> None:
    said = {"noise": "poisson"} if noise == "poisson" else {"loss": "huber", "f_scale": 0.1}
    data = np.abs(data)
    before = fit(models["exponential_decay"], (T,), data, **said)
    spoilt = np.concatenate([data, np.full((M, 1), np.nan), np.full((M, 1), 1e300), data[:, :1]], axis=1)
    after = fit(models["exponential_decay"], (T,), spoilt, **said)
    same(before, after, np.arange(FITS), np.arange(FITS))
    same(before, after, np.array([0]), np.array([FITS + 2]))
