"""Eigenvalues of many small symmetric matrices at once, by Jacobi's rotations.

LAPACK's solver as JAX calls it holds a thread of XLA's pool while it waits for others of the same pool: two programs at
once can wait for each other for ever. This one is made of plain array operations, as accurate, and for the smallest
matrices faster.

References
----------
G. H. Golub, C. F. Van Loan, Matrix Computations, 4th edition, section 8.5: the parallel ordering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import LazyModule
from ..models.model import Array

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# Convergence is quadratic; more than 8 are hardly ever needed.
MAX_SWEEPS = 14
# So many matrices stay in cache.
BLOCK = 128


def eigen(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues ``(n, B)``, in no order, and eigenvectors ``(n, n, B)`` (columns) of symmetric ``(n, n, B)``.

    Eigenvalues below 0, which a Gram matrix has by rounding only, are returned as 0.
    """
    n, _, count = matrix.shape
    if count <= BLOCK or count % BLOCK:
        return _eigen(matrix)
    blocks = jnp.moveaxis(matrix.reshape(n, n, count // BLOCK, BLOCK), 2, 0)
    values, vectors = jax.lax.map(_eigen, blocks)
    return jnp.moveaxis(values, 0, 1).reshape(n, count), jnp.moveaxis(vectors, 0, 2).reshape(n, n, count)


def _eigen(matrix: Array) -> tuple[Array, Array]:
    n = matrix.shape[0]
    even = n + n % 2
    a = jnp.pad(matrix, ((0, even - n), (0, even - n), (0, 0)))
    v = jnp.broadcast_to(jnp.eye(even, dtype=a.dtype)[:, :, None], a.shape)

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        sweep, a, _ = state
        return (sweep < MAX_SWEEPS) & jnp.any(_coupled(a, jnp.diagonal(a).T))

    def sweep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, a, v = state
        return count + 1, *jax.lax.fori_loop(0, even - 1, lambda _, pair: _rotate(*pair), (a, v))

    _, a, v = jax.lax.while_loop(unfinished, sweep, (jnp.zeros((), jnp.int32), a, v))
    return jnp.maximum(jnp.diagonal(a).T, 0)[:n], v[:n, :n]


def _coupled(a: Array, diagonal: Array) -> Array:
    """Which elements off the diagonal are more than the rounding of the largest on it."""
    off = ~jnp.eye(a.shape[0], dtype=bool)[:, :, None]
    return off & (jnp.abs(a) > 4 * jnp.finfo(a.dtype).eps * jnp.max(diagonal, axis=0, initial=0))


def _rotate(a: Array, v: Array) -> tuple[Array, Array]:
    """Make the elements (i, n/2 + i) zero, all at once, then move the rows so that others meet; n − 1 times is a sweep.

    Pairs that are zero within rounding are left as they are: sweeps that only others need change nothing.
    """
    half = a.shape[0] // 2
    diagonal = jnp.diagonal(a).T
    p, q = diagonal[:half], diagonal[half:]
    coupling = jnp.diagonal(a[:half, half:]).T
    turn = jnp.diagonal(_coupled(a, diagonal)[:half, half:]).T
    cot = (q - p) / (2 * jnp.where(turn, coupling, 1))
    t = jnp.where(turn, jnp.where(cot < 0, -1.0, 1.0) / (jnp.abs(cot) + jnp.sqrt(1 + cot * cot)), 0)
    c = 1 / jnp.sqrt(1 + t * t)
    s = t * c

    def rows(m: Array) -> Array:
        top, bottom = m[:half], m[half:]
        return _deal(c[:, None] * top - s[:, None] * bottom, s[:, None] * top + c[:, None] * bottom)

    def columns(m: Array) -> Array:
        return jnp.swapaxes(rows(jnp.swapaxes(m, 0, 1)), 0, 1)

    return columns(rows(a)), columns(v)


def _deal(top: Array, bottom: Array) -> Array:
    """The next pairs of a round-robin tournament: the first stays, the others move on by one place."""
    if len(top) == 1:
        return jnp.concatenate([top, bottom])
    return jnp.concatenate([top[:1], bottom[:1], top[1:-1], bottom[1:], top[-1:]])
