"""The inspector in a real viewer: the pointer is moved and clicked, and what is drawn is that voxel's own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.inspector.inspector_dock import Inspection
from napari_imagefit.gui.plots.styles import CHOSEN as CHOSEN_FIT
from napari_imagefit.gui.plots.styles import CURSOR, PLOT_STYLES
from napari_imagefit.gui.widgets.cursor import POINTER_SHARE
from napari_imagefit.layers.inspection.marks import PINS, find_mark
from napari_imagefit.layers.request.fit_request import Outcome

from .inspector_help import SHAPE, assert_shows, fit, lines
from .pointer import Arrivals, canvas_of, click, drag, move, move_once, pixel_of, until

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def test_real_clicks_at_zooms_rotations_and_orders_of_axes(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    image = viewer.layers["lines"]
    rng = np.random.default_rng(7)
    turned = np.eye(3)
    turned[1:, 1:] = [[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]
    places = rng.permutation([(y, x) for y in range(2, 8) for x in range(5, 10)]).tolist()
    placed: list[dict[str, Any]] = [{}, {"rotate": turned}, {"scale": (2.0, 0.5, 1.5), "translate": (4.0, 70, -30)}]
    for transform in placed:
        for name, value in transform.items():
            setattr(image, name, value)
        # an output follows its input only with a new fit
        outcome = fit(viewer, image)
        inspector.looking.take(outcome)
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2)):
            viewer.dims.order = order
            viewer.reset_view()
            zoom = viewer.scene.camera.zoom
            for factor in (0.5, 1, 2.5):
                viewer.scene.camera.zoom = factor * zoom
                y, x = places.pop()
                place = (y, x)
                world = image.data_to_world((3, *place))
                viewer.dims.point = world
                viewer.scene.camera.center = [world[axis] for axis in (order[1], order[2])]
                what = (list(transform), order, factor, place)
                move(viewer, inspector, world)
                assert inspector.place == place, what
                assert_shows(inspector, outcome, CURSOR, place)
                click(viewer, world)
                (letter,) = [pin.letter for pin in inspector.looking.pins.items if pin.place == place]
                assert_shows(inspector, outcome, letter, place)
                if len(inspector.looking.pins.items) == len(PLOT_STYLES):
                    inspector.clear_pins()


def test_from_every_layer_of_the_fit(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    for number, layer in enumerate(layer for layer in viewer.layers if layer.name != "pins · lines"):
        for other in viewer.layers:
            other.visible = other is layer
        viewer.layers.selection.active = layer
        place = (2 + number % 5, 9 - number % 10)
        move(viewer, inspector, viewer.layers["lines"].data_to_world((0, *place)))
        assert_shows(inspector, outcome, CURSOR, place)


def test_through_a_volume(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    image = viewer.layers["lines"]
    for layer in viewer.layers:
        layer.visible = layer is image
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (12, 33, 81)
    viewer.reset_view()
    viewer.scene.camera.angles = (12, 33, 81)
    seen: list[Any] = []
    viewer.mouse_move_callbacks.append(lambda _v, event: seen.append((event.position, event.view_direction)))
    for sample in ((3, 4, 4), (1, 6, 7), (5, 2, 8)):
        move(viewer, inspector, sample)
        start, _ = image.get_ray_intersections(seen[-1][0], seen[-1][1], [0, 1, 2])
        # napari counts from a voxel's edge; a little further on, so that rounding does not matter
        inside = np.asarray(start) + 1e-6 * np.asarray(seen[-1][1])
        assert inspector.place is not None
        nearest = np.clip(np.floor(inside + 0.5), 0, np.array(SHAPE) - 1).astype(int)
        assert inspector.place == tuple(nearest[1:])
        assert_shows(inspector, outcome, CURSOR, inspector.place)
    viewer.mouse_move_callbacks.pop()


def test_pins_are_compared_and_stay_where_they_are(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    image = viewer.layers["lines"]
    click(viewer, (0, 2, 3))
    click(viewer, (0, 6, 8))
    move(viewer, inspector, (0, 4, 5))
    assert inspector.shown_places() == {CURSOR: (4, 5), "A": (2, 3), "B": (6, 8)}
    for who, place in inspector.shown_places().items():
        assert_shows(inspector, outcome, who, place)
    pins = find_mark(viewer.layers, PINS)
    np.testing.assert_array_equal(pins.data, [[2, 3], [6, 8]])
    assert [str(s) for s in pins.symbol] == [PLOT_STYLES["A"].napari_symbol, PLOT_STYLES["B"].napari_symbol]
    assert viewer.layers.selection.active is image

    image.data = lines(seed=5) + 40
    again = fit(viewer, image)
    inspector.looking.take(again)
    assert inspector.shown_places() == {CURSOR: (4, 5), "A": (2, 3), "B": (6, 8)}
    for who, place in inspector.shown_places().items():
        assert_shows(inspector, again, who, place)
    assert find_mark(viewer.layers, PINS) is pins

    click(viewer, (0, 2, 3))
    assert "A" not in inspector.shown_places(), "a second click lets go"
    QTest.keyClick(canvas_of(viewer).native, Qt.Key.Key_Escape)
    assert not inspector.looking.pins.items
    assert find_mark(viewer.layers, PINS) is None
    click(viewer, (0, 3, 3))
    viewer.layers.remove(find_mark(viewer.layers, PINS))
    assert not inspector.looking.pins.items, "removing their layer lets go of the pins"


def test_dragging_is_no_click_nor_is_drawing(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, _ = inspected
    drag(viewer, (0, 3, 3), (0, 3, 5))
    assert not inspector.looking.pins.items
    shapes = viewer.add_shapes(ndim=2)
    shapes.mode = "add_rectangle"
    click(viewer, (0, 4, 4))
    assert not inspector.looking.pins.items


def test_a_voxel_without_an_answer_says_why(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    mask = np.ones((8, 10), int)
    mask[6, 6] = 0
    outcome = fit(viewer, image, viewer.add_labels(mask, name="mask", visible=False))
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 0.6

    move(viewer, inspector, (0, 6, 6))
    drawn = inspector.curves.drawn(CURSOR)
    assert drawn is not None
    np.testing.assert_array_equal(drawn.points.getData()[1], lines()[:, 6, 6])
    assert not drawn.line.isVisible()
    assert not drawn.band.isVisible()
    assert "⚠ voxel 6, 6: not fitted: outside the mask" in inspector.note.text()
    assert "slope = —" in inspector.note.toolTip()

    move(viewer, inspector, (0, 1, 1))
    assert "fewer usable samples" in inspector.note.text()
    assert not drawn.points.getData()[1].size

    move(viewer, inspector, (0, 5, 4))
    assert drawn.line.isVisible()
    assert drawn.points.getData()[1].size == 5
    assert "5 samples used, 1 left out" in inspector.note.toolTip()

    move(viewer, inspector, (0, 9.5, 4))
    assert inspector.place is None
    assert inspector.curves.drawn(CURSOR) is None


def test_only_the_latest_of_many_moves_counts(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    takes, told = 0.06, []

    def slowly(sight: Any) -> None:
        begun = time.perf_counter()
        told.append((begun, sight.position, arrivals.positions[-1]))
        time.sleep(takes)

    with Arrivals(viewer) as arrivals:
        inspector.looking.follower.moved.connect(slowly)
        pixels = [pixel_of(viewer, (0, 4, x)) for x in np.linspace(1, 8, 40)]
        while len(told) <= 2 or len(arrivals.pixels) < 40:
            for pixel in pixels:
                move_once(viewer, pixel)
        move(viewer, inspector, (0, 4, 8))
        assert_shows(inspector, outcome, CURSOR, (4, 8))
        assert all(position == latest for _, position, latest in told), "what came meanwhile is not queued"
        # a timer may be early by a twentieth, and counts whole milliseconds
        rest = 0.95 * takes * (1 - POINTER_SHARE) / POINTER_SHARE - 0.001
        pauses = np.diff([begun for begun, *_ in told]) - takes
        assert (pauses >= rest).all(), "the window has time for other things"

        inspector.parentWidget().hide()
        assert not inspector.isVisible()
        drawn = inspector.curves.drawn(CURSOR).points.getData()[1]
        before, _ = len(told), arrivals.wait_for(pixels[0])
        until(lambda: len(told) > before, "the move is followed for the numbers in the dock")
        now = inspector.curves.drawn(CURSOR).points.getData()[1]
        np.testing.assert_array_equal(now, drawn, "nothing is drawn that nobody sees")
        inspector.parentWidget().show()
        move(viewer, inspector, (0, 4, 1))
        assert_shows(inspector, outcome, CURSOR, (4, 1))


def test_a_slider_moves_the_slice_under_the_pointer(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 2)
    viewer.reset_view()
    move(viewer, inspector, (3, 2, 7))
    assert_shows(inspector, outcome, CURSOR, (2, 7))
    viewer.dims.set_current_step(1, 5)
    until(lambda: inspector.place != (2, 7), "the slider's move is followed")
    assert_shows(inspector, outcome, CURSOR, (5, 7))


def test_a_place_can_be_typed(inspected: tuple[Any, Inspector, Outcome], qtbot: Any) -> None:
    _, inspector, outcome = inspected
    inspector.where.setFocus()
    inspector.where.clear()
    qtbot.keyClicks(inspector.where, "7, 9")
    qtbot.keyClick(inspector.where, Qt.Key.Key_Return)
    assert_shows(inspector, outcome, "A", (7, 9))
    inspector.where.clear()
    qtbot.keyClicks(inspector.where, "8 1")
    qtbot.keyClick(inspector.where, Qt.Key.Key_Return)
    assert "'8 1' is no place on the grid of 8 × 10 fits" in inspector.note.text()
    qtbot.keyClick(inspector.where, Qt.Key.Key_Escape)
    assert not inspector.looking.pins.items
    for control in (inspector.where, inspector.bar.pin, inspector.bar.clear, inspector.bar.profile):
        assert control.toolTip()


def test_a_click_pins_in_every_mode_in_which_it_does_not_draw(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, _ = inspected
    shapes = viewer.add_shapes([[[0, 0], [1, 1]]], shape_type="line", ndim=2)
    for mode, pins in (("select", True), ("transform", True), ("direct", False), ("vertex_insert", False)):
        viewer.layers.selection.active = shapes
        shapes.mode = mode
        click(viewer, (0, 4, 4))
        assert bool(inspector.looking.pins.items) == pins, mode
        inspector.clear_pins()
    shapes.mode = "pan_zoom"


def test_what_is_looked_at_is_told_without_an_inspector(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    inspection = Inspection(viewer)
    told: list[Any] = []
    inspection.looked_at.connect(told.append)
    inspection.feed(fit(viewer, image))
    viewer.reset_view()
    pixel_of(viewer, (0, 0, 0))
    click(viewer, (0, 3, 4))
    assert told[-1] == inspection.place == (3, 4)
    assert inspection.pinned == {"A": (3, 4)}
    inspection.look_at((5, 5))
    assert told[-1] == inspection.place == (5, 5)
    assert inspection.shown_places() == {CHOSEN_FIT: (5, 5), "A": (3, 4)}
    viewer.dims.set_current_step(0, 5)
    QTest.qWait(150)
    assert inspection.place == (5, 5), "where the pointer was is not what is meant"
    inspection.look_at((50, 5))
    assert inspection.place == (5, 5), "there is no such fit"
    viewer.layers.remove(image)
    assert told[-1] is None
    assert inspection.outcome is None
    assert not inspection.pinned
    assert find_mark(viewer.layers, PINS) is None
    inspection.close()
