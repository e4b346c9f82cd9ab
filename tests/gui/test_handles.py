"""Starts that are grabbed with a real pointer: over the image, and in the curve's plot."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_imagefit.gui.handles.region_starts import RegionStarts
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.tasks.starts import RegionAsked, SeenRegions

from .pointer import LEFT, Arrivals, canvas_of, click, drag, is_shown, move_once, pixel_of, until

pytestmark = [pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning"), pytest.mark.slow]

PATIENCE = 120_000
SCALE = 0.5


def cloud(frames: int = 0) -> np.ndarray:
    y, x = np.mgrid[0:60, 0:80]
    step = np.arange(max(frames, 1))[:, None, None]
    data = 9 * np.exp(-0.5 * (((y - 28 - 4 * step) / 7) ** 2 + ((x - 44) / 12) ** 2)) + 1
    data = data + np.random.default_rng(2).normal(0, 0.2, data.shape)
    return np.asarray(data if frames else data[0])


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(strict_qt=False, show=True)
    until(lambda: is_shown(viewer), "the viewer's window is on the screen")
    viewer.window.resize(1280, 720)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    return viewer, widget


def show_starts(viewer: Any, widget: ImageFitWidget, model: str, **layer: Any) -> Any:
    """An image, a model, and its starts over it."""
    where = {"scale": (SCALE, SCALE), "rotate": 25, "translate": (2, 3), "units": ("um", "um")} | layer
    data = where.pop("data", cloud())
    image = viewer.add_image(data, name="cloud", **where)
    widget.model.set_model(model)
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    viewer.reset_view()
    wait_for_starts(widget)
    return image


def wait_for_starts(widget: ImageFitWidget) -> RegionStarts:
    region = widget.handles.region
    assert region is not None
    until(lambda: not widget.handles.busy and region.drawing.visible, "the starts are drawn")
    return region


def place(widget: ImageFitWidget, what: str, which: int = 0) -> tuple[float, float]:
    """Where a grip is, in the world."""
    region = wait_for_starts(widget)
    found = [at for grip, at in zip(region._grips, region.drawing.grips, strict=True) if grip.what == what]
    return float(found[which][1]), float(found[which][0])


def starts(widget: ImageFitWidget) -> dict[str, float]:
    return {row.name: float(row.start) for row in widget.parameters.rows() if row.start is not None}  # type: ignore[arg-type]


def moved(at: tuple[float, float], by: tuple[float, float]) -> tuple[float, float]:
    """A shift along the axes of the data, in units of the layer, in the world."""
    turn = math.radians(25)
    dy, dx = by
    return (
        at[0] + dy * math.cos(turn) - dx * math.sin(turn),
        at[1] + dy * math.sin(turn) + dx * math.cos(turn),
    )


def test_the_centre_follows_the_hand(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    image = show_starts(viewer, widget, "gaussian_2d_elliptic")
    edits: list[None] = []
    widget.parameters.edited.connect(lambda: edits.append(None))
    before, layers, view = widget.handles.region._guessed, list(viewer.layers), viewer.scene.camera.center
    at = place(widget, "centre")
    world_y, world_x = image.data_to_world((28, 44))
    assert at == pytest.approx((world_y, world_x), abs=0.3), "what is drawn lies on the cloud"

    drag(viewer, at, moved(at, (3.0, -5.0)))
    tolerance = 1.5 / viewer.scene.camera.zoom
    found = starts(widget)
    assert set(found) == {"y", "x"}
    assert found["y"] == pytest.approx(before["y"] + 3, abs=tolerance)
    assert found["x"] == pytest.approx(before["x"] - 5, abs=tolerance)
    assert len(repr(found["y"])) < 9, "a start that is dragged has no more digits than can be seen"
    assert edits, "who listens to the list hears of it"
    assert viewer.scene.camera.center == view
    assert list(viewer.layers) == layers
    assert place(widget, "centre") == pytest.approx(moved(at, (3.0, -5.0)), abs=2 * tolerance)

    QTest.qWait(50)
    widget.past.undo.undo()
    assert starts(widget) == {}, "one drag is one change"
    assert place(widget, "centre") == pytest.approx(at, abs=1e-6)
    widget.past.undo.redo()
    assert starts(widget) == found


def test_widths_and_angle_follow_the_hand(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(viewer, widget, "gaussian_2d_rotated")
    region = wait_for_starts(widget)
    tolerance = 2 / viewer.scene.camera.zoom
    for what, name in (("along", "sigma_x"), ("across", "sigma_y")):
        centre, end = np.array(place(widget, "centre")), np.array(place(widget, what))
        before = region._guessed | starts(widget)
        drag(viewer, end, centre + 1.6 * (end - centre))
        assert starts(widget)[name] == pytest.approx(1.6 * before[name], abs=tolerance)
    assert set(starts(widget)) == {"sigma_y", "sigma_x"}
    centre, end = np.array(place(widget, "centre")), np.array(place(widget, "angle"))
    turn = math.radians(40)
    dy, dx = end - centre
    away = dy * math.cos(turn) + dx * math.sin(turn), dx * math.cos(turn) - dy * math.sin(turn)
    to = centre + np.array(away)
    before = region._guessed["theta"]
    drag(viewer, end, to)
    assert starts(widget)["theta"] == pytest.approx(before + turn, abs=0.05)


def test_a_drag_stops_at_a_bound_and_cannot_move_what_is_fixed(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    widget.model.set_model("gaussian_2d_elliptic")
    show_starts(viewer, widget, "gaussian_2d_elliptic")
    guessed = widget.handles.region._guessed
    upper = round(guessed["x"] + 1, 2)
    widget.parameters._take_rows((Row("x", upper=upper), Row("sigma_y", 5.0, fixed=True)))
    at = place(widget, "centre")
    drag(viewer, at, moved(at, (0.0, 6.0)))
    assert starts(widget)["x"] == upper
    at = place(widget, "along")
    centre = place(widget, "centre")
    drag(viewer, at, centre)
    assert 0 < starts(widget)["sigma_x"] < 0.2, "a width stays above 0"
    at = place(widget, "across")
    before, view = starts(widget), viewer.scene.camera.center
    drag(viewer, at, moved(at, (4.0, 0.0)))
    assert starts(widget) == before
    assert viewer.scene.camera.center != view, "there the image is dragged, as everywhere else"
    widget.parameters._take_rows((Row("y", 14.0, fixed=True),))
    at, before = place(widget, "centre"), starts(widget)
    drag(viewer, at, moved(at, (-2.0, -2.0)))
    assert starts(widget)["y"] == 14.0
    assert starts(widget)["x"] == pytest.approx(before["x"] - 2, abs=2 / viewer.scene.camera.zoom)


def test_tools_of_layers_and_pins_leave_a_drag_alone(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(viewer, widget, "gaussian_2d")
    QTest.mouseClick(widget.fit_bar.fit, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    at = place(widget, "centre")
    click(viewer, at)
    drag(viewer, at, moved(at, (2.0, 2.0)))
    assert widget.inspection.pinned == {}
    click(viewer, moved(at, (-8.0, 8.0)))
    assert len(widget.inspection.pinned) == 1, "beside the handles a click pins as before"

    drawn = viewer.add_shapes(np.array([[0, 0], [0, 5], [5, 5], [5, 0]]), shape_type="polygon", name="mine")
    viewer.layers.selection.active = drawn
    drawn.mode = "add_rectangle"
    tool = list(drawn.mouse_drag_callbacks)
    at = place(widget, "centre")
    before = starts(widget)
    drag(viewer, at, moved(at, (-3.0, -3.0)))
    QTest.qWait(20)
    assert starts(widget) != before
    assert drawn.nshapes == 1
    assert drawn.mouse_drag_callbacks == tool, "the tool is as it was"


def test_the_pointer_tells_what_can_be_grabbed(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(viewer, widget, "gaussian_2d")
    at = place(widget, "centre")
    with Arrivals(viewer) as arrivals:
        arrivals.wait_for(pixel_of(viewer, at))
        assert viewer.cursor.style == "pointing"
        arrivals.wait_for(pixel_of(viewer, moved(at, (6.0, 9.0))))
        assert viewer.cursor.style == "standard"


def test_guess_takes_all_starts_back(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(viewer, widget, "gaussian_2d_elliptic")
    guessed = dict(widget.handles.region._guessed)
    widget.parameters._take_rows((Row("y", 3.0), Row("sigma_x", 2.0, upper=9.0), Row("offset", 1.0, fixed=True)))
    until(lambda: not widget.handles.busy, "the starts are drawn")
    QTest.qWait(500)  # the settings settle
    QTest.mouseClick(widget.parameters.guess_button, LEFT)
    rows = {row.name: row for row in widget.parameters.rows()}
    assert [name for name, row in rows.items() if row.start is not None] == ["offset"], "what is fixed stays"
    assert rows["sigma_x"].upper == 9.0
    wait_for_starts(widget)
    assert widget.handles.region._guessed["y"] == pytest.approx(guessed["y"], rel=1e-3)
    widget.past.undo.undo()
    assert starts(widget) == {"y": 3.0, "sigma_x": 2.0, "offset": 1.0}


def test_what_is_drawn_is_where_the_fit_starts(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(
        viewer, widget, "gaussian_2d", data=cloud(3), scale=(1, SCALE, SCALE), rotate=0, translate=(0, 0), units=None
    )
    drawn = viewer.add_shapes(
        [[[10, 20], [10, 70], [55, 70], [55, 20]], [[2, 2], [2, 12], [12, 12], [12, 2]]],
        shape_type="rectangle",
        name="ROI",
        scale=(SCALE, SCALE),
    )
    widget.region.layers.choose(drawn)
    viewer.dims.set_current_step(0, 0)
    first = dict(wait_for_starts(widget)._guessed)
    viewer.dims.set_current_step(0, 2)
    wait_for_starts(widget)
    second = dict(widget.handles.region._guessed)
    assert second["y"] == pytest.approx(first["y"] + 8 * SCALE, abs=0.5), "it follows the frame"
    QTest.mouseClick(widget.fit_bar.fit, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    result = widget.follow_ups.outcome.result
    assert second == {name: float(values[2, 0]) for name, values in result.start.items()}

    # a click shows the start in another region
    click(viewer, (2, 7 * SCALE, 7 * SCALE))
    wait_for_starts(widget)
    seen = SeenRegions.of(widget.choices())
    assert widget.handles.region._guessed == RegionAsked(seen, seen.regions[1], widget.parameters.rows()).answer()
    # a bound, and a shape that is moved
    widget.parameters._take_rows((Row("sigma", lower=3.0),))
    wait_for_starts(widget)
    assert widget.handles.region._guessed["sigma"] >= 3
    drawn.data = [np.array([[0, 0], [0, 30], [30, 30], [30, 0]])]
    wait_for_starts(widget)
    seen = SeenRegions.of(widget.choices())
    assert widget.handles.region._guessed == RegionAsked(seen, seen.regions[0], widget.parameters.rows()).answer()


def test_nothing_is_drawn_where_there_is_nothing_to_grab(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    show_starts(viewer, widget, "gaussian_2d", data=cloud(3), scale=(1, 1, 1), rotate=0, translate=(0, 0), units=None)
    region = widget.handles.region

    def gone() -> bool:
        return not widget.handles.busy and not region.drawing.visible

    viewer.dims.ndisplay = 3
    until(gone, "nothing is drawn in a volume")
    viewer.dims.ndisplay = 2
    wait_for_starts(widget)
    widget.model.set_model("plane_2d")
    until(gone, "a plane has no centre")
    assert not widget.parameters.starts_button.isEnabled()
    widget.model.set_model("bimodal_2d")
    wait_for_starts(widget)
    assert len(region.drawing.grips) == 5, "one centre, and the widths of both clouds"
    viewer.layers["cloud"].visible = False
    until(gone, "nothing is drawn over an image that is hidden")


def living(emitter: Any) -> int:
    """How many listen; napari takes those that are gone off its list with the next event."""
    gone = [isinstance(one, tuple) and one[0]() is None for one in emitter.callbacks]
    return len(gone) - sum(gone)


def left_behind(viewer: Any) -> tuple[int, ...]:
    gc.collect()  # napari fits its view with lists of layers that listen until they are collected
    scene = canvas_of(viewer).view.scene
    return (
        len(scene.children),
        len(viewer.layers),
        len(viewer.mouse_drag_callbacks),
        len(viewer.mouse_move_callbacks),
        *(living(one) for one in (viewer.dims.events.current_step, viewer.scene.camera.events.zoom)),
        *(living(getattr(viewer.layers[0].events, name)) for name in ("data", "scale", "visible")),
    )


def test_many_drags_leave_nothing_behind(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(cloud(), name="cloud")
    before = left_behind(viewer)
    widget.model.set_model("gaussian_2d_elliptic")
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    wait_for_starts(widget)
    shown = left_behind(viewer)
    native = canvas_of(viewer).native
    at = pixel_of(viewer, place(widget, "centre"))
    for n in range(200):
        to = at + QPoint(4 if n % 2 else -4, 6 if n % 2 else -6)
        QTest.mousePress(native, LEFT, pos=at)
        move_once(viewer, to)
        QTest.mouseRelease(native, LEFT, pos=to)
        at = to
    assert starts(widget)
    wait_for_starts(widget)
    assert left_behind(viewer) == shown
    assert viewer._mouse_drag_gen == {}
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    assert left_behind(viewer) == before
    assert widget.handles.region is None

    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    wait_for_starts(widget)
    viewer.window.remove_dock_widget(widget)
    assert len(canvas_of(viewer).view.scene.children) == before[0]
    assert viewer.mouse_drag_callbacks == [] or before[2] > len(viewer.mouse_drag_callbacks)
    gc.collect()


def test_lines_over_a_curve_follow_the_hand(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    t = np.arange(0, 80.0, 4)
    data = 20 * np.exp(-t[:, None, None] / np.linspace(15, 30, 12).reshape(1, 3, 4)) + 2
    data += np.random.default_rng(4).normal(0, 0.1, data.shape)
    viewer.add_image(data, name="echoes", scale=(4, 1, 1), units=("ms", "um", "um"))
    QTest.mouseClick(widget.data._buttons["voxels"], LEFT)
    QTest.mouseClick(widget.fit_bar.fit, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    inspector = widget.inspection.open()
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    until(lambda: inspector in widget.handles.curves, "the inspector is found")
    curves = widget.handles.curves[inspector]
    widget.inspection.look_at((1, 2))
    until(lambda: not widget.handles.busy and curves.lines is not None, "the starts are drawn")
    result = widget.follow_ups.outcome.result
    assert curves._guessed == {name: float(values[1, 2]) for name, values in result.start.items()}
    lines = curves.lines.lines
    assert set(lines) == {"Width tau", "Height amplitude", "Height offset"}
    assert lines["Width tau"].value() == pytest.approx(curves._guessed["tau"])

    drag_line(inspector, lines["Width tau"], by=(8.0, 0.0))
    found = starts(widget)
    assert found["tau"] == pytest.approx(curves._guessed["tau"] + 8, abs=1.5)
    assert set(found) == {"tau"}
    until(lambda: not widget.handles.busy, "the starts are drawn")
    drag_line(inspector, lines["Height amplitude"], by=(0.0, -5.0))
    assert starts(widget)["amplitude"] == pytest.approx(curves._guessed["amplitude"] - 5, abs=1.5)
    QTest.qWait(50)
    widget.past.undo.undo()
    assert set(starts(widget)) == {"tau"}, "one drag is one change"

    widget.parameters._take_rows((Row("offset", 2.0, fixed=True),))
    until(lambda: not widget.handles.busy, "the starts are drawn")
    drag_line(inspector, curves.lines.lines["Height offset"], by=(0.0, 5.0))
    assert starts(widget)["offset"] == 2.0

    items = len(inspector.curves.upper.items)
    drawn = len(curves.lines.lines) + 1
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    assert len(inspector.curves.upper.items) == items - drawn
    # an inspector that is closed takes them with it
    QTest.mouseClick(widget.parameters.starts_button, LEFT)
    until(lambda: widget.handles.curves and not widget.handles.busy, "the starts are drawn")
    viewer.window.remove_dock_widget(inspector)
    until(lambda: widget.handles.curves == {}, "they are gone")
    widget.parameters.guess()
    assert starts(widget) == {"offset": 2.0}


def drag_line(inspector: Any, line: Any, by: tuple[float, float]) -> None:
    """Drag a line of the plot with the pointer."""
    plot = inspector.curves.upper
    view, box = inspector.curves.views[0], plot.getViewBox()
    (left, right), (low, high) = box.viewRange()
    first = (line.value(), 0.6 * low + 0.4 * high) if line.angle == 90 else (0.4 * left + 0.6 * right, line.value())
    last = (first[0] + by[0], first[1] + by[1])

    def pixel(point: tuple[float, float]) -> QPoint:
        from qtpy.QtCore import QPointF

        return view.mapFromScene(box.mapViewToScene(QPointF(*point)))

    ends = pixel(first), pixel(last)
    QTest.mouseMove(view.viewport(), ends[0])
    QTest.qWait(30)
    QTest.mousePress(view.viewport(), LEFT, pos=ends[0])
    for part in (0.3, 0.7, 1.0):
        QTest.qWait(30)
        to = ends[0] + (ends[1] - ends[0]) * part
        QTest.mouseMove(view.viewport(), to)
    QTest.qWait(30)
    QTest.mouseRelease(view.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, ends[1])
    QTest.qWait(30)
