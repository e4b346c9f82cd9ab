"""What a function reads besides its arguments: plain `curve_fit` looks every time, a `CurveFit` once for a function."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.engine.scipy_api import traces

calls = 0
factor = 2.0
numbers = [2.0]
array = np.array([2.0])
X = np.linspace(0, 2, 20)
Function = Callable[..., Any]


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


def by_jit(x: Any, a: Any) -> Any:
    return jax.jit(lambda t: numbers[0] * jnp.exp(-t))(x) * a


def by_numpy(x: Any, a: Any) -> Any:
    return a * numbers[0] * np.exp(-x)


class Owner:
    shared = 1.0

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def model(self, x: Any, a: Any) -> Any:
        return a * self.scale * self.shared * jnp.exp(-x)


def level(fit: Function, f: Function, x: np.ndarray = X, **how: Any) -> float:
    return float(fit(f, x, 6 * np.exp(-x), p0=[1.0], **how)[0][0])


plain = functools.partial(level, nif.curve_fit)


def test_a_hundred_lengths_call_the_function_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that only tracing moves is no change."""
    monkeypatch.setitem(globals(), "calls", 0)
    fitter = nif.CurveFit(128)
    for length in range(10, 110):
        x = np.linspace(0, 2, length)
        popt, _ = fitter.curve_fit(by_helper, x, 6 * np.exp(-x))
        assert popt[0] == pytest.approx(3)
    assert 1 <= calls <= 4


def test_plain_curve_fit_notices_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A global of a function that is called, a list, an array in place, a default, attributes; each back and forth."""
    owner, box, cell = Owner(2.0), SimpleNamespace(value=2.0), [2.0]
    for value in (2.0, 3.0, 3.0, 2.0):
        monkeypatch.setitem(globals(), "factor", value)
        numbers[0] = cell[0] = array[0] = owner.scale = box.value = value
        by_default.__defaults__ = ((value,),)
        for f in (
            by_helper,
            by_list,
            by_array,
            by_jit,
            by_numpy,
            owner.model,
            functools.partial(lambda scale, x, a: a * scale[0] * jnp.exp(-x), cell),
            lambda x, a: by_default(x, a),
            lambda x, a: a * cell[0] * jnp.exp(-x),
            lambda x, a: a * box.value * jnp.exp(-x),
            lambda x, a: a * globals()["factor"] * jnp.exp(-x),
        ):
            assert plain(f) == pytest.approx(6 / value)
    monkeypatch.setattr(Owner, "shared", 4.0)
    assert plain(owner.model) == pytest.approx(6 / 8)
    monkeypatch.setitem(globals(), "helper", lambda x: 12 * x)
    assert plain(by_helper) == pytest.approx(0.5)


def test_plain_curve_fit_notices_a_changed_jacobian() -> None:
    """The derivatives that are given are the function's, or not: errors tell."""
    scale = [1.0]

    def f(x: Any, a: Any) -> Any:
        return a * jnp.exp(-x)

    def jac(x: Any, a: Any) -> Any:
        return (scale[0] * jnp.exp(-x) + 0 * a)[:, None]

    data = 6 * np.exp(-X) + np.random.default_rng(0).normal(0, 0.1, X.size)
    right = nif.curve_fit(f, X, data, p0=[1.0], jac=jac)[1]
    scale[0] = 2.0
    np.testing.assert_allclose(nif.curve_fit(f, X, data, p0=[1.0], jac=jac)[1], right / 4, rtol=1e-5)


def test_what_has_not_changed_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is found by what a trace holds: a value that comes back finds the old one."""
    monkeypatch.setitem(globals(), "factor", 2.0)
    plain(by_helper)
    monkeypatch.setitem(globals(), "factor", 5.0)
    plain(by_helper)
    before = compiled_programs()
    monkeypatch.setitem(globals(), "factor", 2.0)
    assert plain(by_helper) == pytest.approx(3)
    for _ in range(3):
        assert plain(lambda x, a: a * helper(jnp.exp(-x))) == pytest.approx(3)
    assert compiled_programs() == before


def test_a_curve_fit_reads_once_as_jit_does() -> None:
    cell = [2.0]

    def f(x: Any, a: Any) -> Any:
        return a * cell[0] * jnp.exp(-x)

    fitter = nif.CurveFit(32)
    assert level(fitter.curve_fit, f) == pytest.approx(3)
    cell[0] = 3.0
    assert level(fitter.curve_fit, f) == pytest.approx(3)
    assert level(jax_by_hand := nif.CurveFit(32).curve_fit, f) == pytest.approx(2)
    assert level(jax_by_hand, f) == pytest.approx(2)
    # another function object reads anew, whatever its code
    assert level(fitter.curve_fit, lambda x, a: f(x, a)) == pytest.approx(2)


def test_a_curve_fit_calls_functions_of_numpy_every_time() -> None:
    fitter = nif.CurveFit(32)
    for value in (2.0, 3.0, 2.0):
        numbers[0] = value
        assert level(fitter.curve_fit, by_numpy) == pytest.approx(6 / value)


def test_closures_that_differ_in_a_constant_are_two_models() -> None:
    fitter = nif.CurveFit(32)

    def model(k: float) -> Function:
        return lambda x, a: a * k * jnp.exp(-x)

    models = [model(2.0), model(3.0)]
    for fit in (fitter.curve_fit, nif.curve_fit):
        assert [level(fit, f) for f in models * 2] == pytest.approx([3, 2, 3, 2])


def test_methods_of_two_objects_are_two_models() -> None:
    fitter, owners = nif.CurveFit(32), [Owner(2.0), Owner(3.0)]
    assert [level(fitter.curve_fit, owner.model) for owner in owners * 2] == pytest.approx([3, 2, 3, 2])


def test_functions_that_are_gone_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new function may get the address of an old one; and traces of no more than so many are kept."""
    fitter = nif.CurveFit(32)
    most = 3
    monkeypatch.setattr(traces, "MOST_FUNCTIONS", most)
    gc.freeze()  # garbage is sought among what is new
    for k in range(2 * most + 1):
        scale = 1.0 + k

        def f(x: Any, a: Any, scale: float = scale) -> Any:
            return a * scale * jnp.exp(-x)

        assert level(fitter.curve_fit, lambda x, a, f=f: f(x, a)) == pytest.approx(6 / scale)
        del f
        gc.collect()
    gc.unfreeze()
    assert len(fitter._traces._kept) <= most


def test_xdata_that_is_no_array_is_read_every_time() -> None:
    """It is part of the trace: two objects are two functions, and one that has changed is another."""
    fitter = nif.CurveFit(32)
    scan = SimpleNamespace(times=X, scale=2.0)

    def f(scan: Any, a: Any) -> Any:
        return a * scan.scale * jnp.exp(-scan.times)

    for scale in (2.0, 3.0, 2.0):
        scan.scale = scale
        popt, _ = fitter.curve_fit(f, scan, 6 * np.exp(-X), p0=[1.0])
        assert popt[0] == pytest.approx(6 / scale)
