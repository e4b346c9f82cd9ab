"""World coordinates of fits, for tables: the axes of a rotated layer are not those that the status bar shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...engine.core.types import Floats
from ...imaging.files.placement import Placement
from ...imaging.fitting.positions import SPATIAL_AXES


def world_columns(places: ArrayLike, transform: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the position of each fit along the axes of the viewer, such as ``world_y [µm]``.

    Parameters
    ----------
    places : array_like, ``(N, n_axes)``
        Pixel indices.
    transform : dict
        Of the layer, as napari's layers have it.

    Returns
    -------
    dict
        Empty where the layer's axes are the world's: the positions are the same.

    Examples
    --------
    >>> turned = {"scale": [1, 1], "translate": [0, 0], "rotate": [[0, -1], [1, 0]], "units": ["µm", "µm"]}
    >>> {name: values.round(9) + 0.0 for name, values in world_columns([[2, 5]], turned).items()}
    {'world_y [µm]': array([-5.]), 'world_x [µm]': array([2.])}
    """
    index = np.asarray(places, float)
    placement = Placement.of(transform, index.shape[1], 0)
    if placement.is_straight:
        return {}
    world = index @ placement.matrix.T + placement.offset
    turned = [axis for axis in range(index.shape[1]) if placement.is_mixed(axis)]
    names = SPATIAL_AXES[-min(len(SPATIAL_AXES), index.shape[1]) :]
    found = {}
    for axis in turned:
        back = index.shape[1] - axis
        name = names[-back] if back <= len(names) else f"axis_{axis}"
        unit = placement.units[axis]
        found[f"world_{name}{f' [{unit}]' if unit else ''}"] = world[:, axis]
    return found


def middles(shapes: Sequence[ArrayLike]) -> Floats:
    """Return the middle of each shape, or the points themselves, ``(N, n_axes)``."""
    return np.array([np.asarray(one, float).reshape(-1, np.shape(one)[-1]).mean(axis=0) for one in shapes])
