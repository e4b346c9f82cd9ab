"""Transforms, coordinates and units, checked against napari's own `data_to_world` and `world_to_data`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points, Shapes
from napari.utils.transforms import Affine

from napari_imagefit.layers.geometry.transforms import (
    AxisCoordinates,
    axis_coordinates,
    coordinate_to_index,
    data_map,
    data_to_data,
    data_to_world,
    grid_shape,
    held_still,
    index_to_coordinate,
    layer_transform,
    to_data,
    unit_factors,
    unit_symbol,
)

# napari says so when it displays a volume that is rotated out of its slices; nothing is displayed here
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def plane_rotation(ndim: int, first: int, second: int, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(ndim)
    matrix[[first, first, second, second], [first, second, first, second]] = (
        np.cos(angle),
        -np.sin(angle),
        np.sin(angle),
        np.cos(angle),
    )
    return matrix


def homogeneous(linear: np.ndarray, translate: list[float]) -> np.ndarray:
    matrix = np.eye(len(linear) + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = translate
    return matrix


def lower_shear(ndim: int) -> np.ndarray:
    return np.eye(ndim) + np.tril(np.full((ndim, ndim), 0.2), k=-1)


def image(ndim: int, **transform: Any) -> Image:
    return Image(np.zeros((3, 4, 5, 6)[-ndim:]), **transform)


def grid_points(ndim: int) -> np.ndarray:
    return np.array(list(itertools.product((-1.5, 0.0, 2.0), repeat=ndim)))


def world(layer: Layer, points: np.ndarray) -> np.ndarray:
    return np.array([layer.data_to_world(point) for point in points])


TRANSFORMS: list[tuple[int, dict[str, Any]]] = [
    (2, {}),
    (2, {"scale": (0.3, 2), "translate": (5, -7), "units": ("um", "nm"), "axis_labels": ("row", "column")}),
    (2, {"scale": (-0.3, 2), "rotate": 30, "translate": (1, 2)}),
    (2, {"scale": (0.3, 2), "rotate": 90, "shear": [0.4]}),
    (2, {"shear": lower_shear(2), "affine": homogeneous(plane_rotation(2, 0, 1, 20), [3, 4])}),
    (
        3,
        {
            "scale": (5, 0.1, 0.2),
            "rotate": (10, 20, 30),
            "shear": [0.1, 0.2, 0.3],
            "units": ("ms", "um", "um"),
        },
    ),
    (3, {"rotate": plane_rotation(3, 0, 2, 40), "affine": homogeneous(2 * np.eye(3), [1, 2, 3])}),
    (4, {"rotate": plane_rotation(4, 1, 3, 25), "scale": (1, 2, 3, 4), "translate": (4, 3, 2, 1)}),
    (4, {"shear": lower_shear(4), "affine": homogeneous(plane_rotation(4, 0, 1, 70), [9, 8, 7, 6])}),
]


@pytest.mark.parametrize(("ndim", "transform"), TRANSFORMS)
def test_output_of_the_same_ndim_lies_in_place(ndim: int, transform: dict[str, Any]) -> None:
    source = image(ndim, **transform)
    output = ViewerModel().add_image(np.ones(grid_shape(source)), **layer_transform(source))
    points = grid_points(ndim)
    np.testing.assert_allclose(world(output, points), world(source, points), rtol=0, atol=1e-12)
    assert output.units == source.units
    assert output.axis_labels == source.axis_labels


@pytest.mark.parametrize(("ndim", "transform"), TRANSFORMS)
def test_matrix_and_offset_are_napari_s(ndim: int, transform: dict[str, Any]) -> None:
    source = image(ndim, **transform)
    matrix, offset = data_to_world(source)
    points = grid_points(ndim)
    np.testing.assert_allclose(points @ matrix.T + offset, world(source, points), rtol=0, atol=1e-12)


def test_where_layers_lie_is_asked_once_while_they_are_held_still(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, other = Image(np.zeros((3, 4)), scale=(2, 3)), Image(np.zeros((3, 4)))
    asked: list[Layer] = []
    tell = Layer.shear.fget
    monkeypatch.setattr(Layer, "shear", property(lambda one: asked.append(one) or tell(one)))
    with held_still():
        for _ in range(2):
            np.testing.assert_array_equal(data_to_world(layer)[0], np.diag([2, 3]))
            np.testing.assert_array_equal(data_to_world(other)[0], np.eye(2))
            layer_transform(layer)
    assert asked == [layer, other]
    monkeypatch.undo()
    layer.scale = (5, 7)
    np.testing.assert_array_equal(data_to_world(layer)[0], np.diag([5, 7]))
    with held_still():
        np.testing.assert_array_equal(layer_transform(layer)["scale"], (5, 7))


def test_the_transform_is_a_copy() -> None:
    source = image(2, scale=(2, 3), affine=Affine(translate=(1, 2)))
    kwargs = layer_transform(source)
    kwargs["scale"][:] = 7
    kwargs["affine"][:] = 7
    assert source.scale.tolist() == [2, 3]
    assert source.affine.translate.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ndim", "drop", "transform"),
    [
        (3, [0], {"scale": (2, 0.1, 0.3), "translate": (5, 6, 7), "units": ("ms", "um", "um")}),
        (3, [0], {"rotate": 30, "shear": [0, 0, 0.4], "scale": (2, 0.1, 0.3), "translate": (5, 6, 7)}),
        (3, [-1], {"rotate": plane_rotation(3, 0, 1, 30), "axis_labels": ("y", "x", "t")}),
        (3, [1], {"rotate": plane_rotation(3, 0, 2, 30), "scale": (-1, 2, 3)}),
        (3, [0], {"affine": homogeneous(np.diag([3.0, 1, 1]) @ plane_rotation(3, 1, 2, 50), [1, 2, 3])}),
        (4, [0, 1], {"rotate": plane_rotation(4, 2, 3, 33), "translate": (1, 2, 3, 4)}),
        (4, [0], {"rotate": (10, 20, 30), "shear": lower_shear(3), "scale": (9, 1, 2, 3)}),
        (4, [1, 3], {"rotate": plane_rotation(4, 0, 2, 33) @ plane_rotation(4, 1, 3, 12)}),
    ],
)
def test_output_without_an_axis_lies_in_place(ndim: int, drop: list[int], transform: dict[str, Any]) -> None:
    source = image(ndim, **transform)
    keep = [axis for axis in range(ndim) if axis not in [axis % ndim for axis in drop]]
    output = Image(np.ones([grid_shape(source)[axis] for axis in keep]), **layer_transform(source, drop))
    points = grid_points(ndim)
    expected = world(source, points)[:, keep]
    np.testing.assert_allclose(world(output, points[:, keep]), expected, rtol=0, atol=1e-12)
    assert output.units == tuple(source.units[axis] for axis in keep)


def test_axis_labels_of_the_remaining_axes() -> None:
    named = image(3, axis_labels=("y", "t", "x"))
    assert layer_transform(named, [1])["axis_labels"] == ("y", "x")
    assert layer_transform(image(3), [1])["axis_labels"] == ("-2", "-1")


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("rotate", {"rotate": (0, 20, 0)}),
        ("shear", {"shear": [0.1, 0, 0]}),
        ("affine", {"affine": homogeneous(plane_rotation(3, 0, 2, 5), [0, 0, 0])}),
    ],
)
def test_dropping_an_axis_that_is_mixed_with_others_is_refused(name: str, transform: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^The {name} of layer 'stack' mixes data axis 0"):
        layer_transform(image(3, name="stack", **transform), [0])


@pytest.mark.parametrize("drop", [[3], [0, 0], [0, -3], [0, 1, 2]])
def test_axes_that_cannot_be_dropped(drop: list[int]) -> None:
    with pytest.raises(ValueError, match="drop"):
        layer_transform(image(3), drop)


def test_coordinates_of_an_identity_transform_are_the_indices() -> None:
    for axis in axis_coordinates(image(4), (0, 1, 2, 3)):
        assert axis.values.dtype == np.float64
        np.testing.assert_array_equal(axis.values, np.arange(len(axis.values), dtype=float))
        assert (axis.unit, axis.step, axis.origin) == ("px", 1, 0)


def test_coordinates_of_an_unrotated_layer_are_exact() -> None:
    layer = image(3, scale=(-2, 0.1, 0.3), translate=(5, -0.7, 1e3), units=("ms", "um", "nm"))
    time, x = axis_coordinates(layer, (0, -1))
    np.testing.assert_array_equal(time.values, -2.0 * np.arange(4) + 5)
    np.testing.assert_array_equal(x.values, 0.3 * np.arange(6) + 1e3)
    assert (time.unit, x.unit) == ("ms", "nm")
    assert (time.step, time.origin) == (-2, 5)


def test_an_axis_that_others_rotate_about_stays_exact() -> None:
    (time,) = axis_coordinates(image(3, scale=(0.1, 2, 3), translate=(0.7, 1, 2), rotate=30), [0])
    np.testing.assert_array_equal(time.values, 0.1 * np.arange(4) + 0.7)


@pytest.mark.parametrize(("ndim", "transform"), [case for case in TRANSFORMS if "rotate" in case[1]])
def test_coordinates_along_rotated_axes(ndim: int, transform: dict[str, Any]) -> None:
    """Definition: world length of one step, times the distance in steps from the world's origin."""
    layer = image(ndim, **transform)
    zero = np.array(layer.data_to_world([0.0] * ndim))
    start = layer.world_to_data([0.0] * ndim)
    for axis, found in enumerate(axis_coordinates(layer, range(ndim))):
        step = np.linalg.norm(np.array(layer.data_to_world(np.eye(ndim)[axis])) - zero)
        expected = step * (np.arange(grid_shape(layer)[axis]) - start[axis])
        np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-11)


def test_rotation_alone_does_not_change_coordinates() -> None:
    turned = axis_coordinates(image(2, scale=(0.3, 2), rotate=30), (0, 1))
    straight = axis_coordinates(image(2, scale=(0.3, 2)), (0, 1))
    for a, b in zip(turned, straight, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-14, atol=1e-14)


def test_index_and_coordinate_are_inverse() -> None:
    axes = axis_coordinates(image(3, scale=(-2, 0.1, 0.3), translate=(5, 6, 7), rotate=30), (0, 2))
    index = np.random.default_rng(1).uniform(-9, 9, (4, 5, 2))
    index[0, 0] = np.nan
    coordinate = index_to_coordinate(axes, index)
    np.testing.assert_allclose(coordinate_to_index(axes, coordinate), index, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(index_to_coordinate(axes, [2, 1]), [axes[0].values[2], axes[1].values[1]])


def test_grid_of_rgb_and_multiscale_images() -> None:
    assert grid_shape(Image(np.zeros((8, 9, 3)), rgb=True)) == (8, 9)
    pyramid = Image([np.zeros((8, 10)), np.zeros((4, 5))], multiscale=True)
    assert grid_shape(pyramid) == (8, 10)
    assert len(axis_coordinates(pyramid, [1])[0].values) == 10


@pytest.mark.parametrize(("unit", "short"), [("um", "µm"), ("ms", "ms"), ("pixel", "px"), ("", ""), ("um/s", "µm/s")])
def test_short_units(unit: str, short: str) -> None:
    assert unit_symbol(image(2, units=(unit, "um")).units[0]) == short


def test_wrong_axes() -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        axis_coordinates(image(2), [2])
    with pytest.raises(ValueError, match="repeated"):
        axis_coordinates(image(2), [0, -2])


def test_unit_factors() -> None:
    factors = unit_factors(["um", "nm", "um", "ms", "inch"], ["nm", "um", "um", "ms", "mm"])
    np.testing.assert_array_equal(factors[:4], [1000, 1e-3, 1, 1])
    assert factors[4] == pytest.approx(25.4, rel=1e-14)


@pytest.mark.parametrize(("ndim", "transform"), TRANSFORMS)
def test_data_to_data_for_layers_of_one_unit(ndim: int, transform: dict[str, Any]) -> None:
    target = image(ndim, **transform)
    source = image(ndim, scale=(1, 2, 3, 4)[-ndim:], rotate=15, translate=(1, 2, 3, 4)[-ndim:], units=target.units)
    points = grid_points(ndim)
    expected = np.array([target.world_to_data(point) for point in world(source, points)])
    np.testing.assert_allclose(data_to_data(source, target, points), expected, rtol=0, atol=1e-10)
    back = data_to_data(target, source, data_to_data(source, target, points))
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-10)


def test_equal_transforms_give_exactly_the_identity() -> None:
    kwargs = {"scale": (0.1, 0.3), "rotate": 30, "translate": (1e6, -1e6)}
    matrix, offset = data_map(image(2, **kwargs), image(2, **kwargs))
    np.testing.assert_array_equal(matrix, np.eye(2))
    np.testing.assert_array_equal(offset, 0)


def test_layers_in_micrometres_and_nanometres() -> None:
    nm = image(2, scale=(65, 65), translate=(0, 1300), units="nm")
    um = image(2, scale=(0.065, 0.13), rotate=90, units="um")
    # 65 nm · (2, 3) + (0, 1300) nm = (0.13, 1.495) µm; a turn by 90° takes (row, column) to (−column, row)
    np.testing.assert_allclose(data_to_data(nm, um, [2, 3]), [1.495 / 0.065, -0.13 / 0.13], rtol=1e-12)


def test_one_axis_of_incompatible_units_makes_all_count_as_equal() -> None:
    """As napari draws it: it gives up units for the whole viewer."""
    drawn = image(2, units=("pixel", "um"))
    np.testing.assert_allclose(data_to_data(drawn, image(2, units=("um", "nm")), [3, 4]), [3, 4])


def test_layers_of_different_ndim_align_trailing_axes() -> None:
    stack = image(3, scale=(7, 2, 2), translate=(14, 0, 0), units=("ms", "um", "um"))
    flat = image(2, units=("nm", "nm"))
    np.testing.assert_allclose(data_to_data(flat, stack, [2000, 4000]), [-2, 1, 2])
    np.testing.assert_allclose(data_to_data(stack, flat, [5, 1, 2]), [2000, 4000])
    assert data_to_data(Points(ndim=3), Shapes(), np.zeros((4, 5, 3))).shape == (4, 5, 2)


def test_world_points_with_the_viewer_s_units() -> None:
    viewer = ViewerModel()
    um = viewer.add_image(np.zeros((4, 5)), scale=(2, 4), units="um")
    nm = viewer.add_image(np.zeros((7, 4, 5)), scale=(1, 500, 500), units=("nm", "nm", "nm"))
    assert [str(unit) for unit in viewer.dims.units] == ["nanometer"] * 3
    cursor = [3, 4000, 8000]
    np.testing.assert_allclose(to_data(um, cursor, viewer.dims.units), [2, 2])
    np.testing.assert_allclose(to_data(nm, [cursor, cursor], viewer.dims.units), [[3, 8, 16]] * 2)
    np.testing.assert_allclose(to_data(nm, cursor[1:], viewer.dims.units), [0, 8, 16])
    np.testing.assert_allclose(to_data(nm, cursor, ["um", "um"]), [3, 8000, 16000])


@pytest.mark.parametrize(("ndim", "transform"), TRANSFORMS)
def test_world_points_in_the_layer_s_units(ndim: int, transform: dict[str, Any]) -> None:
    layer = image(ndim, **transform)
    points = grid_points(ndim)
    expected = np.array([layer.world_to_data(point) for point in points])
    np.testing.assert_allclose(to_data(layer, points), expected, rtol=0, atol=1e-11)


def test_units_that_the_viewer_cannot_reconcile() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 5)), scale=(2, 4), units="um")
    viewer.add_image(np.zeros((4, 5)))
    assert viewer.dims.units is None
    np.testing.assert_allclose(to_data(layer, [4, 8], viewer.dims.units), [2, 2])


def test_coordinates_are_frozen() -> None:
    axis = AxisCoordinates(np.arange(3.0), "px", 1.0, 0.0)
    with pytest.raises(AttributeError):
        axis.step = 2.0  # type: ignore[misc]
