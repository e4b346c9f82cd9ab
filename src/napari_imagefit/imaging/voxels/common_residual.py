"""Whether the residuals of short curves have a pattern in common, which none of them can show by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# Samples from which on one curve shows a pattern by itself most of the time.
TELLING_SAMPLES = 32
# Curves that are looked at: no fewer, and about no more.
LEAST, MOST = 30, 4096
# Standard errors that the mean residual of a sample is off 0, and the part of all squares that the means explain.
SURE, NOTABLE = 5.0, 0.1


class CommonResidual(NamedTuple):
    """Sums over curves, of which each weighs the same; those of pieces of a map are added up.

    Attributes
    ----------
    total, squares, used : arrays, ``(n,)``
        Of each sample: the sums of residuals and of their squares, in units of their root mean square in the curve, and
        how many there are.
    curves, samples : int
        That were looked at.
    """

    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    used: NDArray[np.float64]
    curves: int
    samples: int

    @classmethod
    def of(cls, residual: NDArray[np.float64]) -> Self:
        """Return the sums of residuals ``(n, n_curves)`` of curves with a result; NaN where a sample did not count."""
        used = np.isfinite(residual)
        counts = used.sum(axis=0)
        chosen = np.flatnonzero(counts > 0)
        e = np.where(used, residual, 0)[:, chosen]
        size = np.sqrt(np.sum(e * e, axis=0) / counts[chosen])
        e = e / np.where(size > 0, size, 1)
        of_each = used[:, chosen].sum(axis=1).astype(float)
        return cls(e.sum(axis=1), np.sum(e * e, axis=1), of_each, chosen.size, int(counts.sum()))

    @classmethod
    def joined(cls, parts: Iterable[Any]) -> Self:
        """Return the sums of all pieces, from those of each, or from records of them."""
        return cls(*(sum(values) for values in zip(*(tuple(part) for part in parts), strict=True)))

    def sentence(self) -> str:
        """Return whether there is a pattern.

        Residuals of independent noise around the right model have none, whatever its distribution: their sum over the
        curves is a few times the root of the sum of their squares at most.

        Returns
        -------
        str
            Empty where nothing is to be said: no pattern, fewer than 30 curves, or curves that can tell by themselves,
            of 32 samples on average and more.

        Examples
        --------
        >>> noise = np.random.default_rng(0).normal(size=(8, 100))
        >>> CommonResidual.of(noise).sentence()
        ''
        >>> pattern = np.array([3, -3, -1, 2, 2, 1, -1, -3])[:, None]
        >>> CommonResidual.of(noise + pattern).sentence()[:52]
        'the residuals of all curves have a pattern in common'
        """
        if self.curves < LEAST or self.samples >= TELLING_SAMPLES * self.curves:
            return ""
        tiny = np.finfo(float).tiny
        off = np.abs(self.total) / np.sqrt(np.maximum(self.squares, tiny))
        share = np.sum(self.total**2 / np.maximum(self.used, 1)) / max(self.squares.sum(), tiny)
        if off.max() <= SURE or share <= NOTABLE:
            return ""
        return (
            f"the residuals of all curves have a pattern in common, {100 * share:.0f} % of their squares: the model "
            "lacks something that so few samples cannot show in one curve"
        )


def record_type(n: int) -> np.dtype[Any]:
    """Return the type of `CommonResidual` in an array, for curves of so many samples."""
    sums = [(name, np.float64, (n,)) for name in ("total", "squares", "used")]
    return np.dtype([*sums, ("curves", np.int64), ("samples", np.int64)])


def looked_at(places: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    """Return which curves are looked at of `count`, by their flat positions on the grid: some 4096, spread over it.

    What is chosen does not depend on the pieces that a map is fitted in.
    """
    spread = (places.astype(np.uint64) * np.uint64(2654435761)) % np.uint64(1 << 32)
    return np.asarray(spread < (1 << 32) * min(1.0, MOST / max(count, 1)))
