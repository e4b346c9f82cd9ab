"""JᵀJ of many fits that share parameters: blocks on the diagonal, one border, nothing else.

Unknowns are laid out as one column ``(K, 1)``: the own parameters of all fits, ``(n, N)`` flat, then the ``k`` shared
ones. The dense ``K × K`` matrix is never formed: with L_i the block of a fit, X_i its border and C the shared block,
everything follows from the L_i⁻¹ and from Schur's complement C − Σ X_iᵀL_i⁻¹X_i, which is ``k × k``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from ..._lazy import LazyModule
from ..models.model import Array
from .jacobi_eigen import eigen
from .trust_region_subproblem import divide, find_damping, norm

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")


class Arrow(NamedTuple):
    """See `gram.Gram`, for one problem (B = 1)."""

    local: Array  # (n, n, N)
    border: Array  # (n, k, N)
    common: Array  # (k, k)

    @property
    def joint(self) -> bool:
        return True

    def split(self, column: Array) -> tuple[Array, Array]:
        """From unknowns ``(K, 1)`` to own ``(n, N)`` and shared ``(k,)`` ones."""
        n, _, fits = self.local.shape
        return column[: n * fits, 0].reshape(n, fits), column[n * fits :, 0]

    def diagonal(self) -> Array:
        return join(jnp.diagonal(self.local).T, jnp.diagonal(self.common))

    def finite(self) -> Array:
        return jnp.array([True]) & jnp.all(jnp.array([jnp.all(jnp.isfinite(part)) for part in self]))

    def product(self, vector: Array) -> Array:
        own, shared = self.split(vector)
        first = jnp.sum(self.local * own[None], axis=1) + jnp.sum(self.border * shared[None, :, None], axis=1)
        return join(first, jnp.sum(self.border * own[:, None], axis=(0, 2)) + self.common @ shared)

    def scaled(self, scale: Array, added: Array) -> Self:
        (own, shared), (more, most) = self.split(scale), self.split(added)
        eye = jnp.eye(self.local.shape[0], dtype=self.local.dtype)[:, :, None]
        return self._replace(
            local=own[:, None] * self.local * own[None] + eye * more[:, None],
            border=own[:, None] * self.border * shared[None, :, None],
            common=shared[:, None] * self.common * shared[None] + jnp.diag(most),
        )

    def without(self, held: Array) -> Self:
        own, shared = self.split(held)
        return self._replace(
            local=jnp.where(own[:, None] | own[None], 0, self.local),
            border=jnp.where(own[:, None] | shared[None, :, None], 0, self.border),
            common=jnp.where(shared[:, None] | shared[None], 0, self.common),
        )

    def identity_where(self, mask: Array) -> Self:
        eye, one = (jnp.eye(m.shape[0], dtype=m.dtype) for m in (self.local, self.common))
        return self._replace(
            local=jnp.where(mask, eye[:, :, None], self.local),
            border=jnp.where(mask, 0, self.border),
            common=jnp.where(mask, one, self.common),
        )

    def step(self, gradient: Array, radius: Array, alpha: Array) -> tuple[Array, Array]:
        solver = Solver.of(self)

        def solve(a: Array) -> tuple[Array, Array]:
            p = solver(gradient, a)
            return norm(p), jnp.sum(p * solver(p, a), axis=0)

        regular = jnp.array([True]) & (solver.floor > 0)
        alpha, inside = find_damping(solve, regular, norm(gradient), radius, alpha)
        back = solver(gradient, alpha)
        return -jnp.where(inside, 1, divide(radius, norm(back))) * back, alpha


def join(own: Array, shared: Array) -> Array:
    """The inverse of `Arrow.split`."""
    return jnp.concatenate([own.reshape(-1), shared])[:, None]


class Solver(NamedTuple):
    """(M + αI)⁻¹ of an arrow matrix for any α; eigenvalues within rounding of 0 count as the rounding."""

    values: Array  # (n, N), of the blocks
    vectors: Array  # (n, n, N)
    border: Array  # (n, k, N), turned into the blocks' eigenvectors
    common: Array  # (k, k)
    floor: Array  # ()

    @classmethod
    def of(cls, arrow: Arrow) -> Self:
        values, vectors = eigen(arrow.local)
        n = arrow.local.shape[0] + arrow.common.shape[0]
        largest = jnp.maximum(jnp.max(values, initial=0), jnp.max(jnp.diagonal(arrow.common)))
        floor = n * jnp.finfo(values.dtype).eps * largest
        turned = jnp.sum(vectors[:, :, None] * arrow.border[:, None], axis=0)
        return cls(jnp.maximum(values, floor), vectors, turned, arrow.common, floor)

    def __call__(self, vector: Array, alpha: Array) -> Array:
        own, shared = vector[: self.values.size, 0].reshape(self.values.shape), vector[self.values.size :, 0]
        inverse = 1 / jnp.where(self.values + alpha > 0, self.values + alpha, 1)
        turned = jnp.sum(self.vectors * own[:, None], axis=0) * inverse
        values, vectors = self.complement(alpha)
        right = shared - jnp.sum(self.border * turned[:, None], axis=(0, 2))
        first = vectors @ ((vectors.T @ right) / values)
        turned = turned - inverse * jnp.sum(self.border * first[None, :, None], axis=1)
        return join(jnp.sum(self.vectors * turned[None], axis=1), first)

    def complement(self, alpha: Array) -> tuple[Array, Array]:
        """Eigenvalues ``(k,)`` and eigenvectors of Schur's complement."""
        inverse = 1 / jnp.where(self.values + alpha > 0, self.values + alpha, 1)
        k = self.common.shape[0]
        taken = jnp.einsum("akN,aN,alN->kl", self.border, inverse, self.border, precision="highest")
        schur = self.common + alpha * jnp.eye(k, dtype=taken.dtype) - taken
        values, vectors = eigen(schur[:, :, None])
        return jnp.maximum(values[:, 0], jnp.where(self.floor > 0, self.floor, 1)), vectors[:, :, 0]
