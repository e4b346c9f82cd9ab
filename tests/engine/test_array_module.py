"""`xp`: the same numbers in NumPy and under JAX, and derivatives that compiling does not change."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.core.array_module import xp

pytestmark = pytest.mark.usefixtures("x64", "quiet")
NUMBERS = [0.0, -0.0, 1.0, -2.0, 3e200, 1e-200, np.inf, -np.inf, np.nan]
PAIRS = np.array(list(itertools.product(NUMBERS, NUMBERS))).T


@pytest.mark.parametrize(("name", "of_numpy"), [("larger", "maximum"), ("smaller", "minimum"), ("distance", "hypot")])
def test_numbers_are_numpys(name: str, of_numpy: str) -> None:
    with np.errstate(all="ignore"):
        expected = getattr(np, of_numpy)(*PAIRS)
    found = jax.jit(lambda a, b: getattr(xp, name)(a, b))(*PAIRS)
    np.testing.assert_allclose(found, expected, rtol=4e-16)


def axes(length: jax.Array, width: jax.Array, turn: jax.Array) -> jax.Array:
    """The longer axis of an ellipse in pixels that are not square, as `photometry` has it."""
    along, across = (length * jnp.cos(turn)) ** 2, (width * jnp.sin(turn)) ** 2
    beside, through = (length * jnp.sin(turn)) ** 2, (width * jnp.cos(turn)) ** 2
    xx, yy = 0.1**2 * (along + across), 0.2**2 * (beside + through)
    yx = 0.02 * (length**2 - width**2) * jnp.sin(turn) * jnp.cos(turn)
    return jnp.sqrt(0.5 * (xx + yy) + xp.distance(0.5 * (xx - yy), yx))


def larger(length: jax.Array, width: jax.Array, turn: jax.Array) -> jax.Array:
    one = (length * jnp.cos(turn)) ** 2 + (width * jnp.sin(turn)) ** 2
    other = (length * jnp.sin(turn)) ** 2 + (width * jnp.cos(turn)) ** 2
    return xp.larger(one, other) - xp.smaller(one, 2 * other)


@pytest.mark.parametrize("function", [axes, larger])
def test_derivatives_are_the_same_compiled(function: object) -> None:
    """Those of JAX's own maximum and hypot were 0 in a quarter of the places: see `xp.larger`."""
    at = np.random.default_rng(0).uniform(1, 2, (3, 64))

    def slopes(at: jax.Array) -> jax.Array:
        return jnp.stack([jax.vmap(jax.grad(function, i))(*at) for i in range(3)])  # type: ignore[arg-type]

    def all_at_once(at: jax.Array) -> jax.Array:
        def by(i: int) -> jax.Array:
            return jax.jvp(lambda own: function(*at[:i], own, *at[i + 1 :]), (at[i],), (jnp.ones(64),))[1]  # type: ignore[operator]

        return jnp.stack([function(*at), *(by(i) for i in range(3))])  # type: ignore[operator]

    with jax.disable_jit():
        expected = slopes(jnp.asarray(at))
    # of differences some digits are lost
    np.testing.assert_allclose(jax.jit(all_at_once)(at)[1:], expected, rtol=1e-9, atol=1e-12)
