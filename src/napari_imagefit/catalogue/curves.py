"""Curves over one coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import LazyModule
from ..engine.model import Array, Model, Parameter
from .estimate import best_of, extent, regress

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")

Coords = tuple[Array, ...]


def _exponential(coords: Coords, amplitude: Array, tau: Array, offset: Array) -> Array:
    return amplitude * jnp.exp(-coords[0] / tau) + offset


def _guess_exponential(coords: Coords, data: Array, weights: Array) -> Array:
    """The best of a row of time constants, amplitude and offset regressed for each."""
    t = coords[0]
    low, high = extent(t, weights)
    span = jnp.where(high > low, high - low, 1)

    def attempt(fraction: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        tau = fraction * span
        # measured from the first sample, so that no exponential of a large number is needed
        line = regress(jnp.exp(-(t - low) / tau), data, weights)
        return line.gain, (line.amplitude, tau, line.offset)

    grid = jnp.geomspace(0.03, 3.0, 12, dtype=data.dtype)
    amplitude, tau, offset = best_of(grid, attempt)[1]
    # as far from the first sample as the precision reaches
    most = 0.8 * jnp.log(jnp.finfo(data.dtype).max)
    return jnp.stack([amplitude * jnp.exp(jnp.clip(low / tau, -most, most)), tau, offset])


exponential_decay = Model(
    "exponential_decay",
    _exponential,
    [
        Parameter("amplitude", "data", description="height above the offset at t = 0"),
        Parameter("tau", "coord0", lower=0, description="time in which the signal falls to 1/e"),
        Parameter("offset", "data", description="what remains at long times"),
    ],
    1,
    _guess_exponential,
    formula="amplitude·exp(−t/tau) + offset",
    reference="G. H. Golub, V. Pereyra, Inverse Problems 19, R1 (2003) (its separable fit gives the starts)",
)
