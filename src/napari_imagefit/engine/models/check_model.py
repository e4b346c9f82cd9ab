"""Whether a model's value at a sample depends on that sample alone: padding, tiles and batches take it for granted."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.device import in_precision
from ..core.errors import FitInputError
from ..core.types import Array
from ..tracing.trace import trace
from .model import Model
from .numpy_model import NumpyModel

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

SAMPLES, PART = 12, 7
# Values that differ by more, as a part of the largest, differ by more than rounding.
DIFFERENT = 1e-6


def check_apart(model: Model) -> None:
    """Refuse a model that cannot be computed, or computes values from several samples together.

    Raises
    ------
    FitInputError
        The latter would be fitted to other values than it has: samples are padded, cut into tiles, and fitted beside
        others.
    """
    for part in model.foreign:
        if not isinstance(part, NumpyModel) and (trouble := find_trouble(part)):
            raise FitInputError(f"model {part.name!r} {trouble}")


@functools.lru_cache(256)
def find_trouble(model: Model) -> str:
    """Return what is wrong with a model, and the remedy; empty where nothing is, or values do not show it."""

    def function(x: Array, *params: Array) -> Array:
        values = model.function(tuple(x[axis] for axis in range(model.ndim)), *params)
        return jnp.broadcast_to(values, x.shape[1:])

    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, (model.ndim, SAMPLES))
    traced = trace(function, x, len(model.names), "float64")
    if traced is not None and traced.samplewise:
        return ""
    params = [
        np.clip(value, p.lower, p.upper)
        for value, p in zip(rng.uniform(0.5, 1.5, len(model.names)), model.parameters, strict=True)
    ]
    with in_precision("float64"):
        try:
            jax.eval_shape(function, x, *params)
        except Exception as error:  # noqa: BLE001 - whatever a function of the user's may raise
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            return (
                f"cannot be computed with JAX ({said}); write its function with jax.numpy, for {model.ndim} "
                f"coordinates and {len(params)} parameters, and return a value for each sample"
            )
        whole = np.asarray(jax.jit(function)(x, *params))
        ends = (slice(PART), slice(-PART, None))
        if not any(_differ(jax.jit(function)(x[:, end], *params), whole[end]) for end in ends):
            return ""
    return (
        "computes a value from several samples together (a sum, a mean, a difference to a neighbour); give one whose "
        "values depend on their own coordinates alone, or use curve_fit, which fits such functions"
    )


def _differ(one: Any, two: Any) -> bool:
    known = np.isfinite(one) & np.isfinite(two)
    if not known.any():
        return False
    apart = np.abs(np.asarray(one) - two)[known]
    return bool((apart > DIFFERENT * max(float(np.abs(two[known]).max()), np.finfo(float).tiny)).any())
