"""What a function can see, and how often `CurveFit` traces it: hardly ever, but whenever something has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.scipy_api.closure_state import seen_state

calls = 0
factor = 2.0
numbers = [2.0]
array = np.array([2.0])


def helper(x: Any) -> Any:
    return factor * x


def by_helper(x: Any, a: Any) -> Any:
    global calls
    calls += 1
    return a * helper(jnp.exp(-x))


def by_list(x: Any, a: Any) -> Any:
    return a * numbers[0] * jnp.exp(-x)


def by_array(x: Any, a: Any) -> Any:
    return a * array[0] * jnp.exp(-x)


def by_default(x: Any, a: Any, scale: Any = (2.0,)) -> Any:
    return a * scale[0] * jnp.exp(-x)


class Owner:
    shared = 1.0

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def model(self, x: Any, a: Any) -> Any:
        return a * self.scale * self.shared * jnp.exp(-x)


def test_a_hundred_lengths_call_the_function_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that only tracing moves is no change."""
    monkeypatch.setitem(globals(), "calls", 0)
    fitter = nif.CurveFit(128)
    for length in range(10, 110):
        x = np.linspace(0, 2, length)
        popt, _ = fitter.curve_fit(by_helper, x, 6 * np.exp(-x))
        assert popt[0] == pytest.approx(3)
    assert 1 <= calls <= 4


def level(fitter: nif.CurveFit, f: Callable[..., Any], **how: Any) -> float:
    x = np.linspace(0, 2, 20)
    return float(fitter.curve_fit(f, x, 6 * np.exp(-x), p0=[1.0], **how)[0][0])


def test_what_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A global of a function that is called, a list, an array in place, a default, attributes; each back and forth."""
    fitter, owner = nif.CurveFit(32), Owner(2.0)
    cell = [2.0]
    for value in (2.0, 3.0, 3.0, 2.0):
        monkeypatch.setitem(globals(), "factor", value)
        numbers[0] = cell[0] = array[0] = owner.scale = value
        by_default.__defaults__ = ((value,),)
        for f in (
            by_helper,
            by_list,
            by_array,
            owner.model,
            lambda x, a: by_default(x, a),
            lambda x, a: a * cell[0] * jnp.exp(-x),
        ):
            assert level(fitter, f) == pytest.approx(6 / value)
    monkeypatch.setattr(Owner, "shared", 4.0)
    assert level(fitter, owner.model) == pytest.approx(6 / 8)
    monkeypatch.setitem(globals(), "helper", lambda x: 12 * x)
    assert level(fitter, by_helper) == pytest.approx(0.5)


def test_closures_that_differ_in_a_constant_are_two_models() -> None:
    fitter = nif.CurveFit(32)

    def model(k: float) -> Callable[..., Any]:
        return lambda x, a: a * k * jnp.exp(-x)

    models = [model(2.0), model(3.0)]
    assert [level(fitter, f) for f in models * 2] == pytest.approx([3, 2, 3, 2])


def test_a_function_of_something_unknown_is_traced_every_time() -> None:
    box = SimpleNamespace(value=2.0)
    fitter = nif.CurveFit(32)

    def f(x: Any, a: Any) -> Any:
        return a * box.value * jnp.exp(-x)

    assert level(fitter, f) == pytest.approx(3)
    box.value = 3.0
    assert level(fitter, f) == pytest.approx(2)
    random = np.random.default_rng(0)
    for unknown in (
        lambda x: random.normal() * x,
        lambda x: np.random.normal() * x,  # noqa: NPY002
        lambda x: next(iter_of) * x,
        lambda x: globals()["factor"] * x,
        lambda x: __import__("os").getpid() * x,
    ):
        assert seen_state(unknown) is None


iter_of = iter([1.0, 2.0])


def test_partials_and_compiled_functions_are_looked_through() -> None:
    values = [1.0]

    def inner(scale: Any, x: Any) -> Any:
        return values[0] * scale[0] * x

    scale = [1.0]
    for f in (functools.partial(inner, scale), functools.partial(jax.jit(inner), scale)):
        before = seen_state(f)
        assert before is not None
        assert seen_state(f) == before
        for seen in (values, scale):
            seen[0] += 1
            assert seen_state(f) not in (None, before)
            before = seen_state(f)
