"""Transforms, units and coordinates of layers, as napari draws the data, without Qt."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pint
from numpy.lib.array_utils import normalize_axis_tuple

from ...imaging.files.placement import compose, shear_matrix
from ...imaging.fitting.units import symbol

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

FloatArray = npt.NDArray[np.float64]
TRANSFORM_PARTS = ("scale", "translate", "rotate", "shear", "affine")


@dataclass(frozen=True, eq=False)
class AxisCoordinates:
    """Coordinates of the samples along one data axis: ``values[i] = step * i + origin``.

    Attributes
    ----------
    values : ndarray, shape (n,), float64
    unit : str
        Short form of the layer's unit: ``"µm"``, ``"ms"``, ``"px"``.
    step : float
        Coordinate of one index step. Negative only along an unrotated axis whose scale is negative.
    origin : float
        Coordinate of index 0.
    """

    values: FloatArray
    unit: str
    step: float
    origin: float


def grid_shape(layer: Layer) -> tuple[int, ...]:
    """Return the length of each data axis of an Image or Labels layer (full resolution, no RGB axis)."""
    return tuple(int(n) for n in layer.data.shape[: layer.ndim])


def unit_symbol(unit: pint.Unit) -> str:
    """Return the short form of a unit: ``"µm"``, ``"ms"``, ``"px"`` for pixel, ``""`` for none."""
    return symbol(unit)


def data_to_world(layer: Layer) -> tuple[FloatArray, FloatArray]:
    """Return the layer's transform as a matrix and an offset: ``world = matrix @ index + offset``.

    Parameters
    ----------
    layer : napari.layers.Layer

    Returns
    -------
    matrix : ndarray, shape (ndim, ndim)
        ``affine @ rotate @ shear @ scale``.
    offset : ndarray, shape (ndim,)
        World position of index 0, in the layer's units.
    """
    return compose(_parts(layer), layer.ndim)


def _parts(layer: Layer) -> dict[str, Any]:
    """Return the parts of a layer's transform; napari takes some time to compute them."""
    held = _held.get()
    if held is not None and layer in held:
        return held[layer]
    parts = {name: getattr(layer, name) for name in TRANSFORM_PARTS}
    if held is not None:
        held[layer] = parts
    return parts


_held: ContextVar[dict[Layer, dict[str, Any]] | None] = ContextVar("held", default=None)


@contextmanager
def held_still() -> Iterator[None]:
    """Compute the transform of each layer once: none is moved meanwhile."""
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def layer_transform(layer: Layer, drop: Collection[int] = ()) -> dict[str, Any]:
    """Return the keyword arguments that put a result where its input is displayed.

    Parameters
    ----------
    layer : napari.layers.Layer
        The input.
    drop : collection of int, optional
        Data axes of the input that the result does not have. napari aligns the trailing axes of layers, so
        that the result lies on its input only where the dropped axes are leading ones.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and ``axis_labels`` of the
        remaining axes. The arrays are copies.

    Raises
    ------
    ValueError
        If rotation, shear or affine mix a dropped axis with a remaining one, if no axis remains, or if `drop`
        names an axis twice or one that the layer does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> stack = Image(np.zeros((7, 4, 5)), scale=(2, 0.1, 0.1), units=("ms", "um", "um"))
    >>> decay_map = Image(np.zeros((4, 5)), **layer_transform(stack, drop=[0]))
    >>> decay_map.scale.tolist(), [str(unit) for unit in decay_map.units]
    ([0.1, 0.1], ['micrometer', 'micrometer'])
    """
    dropped = normalize_axis_tuple(tuple(drop), layer.ndim, "drop")
    keep = [axis for axis in range(layer.ndim) if axis not in dropped]
    if not keep:
        raise ValueError(f"Layer {layer.name!r} has {layer.ndim} axes and all of them would be dropped.")
    parts = _parts(layer)
    affine = np.asarray(parts["affine"].affine_matrix, dtype=float)
    blocks = {
        "rotate": np.asarray(parts["rotate"]),
        "shear": shear_matrix(parts["shear"], layer.ndim),
        "affine": affine[:-1, :-1],
    }
    for name, matrix in blocks.items():
        mixing = max(_largest(matrix[np.ix_(keep, dropped)]), _largest(matrix[np.ix_(dropped, keep)]))
        if mixing > 1e-12 * _largest(matrix):
            axes = ", ".join(str(axis) for axis in dropped)
            raise ValueError(
                f"The {name} of layer {layer.name!r} mixes data axis {axes} with the other axes, so that a "
                f"result without it has no place in the world; remove the layer's {name}."
            )
    labels = tuple(layer.axis_labels[axis] for axis in keep)
    if tuple(layer.axis_labels) == _default_labels(layer.ndim):
        labels = _default_labels(len(keep))
    rows = [*keep, layer.ndim]
    return {
        "scale": np.array(parts["scale"], dtype=float)[keep],
        "translate": np.array(parts["translate"], dtype=float)[keep],
        "rotate": blocks["rotate"][np.ix_(keep, keep)],
        "shear": blocks["shear"][np.ix_(keep, keep)],
        "affine": affine[np.ix_(rows, rows)],
        "units": tuple(layer.units[axis] for axis in keep),
        "axis_labels": labels,
    }


def axis_coordinates(layer: Layer, axes: Sequence[int]) -> tuple[AxisCoordinates, ...]:
    """Return the coordinates of the samples along data axes, in the layer's units.

    Along an axis that is mixed with no other they are the position in the world, exactly
    ``scale * i + translate`` (falling where the scale is negative). Along a rotated or sheared one they are
    positions along the layer's own axis, measured from the world's origin: ``step * (i - i0)`` with the world
    length `step` of one index step and the data index `i0` of the world's origin.

    Parameters
    ----------
    layer : napari.layers.Layer
        An Image or Labels layer.
    axes : sequence of int
        Data axes, negative ones counted from the last.

    Returns
    -------
    tuple of AxisCoordinates
        In the order of `axes`.

    Raises
    ------
    ValueError
        If `axes` names an axis twice or one that the layer does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> image = Image(np.zeros((2, 3)), scale=(2, 0.5), translate=(0, 10), units=("ms", "um"))
    >>> (x,) = axis_coordinates(image, [-1])
    >>> x.values.tolist(), x.unit
    ([10.0, 10.5, 11.0], 'µm')
    """
    matrix, offset = data_to_world(layer)
    length = np.linalg.norm(matrix, axis=0)
    along = length * np.linalg.solve(matrix, offset)
    shape = grid_shape(layer)
    found = []
    for axis in normalize_axis_tuple(tuple(axes), layer.ndim, "axes"):
        step, origin = length[axis], along[axis]
        others = np.arange(layer.ndim) != axis
        if not (matrix[axis, others].any() or matrix[others, axis].any()):
            step, origin = matrix[axis, axis], offset[axis]
        values = step * np.arange(shape[axis], dtype=float) + origin
        found.append(AxisCoordinates(values, unit_symbol(layer.units[axis]), float(step), float(origin)))
    return tuple(found)


def index_to_coordinate(axes: Sequence[AxisCoordinates], index: npt.ArrayLike) -> FloatArray:
    """Convert data indices, shape ``(..., len(axes))``, to coordinates; NaN stays NaN."""
    steps, origins = np.array([(axis.step, axis.origin) for axis in axes]).T
    return np.asarray(np.asarray(index, dtype=float) * steps + origins)


def coordinate_to_index(axes: Sequence[AxisCoordinates], coordinate: npt.ArrayLike) -> FloatArray:
    """Convert coordinates, shape ``(..., len(axes))``, to data indices (not rounded); NaN stays NaN."""
    steps, origins = np.array([(axis.step, axis.origin) for axis in axes]).T
    return np.asarray((np.asarray(coordinate, dtype=float) - origins) / steps)


def unit_factors(source: Sequence[pint.Unit | str], target: Sequence[pint.Unit | str]) -> FloatArray:
    """Return the factors from one sequence of units to another of the same length.

    Where the units of any axis are incompatible (napari's default, pixel, against µm), all factors are 1: napari then
    draws all axes as if their numbers were in the same units.

    Examples
    --------
    >>> unit_factors(["um", "ms"], ["nm", "s"]).tolist()
    [1000.0, 0.001]
    >>> unit_factors(["um", "pixel"], ["nm", "um"]).tolist()
    [1.0, 1.0]
    """
    pairs = [(pint.Unit(a), pint.Unit(b)) for a, b in zip(source, target, strict=True)]
    if any(a.dimensionality != b.dimensionality for a, b in pairs):
        return np.ones(len(pairs))
    return np.array([_unit_factor(a, b) for a, b in pairs])


def data_map(source: Layer, target: Layer) -> tuple[FloatArray, FloatArray]:
    """Return the map from data indices of one layer to those of another, units included.

    Trailing axes are aligned as napari does; axes that `source` lacks lie at 0 of the world.

    Parameters
    ----------
    source, target : napari.layers.Layer

    Returns
    -------
    matrix : ndarray, shape (target.ndim, source.ndim)
    offset : ndarray, shape (target.ndim,)
        ``index_in_target = matrix @ index_in_source + offset``. Exactly the identity for equal transforms.
    """
    matrix, offset = data_to_world(source)
    target_matrix, target_offset = data_to_world(target)
    shared = min(source.ndim, target.ndim)
    factors = unit_factors(source.units[-shared:], target.units[-shared:])
    world = np.zeros((target.ndim, source.ndim + 1))
    world[-shared:, :-1] = factors[:, None] * matrix[-shared:]
    world[-shared:, -1] = factors * offset[-shared:]
    world[:, -1] -= target_offset  # before the division, so that a far away origin costs no digits
    if source.ndim == target.ndim and np.array_equal(world[:, :-1], target_matrix) and not world[:, -1].any():
        return np.eye(target.ndim), np.zeros(target.ndim)
    solved: FloatArray = np.asarray(np.linalg.solve(target_matrix, world), dtype=float)
    return solved[:, :-1], solved[:, -1]


def data_to_data(source: Layer, target: Layer, points: npt.ArrayLike) -> FloatArray:
    """Convert points in the data coordinates of one layer to those of another.

    Right also where the layers have different units, which napari's own ``data_to_world`` and
    ``world_to_data`` ignore.

    Parameters
    ----------
    source, target : napari.layers.Layer
    points : array_like, shape (..., source.ndim)
        NaN stays NaN.

    Returns
    -------
    ndarray, shape (..., target.ndim)

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> nm, um = Image(np.zeros((9, 9)), units="nm"), Image(np.zeros((9, 9)), units="um")
    >>> data_to_data(um, nm, [0.002, 0.005]).round(9).tolist()
    [2.0, 5.0]
    """
    matrix, offset = data_map(source, target)
    return np.asarray(np.asarray(points, dtype=float) @ matrix.T + offset)


def to_data(
    layer: Layer, world_points: npt.ArrayLike, world_units: Sequence[pint.Unit | str] | None = None
) -> FloatArray:
    """Convert world points, for example a cursor's position, to data coordinates of a layer.

    Parameters
    ----------
    layer : napari.layers.Layer
    world_points : array_like, shape (..., n)
        Aligned with the layer's trailing axes; missing leading axes are 0. NaN stays NaN.
    world_units : sequence of pint.Unit or str, optional
        Units of the points, as ``viewer.dims.units``; ``None``, as there for incompatible layers, means the
        layer's own.

    Returns
    -------
    ndarray, shape (..., layer.ndim)
    """
    points = np.asarray(world_points, dtype=float)
    matrix, offset = data_to_world(layer)
    shared = min(points.shape[-1], layer.ndim)
    world = np.zeros((*points.shape[:-1], layer.ndim))
    world[..., -shared:] = points[..., -shared:]
    if world_units is not None:
        known = min(shared, len(world_units))
        world[..., -known:] *= unit_factors(world_units[-known:], layer.units[-known:])
    flat = np.linalg.solve(matrix, (world - offset).reshape(-1, layer.ndim).T).T
    return np.asarray(flat.reshape(world.shape))


def _unit_factor(source: pint.Unit, target: pint.Unit) -> float:
    if source == target:
        return 1.0
    registry = pint.get_application_registry()  # type: ignore[no-untyped-call]
    factor = float(registry.get_base_units(source)[0] / registry.get_base_units(target)[0])
    # pint's µm → nm is 999.9999999999999: noise that an outline exactly on pixel centres need not suffer
    whole = round(factor) if factor >= 1 else 1 / round(1 / factor)
    return whole if np.isclose(factor, whole, rtol=1e-12, atol=0) else factor


def _default_labels(ndim: int) -> tuple[str, ...]:
    return tuple(str(axis) for axis in range(-ndim, 0))


def _largest(matrix: npt.NDArray[Any]) -> float:
    return float(np.abs(matrix).max(initial=0.0))


def index_on_screen(viewer: Viewer, image: Layer) -> tuple[int, ...]:
    """Return the index of a layer that the sliders show, along all its axes."""
    dims = viewer.dims
    return tuple(int(i) for i in np.rint(to_data(image, dims.point, dims.units)))
