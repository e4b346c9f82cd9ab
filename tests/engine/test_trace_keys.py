"""Keys of functions of users: equal for equal computations only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.tracing.trace import trace

from .traced_functions import MIXING, PARAMS, SAMPLEWISE, TABLE, Function, M, X, captured, traced

factor = 1.0


def key(f: Function, x: Any = X, n: int = 2, dtype: str = "float64") -> Any:
    return traced(f, x, n, dtype).key


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
