"""Which fit lies under a point: on every layer of a fit, however it is placed and looked at.

Every pixel's answer is known: the fits of a stack are told apart by their slope, which is their flat index.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_imagefit import FitResult, models
from napari_imagefit.imaging.inspection.fit_grid import FitGrid
from napari_imagefit.layers.geometry.output_layers import put, role_of
from napari_imagefit.layers.geometry.transforms import data_to_world
from napari_imagefit.layers.inspection.marks import CHOSEN, PINS, Pin, find_mark, show_chosen, show_pins
from napari_imagefit.layers.inspection.pick import Sight, pick, pick_in
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome, Request
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.naming import axis_titles, place_title
from napari_imagefit.layers.tasks.result_layers import make_more, what_can_be_shown
from napari_imagefit.layers.tasks.run_fit import run_any

pytestmark = [
    pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning"),
    pytest.mark.filterwarnings("ignore:Inconsistent units:UserWarning"),
]


def turn(ndim: int, first: int, second: int, degrees: float) -> np.ndarray:
    """A rotation from one axis to another."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(ndim)
    matrix[np.ix_([first, second], [first, second])] = [[c, -s], [s, c]]
    return matrix


PLACES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "scaled": {"scale": (2, 0.5, 0.25), "translate": (7, -3, 11), "units": ("ms", "um", "um")},
    "rotated": {"scale": (2, 0.5, 0.25), "rotate": turn(3, 1, 2, 33), "translate": (1, 5, -2)},
    "sheared": {"shear": (0, 0, 0.4), "scale": (1, 3, 2)},
    "mirrored": {"scale": (1, -2, 1), "affine": turn(4, 1, 2, -90) @ np.diag([1, 1, -1, 1])},
    "rotated out of its slices": {"rotate": turn(3, 0, 2, 25), "scale": (1.5, 1, 2)},
}


def fitted(request: Request) -> Outcome:
    steps: Generator[Any, None, Outcome] = run_any(request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            assert not outcome.refusal
            return outcome


def lines(axis: int, shape: tuple[int, ...] = (4, 5)) -> np.ndarray:
    """A stack of straight lines along an axis, the slope of each its flat index."""
    slopes = np.arange(int(np.prod(shape)), dtype=float).reshape(shape)
    noise = np.random.default_rng(0).normal(0, 1e-3, (6, *shape))
    return np.moveaxis(slopes * np.arange(6.0).reshape(-1, *(1,) * len(shape)) + noise, 0, axis)


def fit_lines(viewer: ViewerModel, axis: int, **placed: Any) -> tuple[Image, Outcome]:
    image = viewer.add_image(lines(axis), name="lines", **placed)
    rows = tuple(Row(name) for name in models["linear"].names)
    outcome = fitted(freeze(Choices(image, "voxels", "linear", rows, axis=axis)))
    for output in make_more(outcome, what_can_be_shown(outcome)):
        put(viewer.layers, output).visible = True
    return image, outcome


def numbers(outcome: Outcome) -> np.ndarray:
    """The slopes per sample instead of per unit of the coordinate."""
    assert outcome.result is not None
    return np.asarray(outcome.result.params["slope"] * (outcome.request.coords[0][1] - outcome.request.coords[0][0]))


def alone(viewer: ViewerModel, layer: Layer) -> None:
    for other in viewer.layers:
        other.visible = other is layer


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("placed", PLACES.values(), ids=PLACES.keys())
def test_every_layer_of_a_fit_finds_every_voxel(placed: dict[str, Any], axis: int) -> None:
    viewer = ViewerModel()
    image, outcome = fit_lines(viewer, axis, **placed)
    assert outcome.result is not None
    group = outcome.request.group
    matrix, offset = data_to_world(image)
    rng = np.random.default_rng(2)
    roles = {role_of(layer, group) for layer in viewer.layers}
    assert {"param:slope", "stderr:slope", "status", "fitted", "residual", None} <= roles
    for place in itertools.product(range(4), range(5)):
        sample = np.insert(np.array(place, dtype=float), axis, rng.integers(0, 6))
        position = matrix @ (sample + rng.uniform(-0.45, 0.45, 3)) + offset
        for layer in viewer.layers:
            alone(viewer, layer)
            sight = Sight(tuple(position), viewer.dims.units, viewer.dims.displayed)
            found = pick(viewer.layers, outcome.request, outcome.result, sight)
            assert found == place, (layer.name, found)
            assert round(float(numbers(outcome)[found])) == np.ravel_multi_index(place, (4, 5))


@pytest.mark.parametrize("outside", [(0, -0.6, 2), (0, 2, 4.6), (0, 3.6, 0), (0, 9, 9)])
def test_beside_the_data_there_is_no_fit(outside: tuple[float, ...]) -> None:
    viewer = ViewerModel()
    image, outcome = fit_lines(viewer, 0, scale=(1, 2, 2))
    position = tuple(np.multiply(outside, image.scale))
    assert outcome.result is not None
    assert pick(viewer.layers, outcome.request, outcome.result, Sight(position)) is None
    viewer.layers.clear()
    assert pick(viewer.layers, outcome.request, outcome.result, Sight((0, 0, 0))) is None


def test_layers_in_other_units() -> None:
    """The viewer's world is in µm, because another layer is; the fitted one is in nm."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 4, 5)), name="other", units=("s", "um", "um"))
    image, outcome = fit_lines(viewer, 0, scale=(1000, 200, 300), units=("ms", "nm", "nm"))
    assert outcome.result is not None
    units = viewer.dims.units
    assert units is not None
    to_viewer = np.array([(1 * own).to(unit).magnitude for own, unit in zip(image.units, units, strict=True)])
    position = np.array([0, 2 * 200, 3 * 300]) * to_viewer
    assert pick(viewer.layers, outcome.request, outcome.result, Sight(tuple(position), units)) == (2, 3)


def test_the_topmost_layer_counts_and_hidden_ones_do_not() -> None:
    viewer = ViewerModel()
    _, outcome = fit_lines(viewer, 0)
    assert outcome.result is not None
    tau = next(layer for layer in viewer.layers if role_of(layer, outcome.request.group) == "param:slope")
    tau.translate = (0, 2)  # moved aside by the user
    sight = Sight((0.0, 1.0, 3.0))
    alone(viewer, tau)
    assert pick(viewer.layers, outcome.request, outcome.result, sight) == (1, 1)
    tau.visible = False
    viewer.layers["lines"].visible = True
    assert pick(viewer.layers, outcome.request, outcome.result, sight) == (1, 3)


def march(layer: Layer, shape: tuple[int, ...], position: np.ndarray, direction: np.ndarray) -> list[tuple[int, ...]]:
    """Voxels along a line of sight by small steps: what `pick` finds by crossing faces."""
    matrix, offset = data_to_world(layer)
    steps = np.linspace(-60, 60, 60_001)[:, None]
    index = np.rint((position + steps * direction - offset) @ np.linalg.inv(matrix).T).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=1)
    return list(dict.fromkeys(map(tuple, index[inside].tolist())))


@pytest.mark.parametrize(
    "placed", [PLACES["as it comes"], PLACES["scaled"], PLACES["rotated"]], ids=["plain", "scaled", "rotated"]
)
@pytest.mark.parametrize("seed", range(4))
def test_in_3d_the_nearest_answer_on_the_line_of_sight(placed: dict[str, Any], seed: int) -> None:
    viewer = ViewerModel(ndisplay=3)
    image, outcome = fit_lines(viewer, 0, **placed)
    result = outcome.result
    assert result is not None
    rng = np.random.default_rng(seed)
    matrix, offset = data_to_world(image)
    position = matrix @ rng.uniform((0, 0, 0), (5, 3, 4)) + offset
    direction = rng.normal(size=3) * np.diag(matrix)
    direction /= np.linalg.norm(direction)
    crossed = march(image, (6, 4, 5), position, direction)
    places = list(dict.fromkeys((y, x) for _, y, x in crossed))
    assert places
    sight = Sight(tuple(position), None, (0, 1, 2), tuple(direction))
    assert pick_in(image, result, sight) == places[0]
    # voxels without an answer let through
    status = result.status.copy()
    for place in places[:-1]:
        status[place] = -4
    assert pick_in(image, _with_status(result, status), sight) == places[-1]
    status[places[-1]] = -1
    expected = places[0] if len(places) > 1 else places[-1]
    assert pick_in(image, _with_status(result, status), sight) == expected
    assert pick_in(image, _with_status(result, np.full_like(status, -1)), sight) == places[0]


def _with_status(result: FitResult, status: np.ndarray) -> FitResult:
    from dataclasses import replace

    return replace(result, status=status)


def test_in_3d_a_map_lies_at_the_start_of_the_axis_that_it_lacks() -> None:
    viewer = ViewerModel(ndisplay=3)
    _, outcome = fit_lines(viewer, 0)
    assert outcome.result is not None
    tau = next(layer for layer in viewer.layers if role_of(layer, outcome.request.group) == "param:slope")
    direction = np.array([1, 0.5, -0.25]) / np.linalg.norm([1, 0.5, -0.25])
    through = np.array([0, 2.2, 1.1])
    sight = Sight(tuple(through - 20 * direction), None, (0, 1, 2), tuple(direction))
    assert tau.ndim == 2
    assert pick_in(tau, outcome.result, sight) == (2, 1)
    beside = Sight((0, 2.2, 9), None, (0, 1, 2), tuple(direction))
    assert pick_in(tau, outcome.result, beside) is None


@pytest.fixture(scope="module")
def clouds() -> Outcome:
    y, x = np.mgrid[0:24, 0:30]
    noise = np.random.default_rng(0).normal(0, 0.02, (3, 24, 30))
    image = Image(
        np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30) + noise, name="clouds", scale=(1, 2, 2), units=("s", "um", "um")
    )
    viewer = ViewerModel()
    viewer.layers.append(image)
    roi = viewer.add_shapes([[[2, 4], [2, 26], [20, 26], [20, 4]]], scale=(2, 2), units=("um", "um"), name="ROI")
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    return fitted(freeze(Choices(image, "region", "gaussian_2d", rows, region=roi)))


def test_regions_are_found_frame_by_frame(clouds: Outcome) -> None:
    viewer = ViewerModel()
    for output in make_more(clouds, what_can_be_shown(clouds)):
        put(viewer.layers, output)
    assert clouds.result is not None
    assert {layer._type_string for layer in viewer.layers} == {"image", "labels", "shapes"}
    for layer in viewer.layers:
        for frame in range(3):
            assert pick_in(layer, clouds.result, Sight((float(frame), 2 * 10.0, 2 * 7.0))) == (frame, 0)
        assert pick_in(layer, clouds.result, Sight((0.0, 2 * 22.0, 2 * 7.0))) is None, "beside the region"
        assert pick_in(layer, clouds.result, Sight((3.0, 2 * 10.0, 2 * 7.0))) is None, "no such frame"


def test_what_fits_and_axes_are_called(clouds: Outcome) -> None:
    assert axis_titles(clouds.request) == ("axis 1 [µm]", "axis 2 [µm]")
    assert place_title(clouds.request, (1, 0)) == "ROI 1, frame 1"
    viewer = ViewerModel()
    _, outcome = fit_lines(viewer, 0, units=("ms", "um", "um"), axis_labels=("echo", "y", "x"))
    assert axis_titles(outcome.request)[0].startswith("echo")
    assert place_title(outcome.request, (2, 3)) == "2, 3"


@pytest.mark.parametrize("axis", [0, 2])
def test_marks_lie_on_their_voxels_and_are_updated_in_place(axis: int) -> None:
    viewer = ViewerModel()
    image, outcome = fit_lines(viewer, axis, scale=(2, 0.5, 0.25), translate=(7, -3, 11), units=("ms", "um", "um"))
    assert outcome.result is not None
    grid, request = FitGrid.of(outcome.result), outcome.request
    viewer.layers.selection.active = image
    before = len(viewer.layers)
    pins = [Pin("A", "#E69F00", "square", (1, 3), (0, 0, 0)), Pin("B", "#56B4E9", "disc", (3, 0), (0, 0, 0))]
    layer = show_pins(viewer.layers, request, grid, pins[:1])
    assert layer is not None
    assert show_pins(viewer.layers, request, grid, pins) is layer
    assert viewer.layers.selection.active is image
    assert viewer.dims.units == image.units
    for pin, point in zip(pins, layer.data, strict=True):
        matrix, offset = data_to_world(layer)
        assert pick(viewer.layers, request, outcome.result, Sight(tuple(matrix @ point + offset))) == pin.place
    assert list(layer.features["pin"]) == ["A", "B"]
    chosen = numbers(outcome) > 14.5
    labels = show_chosen(viewer.layers, request, grid, chosen, "slope")
    assert labels is not None
    assert np.asarray(labels.data).sum() == 5
    assert show_chosen(viewer.layers, request, grid, ~chosen, "slope") is labels
    assert np.asarray(labels.data).sum() == 15
    status = next(layer for layer in viewer.layers if role_of(layer, request.group) == "status")
    assert data_to_world(labels)[0].tolist() == data_to_world(status)[0].tolist()
    assert labels.data.shape == status.data.shape
    assert len(viewer.layers) == before + 2
    show_pins(viewer.layers, request, grid, [])
    show_chosen(viewer.layers, request, grid, None, "")
    assert find_mark(viewer.layers, PINS) is None
    assert find_mark(viewer.layers, CHOSEN) is None
