"""Values and derivatives of functions of expressions to a few units in the last place, against mpmath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.core.array_module import xp
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options

from .sized_numbers import DTYPES, ULPS, Dual, compiled, cos, exp, log, mp, sin, sqrt, worst


@pytest.fixture(autouse=True)
def _forty_digits() -> Iterator[None]:
    with mp.workdps(40):
        yield


def bell(v: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-v * v)


def erf(x: Dual) -> Dual:
    v = x.value.value
    # v² is rounded
    return x.under(mp.erf, bell, lambda v: -2 * v * bell(v), inner=(0, v**2 * bell(v)))


def erfc(x: Dual) -> Dual:
    v = x.value.value
    # below 1 it is 1 − erf, beyond exp(−v²) times a series
    inner = 1 if v < 1 else v**2 * mp.erfc(v), v**2 * bell(v)
    return x.under(mp.erfc, lambda v: -bell(v), lambda v: 2 * v * bell(v), inner=inner)


def i0e(x: Dual) -> Dual:
    def scaled(n: int) -> Callable[[Any], Any]:
        return lambda v: mp.exp(-abs(v)) * mp.besseli(n, v)

    def slope(v: Any) -> Any:
        return scaled(1)(v) - mp.sign(v) * scaled(0)(v)

    # the derivative is this difference, and JAX's i1e is good to 8 ulp, however it is compiled
    return x.under(scaled(0), slope, lambda _: 0, inner=(0, 2 * scaled(0)(x.value.value)))


FUNCTIONS: dict[str, tuple[Callable[[Dual], Dual], np.ndarray]] = {
    "exp": (exp, np.linspace(-80, 80, 97)),
    "log": (log, np.geomspace(1e-30, 1e30, 97)),
    "sqrt": (sqrt, np.geomspace(1e-30, 1e30, 97)),
    "sin": (sin, np.concatenate([np.linspace(-10, 10, 61), np.geomspace(11, 1e5, 40)])),
    "cos": (cos, np.concatenate([np.linspace(-10, 10, 61), np.geomspace(11, 1e5, 40)])),
    "erf": (erf, np.concatenate([np.linspace(-6, 9, 101), np.geomspace(1e-12, 0.1, 20)])),
    "erfc": (erfc, np.linspace(-6, 9, 101)),
    "i0e": (i0e, np.concatenate([np.linspace(-20, 20, 97), np.geomspace(21, 1e4, 20)])),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str, dtype: str) -> None:
    own, points = FUNCTIONS[name]
    with computing(Options(dtype=dtype)):
        x = points.astype(np.float32).astype(dtype)

        def function(x: Any) -> Any:
            value, slope = jax.jvp(getattr(xp, name), (x,), (jnp.ones_like(x),))
            return jnp.stack([value, slope])

        found = np.asarray(compiled(function, x))
        host = getattr(xp, name)(x)
    truth = [own(Dual.of(float(v), 1.0)) for v in x]
    values, slopes = (np.array([getattr(d, what) for d in truth], object) for what in ("value", "slope"))
    assert worst(found[0], values, dtype) < ULPS
    assert worst(found[1], slopes, dtype) < ULPS
    assert worst(host, values, dtype) < ULPS
