"""Functions of users as jaxprs: equal keys for equal computations only, and samples kept apart only where proved."""

# ruff: noqa: ARG005 - every function takes the same arguments

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf, gammaln, i0

from napari_imagefit.engine.tracing.trace import Traced, trace

Function = Callable[..., Any]
M = 12
X = np.linspace(-1.9, 3.1, M)
X2 = np.stack([X, np.cos(X)])
PARAMS = (1.3, 0.7)
TABLE = np.array([0.0, 1.0, 3.0])
factor = 1.0


def traced(f: Function, x: Any = X, n: int = 2, dtype: str = "float64") -> Traced:
    found = trace(f, x, n, dtype)
    assert found is not None
    return found


def key(f: Function, x: Any = X, n: int = 2, dtype: str = "float64") -> Any:
    return traced(f, x, n, dtype).key


@jax.custom_jvp
def cubed(x: Any) -> Any:
    return x**3


@cubed.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return cubed(primals[0]), 3 * primals[0] ** 2 * tangents[0]


@jax.custom_vjp
def quartic(x: Any) -> Any:
    return x**4


quartic.defvjp(lambda x: (x**4, x), lambda x, ct: (4 * x**3 * ct,))


def looped(x: Any, a: Any, b: Any) -> Any:
    return jax.lax.fori_loop(0, 4, lambda _, y: y * a + x, b * x)


def unpacked(x: Any, a: Any, b: Any) -> Any:
    x1, x2 = x
    return a * x1 + b * x2


def two_peaks(x: Any, a: Any, b: Any) -> Any:
    centres = jnp.stack([a, b])
    return jnp.exp(-((x[None, :] - centres[:, None]) ** 2)).sum(axis=0)


def complex_lorentzian(x: Any, a: Any, b: Any) -> Any:
    return (a / (b + 1j * x)).real


# samples kept apart, and proved to be
SAMPLEWISE: dict[str, Function] = {
    "decay": lambda x, a, b: a * jnp.exp(-x / b) + 0.5,
    "operators": lambda x, a, b: (a * x**2 - x) / (1 + abs(x)) ** b,
    "step": lambda x, a, b: (x > a) * b + (x <= 0) * x,
    "where": lambda x, a, b: jnp.where(x > a, jnp.sin(x), b),
    "polyval": lambda x, a, b: jnp.polyval(jnp.array([a, b, 2.0]), x),
    "hypot": lambda x, a, b: jnp.hypot(x - a, b),
    "erf": lambda x, a, b: a * jnp.exp(-(x**2)) * (1 + erf(b * x)),
    "sigmoid": lambda x, a, b: jax.nn.sigmoid(a * x) + jax.nn.softplus(x - b) + jax.nn.relu(x),
    "sinc": lambda x, a, b: a * jnp.sinc(x * b) ** 2,
    "clip": lambda x, a, b: jnp.clip(x, 0, a) + jnp.maximum(x, b) + jnp.minimum(x, 1) + jnp.round(x) + jnp.mod(x, a),
    "special": lambda x, a, b: gammaln(3 + x) * a + i0(x) + jnp.arctan2(x, b) + jnp.cbrt(x) + jnp.log1p(x * x),
    "constant": lambda x, a, b: jnp.full_like(x, a) + b * jnp.ones(x.shape),
    "reshaped": lambda x, a, b: (a * x[:, None] + b).reshape(-1) + x.reshape(1, -1)[0] + x[:, jnp.newaxis].T.ravel(),
    "two peaks": two_peaks,
    "custom jvp": lambda x, a, b: a * cubed(x) + b,
    "custom vjp": lambda x, a, b: a * quartic(x) + b,
    "jit": jax.jit(lambda x, a, b: a * x + b),
    "remat": jax.checkpoint(lambda x, a, b: a * jnp.sin(x) + b),
    "vmap": lambda x, a, b: jax.vmap(lambda t: a * t + jnp.sin(b * t))(x),
    "loop": looped,
    "cond": lambda x, a, b: jax.lax.cond(a > 1, lambda t: t * b, lambda t: t + b, x),
    "piecewise": lambda x, a, b: jnp.piecewise(x, [x < 0, x > 1], [lambda t: t * a, lambda t: t + b, 0.0]),
    "complex": complex_lorentzian,
    "integer": lambda x, a, b: (x > a).astype(int) + jnp.sign(x).astype(jnp.int32) * (b > 0),
    "captured scalars": lambda x, a, b: a * x + b * np.float64(3) + TABLE.sum() + np.array(2.0),
    "reduced table": lambda x, a, b: a * x + (b * TABLE).sum(),
}
SAMPLEWISE_OF_TWO: dict[str, Function] = {
    "indexed": lambda x, a, b: a * x[0] + b * x[-1],
    "unpacked": unpacked,
    "sum over coordinates": lambda x, a, b: a * jnp.sum(x**2, axis=0) + b * x.max(axis=0),
    "transposed": lambda x, a, b: (x.T * jnp.stack([a, b])).sum(axis=-1),
    "joined": lambda x, a, b: jnp.concatenate([x * a, x * b]).prod(axis=0) + jnp.cumsum(x, axis=0)[1],
    "norm": lambda x, a, b: a * jnp.sqrt(x[0] ** 2 + x[1] ** 2) + b,
}
CASES = [*((f, X) for f in SAMPLEWISE.values()), *((f, X2) for f in SAMPLEWISE_OF_TWO.values())]
NAMES = [*SAMPLEWISE, *SAMPLEWISE_OF_TWO]
captured = np.linspace(0, 1, M)
counter = itertools.count()

MIXING: dict[str, Function] = {
    "sum": lambda x, a, b: a * x + b * x.sum(),
    "mean": lambda x, a, b: a * (x - x.mean()) + b,
    "max": lambda x, a, b: a * x / x.max() + b,
    "cumsum": lambda x, a, b: a * jnp.cumsum(x) + b,
    "reversed": lambda x, a, b: a * x[::-1] + b,
    "sorted": lambda x, a, b: a * jnp.sort(x) + b,
    "first": lambda x, a, b: a * (x - x[0]) + b,
    "last": lambda x, a, b: a * (x - x[-1]) + b,
    "rolled": lambda x, a, b: a * jnp.roll(x, 1) + b,
    "convolved": lambda x, a, b: jnp.convolve(x, jnp.stack([a, b]), mode="same"),
    "captured samples": lambda x, a, b: a * x + b * captured,
    "captured samples by position": lambda x, a, b: a * x + b * jnp.asarray(np.arange(100.0))[: x.size],
    "only captured samples": lambda x, a, b: a * captured + b,
    "a fixed number": lambda x, a, b: jnp.linspace(a, b, M),
    "a fixed number of constants": lambda x, a, b: a * jnp.ones(M) + b,
    "size": lambda x, a, b: a * x / x.size + b,
    "half the size": lambda x, a, b: a * x / (x.size // 2) + b,
    "parity": lambda x, a, b: a * x * (x.shape[0] % 2) + b,
    "size of zeros": lambda x, a, b: a * x + b * jnp.ones_like(x).sum(),
    "size in jit": lambda x, a, b: a * x + b * jax.jit(lambda: jnp.ones(x.shape).sum())(),
    "diff": lambda x, a, b: a * jnp.diff(x, append=x[-1:]) + b,
    "gradient": lambda x, a, b: a * jnp.gradient(x) + b,
    "table from x": lambda x, a, b: jnp.interp(jnp.linspace(0, 1, x.size), x, a * x + b),
    "x in x": lambda x, a, b: jnp.interp(a * x, x, x) + b,
    "position": lambda x, a, b: a * x + b * jnp.arange(x.size),
    "numpy position": lambda x, a, b: a * x + b * np.arange(x.size),
    "linspace": lambda x, a, b: a * x + b * jnp.linspace(0, 1, x.size),
    "outer": lambda x, a, b: jnp.exp(-((x[:, None] - x[None, :]) ** 2)).sum(axis=0) * a + b,
    "matrix": lambda x, a, b: jnp.eye(x.size) @ x * a + b,
    "scan over samples": lambda x, a, b: jax.lax.scan(lambda c, t: (c + t, c * a + b), 0.0, x)[1],
    "loop until the sum": lambda x, a, b: jax.lax.while_loop(lambda y: y.sum() < a, lambda y: y + 1, x * b),
    "cond on the sum": lambda x, a, b: jax.lax.cond(x.sum() > a, lambda t: t * b, lambda t: t, x),
    "polynomial in x": lambda x, a, b: jnp.polyval(x, a) * x + b,
    "dynamic start": lambda x, a, b: a * x + b * jax.lax.dynamic_slice(x, (0,), (1,)),
    "softmax": lambda x, a, b: jax.nn.softmax(a * x) + b,
    "random": lambda x, a, b: a * x + b * jax.random.normal(jax.random.key(0), x.shape),
    "scattered": lambda x, a, b: x.at[0].set(a) + b,
    "at odds with itself": lambda x, a, b: a * x + b + next(counter),
}


@jax.custom_jvp
def slope_of_all(x: Any) -> Any:
    return x * 2


slope_of_all.defjvp(lambda p, t: (slope_of_all(p[0]), t[0] * p[0].sum()))
MIXING["derivative"] = lambda x, a, b: slope_of_all(a * x) + b


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


def test_keys_tell_constants_apart() -> None:
    def scaled(by: Any) -> Function:
        return lambda x, a, b: a * x * by + b

    table = np.linspace(0, 1, M)
    other = table.copy()
    other[5] = np.nextafter(other[5], 2)
    values = [
        2.0, 3.0, 1.0, np.nextafter(1.0, 2), 0.0, -0.0, np.nan, True, 1, np.float32(2), np.float64(0.1),
        np.float32(0.1), np.array(0.1), table, other, table.astype("f4"), jnp.asarray(table), table[:1], 1j * 1j,
    ]  # fmt: skip
    usable = [v for v in values if not isinstance(v, complex)]
    for one in usable:
        assert key(scaled(one)) == key(scaled(one))
        assert hash(key(scaled(one))) == hash(key(scaled(one)))
    # Python's 2.0 and NumPy's take part in promotion in different ways; that these meet is allowed, no more
    exact = [2.0, 3.0, 1.0, np.nextafter(1.0, 2), 0.0, -0.0, np.nan, table, other, table.astype("f4"), table[:1]]
    assert len({key(scaled(v)) for v in exact}) == len(exact)
    assert key(scaled(np.float32(0.1))) != key(scaled(np.float64(0.1)))
    assert key(scaled(np.full(M, 0.1, "f4"))) != key(scaled(np.full(M, 0.1)))
    assert trace(scaled(1j), X, 2, "float64") is None


def test_keys_tell_globals_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any, a: Any, b: Any) -> Any:
        return a * x * factor + b

    before = key(f)
    assert key(f) == before
    monkeypatch.setitem(globals(), "factor", 2.0)
    assert key(f) != before
    monkeypatch.setitem(globals(), "factor", 1.0)
    assert key(f) == before


def test_keys_tell_computations_apart() -> None:
    functions: list[Function] = [
        lambda x, a, b: a * x + b,
        lambda x, a, b: b * x + a,
        lambda x, a, b: x * a + b,
        lambda x, a, b: a * x - b,
        lambda x, a, b: a * x**2 + b,
        lambda x, a, b: a * x**3 + b,
        lambda x, a, b: jnp.where(x > a, x, b),
        lambda x, a, b: jnp.where(x >= a, x, b),
        lambda x, a, b: jnp.where(x > a, b, x),
        lambda x, a, b: jax.lax.cond(a > b, lambda: x, lambda: 2 * x),
        lambda x, a, b: jax.lax.cond(a > b, lambda: x, lambda: 3 * x),
        lambda x, a, b: jax.lax.fori_loop(0, 3, lambda _, y: y * a, x) + b,
        lambda x, a, b: jax.lax.fori_loop(0, 4, lambda _, y: y * a, x) + b,
        lambda x, a, b: jnp.interp(x, TABLE, TABLE) * a + b,
        lambda x, a, b: jnp.interp(x, TABLE, 2 * TABLE) * a + b,
        *SAMPLEWISE.values(),
    ]
    keys = {key(f) for f in functions}
    # "jit", "operators" and the like are all different
    assert len(keys) == len(functions)
    assert not keys & {key(f, X[:-1]) for f in functions}
    assert not keys & {key(f, dtype="float32") for f in functions}


REUSED = {name: f for name, f in SAMPLEWISE.items() if name != "custom vjp"} | {
    "interp": lambda x, a, b: jnp.interp(x, TABLE, TABLE**2) * a + b,
    "random": MIXING["random"],
}


@pytest.mark.parametrize("f", REUSED.values(), ids=REUSED)
def test_keys_are_equal_for_new_functions_with_the_same_code(f: Function) -> None:
    jax.clear_caches()
    before = key(f)
    jax.clear_caches()
    assert key(lambda *args: f(*args)) == before


def test_key_of_a_custom_derivative() -> None:
    def twice(slope: float, opaque: bool = False) -> Function:
        f = jax.custom_jvp(lambda t: 2 * t)
        f.defjvp(lambda p, t: (2 * p[0], slope * t[0]), symbolic_zeros=opaque)
        return lambda x, a, b: f(a * x) + b

    assert key(twice(2.0)) == key(twice(2.0))
    # the values are the same
    assert key(twice(2.0)) != key(twice(2.5))
    # what cannot be known is equal to itself only
    assert key(twice(2.0, True)) != key(twice(2.0, True))


def test_key_of_opaque_functions() -> None:
    def host(power: int) -> Function:
        def f(x: Any, a: Any, b: Any) -> Any:
            return a * b * jax.pure_callback(lambda t: t**power, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

        return f

    assert key(host(2)) != key(host(3))
    assert key(host(2)) != key(host(2))
    assert not traced(host(2)).samplewise
    backwards: list[Function] = [lambda x, ct: (4 * x**3 * ct,), lambda x, ct: (5 * x**3 * ct,)]
    quartics = [jax.custom_vjp(lambda t: t**4) for _ in backwards]
    for f, backward in zip(quartics, backwards, strict=True):
        f.defvjp(lambda t: (t**4, t), backward)
    assert len({key(lambda x, a, b, f=f: a * f(x) + b) for f in quartics}) == 2


def test_captured_arrays_may_change_later() -> None:
    table, factor = captured.copy(), captured.copy()
    inner = jax.jit(lambda t: t * factor)

    def f(x: Any, a: Any, b: Any) -> Any:
        return inner(a * x) + b * table

    before = traced(f)
    expected = 1.3 * X * captured + 0.7 * captured
    table[:], factor[:] = 0, 3
    with jax.enable_x64(True):
        np.testing.assert_allclose(before.evaluate(X, PARAMS), expected)
    assert key(f) != before.key


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
