"""Functions of users as jaxprs: values, derivatives, and samples kept apart only where proved."""

# ruff: noqa: ARG005 - every function takes the same arguments

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.tracing.trace import trace

from .traced_functions import MIXING, PARAMS, SAMPLEWISE, SAMPLEWISE_OF_TWO, X2, Function, M, X, traced, unpacked

CASES = [*((f, X) for f in SAMPLEWISE.values()), *((f, X2) for f in SAMPLEWISE_OF_TWO.values())]
NAMES = [*SAMPLEWISE, *SAMPLEWISE_OF_TWO]


@pytest.mark.parametrize(("f", "x"), CASES, ids=NAMES)
def test_samples_kept_apart_are_proved_to_be(f: Function, x: np.ndarray) -> None:
    assert traced(f, x).samplewise
    padded = np.concatenate([x, np.repeat(x[..., -1:], 9, axis=-1)], axis=-1)
    other = traced(f, padded)
    assert other.samplewise
    with jax.enable_x64(True):
        plain = traced(f, x).evaluate(x, PARAMS)
        np.testing.assert_allclose(other.evaluate(padded, PARAMS)[:M], plain, rtol=1e-14, atol=1e-14)
        # whatever stands in the other samples
        padded[..., M:] = np.nan
        np.testing.assert_allclose(other.evaluate(padded, PARAMS)[:M], plain, rtol=1e-14, atol=1e-14)


# for a custom vjp JAX has no forward derivatives
@pytest.mark.parametrize(("f", "x"), [c for c in CASES if c[0] is not SAMPLEWISE["custom vjp"]])
def test_values_and_derivatives(f: Function, x: np.ndarray) -> None:
    found = traced(f, x)
    assert found.out_shape == (M,)
    with jax.enable_x64(True):
        args, along = (jnp.asarray(1.3), jnp.asarray(0.7)), (jnp.asarray(1.0), jnp.asarray(-2.0))
        expected = f(jnp.asarray(x), *args)
        values = jax.jit(found.evaluate)(x, args)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-14)
        if expected.dtype != np.float64:
            return
        slopes = jax.jvp(lambda *p: found.evaluate(x, p), args, along)[1]
        np.testing.assert_allclose(slopes, jax.jvp(lambda *p: f(jnp.asarray(x), *p), args, along)[1], rtol=1e-12)
        many = jax.vmap(lambda *p: found.evaluate(x, p))(*(jnp.stack([p, p + 0.1]) for p in args))
        np.testing.assert_allclose(many[0], expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("f", MIXING.values(), ids=MIXING)
def test_samples_that_are_mixed(f: Function) -> None:
    # every number of samples is a special one to somebody
    for x in (X, X[:-1], X[:1], X[:2], X[:3]):
        found = trace(f, x, 2, "float64")
        assert found is None or not found.samplewise


@pytest.mark.parametrize("x", [X[:1], X[:2], X[:3]], ids=len)
def test_few_samples(x: np.ndarray) -> None:
    assert traced(SAMPLEWISE["decay"], x).samplewise
    assert traced(SAMPLEWISE["where"], x).samplewise
    assert traced(unpacked, np.stack([x, x])).samplewise


@pytest.mark.parametrize("x", [X2, X2[:, :2], X2[:, :3]], ids=np.shape)
def test_samples_mixed_along_the_last_axis(x: np.ndarray) -> None:
    for f in (
        lambda x, a, b: a * x[0] + b * x[1].sum(),
        lambda x, a, b: a * x[0] + b * x[1, ::-1],
        lambda x, a, b: (a * x[0] + b * x[1]) / x.size,
        lambda x, a, b: (a * x + b)[:, 0],
        lambda x, a, b: x.sum(axis=1) * a + b,
        lambda x, a, b: x.reshape(-1, 2).sum(axis=1) * a + b,
        lambda x, a, b: x.T.reshape(x.shape)[0] * a + b,
        lambda x, a, b: x * a + b,
    ):
        assert not traced(f, x).samplewise


@pytest.mark.parametrize(
    "f",
    [
        lambda x, a, b: a * np.exp(x) + b,
        lambda x, a, b: float(a) * x + b,
        lambda x, a, b: a * x if a > 0 else b * x,
        lambda x, a: a * x,
        lambda x, a, b: {}["missing"],
        lambda x, a, b: x.no_such_thing,
        lambda x, a, b: [a, b][5],
        lambda x, a, b: a * x + b * np.arange(M + 1),
        lambda x, a, b: (a * x, b),
        lambda x, a, b: [a * x + b],
        lambda x, a, b: None,
        lambda x, a, b: a * x + 1j * b,
        lambda x, a, b: jax.random.key(0),
        lambda x, a, b: np.array([a, b], object),
        lambda x, a, b: jax.debug.print("{}", a) or a * x,
        lambda x, a, b: 1 / 0,
    ],
)
def test_what_cannot_be_traced(f: Function) -> None:
    assert trace(f, X, 2, "float64") is None


@pytest.mark.parametrize("x", [1j * X, X.astype(object), X.astype(str)])
def test_xdata_that_is_no_number(x: np.ndarray) -> None:
    assert trace(lambda x, a, b: a * x + b, x, 2, "float64") is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision(dtype: str) -> None:
    with jax.enable_x64(dtype != "float64"):
        before = jax.config.jax_enable_x64
        for f in (lambda x, a: a * x * np.float64(2), lambda x, a: x > a, lambda x, a: (a * x).astype(int)):
            found = traced(f, np.arange(4), 1, dtype)
            assert jax.config.jax_enable_x64 == before
            with jax.enable_x64(dtype == "float64"):
                values = found.evaluate(np.arange(4), (2,))
            assert values.dtype == dtype
        assert trace(lambda x, a: np.exp(a), X, 1, dtype) is None
        assert jax.config.jax_enable_x64 == before


class Scan:
    times = np.arange(5.0)


@pytest.mark.parametrize("x", [None, Scan(), (1, 2), "name"], ids=lambda x: type(x).__name__)
def test_xdata_that_is_no_array(x: Any) -> None:
    seen = []

    def f(given: Any, a: Any, b: Any) -> Any:
        seen.append(given)
        return a * jnp.exp(-Scan.times / b)

    found = traced(f, x)
    assert len(seen) == 1
    assert seen[0] is x
    assert not found.samplewise
    assert found.out_shape == (5,)
    with jax.enable_x64(True):
        np.testing.assert_allclose(found.evaluate(None, PARAMS), 1.3 * np.exp(-Scan.times / 0.7), rtol=1e-14)


def test_how_often_it_is_called() -> None:
    calls: list[Any] = []

    def f(x: Any, a: Any, b: Any) -> Any:
        calls.append(x.shape)
        return a * x + b

    assert traced(f).samplewise
    assert calls == [(M,), (2 * M + 1,)]
    calls.clear()
    assert not traced(lambda *args: f(*args)[:3]).samplewise
    assert not traced(f, X2).samplewise
    assert not traced(f, X[:0]).samplewise
    assert not traced(f, np.array(1.0)).samplewise
    assert len(calls) == 4


def test_other_outputs() -> None:
    assert traced(lambda x, a, b: a + b).out_shape == ()
    assert traced(lambda x, a, b: 2.5).out_shape == ()
    assert traced(lambda x, a, b: a * x[:, None]).out_shape == (M, 1)
    found = traced(lambda x, a, b: np.arange(3))
    with jax.enable_x64(True):
        values = found.evaluate(X, PARAMS)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [0, 1, 2])
