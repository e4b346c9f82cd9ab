"""Groups of spots that are fitted together: those whose windows overlap, in groups of bounded size."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ...engine.core.errors import FitInputError
from ...engine.core.types import Indices
from .windows import Windows

if TYPE_CHECKING:
    from scipy import spatial
else:
    spatial = LazyModule("scipy.spatial")  # a window that opens does not wait for it

MOST_SPOTS = 16


@dataclass(frozen=True, eq=False)
class Groups:
    """Spots that are fitted together.

    Attributes
    ----------
    members : tuple of int array, ``(n, k)`` each
        For each size k from 1 on the groups of that size, one per row, their spots in ascending order.
    others : int array, ``(N, most − 1)``
        For each spot the others of its group; −1 where there are fewer.
    parted : boolean array, ``(N,)``
        Whether the pixel of a spot that is not of its group lies within the window of a spot.
    """

    members: tuple[Indices, ...]
    others: Indices
    parted: NDArray[np.bool_]


def check_groups(groups: Any) -> int:
    """Return the largest number of spots in one fit; 1 for None.

    Raises
    ------
    FitInputError
        If it is none.
    """
    if groups is None:
        return 1
    if not isinstance(groups, Integral) or isinstance(groups, bool) or not 1 <= int(groups) <= MOST_SPOTS:
        raise FitInputError(
            f"groups={groups!r} is no number of spots to be fitted together; give one from 2 to {MOST_SPOTS}, or None"
        )
    return int(groups)


def find_groups(windows: Windows, most: int, usable: NDArray[np.bool_]) -> Groups:
    """Put spots together whose windows overlap, the nearest first, as long as a group has no more than `most`.

    Where more spots are near to each other than that, it so parts the cluster between those that are farthest from
    each other. What is put together depends on the spots of a cluster alone, and on no other. Those that are not usable
    stay alone.
    """
    size = np.array(windows.size, float)
    strides = np.cumprod([1, *windows.shape[: windows.frames.shape[1]]])[:-1]
    # frames lie so far apart that windows of two never meet
    places = np.column_stack([2.0 * (windows.frames @ strides), windows.centres / size])
    pairs = spatial.cKDTree(places).query_pairs(1.0 - 1e-9, p=np.inf, output_type="ndarray")
    pairs = pairs[usable[pairs].all(axis=1)]
    away = windows.centres[pairs[:, 0]] - windows.centres[pairs[:, 1]]
    distance = ((windows.points[pairs[:, 0]] - windows.points[pairs[:, 1]]) ** 2).sum(axis=1)
    leader, count = np.arange(windows.count), np.ones(windows.count, np.intp)

    def find(spot: int) -> int:
        while leader[spot] != spot:
            leader[spot] = leader[leader[spot]]
            spot = int(leader[spot])
        return spot

    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], distance))]:
        a, b = find(int(first)), find(int(second))
        if a != b and count[a] + count[b] <= most:
            low, high = min(a, b), max(a, b)
            leader[high] = low
            count[low] += count[high]
    label = np.array([find(spot) for spot in range(windows.count)], np.intp)
    near = (np.abs(away) <= windows.reach).all(axis=1) & (label[pairs[:, 0]] != label[pairs[:, 1]])
    parted = np.zeros(windows.count, bool)
    parted[pairs[near].ravel()] = True
    return Groups(*_by_size(label, most), parted)


def _by_size(label: Indices, most: int) -> tuple[tuple[Indices, ...], Indices]:
    order = np.argsort(label, kind="stable")
    _, starts, counts = np.unique(label[order], return_index=True, return_counts=True)
    members = tuple(order[starts[counts == k][:, None] + np.arange(k)] for k in range(1, most + 1))
    others = np.full((label.size, max(most - 1, 0)), -1, np.intp)
    for k, rows in enumerate(members[1:], 2):
        for place in range(k):
            others[rows[:, place], : k - 1] = np.delete(rows, place, axis=1)
    return members, others
