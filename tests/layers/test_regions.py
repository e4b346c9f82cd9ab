"""Regions against brute force: every pixel centre to the world, and on into the shape's coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes

from napari_imagefit.imaging.layer_data.outlines import ellipse_vertices
from napari_imagefit.layers.geometry.drawn_regions import RegionError, labels_on_image, shape_mask, shapes_masks

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")

IMAGE = np.zeros((24, 31))
RECTANGLE = np.array([[3.3, 2.2], [3.3, 20.7], [15.8, 20.7], [15.8, 2.2]])
CASES: list[tuple[dict[str, Any], dict[str, Any], float]] = [
    # image, shapes, world units of the shapes layer per one of the image's
    ({}, {}, 1),
    ({"scale": (2, 0.5)}, {"scale": (1.7, 0.6), "translate": (3, -1)}, 1),
    ({"scale": (-1, 1), "translate": (20, 0)}, {}, 1),
    ({"rotate": 30}, {"rotate": 30}, 1),
    ({"rotate": 30, "scale": (0.8, 1.1)}, {"translate": (2, 5)}, 1),
    ({"shear": [0.3], "translate": (-4, 2)}, {"rotate": -20, "scale": (1, 1.3)}, 1),
    ({"units": "um", "scale": (0.1, 0.2)}, {"units": "nm", "scale": (100, 190), "rotate": 4}, 1000),
    ({"units": "um", "scale": (1, 1)}, {"units": "pixel"}, 1),
]


def drawn(vertices: Any, kind: str, **transform: Any) -> Shapes:
    layer = Shapes(ndim=np.shape(vertices)[1], name="ROI", **transform)
    layer.add(np.asarray(vertices), shape_type=kind)
    return layer


def positions(image: Layer, shapes: Layer, factor: float) -> np.ndarray:
    """Return each pixel centre of a 2-D image in the coordinates of the shapes layer, pixel by pixel."""
    centres = np.ndindex(image.data.shape)
    moved = [shapes.world_to_data(factor * np.array(image.data_to_world(centre))) for centre in centres]
    return np.array(moved).reshape(*image.data.shape, 2)


def inside_convex(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    edges = np.roll(corners, -1, axis=0) - corners
    away = points[..., None, :] - corners
    side = edges[:, 0] * away[..., 1] - edges[:, 1] * away[..., 0]
    return np.asarray((side > 0).all(axis=-1) | (side < 0).all(axis=-1))


@pytest.mark.parametrize(("of_image", "of_shapes", "factor"), CASES)
@pytest.mark.parametrize("reverse", [False, True])
def test_rectangle(of_image: dict[str, Any], of_shapes: dict[str, Any], factor: float, reverse: bool) -> None:
    image = Image(IMAGE, **of_image)
    shapes = drawn(RECTANGLE[::-1] if reverse else RECTANGLE, "rectangle", **of_shapes)
    mask = shape_mask(shapes, 0, image)
    assert mask.dtype == bool
    assert 20 < mask.sum() < mask.size
    np.testing.assert_array_equal(mask, inside_convex(positions(image, shapes, factor), shapes.data[0]))


@pytest.mark.parametrize(("of_image", "of_shapes", "factor"), CASES)
def test_ellipse(of_image: dict[str, Any], of_shapes: dict[str, Any], factor: float) -> None:
    image = Image(IMAGE, **of_image)
    center, radii, theta = np.array([10.2, 13.1]), np.array([5.3, 9.6]), 0.4
    shapes = drawn(ellipse_vertices(center, radii, theta), "ellipse", **of_shapes)
    dy, dx = np.moveaxis(positions(image, shapes, factor) - center, -1, 0)
    u, v = dx * np.cos(theta) + dy * np.sin(theta), -dx * np.sin(theta) + dy * np.cos(theta)
    distance = np.hypot(u / radii[1], v / radii[0])
    assert np.abs(distance - 1).min() > 1e-5  # no pixel so near that float32 vertices decide
    mask = shape_mask(shapes, 0, image)
    assert 20 < mask.sum() < mask.size
    np.testing.assert_array_equal(mask, distance < 1)


def test_polygons_against_a_winding_count() -> None:
    """Random polygons, most of them crossing themselves and the image's edge, by the even-odd rule."""
    rng = np.random.default_rng(7)
    rows, columns = np.indices(IMAGE.shape)
    for _ in range(50):
        vertices = rng.uniform(-8, 38, (rng.integers(3, 12), 2)).astype(np.float32).astype(float)
        odd = np.zeros(IMAGE.shape, dtype=bool)
        for (y0, x0), (y1, x1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
            crosses = (rows >= min(y0, y1)) & (rows < max(y0, y1))
            odd ^= crosses & (columns > x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
        if odd.any():
            np.testing.assert_array_equal(shape_mask(drawn(vertices, "polygon"), 0, Image(IMAGE)), odd)


@pytest.mark.parametrize("degrees", [0, 30, 90, -137.3])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
@pytest.mark.parametrize(
    ("corners", "rows", "columns"),
    [
        ([[-0.5, -0.5], [149.5, 199.5]], slice(0, 150), slice(0, 200)),
        ([[0, 40], [149, 239]], slice(0, 150), slice(40, 240)),
    ],
)
def test_outlines_through_pixel_centres_and_edges(
    degrees: float, reverse: bool, kind: str, corners: list[list[float]], rows: slice, columns: slice
) -> None:
    transform = {"rotate": degrees, "scale": (0.3, 0.7), "translate": (1234.5, -99.9)}
    (top, left), (bottom, right) = corners
    vertices = [[top, left], [top, right], [bottom, right], [bottom, left]][:: -1 if reverse else 1]
    expected = np.zeros((200, 300), dtype=bool)
    expected[rows, columns] = True
    mask = shape_mask(drawn(vertices, kind, **transform), 0, Image(np.zeros((200, 300)), **transform))
    np.testing.assert_array_equal(mask, expected)
    # The same outline in a layer of its own units: the way over the world costs some digits.
    nanometres = {**transform, "scale": (300, 700), "translate": (1234500, -99900), "units": "nm"}
    image = Image(np.zeros((200, 300)), **transform, units="um")
    np.testing.assert_array_equal(shape_mask(drawn(vertices, kind, **nanometres), 0, image), expected)


def test_slanted_outlines_and_circles_hold_the_centres_on_them() -> None:
    rows, columns = np.indices((21, 21))
    diamond = drawn([[0, 10], [10, 20], [20, 10], [10, 0]], "polygon", rotate=30)
    mask = shape_mask(diamond, 0, Image(np.zeros((21, 21)), rotate=30))
    np.testing.assert_array_equal(mask, abs(rows - 10) + abs(columns - 10) <= 10)
    circle = drawn([[10, 10], [5, 5]], "ellipse", rotate=30)
    mask = shape_mask(circle, 0, Image(np.zeros((21, 21)), rotate=30))
    np.testing.assert_array_equal(mask, (rows - 10) ** 2 + (columns - 10) ** 2 <= 25)


def test_a_pentagram_is_filled_as_napari_draws_it() -> None:
    angle = 4 * np.pi / 5 * np.arange(5) + 0.1
    shapes = drawn(10 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 12, "polygon")
    mask = shape_mask(shapes, 0, Image(IMAGE))
    assert not mask[12, 12]
    mesh = shapes._data_view.shapes[0]
    centres = np.moveaxis(np.indices(IMAGE.shape), 0, -1)
    triangles = mesh._face_vertices[mesh._face_triangles]
    painted = np.any([inside_convex(centres, triangle) for triangle in triangles], axis=0)
    np.testing.assert_array_equal(mask, painted)


def test_regions_are_cut_off_at_the_image() -> None:
    mask = shape_mask(drawn([[-1e4, -1e4], [4, 1e4]], "rectangle"), 0, Image(IMAGE))
    assert mask[:5].all()
    assert not mask[5:].any()
    mask = shape_mask(drawn([[0, 0], [300, 3]], "ellipse"), 0, Image(IMAGE))
    assert mask[:, :3].all()
    assert not mask[:, 4:].any()


def test_other_axes_make_the_plane() -> None:
    volume = Image(np.zeros((6, 5, 7)))
    shapes = drawn([[1, 2, 3], [1, 2, 6], [4, 2, 6], [4, 2, 3]], "polygon")
    mask = shape_mask(shapes, 0, volume, axes=(0, 2))
    expected = np.zeros((6, 7), dtype=bool)
    expected[1:5, 3:7] = True
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(shape_mask(shapes, 0, volume, axes=(2, 0)), expected.T)
    assert shapes_masks(shapes, volume, axes=(0, 2))[0].frame == (2,)
    with pytest.raises(RegionError, match="no area in the image's plane"):
        shape_mask(shapes, 0, volume)


def test_frames_of_shapes_in_a_stack() -> None:
    viewer = ViewerModel()
    stack = viewer.add_image(
        np.zeros((7, 10, 12)), scale=(20, 0.5, 0.5), translate=(40, 0, 0), units=("ms", "um", "um"), rotate=25
    )
    own = {name: getattr(stack, name) for name in ("translate", "rotate")}
    shapes = viewer.add_shapes(ndim=3, scale=(0.02, 500, 500), units=("s", "nm", "nm"), name="ROI", rotate=25)
    shapes.translate = own["translate"] * (1e-3, 1e3, 1e3)
    for frame in (3, 0):
        corners = np.array([[frame, 1, 2], [frame, 1, 5], [frame, 4, 5], [frame, 4, 2]])
        shapes.add(corners, shape_type="rectangle")
    regions = shapes_masks(shapes, stack)
    assert [(region.label, region.name, region.frame) for region in regions] == [
        (1, "ROI 1", (3,)),
        (2, "ROI 2", (0,)),
    ]
    expected = np.zeros((10, 12), dtype=bool)
    expected[1:5, 2:6] = True
    for region in regions:
        np.testing.assert_array_equal(region.mask, expected)


def test_a_flat_layer_counts_for_all_frames() -> None:
    flat = drawn(RECTANGLE, "rectangle", scale=(2, 2))
    stack = Image(np.zeros((3, 4, 20, 30)), scale=(9, 8, 2, 2), translate=(5, 5, 0, 0))
    (region,) = shapes_masks(flat, stack)
    assert region.frame is None
    np.testing.assert_array_equal(region.mask, shape_mask(drawn(RECTANGLE, "rectangle"), 0, Image(stack.data[0, 0])))


def test_a_layer_that_lacks_only_some_axes() -> None:
    corners = np.insert(RECTANGLE, 0, 2, axis=1)
    (region,) = shapes_masks(drawn(corners, "rectangle"), Image(np.zeros((3, 4, 20, 30))))
    assert region.frame == (None, 2)


def test_names_come_from_the_features() -> None:
    shapes = Shapes(
        [RECTANGLE, RECTANGLE, RECTANGLE],
        shape_type="rectangle",
        name="ROI",
        features={"name": ["condensate", "", None]},
    )
    assert [region.name for region in shapes_masks(shapes, Image(IMAGE))] == ["condensate", "ROI 2", "ROI 3"]


SQUARE = [[2, 2], [2, 5], [5, 5], [5, 2]]


@pytest.mark.parametrize(
    ("vertices", "kind", "message"),
    [
        ([[0, 0], [5, 5]], "line", r"^Shape 1 of 'ROI' \(line\) has no area; draw a rectangle"),
        (SQUARE, "path", r"^Shape 1 of 'ROI' \(path\) has no area; draw a rectangle"),
        ([[4, 4], [4, 9]], "rectangle", "has no area in the image's plane"),
        ([[4, 4], [0, 9]], "ellipse", "has no area in the image's plane"),
        ([[1, 1], [5, 5], [9, 9]], "polygon", "has no area in the image's plane"),
        ([[30, 0], [40, 9]], "rectangle", "lies outside the image 'shot'"),
        ([[4, -10], [3, 9]], "ellipse", "lies outside the image 'shot'"),
        ([[4.2, 4.2], [4.4, 9]], "rectangle", "holds no pixel centre of the image 'shot'; enlarge it"),
        ([[4.5, 4.5], [0.3, 0.3]], "ellipse", "holds no pixel centre"),
    ],
)
def test_shapes_that_cannot_be_fitted(vertices: Any, kind: str, message: str) -> None:
    shapes = drawn(vertices, kind)
    with pytest.raises(RegionError, match=message):
        shape_mask(shapes, 0, Image(IMAGE, name="shot"))
    with pytest.raises(RegionError, match=message):
        shapes_masks(shapes, Image(IMAGE, name="shot"))


def test_a_layer_without_shapes() -> None:
    with pytest.raises(RegionError, match=r"^Shapes layer 'ROI' holds no shapes; draw"):
        shapes_masks(Shapes(name="ROI"), Image(IMAGE))


def test_shapes_in_no_single_frame_of_the_image() -> None:
    stack = Image(np.zeros((4, 20, 30)), name="stack")
    corners = np.insert(RECTANGLE, 0, [0, 0, 2, 2], axis=1)
    with pytest.raises(RegionError, match=r"lies across frames \(data axis 0\)"):
        shapes_masks(drawn(corners, "rectangle"), stack)
    with pytest.raises(RegionError, match="index 4 of data axis 0, outside the image 'stack' with 4"):
        shapes_masks(drawn(np.insert(RECTANGLE, 0, 4, axis=1), "rectangle"), stack)


def test_a_flat_layer_on_a_stack_rotated_out_of_its_plane() -> None:
    stack = Image(np.zeros((4, 20, 30)), rotate=(0, 20, 0), name="stack")
    with pytest.raises(RegionError, match=r"'stack' is rotated or sheared out of its plane.*draw in a 3-D layer"):
        shapes_masks(drawn(RECTANGLE, "rectangle"), stack)
    with pytest.raises(RegionError, match="'stack' is rotated or sheared out of its plane"):
        labels_on_image(Labels(np.ones((20, 30), dtype=int)), stack)


def sampled_by_hand(labels: Labels, image: Image, factor: float) -> np.ndarray:
    result = np.zeros(image.data.shape, dtype=int)
    for centre in np.ndindex(image.data.shape):
        index = np.floor(labels.world_to_data(factor * np.array(image.data_to_world(centre))) + 0.5 + 1e-9)
        if (index >= 0).all() and (index < labels.data.shape).all():
            result[centre] = labels.data[tuple(index.astype(int))]
    return result


@pytest.mark.parametrize(("of_image", "of_labels", "factor"), CASES)
def test_labels_on_another_grid(of_image: dict[str, Any], of_labels: dict[str, Any], factor: float) -> None:
    painted = np.random.default_rng(3).integers(0, 9, (26, 22))
    image, labels = Image(IMAGE, **of_image), Labels(painted, **of_labels)
    result = labels_on_image(labels, image)
    assert result.dtype == painted.dtype
    np.testing.assert_array_equal(result, sampled_by_hand(labels, image, factor))
    np.testing.assert_array_equal(labels_on_image(labels, image, axes=(1, 0)), result.T)


@pytest.mark.parametrize(
    "transform",
    [{}, {"rotate": 30}, {"rotate": (0, 0, 20)}, {"rotate": (10, 20, 30)}],
)
def test_labels_with_the_image_s_leading_axis(transform: dict[str, Any]) -> None:
    painted = np.random.default_rng(3).integers(0, 9, (5, 6, 7))
    stack = Image(np.zeros((6, 7, 8)), scale=(1, 0.9, 0.8), **transform)
    labels = Labels(painted, translate=(1, -1, 0))
    result = labels_on_image(labels, stack)
    assert result.shape == (6, 7, 8)
    np.testing.assert_array_equal(result, sampled_by_hand(labels, stack, 1))


def test_labels_of_equal_grids_are_not_copied() -> None:
    painted = np.ones((5, 6), dtype=np.uint8)
    transform = {"scale": (0.3, 0.7), "rotate": 30}
    assert labels_on_image(Labels(painted, **transform), Image(np.zeros((5, 6)), **transform)) is painted
    stack = Image(np.zeros((3, 5, 6)), scale=(2, 0.3, 0.7), units=("ms", "um", "um"))
    nanometres = Labels(painted, scale=(300, 700), units="nm")
    assert labels_on_image(nanometres, stack) is painted
    volume = np.ones((3, 5, 6), dtype=int)
    assert labels_on_image(Labels(volume), Image(volume)) is volume


def test_labels_that_lack_only_some_axes_repeat_along_them() -> None:
    painted = np.random.default_rng(3).integers(0, 9, (4, 5, 6))
    result = labels_on_image(Labels(painted), Image(np.zeros((2, 4, 5, 6))))
    np.testing.assert_array_equal(result, [painted, painted])


def test_labels_without_a_region_on_the_image() -> None:
    painted = np.zeros((5, 6), dtype=int)
    with pytest.raises(RegionError, match="'L' has no label above 0; paint"):
        labels_on_image(Labels(painted, name="L"), Image(IMAGE))
    painted[0, 0] = 1
    with pytest.raises(RegionError, match=r"^No label of 'L' lies on the image 'shot'; move"):
        labels_on_image(Labels(painted, name="L", translate=(50, 0)), Image(IMAGE, name="shot"))


def test_ellipse_vertices_follow_the_model() -> None:
    """The middles of the sides are the ends of the principal axes."""
    theta, (radius_y, radius_x) = 0.3, (2.0, 5.0)
    corners = ellipse_vertices((10, 20), (radius_y, radius_x), theta, leading=(4, 7))
    assert corners.shape == (4, 4)
    np.testing.assert_array_equal(corners[:, :2], [[4, 7]] * 4)
    middles = (corners + np.roll(corners, -1, axis=0))[:, 2:] / 2
    dy, dx = (middles - (10, 20)).T
    u, v = dx * np.cos(theta) + dy * np.sin(theta), -dx * np.sin(theta) + dy * np.cos(theta)
    np.testing.assert_allclose(np.stack([u, v], axis=1), [[0, -2], [5, 0], [0, 2], [-5, 0]], atol=1e-12)
    # the long axis of a small positive angle points towards larger x and larger y
    np.testing.assert_allclose(middles[1], [10 + 5 * np.sin(0.3), 20 + 5 * np.cos(0.3)])


def test_napari_draws_the_fitted_ellipse() -> None:
    theta = -0.7
    layer = ViewerModel().add_shapes(ellipse_vertices((10, 20), (2, 5), theta), shape_type="ellipse")
    drawn_outline = layer._data_view.shapes[0]._face_vertices[1:]
    dy, dx = (drawn_outline - (10, 20)).T
    u, v = dx * np.cos(theta) + dy * np.sin(theta), -dx * np.sin(theta) + dy * np.cos(theta)
    np.testing.assert_allclose(np.hypot(u / 5, v / 2), 1, atol=1e-5)
