"""The inspector in a real viewer: the pointer is moved and clicked, and what is drawn is that voxel's own."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QGraphicsView, QMenu, QWidget

from napari_imagefit import models
from napari_imagefit.gui.inspector.inspect_bar import HISTOGRAM, PLOTS, InspectBar
from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.inspector.inspector_dock import ROOMY, Inspection
from napari_imagefit.gui.plots.plotting import pg
from napari_imagefit.gui.plots.styles import CHOSEN as CHOSEN_FIT
from napari_imagefit.gui.plots.styles import CURSOR, ON_SCREEN, STYLES
from napari_imagefit.gui.widgets.cursor import SHARE
from napari_imagefit.gui.widgets.numbers import format_value
from napari_imagefit.imaging.inspection.surface_cuts import smoothed
from napari_imagefit.layers.geometry.output_layers import put, role_of
from napari_imagefit.layers.inspection.marks import CHOSEN, PINS, find_mark
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.tasks.freeze import freeze, run_any

from .pointer import Arrivals, canvas_of, click, drag, is_shown, move, move_once, pixel_of, until

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
SHAPE = (6, 8, 10)
# Compiling on a busy machine with two cores has taken 15 s.
PATIENCE = 120_000


def lines(seed: int = 0) -> np.ndarray:
    """Straight lines along axis 0, no two alike; a voxel of NaN and one with a NaN sample."""
    slopes = 1 + np.arange(80.0).reshape(8, 10)
    noise = np.random.default_rng(seed).normal(0, 0.5, SHAPE)
    data = slopes * np.arange(6.0)[:, None, None] + 3 + noise
    data[:, 1, 1] = np.nan
    data[2, 5, 4] = np.nan
    return np.asarray(data)


def fit(viewer: Any, image: Any, region: Any = None) -> Outcome:
    """The same that the widget's worker does, without waiting for a thread."""
    rows = tuple(Row(name) for name in models["linear"].names)
    outcome = run_all(Choices(image, "voxels", "linear", rows, region=region, axis=0))
    for output in outcome.outputs:
        put(viewer.layers, output)
    return outcome


def run_all(choices: Choices) -> Outcome:
    steps = run_any(freeze(choices))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    # not strict: docks that are removed leave menus of napari's own behind
    shown = make_napari_viewer(strict_qt=False, show=True)
    until(lambda: is_shown(shown), "the viewer's window is on the screen")
    shown.window.resize(1000, 900)
    return shown


@pytest.fixture
def inspected(viewer: Any) -> Iterator[tuple[Any, Inspector, Outcome]]:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    until(inspector.isVisible, "the inspector is on the screen")
    pixel_of(viewer, (0, 0, 0))  # when the new dock has its place, the canvas has its size
    viewer.reset_view()
    yield viewer, inspector, outcome
    inspection.close()


def assert_shows(inspector: Inspector, outcome: Outcome, who: str, place: tuple[int, int]) -> None:
    """Samples, curve, residuals and numbers are the voxel's own."""
    assert inspector.shown_places().get(who) == place
    drawn = inspector.curves.drawn(who)
    assert drawn is not None
    assert outcome.result is not None
    samples = np.asarray(outcome.request.data)[(slice(None), *place)]
    x, y = drawn.points.getData()
    np.testing.assert_array_equal(y, samples)
    slope, intercept = (float(outcome.result.params[name][place]) for name in ("slope", "intercept"))
    fine_x, fine = drawn.line.getData()
    assert drawn.line.isVisible()
    assert drawn.band.isVisible()
    below, above = (edge.getData()[1] for edge in drawn.edges)
    np.testing.assert_allclose((below + above) / 2, fine, rtol=1e-12)
    assert (above > fine).all()
    np.testing.assert_allclose(fine, slope * fine_x + intercept, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(drawn.residuals.getData()[1], samples - (slope * x + intercept), atol=1e-12)
    error = float(outcome.result.stderr["slope"][place])
    assert f"{who} · voxel {place[0]}, {place[1]}: converged" in inspector.note.toolTip()
    assert f"slope = {format_value(slope, error)}" in inspector.note.toolTip()


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
                if len(inspector.looking.pins.items) == len(STYLES):
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
    assert [str(s) for s in pins.symbol] == [STYLES["A"].napari_symbol, STYLES["B"].napari_symbol]
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
        rest = 0.95 * takes * (1 - SHARE) / SHARE - 0.001
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


def test_what_is_of_the_plots_alone_stands_over_them_alone(qtbot: Any) -> None:
    bar = InspectBar()
    qtbot.addWidget(bar)
    bar.show()
    bar.offer_plots(profile=True)
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (True, False)
    bar.tabs.setCurrentIndex(HISTOGRAM)
    bar.offer_plots(profile=False, exclude=True)  # such as another fit, while the histogram is looked at
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (False, False)
    bar.tabs.setCurrentIndex(PLOTS)
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (False, True)


def test_nothing_lies_over_the_plots(inspected: tuple[Any, Inspector, Outcome]) -> None:
    _, inspector, _ = inspected
    assert not [menu for menu in inspector.findChildren(QMenu) if menu.isVisible()]


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


def test_the_histogram_selects_and_is_marked(inspected: tuple[Any, Inspector, Outcome], qtbot: Any) -> None:
    viewer, inspector, outcome = inspected
    assert outcome.result is not None
    panel = inspector.histogram
    tabs = inspector.bar.tabs
    qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(1).center())
    assert panel.isVisible()
    panel.maps.setCurrentIndex(panel.maps.findData("param:slope"))
    slopes = outcome.result.params["slope"]
    move(viewer, inspector, (0, 3, 4))
    click(viewer, (0, 6, 2))
    assert panel._lines["A"].value() == pytest.approx(slopes[6, 2])
    assert CURSOR not in panel._lines, "what is pinned and looked at is marked once"
    edges, heights = panel.bars.getData()
    np.testing.assert_array_equal(heights, np.histogram(slopes[np.isfinite(slopes)], edges)[0])

    panel.select.click()
    labels = find_mark(viewer.layers, CHOSEN)
    before = np.array(labels.data)
    panel.range.setRegion((20, 40))
    until(lambda: not np.array_equal(labels.data, before), "the range is highlighted")
    assert find_mark(viewer.layers, CHOSEN) is labels
    chosen = (slopes >= 20) & (slopes <= 40)
    np.testing.assert_array_equal(np.asarray(labels.data), chosen)
    assert f"{chosen.sum()} of 79 voxels selected" in inspector.note.text()
    panel.low.setText("70")
    panel.high.setText("75")
    qtbot.keyClick(panel.high, Qt.Key.Key_Return)
    until(lambda: not np.array_equal(labels.data, chosen), "the typed range is highlighted")
    assert find_mark(viewer.layers, CHOSEN) is labels, "in place, not piled up"
    np.testing.assert_array_equal(np.asarray(labels.data), (slopes >= 70) & (slopes <= 75))

    again = fit(viewer, viewer.layers["lines"])
    inspector.looking.take(again)
    assert panel.range.getRegion() == pytest.approx((70, 75)), "a new fit keeps the range"
    panel.log.click()
    logarithms = panel.bars.getData()[1]
    np.testing.assert_allclose(logarithms, np.log10(np.histogram(slopes, edges)[0]))
    viewer.layers.remove(labels)
    assert not panel.select.isChecked()


def test_the_theme_is_followed(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, _ = inspected
    dark = inspector.curves.upper.getAxis("left").textPen().color().lightness()
    viewer.theme = "light"
    light = inspector.curves.upper.getAxis("left").textPen().color().lightness()
    assert dark > 200 > 60 > light
    assert inspector.curves.views[0].backgroundBrush().color().lightness() > 200


def test_a_closed_dock_lets_go_of_everything(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    callbacks = len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    viewer.reset_view()
    click(viewer, (0, 2, 2))
    assert len(viewer.mouse_move_callbacks) == callbacks[0] + 1
    assert [str(key) for key in viewer.keymap] == ["Escape"]
    viewer.window.remove_dock_widget(inspector)
    assert inspection.pinned == {"A": (2, 2)}, "the dock's numbers are still about them"
    assert find_mark(viewer.layers, PINS) is not None
    viewer.window.resize(1600, 900)
    until(lambda: viewer.window.geometry()[2] >= ROOMY, "the window is wide")
    inspection.feed(outcome)
    assert not inspection.inspectors(), "whoever closed it does not want it back with the next fit"
    gone = weakref.ref(inspector)
    del inspector
    until(lambda: gc.collect() is not None and gone() is None, "the inspector is let go of")
    again = inspection.open()
    assert again.looking is inspection, "the button brings it back, with the last fit"
    assert inspection.open() is again
    inspection.tidy()
    inspection.close()
    assert inspection.outcome is outcome, "an inspector that is open goes on"
    viewer.window.remove_dock_widget(again)
    assert (len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)) == callbacks
    assert inspection.outcome is None
    assert not viewer.keymap
    assert find_mark(viewer.layers, PINS) is None


def test_it_opens_by_itself_only_in_a_wide_window_and_crops_nothing(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    assert not inspection.inspectors()
    height = viewer.canvas.size[0]
    viewer.window.resize(1560, 900)
    until(lambda: viewer.window.geometry()[2] >= ROOMY, "the window is wide")
    pixel_of(viewer, (0, 0, 0))
    viewer.reset_view()
    inspection.feed(outcome)
    (inspector,) = inspection.inspectors()
    until(lambda: abs(inspector.parentWidget().height() - 300) < 40, "the dock has a third of the height")
    until(lambda: viewer.canvas.size[0] < 0.8 * height, "the canvas has made room")
    pixel_of(viewer, (0, 0, 0))
    zoom = viewer.scene.camera.zoom
    viewer.reset_view()
    assert viewer.scene.camera.zoom == pytest.approx(zoom), "the whole image is in view without Home"
    inspection.close()


def test_opened_from_the_menu_it_finds_the_last_fit(viewer: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    _, inspector = viewer.window.add_plugin_dock_widget("napari-imagefit", "Inspect fits")
    assert "Nothing has been fitted yet" in inspector.hint.text()
    assert not inspector.note.text(), "it is said once"
    outcome = fit(viewer, image)
    widget.session.finished.emit(outcome)
    assert inspector.looking.outcome.result is outcome.result
    assert widget.inspection.inspectors() == [inspector], "not a second one"


def test_after_the_widget_s_own_fit_a_real_click_shows_the_voxel(viewer: Any, qtbot: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    qtbot.mouseClick(widget.data._buttons["voxels"], Qt.MouseButton.LeftButton)
    widget.model.set_model("linear")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    inspector = widget.inspection.open()
    viewer.reset_view()
    click(viewer, (0, 3, 8))
    assert_shows(inspector, widget.inspection.outcome, "A", (3, 8))
    assert {role_of(layer, widget.inspection.outcome.request.group) for layer in viewer.layers} >= {"param:slope"}


def test_a_region_is_shown_by_cuts_through_its_centre(viewer: Any, qtbot: Any) -> None:
    y, x = np.mgrid[0:24, 0:30]
    data = np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30) + np.random.default_rng(0).normal(0, 0.02, (2, 24, 30))
    image = viewer.add_image(data, name="clouds", scale=(1, 2, 2), units=("s", "um", "um"))
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    outcome = run_all(Choices(image, "region", "gaussian_2d", rows))
    for output in outcome.outputs:
        put(viewer.layers, output)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    viewer.reset_view()
    for frame in (1, 0):
        viewer.dims.set_current_step(0, frame)
        qtbot.waitUntil(lambda frame=frame: inspector.shown_places() == {ON_SCREEN: (frame, 0)})
        title = f"on screen · clouds, frame {frame}: converged"
        qtbot.waitUntil(lambda title=title: inspector.note.text().startswith(title))
        drawn = inspector.surfaces.cuts[0].drawn(ON_SCREEN)
        assert drawn is not None
        np.testing.assert_allclose(drawn.points.getData()[1], data[frame].mean(axis=1), rtol=1e-12)
    choose_profile(inspector, "cut")
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        move(viewer, inspector, (frame, 20, 30))
        assert inspector.place == (frame, 0)
        for plot, line in zip(inspector.surfaces.cuts, (data[frame, :, 14], data[frame, 11, :]), strict=True):
            drawn = plot.drawn(CURSOR)
            assert drawn is not None
            np.testing.assert_array_equal(drawn.points.getData()[1], line)
        residual = smoothed(outcome.result.residual()[frame])
        np.testing.assert_allclose(inspector.surfaces.residual.image.image, residual, atol=1e-12)
        assert inspector.note.text().startswith(f"clouds, frame {frame}: converged")
    for panel in inspector.surfaces.cuts:
        drawn = panel.drawn(CURSOR)
        assert drawn is not None
        for plot, points in zip(panel.plots, (drawn.points, drawn.residuals), strict=True):
            (low, high), values = plot.getViewBox().viewRange()[1], points.getData()[1]
            assert low < values.min() < values.max() < high
            assert np.ptp(values) > (high - low) / 4
    levels = inspector.surfaces.residual.image.levels
    assert levels[0] == -levels[1]
    click(viewer, (1, 20, 30))
    pins = find_mark(viewer.layers, PINS)
    np.testing.assert_array_equal(pins.data, [[1, 11, 14]])
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        qtbot.waitUntil(lambda frame=frame: inspector.place == (frame, 0))
        assert inspector.looking.pinned == {"A": (1, 0)}, "pins stay where they are"
    inspection.close()


def choose_profile(inspector: Inspector, key: str) -> None:
    inspector.bar.profile.setCurrentIndex(inspector.bar.profile.findData(key))


SIZES = [(300, 150), (300, 420), (440, 200), (700, 160), (640, 300), (1000, 240), (1590, 330)]


def assert_nothing_is_cut(widget: Any) -> None:
    """Every plot with its axes, and every control, lies within what holds it, and no two lie over each other."""
    for view in widget.findChildren(QGraphicsView):
        if not view.isVisible():
            continue
        for item in view.scene().items():
            if isinstance(item, (pg.PlotItem, pg.AxisItem)) and item.isVisible():
                rect, room = item.mapRectToScene(item.rect()), view.viewRect()
                # an axis without numbers has no height, and Qt's rectangles contain no such one
                assert room.left() - 1 <= rect.left(), (item, rect, room)
                assert room.top() - 1 <= rect.top(), (item, rect, room)
                assert rect.right() <= room.right() + 1, (item, rect, room)
                assert rect.bottom() <= room.bottom() + 1, (item, rect, room)
        for item in view.scene().items():
            if isinstance(item, pg.ViewBox):
                assert item.width() > 20, "data drop out last"
                assert item.height() > 12
    for child in widget.findChildren(QWidget):
        parent = child.parentWidget()
        if child.isVisible() and not child.isWindow() and parent is not None and parent.layout() is not None:
            assert parent.rect().contains(child.geometry()), (child, child.geometry(), parent.rect())
            for other in parent.children():
                if isinstance(other, QWidget) and other.isVisible() and other is not child:
                    assert not other.geometry().intersects(child.geometry()), (child, other)


@pytest.mark.parametrize("job", ["voxels", "region"])
def test_nothing_is_cut_at_any_size(qtbot: Any, job: Any) -> None:
    viewer = ViewerModel()
    if job == "voxels":
        outcome = fit(viewer, viewer.add_image(lines(), name="lines"))
    else:
        y, x = np.mgrid[0:24, 0:30]
        image = viewer.add_image(np.stack(2 * [np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30)]), name="clouds")
        outcome = run_all(Choices(image, "region", "gaussian_2d", tuple(Row(n) for n in models["gaussian_2d"].names)))
    inspection = Inspection(viewer)
    inspection.take(outcome)
    inspector = Inspector(viewer)
    qtbot.addWidget(inspector)
    inspector.watch(inspection)
    for place in ((2, 3), (4, 4)) if job == "voxels" else ((1, 0),):
        inspection.pin(place)
    inspection.look_at((3, 3) if job == "voxels" else (0, 0))
    inspector.show()
    for size in SIZES:
        for tab in range(inspector.bar.tabs.count()):
            inspector.bar.tabs.setCurrentIndex(tab)
            inspector.histogram.select.setChecked(tab > 0)
            for _ in range(4):
                # a layout takes a round of events to narrow
                inspector.resize(*size)
                QTest.qWait(10)
            assert (inspector.width(), inspector.height()) == size
            assert_nothing_is_cut(inspector)
    inspector.shut_down()
    inspection.close()


def test_outliers_stand_at_the_edge(viewer: Any) -> None:
    data = lines()
    data[3, 4, 4] = 1e5
    image = viewer.add_image(data, name="lines", contrast_limits=(0, 400))
    inspection = Inspection(viewer)
    inspection.take(fit(viewer, image))
    inspector = inspection.open()
    until(inspector.isVisible, "the inspector is on the screen")
    inspection.look_at((4, 3))
    assert not inspector.curves.drawn(CHOSEN_FIT).beyond[0].getData()[0].size
    inspection.look_at((4, 4))
    low, high = inspector.curves.upper.getViewBox().viewRange()[1]
    others = np.delete(data[:, 4, 4], 3)
    assert low < others.min()
    assert others.max() < high < 1e4
    x, y = inspector.curves.drawn(CHOSEN_FIT).beyond[0].getData()
    assert x.tolist() == [3]
    assert others.max() < y[0] < high
    inspection.close()


def test_nonsense_in_the_range_is_a_sentence(inspected: tuple[Any, Inspector, Outcome], qtbot: Any) -> None:
    viewer, inspector, _ = inspected
    inspector.bar.tabs.setCurrentIndex(1)
    panel = inspector.histogram
    panel.select.click()
    until(lambda: not panel._settle.isActive() and bool(panel.low.text()), "the first range is highlighted")
    window, before = viewer.window.geometry(), panel.range.getRegion()
    for text in ("nan", "inf", "1e999", "9" * 400, "🙂", "-"):
        panel.low.setText(text)
        qtbot.keyClick(panel.low, Qt.Key.Key_Return)
        QTest.qWait(100)
        assert panel.range.getRegion() == before, text
        assert inspector.note.text().startswith("⚠ The lower end is "), text
        assert len(inspector.note.text()) < 150
        assert viewer.window.geometry() == window, text
    for text in ("", "-1e300"):
        panel.low.setText(text)
        qtbot.keyClick(panel.low, Qt.Key.Key_Return)
        until(lambda: not panel._settle.isActive(), "the range is highlighted")
        assert np.isfinite(panel.range.getRegion()).all()
        assert panel.range.getRegion()[0] < panel._histogram.edges[0], "no limit"
        assert "selected" in inspector.note.text()
    assert viewer.window.geometry() == window


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


def test_without_anything_to_look_at_it_says_what_to_do(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    inspector.looking.look_at(None)  # the pointer may stand over the canvas already
    assert inspector.hint.isVisible()
    assert inspector.hint.text().startswith("Move the pointer over the fit")
    inspector.looking.look_at((3, 3))
    assert not inspector.hint.isVisible()
    assert_shows(inspector, outcome, CHOSEN_FIT, (3, 3))
    viewer.layers.remove(viewer.layers["lines"])
    assert inspector.hint.isVisible()
    assert not inspector.bar.pin.isEnabled()
