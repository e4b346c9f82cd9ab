"""Functions as users write them: some keep samples apart, and some mix them."""

# ruff: noqa: ARG005 - every function takes the same arguments

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, gammaln, i0

from napari_imagefit.engine.tracing.trace import Traced, trace

Function = Callable[..., Any]
M = 12
X = np.linspace(-1.9, 3.1, M)
X2 = np.stack([X, np.cos(X)])
PARAMS = (1.3, 0.7)
TABLE = np.array([0.0, 1.0, 3.0])


def traced(f: Function, x: Any = X, n: int = 2, dtype: str = "float64") -> Traced:
    found = trace(f, x, n, dtype)
    assert found is not None
    return found


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
