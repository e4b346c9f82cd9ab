"""The matrix JᵀJ of the quadratic model, and what the trust-region method asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from ..._lazy import LazyModule
from ..models.model import Array
from .trust_region_subproblem import diagonal, trust_region_step

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = LazyModule("jax.numpy")


class Gram(Protocol):
    """A symmetric matrix for each of B problems in n unknowns, in whatever form it is kept."""

    @property
    def joint(self) -> bool:
        """Whether its unknowns belong to many fits."""

    def diagonal(self) -> Array:
        """``(n, B)``."""

    def finite(self) -> Array:
        """Whether all elements are, ``(B,)``."""

    def product(self, vector: Array) -> Array:
        """The matrix times vectors ``(n, B)``."""

    def scaled(self, scale: Array, added: Array) -> Self:
        """D·M·D + E, with D and E diagonal, each given as ``(n, B)``."""

    def without(self, held: Array) -> Self:
        """With the rows and columns of held unknowns, ``(n, B)``, set to 0."""

    def identity_where(self, mask: Array) -> Self:
        """The unit matrix instead where `mask`, ``(B,)``."""

    def step(self, gradient: Array, radius: Array, alpha: Array) -> tuple[Array, Array]:
        """See `subproblem.trust_region_step`."""


class Dense(NamedTuple):
    """All elements."""

    matrix: Array  # (n, n, B)

    @property
    def joint(self) -> bool:
        return False

    def diagonal(self) -> Array:
        return diagonal(self.matrix)

    def finite(self) -> Array:
        return jnp.all(jnp.isfinite(self.matrix), axis=(0, 1))

    def product(self, vector: Array) -> Array:
        return jnp.sum(self.matrix * vector[None], axis=1)

    def scaled(self, scale: Array, added: Array) -> Self:
        return self._replace(matrix=scale[:, None] * self.matrix * scale[None] + self._eye() * added[:, None])

    def without(self, held: Array) -> Self:
        return self._replace(matrix=jnp.where(held[:, None] | held[None], 0, self.matrix))

    def identity_where(self, mask: Array) -> Self:
        return self._replace(matrix=jnp.where(mask, self._eye(), self.matrix))

    def step(self, gradient: Array, radius: Array, alpha: Array) -> tuple[Array, Array]:
        return trust_region_step(self.matrix, gradient, radius, alpha)

    def _eye(self) -> Array:
        return jnp.eye(self.matrix.shape[0], dtype=self.matrix.dtype)[:, :, None]
