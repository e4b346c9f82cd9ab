"""What a user's own model may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import Model, Parameter, Status

M, FITS = 32, 8
T = np.linspace(0, 4, M)
DATA = (2 * np.exp(-0.7 * T))[:, None] * np.arange(1.0, FITS + 1)


def make(guess: Callable[..., Any], function: Callable[..., Any] | None = None) -> Model:
    return Model(
        "decay", function or (lambda c, a, k: a * jnp.exp(-k * c[0])), [Parameter("a"), Parameter("k")], 1, guess
    )


def test_two_closures_that_differ_in_a_constant_are_two_models(fit: Any) -> None:
    def times(constant: float) -> Model:
        return make(lambda _c, d, _w: jnp.ones((2, d.shape[1])), lambda c, a, k: constant * a * jnp.exp(-k * c[0]))

    for constant in (2.0, 3.0):
        # exact data: the minimum is sharp
        np.testing.assert_allclose(fit(times(constant), (T,), DATA).params[0] * constant, DATA[0], rtol=1e-7)


def loops(_c: Any, d: Any, w: Any) -> Any:
    return np.stack([np.array([d[:, i][w[:, i] > 0].max() for i in range(d.shape[1])]), np.ones(d.shape[1])])


def writes(_c: Any, d: Any, w: Any) -> Any:
    d = d.copy()
    d[w == 0] = 0
    starts = np.empty((2, d.shape[1]))
    starts[0], starts[1] = d.max(axis=0), 1
    return starts


def asks(_c: Any, d: Any, _w: Any) -> Any:
    return np.ones((2, d.shape[1])) if float(d.max()) > 0 else -np.ones((2, d.shape[1]))


def numpy_functions(_c: Any, d: Any, _w: Any) -> Any:
    return np.stack([np.nanmax(np.asarray(d), axis=0), np.full(d.shape[1], 1.0)])


def one_column(_c: Any, d: Any, _w: Any) -> Any:
    return np.array([[np.asarray(d).max()], [1.0]])


@pytest.mark.parametrize("guess", [loops, writes, asks, numpy_functions, one_column])
@pytest.mark.parametrize("times", [1, 40], ids=["few", "a compiled batch"])
def test_a_guess_may_be_written_in_plain_numpy(fit: Any, guess: Callable[..., Any], times: int) -> None:
    data = np.tile(DATA, times)
    fits = fit(make(guess), (T,), data)
    assert (fits.status > 0).all()
    np.testing.assert_allclose(fits.params, [data[0], np.full(FITS * times, 0.7)], rtol=1e-7)


@pytest.mark.parametrize("library", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize("times", [1, 40], ids=["few", "a compiled batch"])
def test_a_guess_that_knows_nothing_of_some_fits(fit: Any, times: int, library: Any) -> None:
    def guess(_c: Any, d: Any, _w: Any) -> Any:
        top = library.asarray(d).max(axis=0)
        return library.stack([library.where(top < 5, library.nan, top), library.ones(top.shape)])

    data = np.tile(DATA, times)
    fits = fit(make(guess), (T,), data)
    unknown = data[0] < 5
    assert (fits.status[unknown] == Status.NON_FINITE_MODEL).all()
    assert np.isnan(fits.params[:, unknown]).all()
    assert (fits.status[~unknown] > 0).all()
    given = fit(make(guess), (T,), data, init={"a": 1.0})
    assert (given.status > 0).all()


def test_a_guess_outside_the_bounds_is_moved_inside(fit: Any) -> None:
    wild = make(lambda _c, d, _w: jnp.full((2, d.shape[1]), -1e6))
    fits = fit(wild, (T,), DATA, bounds={"a": (0, 100), "k": (0.1, 2)})
    assert (fits.start >= np.array([[0], [0.1]])).all()
    assert (fits.status > 0).all()
    np.testing.assert_allclose(fits.params[1], 0.7, rtol=1e-6)


@pytest.mark.slow
def test_a_given_jacobian_gives_the_same_fit(fit: Any) -> None:
    def jacobian(c: Any, a: Any, k: Any) -> Any:
        decay = jnp.exp(-k * c[0])
        return jnp.stack([decay, -a * c[0] * decay])

    rng = np.random.default_rng(0)
    noisy = DATA + rng.normal(0, 0.1, DATA.shape)
    own = Model(
        "own", lambda c, a, k: a * jnp.exp(-k * c[0]), [Parameter("a"), Parameter("k")], 1,
        lambda _c, d, _w: jnp.ones((2, d.shape[1])), jacobian=jacobian,
    )  # fmt: skip
    automatic = make(lambda _c, d, _w: jnp.ones((2, d.shape[1])))
    one, other = fit(own, (T,), noisy), fit(automatic, (T,), noisy)
    np.testing.assert_array_equal(one.n_iterations, other.n_iterations)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-10)


def test_own_coordinates_for_every_fit(fit: Any) -> None:
    model = make(lambda _c, d, _w: jnp.ones((2, d.shape[1])))
    factor = np.linspace(1, 2, FITS)
    fits = fit(model, (T[:, None] * factor,), DATA)
    np.testing.assert_allclose(fits.params[1], 0.7 / factor, rtol=1e-7)
