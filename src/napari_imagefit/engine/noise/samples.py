"""The samples that fits are made to, and the lengths to which they are padded."""

from __future__ import annotations

from typing import NamedTuple

from ..core.array_module import ALONE as ALONE
from ..core.array_module import xp
from ..core.types import Array

# Samples of a large image that are looked at in one piece: enough that calls cost little, few enough for a cache.
TILE = 65536


def bucket(length: int) -> int:
    """Return the number of samples to which data of a length are padded, so that a few programs serve all lengths.

    Powers of two, then whole tiles of a large image.
    """
    return -(-length // TILE) * TILE if length > TILE else max(16, 1 << (length - 1).bit_length())


class Samples(NamedTuple):
    """Samples of a batch. Those that are not finite, or of weight 0, do not count.

    Arrays have one row for each sample, ``(m, B)``, or one for each fit, ``(B, m)``; what all fits have in common has
    1 in the place of B.
    """

    coords: tuple[Array, ...]
    data: Array
    weights: Array | None = None  # 1/σ, or counts per unit of the data; None stands for 1
    shift: Array | None = None  # counts where the data are 0; None stands for 0
    f_scale: Array | None = None  # (): the residual, in units of σ, at which a robust loss begins to bend

    def rows(self, some: slice) -> Samples:
        """Return some of the samples ``(m, B)`` of each fit."""
        data, weights, shift = (None if a is None else a[some] for a in (self.data, self.weights, self.shift))
        return self._replace(coords=tuple(c[some] for c in self.coords), data=data, weights=weights, shift=shift)

    def fits(self, some: Array) -> Samples:
        """Return the samples ``(m, B)`` of some of the fits."""

        def columns(array: Array | None) -> Array | None:
            return array if array is None or array.shape[1] == 1 else array[:, some]

        return Samples(
            tuple(columns(c) for c in self.coords),
            self.data[:, some],
            columns(self.weights),
            columns(self.shift),
            self.f_scale,
        )

    def usable(self) -> Array:
        """Whether each sample counts: it is finite, and its weight above 0."""
        finite = xp.isfinite(self.data)
        return finite if self.weights is None else finite & (self.weights > 0)

    def weighted(self, values: Array) -> Array:
        """Return values times the weights 1/σ, if there are any."""
        return values if self.weights is None else values * self.weights

    def counts(self, value: Array) -> tuple[Array, Array]:
        """Return the expected and the observed number of counts."""
        shift = 0.0 if self.shift is None else self.shift
        # a camera's noise can make less than nothing of no light
        return self.weighted(value) + shift, xp.maximum(self.electrons(), 0)

    def electrons(self) -> Array:
        """Return the observed number of counts, less than nothing where the data have that."""
        return self.weighted(self.data) + (0.0 if self.shift is None else self.shift)

    def arrays(self) -> tuple[tuple[Array, ...], Array, Array]:
        """Coordinates, data and weights of the shapes and types that a guess sees."""
        return self.coords, self.data, self.data
