"""JᵀJ of many fits that share parameters: blocks on the diagonal, one border, nothing else.

Unknowns are rows: the own parameters of all fits, ``n`` arrays ``(N,)``, then the ``k`` shared ones, ``(1,)`` each. The
dense matrix of all unknowns is never formed: with L_i the block of a fit, X_i its border and C the shared block,
everything follows from the L_i⁻¹ and from Schur's complement C − Σ X_iᵀL_i⁻¹X_i, which is ``k × k``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..core.types import Array, Booleans, Floats
from .algebra import Algebra, Rows
from .trust_region_subproblem import Found, find_damping


class Arrow(NamedTuple):
    """See `algebra.Matrix`, for one problem, in NumPy."""

    local: Floats  # (n, n, N)
    border: Floats  # (n, k, N)
    common: Floats  # (k, k)

    def split(self, rows: Rows) -> tuple[Floats, Floats]:
        """Split rows into own ``(n, N)`` and shared ``(k,)`` unknowns."""
        n, _, fits = self.local.shape
        own = np.stack([np.broadcast_to(row, fits) for row in rows[:n]]) if n else np.empty((0, fits))
        return own, np.array([np.reshape(row, ()) for row in rows[n:]])

    def diagonal(self) -> Rows:
        """Return the diagonal, those of the fits before the shared one."""
        return join(np.einsum("nnN->nN", self.local), np.diagonal(self.common))

    def finite(self, algebra: Algebra) -> Array:
        """Whether all elements are finite, ``(1,)``."""
        return algebra.every([np.isfinite(part) for part in self])

    def product(self, algebra: Algebra, vector: Rows) -> Rows:
        """Return M v."""
        own, shared = self.split(vector)
        first = np.einsum("ijN,jN->iN", self.local, own) + np.einsum("ikN,k->iN", self.border, shared)
        return join(first, np.einsum("ikN,iN->k", self.border, own) + self.common @ shared)

    def scaled(self, scale: Rows, added: Rows) -> Self:
        """Return diag(scale) M diag(scale) + diag(added)."""
        (own, shared), (more, most) = self.split(scale), self.split(added)
        eye = np.eye(len(own))[:, :, None]
        return self._replace(
            local=own[:, None] * self.local * own[None] + eye * more[:, None],
            border=own[:, None] * self.border * shared[None, :, None],
            common=shared[:, None] * self.common * shared[None] + np.diag(most),
        )

    def without(self, algebra: Algebra, held: Rows) -> Self:
        """Return the matrix with rows and columns of 0 where parameters are fixed."""
        own, shared = (part.astype(bool) for part in self.split(held))
        return self._replace(
            local=np.where(own[:, None] | own[None], 0, self.local),
            border=np.where(own[:, None] | shared[None, :, None], 0, self.border),
            common=np.where(shared[:, None] | shared[None], 0, self.common),
        )

    def select(self, algebra: Algebra, mask: Array, other: Self) -> Self:
        """Return this matrix where the mask is true, else the other."""
        return self if bool(np.all(mask)) else other

    def identity_unless(self, algebra: Algebra, sane: Array) -> Self:
        """Return this matrix where it is sane, else the identity."""
        if bool(np.all(sane)):
            return self
        local = np.broadcast_to(np.eye(len(self.local))[:, :, None], self.local.shape)
        return self._replace(local=local, border=np.zeros_like(self.border), common=np.eye(len(self.common)))

    def begin_search(self, algebra: Algebra, gradient: Rows, radius: Array, alpha: Array) -> Found:
        """Run the whole search; nothing here is compiled."""
        solver = Solver.of(self, algebra.eps)
        right = self.split(gradient)

        def length(own: Floats, shared: Floats) -> Floats:
            return np.array([np.sqrt(np.sum(own * own) + np.sum(shared * shared))])

        def solve(a: Array) -> tuple[Array, Array]:
            p = solver(*right, float(a[0]))
            q = solver(*p, float(a[0]))
            return length(*p), np.array([np.sum(p[0] * q[0]) + np.sum(p[1] * q[1])])

        regular = np.array([solver.floor > 0])
        alpha, inside = find_damping(algebra, solve, regular, length(*right), radius, alpha)
        back = solver(*right, float(alpha[0]))
        stride = np.where(inside, 1.0, algebra.divide(radius, length(*back)))
        return tuple(-stride * row for row in join(*back)), alpha

    def go_on(self, algebra: Algebra, search: Found, gradient: Rows, radius: Array) -> Found:
        """Return whether it has ended."""
        return search

    def end_search(self, algebra: Algebra, search: Found, gradient: Rows, radius: Array) -> Found:
        """Return what it has found."""
        return search


def join(own: NDArray[Any], shared: NDArray[Any]) -> Rows:
    """Return the inverse of `Arrow.split`."""
    return (*own, *(np.array([value]) for value in shared))


class Solver(NamedTuple):
    """(M + αI)⁻¹ of an arrow matrix for any α; eigenvalues within rounding of 0 count as the rounding."""

    values: Floats  # (n, N), of the blocks
    vectors: Floats  # (n, n, N)
    border: Floats  # (n, k, N), turned into the blocks' eigenvectors
    common: Floats  # (k, k)
    floor: float

    @classmethod
    def of(cls, arrow: Arrow, eps: float) -> Self:
        """Decompose the blocks of the fits: for any α the rest is a system of the shared parameters."""
        values, vectors = eigen(arrow.local)
        n = arrow.local.shape[0] + arrow.common.shape[0]
        largest = max(float(np.max(values, initial=0)), float(np.max(np.diagonal(arrow.common))))
        floor = n * eps * largest
        turned = np.einsum("iaN,ikN->akN", vectors, arrow.border)
        return cls(np.maximum(values, floor), vectors, turned, arrow.common, floor)

    def __call__(self, own: Floats, shared: Floats, alpha: float) -> tuple[Floats, Floats]:
        """Return (M + αI)⁻¹ times a vector, given and returned by own ``(n, N)`` and shared ``(k,)`` unknowns."""
        inverse = 1 / np.where(self.values + alpha > 0, self.values + alpha, 1)
        turned = np.einsum("iaN,iN->aN", self.vectors, own) * inverse
        values, vectors = self.complement(alpha)
        right = shared - np.einsum("akN,aN->k", self.border, turned)
        first = vectors @ ((vectors.T @ right) / values)
        turned = turned - inverse * np.einsum("akN,k->aN", self.border, first)
        return np.einsum("iaN,aN->iN", self.vectors, turned), first

    def complement(self, alpha: float) -> tuple[Floats, Floats]:
        """Eigenvalues ``(k,)`` and eigenvectors of Schur's complement."""
        inverse = 1 / np.where(self.values + alpha > 0, self.values + alpha, 1)
        taken = np.einsum("akN,aN,alN->kl", self.border, inverse, self.border)
        schur = self.common + alpha * np.eye(len(self.common)) - taken
        values, vectors = np.linalg.eigh(schur)
        return np.maximum(values, self.floor if self.floor > 0 else 1.0), vectors

    def inverse(self) -> tuple[Floats, Booleans, Booleans]:
        """Each fit's block of the inverse ``(n + k, n + k, N)``, own parameters first, and what is undetermined.

        The latter for own parameters ``(n, N)`` and for shared ones ``(k,)``.
        """
        values, vectors = self.complement(0.0)
        floor = 10 * self.floor
        null, common_null = self.values <= floor, values <= floor
        inverse = np.where(null, 0, 1 / self.values)
        shared = (vectors * np.where(common_null, 0, 1 / values)) @ vectors.T
        blocks = np.einsum("iaN,aN,jaN->ijN", self.vectors, inverse, self.vectors)
        reach = np.einsum("iaN,aN,akN->ikN", self.vectors, inverse, self.border)
        crossed = np.einsum("ikN,kl->ilN", reach, shared)
        own = blocks + np.einsum("ilN,jlN->ijN", crossed, reach)
        common = np.broadcast_to(shared[:, :, None], (*shared.shape, own.shape[2]))
        whole = np.concatenate(
            [np.concatenate([own, -crossed], axis=1), np.concatenate([-np.swapaxes(crossed, 0, 1), common], axis=1)]
        )
        vague = np.sqrt(np.sum((self.vectors * null[None]) ** 2, axis=1)) > 1e-4
        # own parameters that are determined only where a shared one is
        lost = np.einsum("ikN,kl->ilN", reach, vectors * common_null)
        vague = vague | np.any(np.abs(lost) > 1e-4, axis=1)
        return whole, vague, np.sqrt(np.sum((vectors * common_null) ** 2, axis=1)) > 1e-4


def eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues ``(n, N)``, none below 0, and eigenvectors ``(n, n, N)`` (columns) of symmetric ``(n, n, N)``."""
    values, vectors = np.linalg.eigh(np.moveaxis(matrix, -1, 0))
    return np.maximum(values.T, 0), np.moveaxis(vectors, 0, -1)
