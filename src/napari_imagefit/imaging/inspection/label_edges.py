"""The borders of labels, each drawn inside of what it goes around: as many lines as there are sides of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXEL_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # of a pixel, (y, x)


@dataclass(frozen=True, eq=False)
class Edges:
    """Sides of pixels at which a label ends, in units of pixels; the middle of the first pixel is the origin.

    Attributes
    ----------
    labels : array, ``(n,)``
        Of the pixels.
    ends : array, ``(n, 2, 2)``
        Both ends of each side, ``(y, x)``.
    inwards : array, ``(n, 2, 2)``
        By how much each end moves where the border moves into its area by one, so that it stays closed.
    """

    labels: NDArray[np.int64]
    ends: NDArray[np.float32]
    inwards: NDArray[np.float32]

    def inset(self, depth: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the ends so far inside, ``(y, x)`` in pixels."""
        return np.asarray(self.ends + self.inwards * np.float32(depth), np.float32)


def label_edges(labels: NDArray[np.integer], drawn: Iterable[int]) -> Edges:
    """Return the borders of these labels in a plane, along its own border too.

    Examples
    --------
    >>> edges = label_edges(np.array([[1, 1, 0]]), [1])
    >>> len(edges.labels), edges.inset(np.array([0.25, 0.25]))[:2].tolist()
    (6, [[[-0.25, -0.25], [-0.25, 0.5]], [[-0.25, 0.5], [-0.25, 1.25]]])
    """
    high, wide = labels.shape
    padded = np.pad(labels.astype(np.int64), 1, constant_values=-1)

    def beside(step: NDArray[np.int64]) -> NDArray[np.int64]:
        y, x = 1 + step
        return padded[y : y + high, x : x + wide]

    wanted = np.isin(labels, list(drawn))
    found = []
    for side in PIXEL_SIDES:
        out = np.array(side)
        along = np.array([abs(side[1]), abs(side[0])])
        places = np.argwhere(wanted & (beside(out) != labels))
        of = tuple(places.T)
        label = labels[of].astype(np.int64)
        ends, inwards = np.empty((2, len(places), 2, 2), np.float32)
        for n, way in enumerate((-1, 1)):
            turns_in = beside(way * along)[of] != label
            turns_out = ~turns_in & (beside(way * along + out)[of] == label)
            ends[:, n] = places + 0.5 * out + 0.5 * way * along
            inwards[:, n] = -out + (turns_out.astype(float) - turns_in)[:, None] * (way * along)
        found.append((label, ends, inwards))
    return Edges(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
